//! 7 · Say what happened.
pub mod access_log;
pub mod labels;
pub mod metrics;
pub mod ratio;
