//! One form for everything that names a resource; fields that must not pass fall away.
//!
//! What is normalised here is normalised for the cache key and for the origin alike, so the two
//! can never be made to disagree. [`host`] and [`path`] are pure text; [`fields`] is one pass over
//! the head.

pub(super) mod fields;
pub(super) mod host;
pub(super) mod path;
