//! To be written.

pub mod accept;
pub mod conditional;
pub mod fields;
pub mod range;
pub mod synthetic;
