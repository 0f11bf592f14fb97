//! One memory budget with named classes and permits.
//!
//! `--memory` bounds the sum of everything that is kept because of traffic: directory records,
//! stored heads and bodies, fills in flight, what clients have not taken yet, queues. Whoever keeps
//! bytes holds a [`Permit`]; dropping it gives them back. The stores of heads and bodies evict by
//! themselves and share one room ([`share`]); the rest is taken permit by permit. What a client is
//! handed at once shrinks as the windows fill up ([`window`]), so that thousands of slow clients
//! hold little each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

pub mod share;
pub mod window;

use share::Shares;

/// What bytes are kept for. The names are the `part` label of `selvedge_memory_bytes`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Directory records.
    Directory,
    /// Stored heads with their inline bodies, in memory.
    Heads,
    /// Chunks of large stored bodies, in memory.
    Bodies,
    /// Bytes of responses that are being filled.
    Fills,
    /// Pieces of bodies that were handed to clients and have not left.
    Windows,
    /// Chunks that wait to be written to disk.
    Queues,
}

impl Class {
    /// Every class, in the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Directory, Self::Heads, Self::Bodies, Self::Fills, Self::Windows, Self::Queues];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Heads => "heads",
            Self::Bodies => "bodies",
            Self::Fills => "fills",
            Self::Windows => "windows",
            Self::Queues => "queues",
        }
    }
}

#[derive(Debug)]
struct Account {
    used_bytes: AtomicUsize,
    limit_bytes: AtomicUsize,
    refusals: AtomicU64,
    /// Told when a permit comes back while somebody waits.
    freed: Notify,
    waiting: AtomicUsize,
}

/// The budget; cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    accounts: [Account; 6],
    shares: Shares,
}

impl Budget {
    /// Divides `memory_bytes` in sixteenths: two to the directory, nine to stored heads and bodies
    /// together, two to fills, two to windows, one to queues.
    pub fn new(memory_bytes: usize) -> Self {
        let shares = Shares::of(memory_bytes);
        let (heads, bodies) = shares.limits(0, 0);
        let sixteenths = |count: usize| memory_bytes / 16 * count;
        let limits = [sixteenths(2), heads, bodies, sixteenths(2), sixteenths(2), sixteenths(1)];
        let accounts = limits.map(|limit| Account {
            used_bytes: AtomicUsize::new(0),
            limit_bytes: AtomicUsize::new(limit),
            refusals: AtomicU64::new(0),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
        });
        Self(Arc::new(Inner { accounts, shares }))
    }

    fn account(&self, class: Class) -> &Account {
        &self.0.accounts[class as usize]
    }

    /// How heads and bodies share their room.
    pub fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// What a class may hold now, in bytes. Of heads and bodies it moves with what the other needs.
    pub fn limit_bytes(&self, class: Class) -> usize {
        self.account(class).limit_bytes.load(Ordering::Relaxed)
    }

    /// Sets what a self-evicting class may hold.
    pub(crate) fn set_limit(&self, class: Class, bytes: usize) {
        self.account(class).limit_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What a class holds now, in bytes.
    pub fn used_bytes(&self, class: Class) -> usize {
        self.account(class).used_bytes.load(Ordering::Relaxed)
    }

    /// How often [`Budget::take`] refused.
    pub fn refusals(&self, class: Class) -> u64 {
        self.account(class).refusals.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if the class has room; a refusal is counted.
    pub fn take(&self, class: Class, bytes: usize) -> Option<Permit> {
        let account = self.account(class);
        let limit_bytes = account.limit_bytes.load(Ordering::Relaxed);
        let taken = account.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= limit_bytes)
        });
        if taken.is_err() {
            account.refusals.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { budget: self.clone(), class, bytes })
    }

    /// Whether the class has room for `bytes`. Takes nothing, counts nothing.
    pub fn could_take(&self, class: Class, bytes: usize) -> bool {
        self.used_bytes(class).saturating_add(bytes) <= self.limit_bytes(class)
    }

    /// Waits until a permit of the class comes back. It may be taken by another meanwhile.
    pub async fn freed(&self, class: Class) {
        let account = self.account(class);
        account.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&account.waiting);
        account.freed.notified().await;
    }

    /// Says what a self-evicting class holds now (heads, bodies, directory).
    pub fn report(&self, class: Class, bytes: usize) {
        self.account(class).used_bytes.store(bytes, Ordering::Relaxed);
    }
}

/// The right to keep some bytes; given back on drop.
#[derive(Debug)]
pub struct Permit {
    budget: Budget,
    class: Class,
    bytes: usize,
}

impl Permit {
    /// How many bytes this permit covers.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes it cover `bytes`, also beyond the limit: bytes that came in one piece cannot be
    /// refused any more.
    pub fn resize(&mut self, bytes: usize) {
        let used = &self.budget.account(self.class).used_bytes;
        if bytes > self.bytes {
            used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let account = self.budget.account(self.class);
        account.used_bytes.fetch_sub(self.bytes, Ordering::SeqCst);
        if account.waiting.load(Ordering::SeqCst) > 0 {
            // Nobody is forgotten: a wake that finds nobody yet is kept for the next.
            account.freed.notify_one();
        }
    }
}

/// One that waits for room.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_class_refuses_and_counts_and_a_dropped_permit_returns() {
        let budget = Budget::new(1600);
        let held = budget.take(Class::Fills, 200).expect("the class is empty");
        assert!(budget.take(Class::Fills, 1).is_none());
        assert_eq!(budget.refusals(Class::Fills), 1);
        let mut freed = std::pin::pin!(budget.freed(Class::Fills));
        assert!(futures_pending(freed.as_mut()).await);
        drop(held);
        freed.await;
        assert_eq!(budget.used_bytes(Class::Fills), 0);
    }

    /// Whether a future is pending when polled once.
    async fn futures_pending(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending()))
            .await
    }

    #[test]
    fn a_permit_that_is_resized_gives_back_what_it_covers_then() {
        let budget = Budget::new(1600);
        let mut held = budget.take(Class::Windows, 100).expect("the class is empty");
        held.resize(300);
        assert_eq!(budget.used_bytes(Class::Windows), 300, "beyond the limit of 200");
        held.resize(50);
        assert_eq!(budget.used_bytes(Class::Windows), 50);
        drop(held);
        assert_eq!(budget.used_bytes(Class::Windows), 0);
    }
}
