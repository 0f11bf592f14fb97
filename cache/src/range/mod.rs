//! Byte ranges as pure functions (RFC 9110 §14).
