//! The node's HTTP/2 with nothing behind it: the same answer for every request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use selvedge::accept::connection::{Peer, Protocol};
use selvedge::accept::http2::{self, Http2Config};
use selvedge::accept::{Answer as Given, Connection, Delivery, Handler, OutgoingBody, Received};
use selvedge::error::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::Answer;

#[derive(Clone)]
struct Fixed(Arc<Answer>);

impl Handler for Fixed {
    type Body = Whole;

    fn call(&self, _received: Received) -> Given<Whole> {
        let mut response = Response::new(Whole(Some(self.0.body.clone())));
        *response.headers_mut() = self.0.fields.clone();
        Given::Now(response)
    }
}

/// Content that is in hand.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl OutgoingBody for Whole {
    fn take_whole(&mut self) -> Option<Bytes> {
        self.0.take()
    }

    fn delivered(&mut self, _delivery: Delivery) {}
}

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Arc<Answer>,
    flush_each: bool,
) {
    let connection = Connection {
        id: Connection::next_id(),
        peer: Peer::Unix,
        local: String::new(),
        protocol: Protocol::Http2,
        tls: None,
        accepted: Instant::now(),
    };
    let (_stays_open, drain) = watch::channel(false);
    let config = Http2Config { flush_each, ..Http2Config::default() };
    http2::serve(stream, Arc::new(connection), Fixed(answer), config, drain).await;
}
