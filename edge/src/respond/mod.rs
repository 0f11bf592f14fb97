//! To be written.

pub mod cache_status;
pub mod conditional;
pub mod fields;
pub mod multipart;
pub mod negotiate;
pub mod range;
pub mod synthetic;
