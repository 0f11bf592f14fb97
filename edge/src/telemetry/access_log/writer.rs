//! The thread that writes lines.
//!
//! It sleeps while there are none. The first line after a silence wakes it and is written at
//! once; after that it gathers for [`GATHER`], so that traffic costs one `write` per interval and
//! core, and a data core pays for a wake-up only after a silence or when its buffer is half full.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Losses, WAITING_BYTES_MAX, Waiting};

/// How long lines are gathered while traffic goes on: each time costs two system calls, and at
/// some ten thousand responses per second a buffer is then about half full.
const GATHER: Duration = Duration::from_millis(25);

/// Buffers larger than this are given back to the allocator when they were written.
const KEPT_BYTES_MAX: usize = WAITING_BYTES_MAX / 2;

/// Opens the target, at start and on every reopen.
pub(super) type Open = Box<dyn Fn() -> io::Result<Box<dyn Write + Send>> + Send>;

/// What the data cores and the writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) waiting: Box<[Mutex<Waiting>]>,
    pub(super) losses: Arc<Losses>,
    thread: OnceLock<Thread>,
    /// The writer found nothing and sleeps: the next line must wake it.
    asleep: AtomicBool,
    reopen: AtomicBool,
    closed: AtomicBool,
    ended: Mutex<bool>,
    ended_changed: Condvar,
}

impl Shared {
    pub(super) fn new(waiting: Box<[Mutex<Waiting>]>, losses: Arc<Losses>) -> Self {
        Self {
            waiting,
            losses,
            thread: OnceLock::new(),
            asleep: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            ended: Mutex::new(false),
            ended_changed: Condvar::new(),
        }
    }

    pub(super) fn wakes(&self, thread: Thread) {
        let _set_once = self.thread.set(thread);
        self.unpark(); // What was asked for before the handle was known.
    }

    /// Called after a line was added.
    pub(super) fn wake(&self, urgent: bool) {
        // The lock of the buffer orders this with `sleep`: either the line was added before the
        // writer looked, and it was seen; or after, and then the flag is seen here. The load
        // keeps the cache line shared while the writer is busy: the common case.
        let asleep =
            self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed);
        if urgent || asleep {
            self.unpark();
        }
    }

    pub(super) fn ask_reopen(&self) {
        self.reopen.store(true, Ordering::SeqCst);
        self.unpark();
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.unpark();
    }

    pub(super) fn wait_ended(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut ended = self.ended.lock();
        while !*ended {
            if self.ended_changed.wait_until(&mut ended, deadline).timed_out() {
                return *ended;
            }
        }
        true
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.iter().all(|waiting| waiting.lock().lines == 0)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn is_asked(&self) -> bool {
        self.is_closed() || self.reopen.load(Ordering::SeqCst)
    }
}

/// The life of the writer thread.
pub(super) fn run(
    shared: &Shared,
    mut sink: Box<dyn Write + Send>,
    open: &dyn Fn() -> io::Result<Box<dyn Write + Send>>,
) {
    let mut spare = Waiting::default();
    let mut last_failed = false;
    loop {
        let closing = shared.closed.load(Ordering::SeqCst);
        let reopening = shared.reopen.swap(false, Ordering::SeqCst);
        let wrote = drain(shared, &mut spare, &mut *sink, &mut last_failed);
        if reopening {
            match open() {
                Ok(fresh) => sink = fresh,
                Err(error) => failed(shared, &error, "the access log could not be opened again"),
            }
        }
        if closing {
            break;
        }
        if wrote {
            std::thread::park_timeout(GATHER);
        } else {
            sleep(shared);
        }
    }
    *shared.ended.lock() = true;
    shared.ended_changed.notify_all();
}

/// Sleeps until a line, a reopen or the end is asked for. May return early.
fn sleep(shared: &Shared) {
    shared.asleep.store(true, Ordering::Relaxed);
    // A line that came before the flag was up was not told to us.
    if shared.is_empty() && !shared.is_asked() {
        std::thread::park();
    }
    shared.asleep.store(false, Ordering::Relaxed);
}

/// Writes what waits; whether there was anything.
fn drain(
    shared: &Shared,
    spare: &mut Waiting,
    sink: &mut dyn Write,
    last_failed: &mut bool,
) -> bool {
    let mut wrote = false;
    for waiting in &shared.waiting {
        std::mem::swap(&mut *waiting.lock(), spare);
        if spare.lines == 0 {
            continue;
        }
        wrote = true;
        let result = sink.write_all(&spare.bytes).and_then(|()| sink.flush());
        if let Err(error) = &result {
            // Part of the buffer may be out, so the number is an upper bound.
            shared.losses.dropped.fetch_add(spare.lines, Ordering::Relaxed);
            if *last_failed {
                shared.losses.errors.fetch_add(1, Ordering::Relaxed);
            } else {
                failed(shared, error, "the access log could not be written");
            }
        }
        *last_failed = result.is_err();
        spare.lines = 0;
        spare.bytes.clear();
        if spare.bytes.capacity() > KEPT_BYTES_MAX {
            spare.bytes = Vec::new();
        }
    }
    wrote
}

fn failed(shared: &Shared, error: &io::Error, what: &'static str) {
    shared.losses.errors.fetch_add(1, Ordering::Relaxed);
    tracing::error!(%error, "{what}");
}
