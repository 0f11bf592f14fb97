//! Stop accepting, let open exchanges finish.
//!
//! One [`Drain`] per process (or per listener group). Everything that must finish holds a
//! [`DrainGuard`]; everything that can be asked to finish holds a receiver. `begin` turns the
//! signal on, once and for all; `wait` tells when the last guard is gone, or how many are left
//! when patience ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

/// The signal to finish, and the count of those who have not.
#[derive(Clone, Debug)]
pub struct Drain {
    signal: watch::Sender<bool>,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    count: AtomicUsize,
    emptied: Notify,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Not draining, nothing open.
    pub fn new() -> Self {
        Self { signal: watch::Sender::new(false), open: Arc::default() }
    }

    /// Asks all to finish.
    pub fn begin(&self) {
        self.signal.send_replace(true);
    }

    /// Whether `begin` was called.
    pub fn is_draining(&self) -> bool {
        *self.signal.borrow()
    }

    /// Turns true when it is time to finish.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.signal.subscribe()
    }

    /// Counts one until the guard is dropped.
    pub fn guard(&self) -> DrainGuard {
        self.open.count.fetch_add(1, Ordering::AcqRel);
        DrainGuard(Arc::clone(&self.open))
    }

    /// How many guards there are.
    pub fn open(&self) -> usize {
        self.open.count.load(Ordering::Acquire)
    }

    /// Waits until no guard is left, no longer than `patience`; how many remain.
    pub async fn wait(&self, patience: Duration) -> usize {
        let emptied = async {
            loop {
                // Listen before looking, so that the last drop in between is not missed.
                let notified = self.open.emptied.notified();
                if self.open() == 0 {
                    return;
                }
                notified.await;
            }
        };
        match tokio::time::timeout(patience, emptied).await {
            Ok(()) => 0,
            Err(_) => self.open(),
        }
    }
}

/// Something that is not finished.
#[derive(Debug)]
pub struct DrainGuard(Arc<Open>);

impl Drop for DrainGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_the_last_guard() {
        let drain = Drain::new();
        let (one, two) = (drain.guard(), drain.guard());
        let mut signal = drain.subscribe();
        let finishing = async {
            signal.wait_for(|on| *on).await.expect("the sender lives");
            drop(one);
            tokio::task::yield_now().await;
            drop(two);
        };
        let (left, (), ()) =
            tokio::join!(drain.wait(Duration::from_mins(1)), finishing, async { drain.begin() });
        assert_eq!(left, 0);
        assert!(drain.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn tells_how_many_are_left_when_patience_ends() {
        let drain = Drain::new();
        let _open = [drain.guard(), drain.guard()];
        assert_eq!(drain.wait(Duration::from_secs(5)).await, 2);
        assert_eq!(Drain::new().wait(Duration::ZERO).await, 0);
    }
}
