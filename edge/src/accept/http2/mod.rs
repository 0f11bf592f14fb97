//! HTTP/2 (RFC 9113) on the `h2` crate.
//!
//! `h2` is the protocol; this folder is what makes a server of it: limits and floods
//! (`flood`), batching (`link`), the connection's turns (`driver`), one stream's way from
//! request to response (`exchange`), request content and interim responses (`request`) and
//! deadlines (`watchdog`).
//!
//! **Memory of a connection** has a ceiling that depends neither on the size of objects nor on
//! the peer's windows. With the defaults: unread content ≤ 1 MiB (the connection's window);
//! content queued to leave ≤ 128 streams × 32 KiB, plus one piece of content in hand per stream;
//! heads ≤ 128 × 32 KiB; one write buffer of 64 KiB while it writes; `h2`'s codec about 24 KiB.
//!
//! Knows nothing of hosts, paths or fields beyond those of framing: `admit` looks at them.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ClientDeadlines, Connection, Handler};
use crate::journal::{COUNTERS, Counters};

mod driver;
mod exchange;
mod flood;
mod link;
mod request;
mod watchdog;

#[cfg(test)]
mod tests;

pub use flood::{Allowance, FloodLimits, FrameKind};
pub use request::{InterimWriter, RequestStream};

use driver::{Driver, Ending};
use exchange::Shared;
use link::{Link, Transport};
use watchdog::Watchdog;

/// Limits of an H2 connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Http2Config {
    /// Streams that may be open at once (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub streams_max: u32,
    /// Decoded size of a field section, in bytes (`SETTINGS_MAX_HEADER_LIST_SIZE`; 431 beyond).
    pub header_list_bytes_max: u32,
    /// Unread request content per stream (`SETTINGS_INITIAL_WINDOW_SIZE`).
    pub stream_window_bytes: u32,
    /// Unread request content per connection.
    pub connection_window_bytes: u32,
    /// Response content that a stream may have queued below the exchange.
    pub send_buffer_bytes_max: usize,
    /// Frames collected for one write.
    pub batch_bytes_max: usize,
    /// Write at each flush of the protocol instead of once per turn: only to measure what
    /// collecting is worth, and that it makes nothing late.
    pub flush_each: bool,
    /// Streams that the peer reset before we looked at them.
    pub pending_resets_max: usize,
    /// Resets that the peer provoked by breaking rules, over the connection's life.
    pub provoked_resets_max: usize,
    /// How many frames of the cheap kinds may come.
    pub floods: FloodLimits,
    /// How long the client is waited for.
    pub deadlines: ClientDeadlines,
}

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            streams_max: 128,
            header_list_bytes_max: 32 * 1024,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            send_buffer_bytes_max: 32 * 1024,
            batch_bytes_max: 64 * 1024,
            flush_each: false,
            pending_resets_max: 32,
            provoked_resets_max: 512,
            floods: FloodLimits::default(),
            deadlines: ClientDeadlines::default(),
        }
    }
}

impl Http2Config {
    fn builder(&self) -> h2::server::Builder {
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(self.streams_max)
            .max_header_list_size(self.header_list_bytes_max)
            .initial_window_size(self.stream_window_bytes)
            .initial_connection_window_size(self.connection_window_bytes)
            .max_send_buffer_size(self.send_buffer_bytes_max)
            .max_pending_accept_reset_streams(self.pending_resets_max)
            .max_local_error_reset_streams(Some(self.provoked_resets_max));
        builder
    }
}

/// Serves one connection until it ends. `drain` turning true lets open streams finish.
///
/// Everything happens on the calling task; cancelling it drops the open exchanges, whose bodies
/// then report that the client is gone.
pub async fn serve<H, IO>(
    io: IO,
    connection: Arc<Connection>,
    handler: H,
    config: Http2Config,
    mut drain: watch::Receiver<bool>,
) where
    H: Handler,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let started = Instant::now();
    let deadlines = config.deadlines;
    let link = Link::new(io, &config, started);
    let link = Rc::new(RefCell::new(link));

    let head_due = started + Duration::from_millis(deadlines.head_ms);
    let h2 = match timeout_at(head_due, handshake(&config, &link)).await {
        Ok(Some(h2)) => h2,
        Ok(None) => return,
        Err(_) => {
            Counters::bump(&COUNTERS.client_deadlines);
            return;
        }
    };

    let progress = Rc::new(Cell::new(false));
    let shared = Rc::new(Shared { handler, connection, config, progress: Rc::clone(&progress) });
    let start = |request, respond| exchange::run(Rc::clone(&shared), request, respond);
    let watchdog = Watchdog::new(deadlines, started);
    let mut driver = Driver::new(h2, Rc::clone(&link), watchdog, progress, start);

    let mut draining = pin!(async move {
        if drain.wait_for(|is_draining| *is_draining).await.is_err() {
            std::future::pending::<()>().await; // nobody can ask us to leave any more
        }
    });
    let mut is_draining = false;
    let ending = poll_fn(|cx| {
        if !is_draining && draining.as_mut().poll(cx).is_ready() {
            is_draining = true;
            driver.leave();
        }
        driver.poll(cx)
    })
    .await;

    drop(driver);
    if ending == Ending::Closed {
        // Bounded by time and bytes; an error means that the peer is gone, which is the aim.
        let mut dropped = 0;
        let linger = poll_fn(|cx| link.borrow_mut().poll_linger(cx, &mut dropped));
        let _ = timeout(Duration::from_millis(deadlines.linger_ms), linger).await;
    }
}

/// Sends our SETTINGS and awaits the preface. `None`: the peer does not speak H2, or left.
async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
    config: &Http2Config,
    link: &Rc<RefCell<Link<IO>>>,
) -> Option<h2::server::Connection<Transport<IO>, Bytes>> {
    let mut handshake = pin!(config.builder().handshake(Transport(Rc::clone(link))));
    poll_fn(|cx| {
        let polled = handshake.as_mut().poll(cx);
        match link.borrow_mut().poll_write_out(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => polled.map(Result::ok),
        }
    })
    .await
}
