//! The gate and the H1 codec together, over a pipe, with scripted handlers and paused time.
//!
//! They live here because `accept` may not know its screen.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Gate;
use crate::accept::connection::{Peer, Protocol};
use crate::accept::http1::{Ending, Http1Config, serve};
use crate::accept::{Answer, Connection, Delivery, Handler, OutgoingBody, Received};
use crate::error::{Cause, Error};

mod agreement;
mod endings;
mod exchanges;

/// One thing that a scripted body does.
enum Step {
    Data(&'static str),
    Trailers(HeaderMap),
    Wait(Rc<Notify>),
    Fail,
}

/// A scripted body that writes down how its delivery ended.
struct Script {
    steps: VecDeque<Step>,
    length: Option<u64>,
    whole: Option<Bytes>,
    waiting: Option<Pin<Box<dyn Future<Output = ()>>>>,
    log: Log,
}

type Log = Rc<RefCell<Vec<Delivery>>>;

impl Body for Script {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                std::task::ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(text)) => {
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))));
                }
                Some(Step::Trailers(fields)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Some(Step::Fail) => return Poll::Ready(Some(Err(Cause::OriginBroke.into()))),
                Some(Step::Wait(notify)) => {
                    self.waiting = Some(Box::pin(async move { notify.notified().await }));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.whole.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.whole.as_ref().map(|bytes| bytes.len() as u64);
        whole.or(self.length).map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl OutgoingBody for Script {
    fn take_whole(&mut self) -> Option<Bytes> {
        self.whole.take()
    }

    fn delivered(&mut self, delivery: Delivery) {
        self.log.borrow_mut().push(delivery);
    }
}

/// Makes responses and remembers how their delivery ended.
#[derive(Clone, Default)]
struct Desk {
    log: Log,
}

impl Desk {
    fn whole(&self, text: &str) -> Response<Script> {
        Response::new(self.script(Vec::new(), None, Some(Bytes::copy_from_slice(text.as_bytes()))))
    }

    fn stream(&self, length: Option<u64>, steps: Vec<Step>) -> Response<Script> {
        Response::new(self.script(steps, length, None))
    }

    fn script(&self, steps: Vec<Step>, length: Option<u64>, whole: Option<Bytes>) -> Script {
        let log = Rc::clone(&self.log);
        Script { steps: steps.into(), length, whole, waiting: None, log }
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.log.borrow().clone()
    }
}

type Answering = Pin<Box<dyn Future<Output = Response<Script>>>>;

/// A handler made of a closure. What it can answer at once takes the front path, where that may.
#[derive(Clone)]
struct Scripted(Rc<dyn Fn(Received) -> Answering>);

impl Handler for Scripted {
    type Body = Script;

    fn call(&self, received: Received) -> Answer<Script> {
        let answer = (self.0)(received);
        let mut answer: Answering = Box::pin(async move {
            let mut response = answer.await;
            let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
            response.headers_mut().insert(header::DATE, date);
            response
        });
        if !IN_FRONT.get() {
            return Answer::Later(answer);
        }
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Answer::Now(response),
            Poll::Pending => Answer::Later(answer),
        }
    }
}

/// A served connection, seen from the client.
struct Client {
    pipe: DuplexStream,
    desk: Desk,
    drain: watch::Sender<bool>,
    server: JoinHandle<Ending<DuplexStream>>,
    read: Vec<u8>,
}

impl Client {
    /// Serves one end of a pipe with `handler`, which gets the desk to make its answers.
    fn new<F>(handler: impl Fn(Received, Desk) -> F + 'static) -> Self
    where
        F: Future<Output = Response<Script>> + 'static,
    {
        Self::with_pipe(64 * 1024, Http1Config::default(), handler)
    }

    fn with_pipe<F>(
        bytes: usize,
        config: Http1Config,
        handler: impl Fn(Received, Desk) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Script>> + 'static,
    {
        let (pipe, served) = tokio::io::duplex(bytes);
        let desk = Desk::default();
        let (drain, signal) = watch::channel(false);
        let connection = Arc::new(Connection {
            id: 1,
            peer: Peer::Unix,
            local: "pipe".into(),
            protocol: Protocol::Http1,
            tls: None,
            accepted: Instant::now(),
        });
        let answers = desk.clone();
        let handler =
            Scripted(Rc::new(move |received| Box::pin(handler(received, answers.clone()))));
        let server = tokio::task::spawn_local(async move {
            serve::<Gate, _, _>(served, connection, handler, config, signal).await
        });
        Self { pipe, desk, drain, server, read: Vec::new() }
    }

    async fn send(&mut self, text: &str) {
        self.pipe.write_all(text.as_bytes()).await.expect("the server reads");
    }

    /// Reads until `end` has arrived; everything up to it.
    async fn until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(at) = text.find(end) {
                self.read.drain(..at + end.len());
                return text[..at + end.len()].to_owned();
            }
            let more = self.pipe.read_buf(&mut self.read).await.expect("readable");
            assert!(more > 0, "the server closed after {text:?}");
        }
    }

    /// Reads until the server closes.
    async fn rest(&mut self) -> String {
        self.pipe.read_to_end(&mut self.read).await.expect("readable");
        String::from_utf8(std::mem::take(&mut self.read)).expect("text")
    }

    /// Lets everything that can run run.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

thread_local! {
    /// Whether answers may take the front path.
    static IN_FRONT: Cell<bool> = const { Cell::new(false) };
}

/// Tells a story on one thread with paused time: once with all answers through hyper, once with
/// those before hyper that may.
fn story<T>(story: impl AsyncFn() -> T) -> [T; 2] {
    [false, true].map(|in_front| {
        IN_FRONT.set(in_front);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, story())
    })
}
