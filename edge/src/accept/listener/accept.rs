//! The accept loop: it ends when the node drains, and never because of an error.
//!
//! No descriptors left (EMFILE, ENFILE) and the like pass when other connections close: the
//! loop counts, waits a little longer each time, and goes on. Errors of a single connection
//! that went away before it was accepted (ECONNABORTED) cost nothing.
//!
//! The [`Ceiling`] is shared by all workers. A connection beyond it is accepted and closed at
//! once: the client learns sooner than from a queue that nobody empties.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::bind::Listener;
use super::socket::Socket;
use crate::accept::connection::Peer;
use crate::accept::drain::Drain;
use crate::journal::{COUNTERS, Counters};

/// How many connections may be open in the process.
#[derive(Debug)]
pub struct Ceiling {
    connections_max: usize,
    open: AtomicUsize,
}

impl Ceiling {
    /// A ceiling of `connections_max`.
    pub fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, open: AtomicUsize::new(0) })
    }

    /// A place for one more connection, or `None` (counted as refused).
    pub fn enter(self: &Arc<Self>) -> Option<Permit> {
        // Count first: two workers at the last place must not both get it.
        if self.open.fetch_add(1, Ordering::AcqRel) >= self.connections_max {
            self.open.fetch_sub(1, Ordering::AcqRel);
            Counters::bump(&COUNTERS.connections_refused);
            return None;
        }
        Counters::bump(&COUNTERS.connections_open);
        Some(Permit(Arc::clone(self)))
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }
}

/// A place under the [`Ceiling`], until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Ceiling>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        COUNTERS.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The transport.
    pub socket: Socket,
    /// The other end.
    pub peer: Peer,
    /// Our end, as text.
    pub local: String,
    /// When.
    pub at: Instant,
}

/// Accepts until the node drains, and runs `on_connection` for each connection as a task of the
/// current thread's `LocalSet`. Connections that wait in the kernel's queue when the drain
/// begins are still accepted: closing the listener would reset them.
pub async fn accept_loop<F, Serving>(
    mut listener: Listener,
    ceiling: Arc<Ceiling>,
    drain: Drain,
    on_connection: F,
) where
    F: Fn(Accepted) -> Serving,
    Serving: Future<Output = ()> + 'static,
{
    // A drain is not over while there may be connections in the queue.
    let _accepting = drain.guard();
    let mut draining = drain.subscribe();
    let mut backoff = Backoff::default();
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that the sender is gone, and with it who could ever end us kindly.
            _ = draining.wait_for(|is_draining| *is_draining) => {
                listener.accept_queued()
            }
            accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return,
            Err(error) => {
                Counters::bump(&COUNTERS.accept_errors);
                if drain.is_draining() {
                    return;
                }
                if let Some(pause) = backoff.after(&error) {
                    tracing::warn!(%error, local = listener.local(), ?pause, "accept failed");
                    tokio::time::sleep(pause).await;
                }
                continue;
            }
        };
        backoff = Backoff::default();
        Counters::bump(&COUNTERS.connections_accepted);
        let Some(permit) = ceiling.enter() else { continue };
        let local = local_of(&socket, listener.local());
        let accepted = Accepted { socket, peer, local, at: Instant::now() };
        let held = (permit, drain.guard());
        let serving = on_connection(accepted);
        tokio::task::spawn_local(async move {
            serving.await;
            drop(held);
        });
    }
}

/// Our end. A listener on all addresses does not tell which one the client used.
fn local_of(socket: &Socket, listener: &str) -> String {
    match socket {
        Socket::Tcp(stream)
            if listener.starts_with("0.0.0.0:") || listener.starts_with("[::]:") =>
        {
            stream.local_addr().map_or_else(|_| listener.to_owned(), |local| local.to_string())
        }
        _ => listener.to_owned(),
    }
}

/// How long to wait after an accept error: longer each time, and not at all where the error
/// concerns one connection only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// The pause after this error; `None`: go on at once.
    pub fn after(&mut self, error: &io::Error) -> Option<Duration> {
        // accept(2): errors already pending on the new socket are reported by accept itself.
        let concerns_one = matches!(
            Errno::from_io_error(error),
            Some(
                Errno::CONNABORTED
                    | Errno::CONNRESET
                    | Errno::INTR
                    | Errno::PROTO
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::OPNOTSUPP
            )
        );
        if concerns_one {
            return None;
        }
        let pause = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST);
        self.failures += 1;
        Some(pause)
    }
}
