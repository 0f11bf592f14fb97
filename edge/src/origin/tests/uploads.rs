//! Requests with content: sent once, whole, and given up together with their response.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::*;

/// Content of which a part comes and then a failure.
struct Breaking(Option<Bytes>);

impl http_body::Body for Breaking {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(part) => Ok(http_body::Frame::data(part)),
            None => Err(Cause::BodyTimeout.into()),
        }))
    }
}

#[tokio::test]
async fn a_clients_broken_upload_keeps_its_cause_and_is_no_mark_against_the_origin() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::AwaitClose]]).await;
        let mut config = config(&[origin.url()]);
        config.health.failures_to_eject = 1;
        let (pool, notes) = pool_of(config);
        let body = Outbound::stream(Breaking(Some(Bytes::from_static(b"half"))));
        let upload = request(Method::PUT, body);
        assert_eq!(cause_of(&Connections::new(), &pool, upload).await, Cause::BodyTimeout);
        origin.played().await;
        assert_eq!(notes.take(), ["0 abandoned"]);
        assert!(pool.origins()[0].healthy);
    })
    .await;
}

/// Content that never ends and is always there.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let piece = Bytes::from_static(&[b'x'; 16 * 1024]);
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_ends_both() {
    on_a_core(async {
        let early = "HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nhello";
        let origin = Scripted::new(vec![vec![send(early), Step::AwaitClose]]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let connections = Connections::new();
        let upload = request(Method::POST, Outbound::stream(Endless));
        let (status, _, content) = fetch(&connections, &pool, upload).await.expect("a 413");
        assert_eq!((status.as_u16(), &content[..]), (413, &b"hello"[..]));
        origin.played().await;
        assert_eq!((connections.idle(), notes.take()), (0, vec!["0 client_error".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_read_although_the_origin_closes_before_the_upload_ends() {
    on_a_core(async {
        // More than is read at once: most of it is still in the kernel when writing fails.
        let length = 60_000;
        let early =
            format!("HTTP/1.1 413 Too Large\r\ncontent-length: {length}\r\n\r\n{:>length$}", "");
        // Content lies unread when the origin closes, so its kernel answers with a reset.
        let origin = Scripted::new(vec![vec![send(&early), Step::AwaitWord]]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let upload = request(Method::POST, Outbound::stream(Endless));
        let connections = Connections::new();
        let reply = connections.send(&pool, upload, |_, _| {}).await.expect("a head");
        origin.word.add_permits(1);
        origin.played().await;
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        let content = reply.body.collect().await.expect("content");
        assert_eq!((reply.status.as_u16(), content.to_bytes().len()), (413, length));
        assert_eq!((connections.idle(), notes.take()), (0, vec!["0 client_error".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn content_that_is_gone_is_not_sent_again_even_where_the_method_would_allow_it() {
    on_a_core(async {
        let breaking = Scripted::new(vec![vec![Step::Read]]).await;
        let other = Scripted::new(Vec::new()).await;
        let (pool, notes) = pool(&[breaking.url(), other.url()]);
        let mut put = post("money");
        put.method = Method::PUT;
        assert_eq!(cause_of(&Connections::new(), &pool, put).await, Cause::OriginBroke);
        assert_eq!(notes.take(), ["0 broken"]);
        breaking.played().await;
    })
    .await;
}

#[tokio::test]
async fn content_that_a_closed_connection_did_not_take_goes_over_a_fresh_one() {
    on_a_core(async {
        let first = vec![Step::Read, send(HELLO), Step::AwaitWord];
        let origin = Scripted::new(vec![first, vec![Step::Read, send(HELLO)]]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let connections = Connections::new();
        fetch(&connections, &pool, get()).await.expect("a response");
        let closed = origin.closed.clone();
        origin.word.add_permits(1);
        // The origin has closed, and the connection's task has not run since.
        until(|| closed.get() == 1).await;
        fetch(&connections, &pool, post("money")).await.expect("a response");
        let seen = origin.seen.borrow().clone();
        assert!(seen.len() == 2 && seen[1].ends_with("money"), "{seen:?}");
        assert_eq!(notes.take(), ["0 ok", "0 ok"]);
        origin.played().await;
    })
    .await;
}
