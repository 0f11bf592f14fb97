//! One exchange on one HTTP/1.1 connection: hyper's client connection, with every bound set.
//!
//! hyper reads and writes in a task of its own. This module owns the sending half and the task: a
//! [`Connection`] that is dropped takes its task, and so its socket, with it. What hyper reports is
//! turned into a [`Broken`]: a cause, how far the request had gone (from bytes counted under the
//! parser), and the request's content if it is still there.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use selvedge_cache::budget::Budget;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep};

use super::connect::Transport;
use super::interim::{InterimQueue, Taken};
use super::meter::{Counts, Meter};
use super::upload::{Outbound, Progress, Upload};
use crate::error::{Cause, Error, Stage};
use crate::origin::config::{OriginLimits, wait};

/// hyper takes no smaller buffer.
const READ_BYTES_MIN: usize = 8192;

/// An open connection, free or in use.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Upload>,
    counts: Rc<Counts>,
    born: Instant,
    exchanges: u32,
    /// Last, so that the sender is gone before its task is.
    task: Task,
}

/// The task that reads and writes; ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

/// An exchange that failed.
#[derive(Debug)]
pub struct Broken {
    /// Why.
    pub error: Error,
    /// How far it had gone.
    pub stage: Stage,
    /// The content, if not a byte of it was taken.
    pub content: Option<Outbound>,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream. `open` counts the connection for as long as it is open.
    pub async fn open(
        transport: Transport,
        limits: &OriginLimits,
        open: Arc<AtomicUsize>,
        budget: Option<Budget>,
    ) -> Result<Self, Error> {
        let (io, counts) = Meter::new(transport, budget);
        let read_bytes_max = limits.read_bytes_max.max(limits.head_bytes_max).max(READ_BYTES_MIN);
        let (sender, connection) = Builder::new()
            .max_headers(limits.fields_max)
            .max_header_size(limits.head_bytes_max)
            .max_buf_size(read_bytes_max)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| Error::with(Cause::Internal, error))?;
        let counted = Counted::new(open);
        let task = tokio::task::spawn_local(async move {
            let _counted = counted;
            if let Err(error) = connection.await {
                // Errors of exchanges go to the exchange. What arrives here came between two:
                // bytes that nobody asked for, or a reset.
                tracing::debug!(%error, "an idle origin connection broke");
            }
        });
        Ok(Self { sender, counts, born: Instant::now(), exchanges: 0, task: Task(task) })
    }

    /// Ends the connection from anywhere.
    pub fn abort_handle(&self) -> AbortHandle {
        self.task.0.abort_handle()
    }

    /// It is open, nothing unexpected was read from it, and the last exchange is wholly over.
    pub fn is_free(&self) -> bool {
        self.sender.is_ready()
    }

    /// It can never be free again.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it is free; `false` when it never will be.
    pub async fn becomes_free(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// When it was made.
    pub fn born(&self) -> Instant {
        self.born
    }

    /// It has carried an exchange before the present one.
    pub fn is_reused(&self) -> bool {
        self.exchanges > 1
    }

    /// Sends a request and waits for the head of its final response. Interim responses are handed
    /// over as they come. When the future is dropped the connection must be dropped too.
    pub async fn exchange(
        &mut self,
        mut request: Request<Upload>,
        progress: &Progress,
        response_ms: u64,
        interim_max: u32,
        on_interim: &mut impl FnMut(StatusCode, HeaderMap),
    ) -> Result<Response<Incoming>, Broken> {
        self.exchanges = self.exchanges.saturating_add(1);
        let before = (self.counts.read.get(), self.counts.written.get());
        let queue = InterimQueue::new(interim_max);
        let pushed = queue.clone();
        hyper::ext::on_informational(&mut request, move |head| {
            pushed.push(head.status(), head.headers());
        });

        let patience = wait(response_ms);
        let mut sent = pin!(self.sender.try_send_request(request));
        let mut timer = pin!(sleep(patience));
        let ended = poll_fn(|cx| {
            let response = sent.as_mut().poll(cx);
            // The queue after the response: what came before the final head is in it by now.
            while let Poll::Ready(taken) = queue.poll_take(cx) {
                match taken {
                    Taken::Head(status, headers) => on_interim(status, headers),
                    Taken::Flood => return Poll::Ready(Err(Failure::Flood)),
                }
            }
            if let Poll::Ready(response) = response {
                return Poll::Ready(response.map_err(|error| Failure::Hyper(error.into())));
            }
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                let since = progress.origin_waited_for_since().unwrap_or(now);
                if now >= since + patience {
                    return Poll::Ready(Err(Failure::Timeout));
                }
                timer.as_mut().reset(since + patience);
            }
            Poll::Pending
        })
        .await;

        ended.map_err(|failure| {
            let stage = if self.counts.read.get() > before.0 {
                Stage::Answered
            } else if self.counts.written.get() > before.1 {
                Stage::Sent
            } else {
                Stage::Unsent
            };
            failure.into_broken(stage, response_ms, interim_max)
        })
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One open connection in the origin's count.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === what went wrong ===

enum Failure {
    Hyper(Box<TrySendError<Request<Upload>>>),
    Flood,
    Timeout,
}

impl Failure {
    fn into_broken(self, stage: Stage, response_ms: u64, interim_max: u32) -> Broken {
        match self {
            Self::Flood => {
                let text = format!("more than {interim_max} interim responses");
                let error = Error::with(Cause::OriginMalformed, text);
                Broken { error, stage: Stage::Answered, content: None }
            }
            Self::Timeout => {
                let text = format!("no response head within {response_ms} ms");
                let error = Error::with(Cause::OriginResponseTimeout, text);
                Broken { error, stage, content: None }
            }
            Self::Hyper(mut sent) => match sent.take_message() {
                // The connection closed before it took the request.
                Some(request) => {
                    let content = Some(request.into_body().into_content());
                    let error = Error::with(Cause::OriginBroke, sent.into_error());
                    Broken { error, stage: Stage::Unsent, content }
                }
                None => Broken { error: exchange_error(sent.into_error()), stage, content: None },
            },
        }
    }
}

/// The cause of an error that ended an exchange before its response head.
fn exchange_error(error: hyper::Error) -> Error {
    let cause = if let Some(cause) = our_own_cause(&error) {
        cause
    } else if error.is_parse() {
        Cause::OriginMalformed
    } else if error.is_user() {
        // The content did not have the length that it promised: a mistake before us.
        Cause::Internal
    } else {
        Cause::OriginBroke
    };
    Error::with(cause, error)
}

/// The cause of an error inside of a response's content.
pub fn content_error(error: hyper::Error) -> Error {
    let kind = sources(&error).find_map(|source| source.downcast_ref::<io::Error>());
    let cause = match kind.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Cause::OriginMalformed,
        _ => Cause::OriginBroke,
    };
    Error::with(cause, error)
}

/// The request's content failed: its own cause is the one that counts.
fn our_own_cause(error: &hyper::Error) -> Option<Cause> {
    sources(error).find_map(|source| source.downcast_ref::<Error>()).map(|error| error.cause)
}

fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}
