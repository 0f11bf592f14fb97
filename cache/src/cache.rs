//! `Cache`: lookup, fill, freshen, invalidate.
