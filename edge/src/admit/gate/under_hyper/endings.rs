//! How exchanges and connections end: refusals, cuts, deadlines, draining.

use std::cell::Cell;
use std::time::Duration;

use http_body_util::BodyExt;

use super::*;
use crate::accept::{ClientDeadlines, HeadLimits};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn hello(_: Received, desk: Desk) -> Response<Script> {
    desk.whole("hello.")
}

/// Reads the content and answers with what became of it.
async fn read(received: Received, desk: Desk) -> Response<Script> {
    match received.body.collect().await {
        Ok(_) => desk.whole("fine."),
        Err(error) => {
            let mut response = desk.whole(error.cause.label());
            *response.status_mut() = error.cause.status();
            response
        }
    }
}

/// A handler that never answers and tells when it is dropped.
fn stuck() -> (Rc<Cell<bool>>, impl Fn(Received, Desk) -> Answering + 'static) {
    struct Tell(Rc<Cell<bool>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let told = Rc::clone(&dropped);
    let handler = move |_: Received, _: Desk| -> Answering {
        let tell = Tell(Rc::clone(&told));
        Box::pin(async move {
            let _tell = tell;
            std::future::pending().await
        })
    };
    (dropped, handler)
}

#[test]
fn a_refused_head_gets_one_answer_and_the_end() {
    for (input, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/3.0\r\n\r\n", "505"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "405"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", "417"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (&format!("GET /{} HTTP/1.1\r\n", "a".repeat(9000)), "414"),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n", "a".repeat(40_000)), "431"),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)), "431"),
    ] {
        story(async || {
            let mut client = Client::new(hello);
            client.send(GET).await;
            client.until("hello.").await;
            client.send(input).await;
            client.send(GET).await; // must not be answered
            let answer = client.rest().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{input:?}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
            assert!(answer.contains("connection: close\r\n") && answer.contains("problem+json"));
            assert_eq!(client.desk.deliveries(), [Delivery::Complete]);
        });
    }
}

#[test]
fn a_refusal_waits_for_earlier_answers() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            desk.whole("hello.")
        });
        client.send(&format!("{GET}{GET}BAD\r\n\r\n")).await;
        let answer = client.rest().await;
        let statuses: Vec<_> =
            answer.split("HTTP/1.1 ").skip(1).map(|part| part[..3].to_owned()).collect();
        assert_eq!(statuses, ["200", "200", "400"]);
    });
}

#[test]
fn bad_chunks_become_the_handlers_400() {
    for body in ["5\r\nhelloX", "x\r\n", "5\nhello", "0\r\nContent-Length: 1\r\n\r\n"] {
        story(async || {
            let mut client = Client::new(read);
            client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
            client.send(body).await;
            client.send(GET).await;
            let answer = client.rest().await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        });
    }
}

#[test]
fn a_cut_body_is_visible() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| {
            desk.stream(None, vec![Step::Data("begun"), Step::Fail])
        });
        client.send(GET).await;
        client.until("5\r\nbegun\r\n").await;
        let ending = client.server.await.expect("no panic");
        assert!(matches!(ending, Ending::Cut { .. }));
        drop(ending);
        let mut rest = Vec::new();
        client.pipe.read_to_end(&mut rest).await.expect("readable");
        assert_eq!(rest, b"", "no last chunk");
        assert_eq!(client.desk.deliveries(), [Delivery::Cut]);
    });
}

#[test]
fn a_body_shorter_than_declared_is_cut() {
    story(async || {
        let mut client =
            Client::new(async |_, desk: Desk| desk.stream(Some(10), vec![Step::Data("begun")]));
        client.send(&GET.repeat(2)).await;
        client.until("begun").await;
        assert!(matches!(client.server.await.expect("no panic"), Ending::Cut { .. }));
        assert_eq!(client.desk.deliveries(), [Delivery::Cut]);
    });
}

#[test]
fn a_body_longer_than_declared_never_overflows() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| {
            desk.stream(Some(3), vec![Step::Data("abc"), Step::Data("HTTP/1.1 200 OK")])
        });
        client.send(GET).await;
        assert!(client.until("\r\n\r\nabc").await.contains("content-length: 3"));
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(client.rest().await.ends_with("\r\n\r\nabc"));
    });
}

#[test]
fn a_client_that_breaks_off_drops_the_handler() {
    story(async || {
        let (dropped, handler) = stuck();
        let mut client = Client::new(handler);
        client.send(GET).await;
        client.settle().await;
        assert!(!dropped.get());
        drop(client.pipe);
        assert!(matches!(client.server.await.expect("no panic"), Ending::Closed));
        assert!(dropped.get());
    });
}

#[test]
fn a_half_closed_client_has_a_moment_for_its_answer() {
    story(async || {
        let mut client = Client::new(async |received: Received, desk: Desk| {
            let wait = if received.head.uri.path() == "/slow" { 5_000 } else { 500 };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            desk.whole("hello.")
        });
        client.send(&format!("{GET}GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.pipe.shutdown().await.expect("half closed");
        let answer = client.rest().await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
        assert_eq!(client.desk.deliveries(), [Delivery::Complete]);
    });
}

#[test]
fn a_client_that_leaves_during_the_answer_is_noticed() {
    story(async || {
        let go = Rc::new(Notify::new());
        let gate = Rc::clone(&go);
        let mut client = Client::new(move |_, desk: Desk| {
            let wait = Step::Wait(Rc::clone(&gate));
            async move { desk.stream(None, vec![Step::Data("begun"), wait, Step::Data("more")]) }
        });
        client.send(GET).await;
        client.until("begun").await;
        drop(client.pipe);
        go.notify_one();
        assert!(matches!(client.server.await.expect("no panic"), Ending::Closed));
        assert_eq!(client.desk.deliveries(), [Delivery::ClientGone]);
    });
}

#[test]
fn every_wait_has_a_deadline() {
    let deadlines = ClientDeadlines::default();
    let posted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe";
    for (input, limit_ms, status) in [
        ("", deadlines.idle_ms, None),
        ("GET / HT", deadlines.head_ms, Some("408")),
        (posted, deadlines.body_ms, Some("408")),
        (GET, deadlines.idle_ms, Some("200")),
    ] {
        story(async || {
            let mut client = Client::new(read);
            let start = tokio::time::Instant::now();
            client.send(input).await;
            let answer = client.rest().await;
            let waited = start.elapsed().as_millis() as u64;
            assert!((limit_ms..limit_ms + 50).contains(&waited), "{input:?} took {waited} ms");
            assert_eq!(answer.get(9..12), status, "{input:?}: {answer}");
        });
    }
}

#[test]
fn a_trickled_head_is_not_given_more_time() {
    story(async || {
        let mut client = Client::new(hello);
        let start = tokio::time::Instant::now();
        for byte in GET.bytes().take(20) {
            if client.pipe.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
        assert!(client.rest().await.starts_with("HTTP/1.1 408 "));
        assert!(start.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    story(async || {
        let config = Http1Config { limits: HeadLimits::default(), ..Http1Config::default() };
        let mut client =
            Client::with_pipe(64, config, async |_, desk: Desk| desk.whole(&"x".repeat(10_000)));
        client.send(GET).await;
        let start = tokio::time::Instant::now();
        assert!(matches!((&mut client.server).await.expect("no panic"), Ending::Closed));
        assert_eq!(start.elapsed().as_secs(), config.deadlines.write_ms / 1000);
        assert_eq!(client.desk.deliveries(), [Delivery::ClientGone]);
    });
}

#[test]
fn an_early_answer_to_an_upgrade_is_never_cut_silently() {
    story(async || {
        let mut client = Client::with_pipe(256, Http1Config::default(), async |_, desk: Desk| {
            desk.whole(&"x".repeat(10_000))
        });
        let ask = "POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\
                   Content-Length: 99999\r\n\r\n";
        client.send(ask).await;
        client.settle().await;
        let ending = tokio::select! {
            ending = &mut client.server => ending.expect("no panic"),
            answer = client.pipe.read_to_end(&mut client.read) => {
                answer.expect("readable");
                (&mut client.server).await.expect("no panic")
            }
        };
        let whole = String::from_utf8_lossy(&client.read).matches('x').count() >= 10_000;
        let delivered = client.desk.deliveries() == [Delivery::Complete];
        assert_eq!(whole, delivered);
        assert!(whole || matches!(ending, Ending::Cut { .. }), "{ending:?}");
    });
}

#[test]
fn draining_closes_idle_connections_and_lets_answers_finish() {
    story(async || {
        let mut idle = Client::new(hello);
        idle.send(GET).await;
        idle.until("hello.").await;

        let go = Rc::new(Notify::new());
        let gate = Rc::clone(&go);
        let mut busy = Client::new(move |_, desk: Desk| {
            let gate = Rc::clone(&gate);
            async move {
                gate.notified().await;
                desk.whole("hello.")
            }
        });
        busy.send(&GET.repeat(2)).await;
        busy.settle().await;

        idle.drain.send(true).expect("served");
        busy.drain.send(true).expect("served");
        assert_eq!(idle.rest().await, "");
        go.notify_one();
        let answer = busy.rest().await;
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1);
    });
}

#[test]
fn a_request_that_is_on_its_way_when_draining_begins_is_answered() {
    story(async || {
        let mut client = Client::new(hello);
        client.send("GET / HT").await;
        client.settle().await;
        client.drain.send(true).expect("served");
        client.settle().await;
        client.send("TP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.rest().await.ends_with("hello."));
    });
}

#[test]
fn a_new_connection_of_a_draining_node_closes() {
    story(async || {
        let mut client = Client::new(hello);
        client.drain.send(true).expect("served");
        assert_eq!(client.rest().await, "");
    });
}
