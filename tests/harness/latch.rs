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

    /// Waits until it is open; gives up with the test's own patience, so that no thread stays.
    ///
    /// # Panics
    /// When a waiter panicked.
    pub fn wait(&self) {
        let open = self.0.0.lock().expect("unpoisoned");
        let _outcome =
            self.0.1.wait_timeout_while(open, PATIENCE, |open| !*open).expect("unpoisoned");
    }
}
