//! The way to disk: a queue bounded by bytes, emptied in batches by one task per instance.
//!
//! The engine drops values without a word when its buffers are full, and loses the tail of a
//! block at recovery when two threads inserted into it. So one task inserts, never more than a
//! batch (half a flush buffer) at a time, waits until the batch is written, and then looks for
//! each value: what is not there is counted as a write error.
//!
//! Two ways in. [`Queue::offer`] takes a value if there is room, else the value stays in memory
//! only. [`Queue::room`] waits for room and *promises* it to the caller, so that many large
//! fills at once go at the speed of the disk instead of losing chunks. A promise that is never
//! used up (its fill failed) is void when the queue runs empty, or stays empty for a while.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::frame::{ENGINE_ENTRY_BYTES, FRAME_BYTES};
use super::pulse::Illness;
use super::slot::{SLOT_BYTES, Slot};
use crate::budget::{Budget, Class, Permit};

/// The engine writes whole pages.
const PAGE_BYTES: usize = 4096;

/// How long a promise holds while the queue stands empty.
const PROMISE: Duration = Duration::from_millis(250);

/// RAM of one queued value besides its bytes.
const ITEM_BYTES: usize = 96;

/// What a batch is written to.
pub(super) trait Sink {
    /// Hands a value over; nothing is known of its fate.
    fn insert(&self, slot: Slot, value: Bytes);
    /// Waits until all that was handed over is written or lost; `false` if the sink died of it.
    fn settled(&self) -> impl Future<Output = bool> + Send;
    /// Whether a value arrived.
    fn contains(&self, slot: Slot) -> bool;
}

/// A value on its way.
#[derive(Debug)]
pub(super) struct Item {
    slot: Slot,
    value: Bytes,
    permit: Permit,
}

impl Item {
    /// Bytes in the engine's buffer and on disk.
    fn disk_bytes(&self) -> usize {
        disk_bytes(self.value.len())
    }
}

/// Bytes on disk of a value of `length` bytes.
fn disk_bytes(length: usize) -> usize {
    (ENGINE_ENTRY_BYTES + SLOT_BYTES + FRAME_BYTES + length).next_multiple_of(PAGE_BYTES)
}

/// Values that wait for the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// For the one writer: something came, the queue was closed, or it is to look around.
    arrived: Notify,
    /// For all others: something left.
    left: Notify,
    budget: Budget,
    bytes_max: usize,
    batch_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Held by waiting values and by the batch that is being written.
    bytes: usize,
    promised_bytes: usize,
    writing: bool,
    closed: bool,
}

impl Queue {
    /// A queue of `bytes_max` that yields batches of at most `batch_bytes` on disk.
    pub(super) fn new(budget: &Budget, bytes_max: usize, batch_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            left: Notify::new(),
            budget: budget.clone(),
            bytes_max,
            batch_bytes,
        }
    }

    /// Takes the value if there is room for it.
    pub(super) fn offer(&self, slot: Slot, value: Bytes) -> bool {
        if disk_bytes(value.len()) > self.batch_bytes {
            return false;
        }
        let bytes = value.len() + ITEM_BYTES;
        let mut state = self.state.lock();
        state.promised_bytes = state.promised_bytes.saturating_sub(bytes);
        if state.closed || state.bytes + bytes > self.bytes_max {
            return false;
        }
        let Some(permit) = self.budget.take(Class::Queues, bytes) else { return false };
        state.bytes += bytes;
        state.items.push_back(Item { slot, value, permit });
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Waits until there is room for `length` bytes and promises it. Returns at once when the
    /// queue is closed.
    pub(super) async fn room(&self, length: usize) {
        let bytes = (length + ITEM_BYTES).min(self.bytes_max / 2);
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            {
                let mut state = self.state.lock();
                // A quarter stays free for those who do not ask.
                let taken = state.bytes + state.promised_bytes + bytes;
                if state.closed || taken <= self.bytes_max / 4 * 3 {
                    state.promised_bytes += bytes;
                    return;
                }
            }
            if timeout(PROMISE, left).await.is_err() {
                let mut state = self.state.lock();
                if state.items.is_empty() && !state.writing {
                    state.promised_bytes = 0;
                }
            }
        }
    }

    /// The next batch; empty when nothing waits. Give it back to [`Queue::done`].
    pub(super) fn take(&self) -> Vec<Item> {
        let mut state = self.state.lock();
        let mut bytes = 0;
        let fits = |item: &&Item| {
            bytes += item.disk_bytes();
            bytes <= self.batch_bytes
        };
        let count = state.items.iter().take_while(fits).count();
        state.writing = count > 0;
        state.items.drain(..count).collect()
    }

    /// A batch was written (or given up): its room is free.
    pub(super) fn done(&self, batch: Vec<Item>) {
        let bytes: usize = batch.iter().map(|item| item.permit.bytes()).sum();
        drop(batch);
        let mut state = self.state.lock();
        state.bytes -= bytes;
        state.writing = false;
        if state.items.is_empty() {
            state.promised_bytes = 0;
        }
        drop(state);
        self.left.notify_waiters();
    }

    /// Drops all that waits; returns how many values that were.
    pub(super) fn clear(&self) -> usize {
        let mut state = self.state.lock();
        let items = std::mem::take(&mut state.items);
        state.bytes -= items.iter().map(|item| item.permit.bytes()).sum::<usize>();
        state.promised_bytes = 0;
        drop(state);
        self.left.notify_waiters();
        items.len()
    }

    /// Takes nothing more; what waits is still written.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_one();
        self.left.notify_waiters();
    }

    /// Wakes the writer, though nothing came.
    pub(super) fn nudge(&self) {
        self.arrived.notify_one();
    }

    /// The writer is gone: drops all that waits and takes nothing more.
    pub(super) fn abandon(&self) {
        self.close();
        self.clear();
        self.state.lock().writing = false;
        self.left.notify_waiters();
    }

    /// Whether [`Queue::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// For the one writer: waits until something comes or the queue is closed.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Waits until nothing waits and nothing is being written.
    pub(super) async fn idle(&self) {
        loop {
            let mut left = pin!(self.left.notified());
            left.as_mut().enable();
            {
                let state = self.state.lock();
                if state.items.is_empty() && !state.writing {
                    return;
                }
            }
            left.await;
        }
    }
}

/// Writes a batch and looks for each value: how many are lost, and what is wrong with the sink.
pub(super) async fn write(
    sink: &impl Sink,
    batch: &[Item],
    deadline: Duration,
) -> Result<(), (usize, Illness)> {
    for item in batch {
        sink.insert(item.slot, item.value.clone());
    }
    match timeout(deadline, sink.settled()).await {
        Err(_) => Err((batch.len(), Illness::Stuck)),
        Ok(false) => Err((batch.len(), Illness::Died)),
        Ok(true) => match batch.iter().filter(|item| !sink.contains(item.slot)).count() {
            0 => Ok(()),
            lost => Err((lost, Illness::Lost)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::{Part, StoreKey};
    use super::*;

    fn slot(object: u64) -> Slot {
        Slot::from(StoreKey { object, part: Part::Chunk(0) })
    }

    fn queue() -> Queue {
        Queue::new(&Budget::new(16 << 20), 64 * 1024, 16 * 1024)
    }

    fn value(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    /// Keeps the first `keeps` values, or never settles.
    struct Fake {
        arrived: Mutex<HashSet<u64>>,
        keeps: usize,
        settles: bool,
    }

    impl Sink for Fake {
        fn insert(&self, slot: Slot, _: Bytes) {
            let mut arrived = self.arrived.lock();
            if arrived.len() < self.keeps {
                arrived.insert(std::hash::BuildHasher::hash_one(&super::super::slot::Mix, slot));
            }
        }

        async fn settled(&self) -> bool {
            if !self.settles {
                std::future::pending::<()>().await;
            }
            true
        }

        fn contains(&self, slot: Slot) -> bool {
            let hash = std::hash::BuildHasher::hash_one(&super::super::slot::Mix, slot);
            self.arrived.lock().contains(&hash)
        }
    }

    #[test]
    fn a_full_queue_refuses_and_a_batch_stays_within_its_pages() {
        let queue = queue();
        let taken = (0..100).take_while(|id| queue.offer(slot(*id), value(4_000))).count();
        assert_eq!(taken, 64 * 1024 / (4_000 + ITEM_BYTES));
        let batch = queue.take();
        assert_eq!(batch.len(), 4, "four values of one page each");
        queue.done(batch);
        assert!(queue.offer(slot(200), value(4_000)));
        assert!(!queue.offer(slot(201), value(16 * 1024)), "larger than any batch");
        assert_eq!(queue.clear(), taken - 4 + 1);
        assert_eq!(queue.budget.used_bytes(Class::Queues), 0);
    }

    #[tokio::test]
    async fn room_is_promised_and_comes_when_a_batch_is_done() {
        let queue = queue();
        let mut granted = 0;
        while futures_now(queue.room(8_000)).await {
            granted += 1;
        }
        assert_eq!(granted, 48 * 1024 / (8_000 + ITEM_BYTES), "three quarters are promised");
        assert!(queue.offer(slot(1), value(8_000)));
        let batch = queue.take();
        let waits = queue.room(8_000);
        queue.done(batch);
        waits.await;
    }

    #[tokio::test]
    async fn room_returns_when_the_queue_closes() {
        let queue = queue();
        while futures_now(queue.room(30_000)).await {}
        let waits = queue.room(30_000);
        queue.close();
        waits.await;
        assert!(!queue.offer(slot(1), value(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn promises_of_failed_fills_do_not_block_for_ever() {
        let queue = queue();
        while futures_now(queue.room(30_000)).await {}
        queue.room(30_000).await;
    }

    #[tokio::test]
    async fn lost_values_are_counted() {
        let queue = queue();
        for id in 0..3 {
            assert!(queue.offer(slot(id), value(10)));
        }
        let batch = queue.take();
        let sink = Fake { arrived: Mutex::default(), keeps: 2, settles: true };
        let written = write(&sink, &batch, Duration::from_secs(1)).await;
        assert_eq!(written, Err((1, Illness::Lost)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sink_that_never_settles_is_stuck() {
        let queue = queue();
        queue.offer(slot(1), value(10));
        let batch = queue.take();
        let sink = Fake { arrived: Mutex::default(), keeps: 9, settles: false };
        let written = write(&sink, &batch, Duration::from_secs(10)).await;
        assert_eq!(written, Err((1, Illness::Stuck)));
    }

    /// Whether a future is ready now.
    async fn futures_now(future: impl Future<Output = ()>) -> bool {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await
    }
}
