//! Variants: which stored response fits the selecting header fields (RFC 9111 §4.1).

pub mod normalize;
pub mod vary;

pub use vary::Vary;
