//! A door between a scripted origin and a test: closed until somebody opens it.

use std::sync::{Arc, Condvar, Mutex};

use crate::PATIENCE;

/// A door; clones are the same door.
#[derive(Clone, Debug, Default)]
pub struct Latch(Arc<(Mutex<bool>, Condvar)>);

impl Latch {
    /// Opens it, for good.
    ///
    /// # Panics
    /// When a waiter panicked.
    pub fn open(&self) {
        *self.0.0.lock().expect("unpoisoned") = true;
        self.0.1.notify_all();
    }

    /// Whether it is open.
    ///
    /// # Panics
    /// When a waiter panicked.
    pub fn is_open(&self) -> bool {
        *self.0.0.lock().expect("unpoisoned")
    }

    /// Waits until it is open.
    ///
    /// # Panics
    /// When nobody opens it in half of a test's patience: an origin's thread then ends, which
    /// breaks its connection off, and the test sees that before it gives up itself.
    pub fn wait(&self) {
        let open = self.0.0.lock().expect("unpoisoned");
        let waited = self.0.1.wait_timeout_while(open, PATIENCE / 2, |open| !*open);
        let (open, outcome) = waited.expect("unpoisoned");
        drop(open);
        assert!(!outcome.timed_out(), "nobody opened the door");
    }
}
