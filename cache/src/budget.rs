//! One memory budget with named classes and permits.
//!
//! `--memory` bounds the sum of everything that is kept because of traffic: directory records,
//! stored heads and bodies, fills in flight, reader windows, queues. Whoever keeps bytes holds a
//! [`Permit`]; dropping it gives them back. The stores of heads and bodies have fixed shares
//! (they evict by themselves); the rest is taken permit by permit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    /// What slow readers hold.
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
    limit_bytes: usize,
    refusals: AtomicU64,
}

/// The budget; cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget(Arc<[Account; 6]>);

impl Budget {
    /// Divides `memory_bytes`: an eighth to the directory, five eighths to stored heads and
    /// bodies, the rest to what is in flight.
    pub fn new(memory_bytes: usize) -> Self {
        let part = |sixteenths: usize| Account {
            used_bytes: AtomicUsize::new(0),
            limit_bytes: memory_bytes / 16 * sixteenths,
            refusals: AtomicU64::new(0),
        };
        // Directory, Heads, Bodies, Fills, Windows, Queues: sixteen sixteenths.
        Self(Arc::new([part(2), part(7), part(3), part(2), part(1), part(1)]))
    }

    fn account(&self, class: Class) -> &Account {
        &self.0[class as usize]
    }

    /// The share of a class, in bytes.
    pub fn limit_bytes(&self, class: Class) -> usize {
        self.account(class).limit_bytes
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
        let taken = account.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= account.limit_bytes)
        });
        if taken.is_err() {
            account.refusals.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { budget: self.clone(), class, bytes })
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
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.account(self.class).used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_class_refuses_and_counts_and_a_dropped_permit_returns() {
        let budget = Budget::new(1600);
        let held = budget.take(Class::Fills, 200).expect("the class is empty");
        assert!(budget.take(Class::Fills, 1).is_none());
        assert_eq!(budget.refusals(Class::Fills), 1);
        drop(held);
        assert_eq!(budget.used_bytes(Class::Fills), 0);
    }
}
