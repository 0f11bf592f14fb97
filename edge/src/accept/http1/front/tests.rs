//! What leaves before hyper, and what hyper takes over.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};

use super::*;
use crate::accept::connection::{Peer, Protocol};
use crate::accept::{Delivery, OutgoingBody, Received};
use crate::error::Error;

/// Content that is in hand, or not.
struct Content(Option<&'static str>);

impl Body for Content {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Pending
    }
}

impl OutgoingBody for Content {
    fn take_whole(&mut self) -> Option<Bytes> {
        self.0.take().map(|text| Bytes::from_static(text.as_bytes()))
    }

    fn delivered(&mut self, _delivery: Delivery) {}
}

/// Answers what the path says.
#[derive(Clone)]
struct ByPath;

impl Handler for ByPath {
    type Body = Content;

    fn call(&self, received: Received) -> Answer<Content> {
        let path = received.head.uri.path();
        let mut response = Response::new(Content((path != "/stream").then_some("hello")));
        if path != "/dateless" {
            let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
            response.headers_mut().insert(header::DATE, date);
        }
        if path == "/last" {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        match path {
            "/later" => Answer::later(async { response }),
            _ => Answer::Now(response),
        }
    }
}

fn front() -> Front<ByPath> {
    let connection = Connection {
        id: 1,
        peer: Peer::Unix,
        local: "pipe".into(),
        protocol: Protocol::Http1,
        tls: None,
        accepted: Instant::now(),
    };
    Front::new(ByPath, Arc::new(connection), Rc::new(Link::new()))
}

/// What is sent before hyper, and whether hyper finds the request begun.
fn asked(front: &Front<ByPath>, request: &str) -> (Option<String>, bool) {
    let mut out = Vec::new();
    let ready = front.answer(request.as_bytes(), &mut out);
    let sent = ready.map(|ready| {
        out.extend_from_slice(&ready.content);
        String::from_utf8(out).expect("text")
    });
    (sent, front.link.take_begun().is_some())
}

#[test]
fn what_is_in_hand_leaves_at_once() {
    let get = asked(&front(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(get, (Some(format!("{head}content-length: 5\r\n\r\nhello")), false));
    let head_only = asked(&front(), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head_only, (Some(format!("{head}\r\n")), false));
}

#[test]
fn what_must_be_waited_for_or_closes_is_begun_here_and_left_to_hyper() {
    for path in ["/later", "/stream", "/dateless", "/last"] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(asked(&front(), &get), (None, true), "{path}");
    }
}

#[test]
fn what_is_not_plain_or_must_be_the_last_is_hypers_from_the_beginning() {
    let not_plain = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(asked(&front(), not_plain), (None, false));
    let draining = front();
    draining.link.draining.set(true);
    assert_eq!(asked(&draining, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (None, false));
}

/// hyper asks for the next head when it has taken an answer, which may be before that has left.
#[test]
fn no_answer_overtakes_one_that_is_still_leaving() {
    let front = front();
    front.link.begin();
    assert_eq!(asked(&front, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), (None, false));
    front.link.head_is_known();
    front.link.passed(Content(None));
    assert!(asked(&front, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").0.is_some());
}
