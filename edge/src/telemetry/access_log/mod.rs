//! access
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// What the access log lost.
#[derive(Debug, Default)]
pub struct Losses {
    dropped: AtomicU64,
    errors: AtomicU64,
}

impl Losses {
    /// Lines lost.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Writes or opens that failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }
}
