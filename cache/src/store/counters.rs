//! Trouble, counted by kind.

use std::sync::atomic::{AtomicU64, Ordering};

use super::ErrorKind;

/// One counter per [`ErrorKind`].
#[derive(Debug, Default)]
pub(super) struct Errors([AtomicU64; ErrorKind::ALL.len()]);

impl Errors {
    /// Counts one.
    pub(super) fn count(&self, kind: ErrorKind) {
        self.add(kind, 1);
    }

    /// Counts several.
    pub(super) fn add(&self, kind: ErrorKind, times: u64) {
        self.0[kind as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// The counts, in the order of [`ErrorKind::ALL`].
    pub(super) fn read(&self) -> [u64; ErrorKind::ALL.len()] {
        std::array::from_fn(|kind| self.0[kind].load(Ordering::Relaxed))
    }
}
