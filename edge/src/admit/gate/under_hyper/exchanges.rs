//! What a connection does while all goes well: one exchange after another.

use std::cell::Cell;

use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;

use super::*;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers with the path and what the content was.
async fn echo(received: Received, desk: Desk) -> Response<Script> {
    let path = received.head.uri.path().to_owned();
    match received.body.collect().await {
        Ok(content) => {
            let content = String::from_utf8_lossy(&content.to_bytes()).into_owned();
            desk.whole(&format!("{path}:{content}."))
        }
        Err(error) => {
            let mut response = desk.whole(&format!("{}.", error.cause.label()));
            *response.status_mut() = error.cause.status();
            response
        }
    }
}

#[test]
fn a_connection_serves_one_request_after_another() {
    story(async || {
        let mut client = Client::new(echo);
        for _ in 0..3 {
            client.send(GET).await;
            let answer = client.until("/x:.").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains("content-length: 4\r\n") && !answer.contains("connection:"));
        }
        client.settle().await;
        assert_eq!(client.desk.deliveries(), [Delivery::Complete; 3]);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    story(async || {
        let mut client = Client::new(async |received: Received, desk| {
            if received.head.uri.path().ends_with('3') {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            echo(received, desk).await
        });
        for n in 0..40 {
            let request = if n % 2 == 0 {
                format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")
            } else {
                format!(
                    "POST /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                     2;e\r\nhi\r\n0\r\nX: y\r\n\r\n"
                )
            };
            client.send(&request).await;
        }
        for n in 0..40 {
            let content = if n % 2 == 0 { "" } else { "hi" };
            client.until(&format!("\r\n\r\n/{n}:{content}.")).await;
        }
    });
}

#[test]
fn input_may_arrive_byte_by_byte() {
    story(async || {
        let mut client = Client::new(echo);
        let input = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        for byte in input.bytes() {
            client.pipe.write_all(&[byte]).await.expect("writable");
            client.settle().await;
        }
        client.until("/p:hello.").await;
    });
}

#[test]
fn large_content_passes_with_backpressure() {
    story(async || {
        let mut client = Client::with_pipe(
            1000,
            Http1Config::default(),
            async |received: Received, desk: Desk| {
                let content = received.body.collect().await.expect("content").to_bytes();
                desk.whole(&format!("{} bytes.", content.len()))
            },
        );
        let content = "x".repeat(300_000);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n").await;
        client.send(&content).await;
        client.until("300000 bytes.").await;
        client.send(GET).await;
        client.until("0 bytes.").await;
    });
}

#[test]
fn streams_are_sized_chunked_or_end_with_the_connection() {
    story(async || {
        let handler = async |received: Received, desk: Desk| {
            let sized = received.head.uri.path() == "/sized";
            desk.stream(sized.then_some(5), vec![Step::Data("hel"), Step::Data("lo")])
        };
        let mut client = Client::new(handler);
        client.send("GET /sized HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.until("\r\n\r\nhello").await.contains("content-length: 5\r\n"));
        client.send(GET).await;
        let answer = client.until("0\r\n\r\n").await;
        assert!(answer.ends_with("\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"), "{answer}");
        client.send("GET /x HTTP/1.0\r\n\r\n").await;
        let answer = client.rest().await;
        assert!(
            answer.starts_with("HTTP/1.0 200") && answer.ends_with("\r\n\r\nhello"),
            "{answer}"
        );
        assert_eq!(client.desk.deliveries(), [Delivery::Complete; 3]);
    });
}

#[test]
fn trailers_reach_clients_that_take_them() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| {
            let mut fields = HeaderMap::new();
            fields.insert("x-sum", HeaderValue::from_static("42"));
            let mut response = desk.stream(None, vec![Step::Data("a"), Step::Trailers(fields)]);
            response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-sum"));
            response
        });
        client.send("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
        client.until("1\r\na\r\n0\r\nx-sum: 42\r\n\r\n").await;
        client.send(GET).await;
        client.until("1\r\na\r\n0\r\n\r\n").await;
        client.settle().await;
        assert_eq!(client.desk.deliveries(), [Delivery::Complete; 2]);
    });
}

#[test]
fn what_may_have_no_content_gets_none() {
    story(async || {
        let mut client = Client::new(async |received: Received, desk: Desk| {
            let mut response = desk.whole("content");
            if let Ok(status) = received.head.uri.path()[1..].parse::<u16>() {
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            }
            response
        });
        client.send("HEAD /200 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.until("\r\n\r\n").await.contains("content-length: 7\r\n"));
        for status in ["204", "304"] {
            client.send(&format!("GET /{status} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let answer = client.until("\r\n\r\n").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding"));
        }
        client.send("GET /200 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.until("\r\n\r\ncontent").await;
        client.settle().await;
        assert_eq!(client.desk.deliveries(), [Delivery::Complete; 4]);
    });
}

#[test]
fn an_interim_status_is_no_final_response() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| {
            let mut response = desk.whole("content");
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response
        });
        client.send(&GET.repeat(2)).await;
        for _ in 0..2 {
            let answer = client.until("\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("content-length: 0"));
        }
    });
}

#[test]
fn continue_is_sent_when_the_content_is_wanted() {
    story(async || {
        let mut client = Client::new(echo);
        client
            .send(
                "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            )
            .await;
        assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hi").await;
        client.until("/e:hi.").await;
        client.send(GET).await;
        client.until("/x:.").await;
    });
}

#[test]
fn an_answer_without_the_expected_content_ends_the_connection() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| desk.whole("no."));
        client
            .send(
                "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            )
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("no."), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    });
}

#[test]
fn an_early_answer_arrives_though_the_content_is_unread() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| desk.whole("enough."));
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").await;
        client.send(&"x".repeat(100_000)).await; // more than the pipe holds: it is being drained
        let answer = client.rest().await;
        assert!(
            answer.contains("connection: close\r\n") && answer.ends_with("enough."),
            "{answer}"
        );
        assert_eq!(client.desk.deliveries(), [Delivery::Complete]);
    });
}

#[test]
fn small_unread_content_does_not_end_the_connection() {
    story(async || {
        let mut client = Client::new(async |_, desk: Desk| desk.whole("ok."));
        for _ in 0..2 {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
            assert!(!client.until("ok.").await.contains("connection: close"));
        }
    });
}

#[test]
fn interim_responses_precede_the_final_one() {
    story(async || {
        let go = Rc::new(Notify::new());
        let gate = Rc::clone(&go);
        let mut client = Client::new(move |mut received: Received, desk: Desk| {
            let gate = Rc::clone(&gate);
            async move {
                let mut fields = HeaderMap::new();
                fields.insert(header::LINK, HeaderValue::from_static("</a>"));
                received.interim.send(StatusCode::EARLY_HINTS, fields.clone());
                if received.head.uri.path() == "/slow" {
                    gate.notified().await;
                    received.interim.send(StatusCode::EARLY_HINTS, fields);
                }
                desk.whole("done.")
            }
        });
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.until("\r\n\r\n").await, hint);
        go.notify_one();
        assert_eq!(client.until("\r\n\r\n").await, hint);
        assert!(client.until("done.").await.starts_with("HTTP/1.1 200"));
        client.send(GET).await;
        assert_eq!(client.until("\r\n\r\n").await, hint);
        client.until("done.").await;
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        assert!(client.rest().await.starts_with("HTTP/1.0 200"));
    });
}

#[test]
fn interim_responses_may_come_from_another_task() {
    story(async || {
        let go = Rc::new(Notify::new());
        let (gate, finish) = (Rc::clone(&go), Rc::new(Notify::new()));
        let done = Rc::clone(&finish);
        let mut client = Client::new(move |mut received: Received, desk: Desk| {
            let (gate, done) = (Rc::clone(&gate), Rc::clone(&done));
            let mut interim =
                std::mem::replace(&mut received.interim, crate::accept::Interim::None);
            tokio::task::spawn_local(async move {
                gate.notified().await;
                interim.send(StatusCode::PROCESSING, HeaderMap::new());
                gate.notified().await;
                interim.send(StatusCode::PROCESSING, HeaderMap::new()); // too late
            });
            async move {
                done.notified().await;
                desk.whole("done.")
            }
        });
        client.send(GET).await;
        client.settle().await;
        go.notify_one();
        assert_eq!(client.until("\r\n\r\n").await, "HTTP/1.1 102 Processing\r\n\r\n");
        finish.notify_one();
        client.until("done.").await;
        go.notify_one();
        client.settle().await;
        client.send(GET).await;
        finish.notify_one();
        assert!(client.until("done.").await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn the_next_request_waits_for_the_answer() {
    story(async || {
        let go = Rc::new(Notify::new());
        let calls = Rc::new(Cell::new(0));
        let (gate, counted) = (Rc::clone(&go), Rc::clone(&calls));
        let mut client = Client::new(move |_, desk: Desk| {
            counted.set(counted.get() + 1);
            let gate = Rc::clone(&gate);
            async move {
                gate.notified().await;
                desk.whole("done.")
            }
        });
        client.send(&GET.repeat(2)).await;
        client.settle().await;
        assert_eq!(calls.get(), 1);
        go.notify_one();
        client.until("done.").await;
        client.settle().await;
        assert_eq!(calls.get(), 2);
    });
}

#[test]
fn old_clients_may_keep_the_connection() {
    story(async || {
        let mut client = Client::new(echo);
        for _ in 0..2 {
            client.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
            let answer = client.until("/x:.").await;
            assert!(answer.contains("connection: keep-alive\r\n"), "{answer}");
        }
        client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(client.rest().await.contains("connection: close\r\n"));
    });
}

#[test]
fn a_slow_client_gets_whole_answers_in_order() {
    story(async || {
        let handler = async |received: Received, desk: Desk| {
            let path = received.head.uri.path().to_owned();
            desk.whole(&(path + ":" + &"x".repeat(10_000) + "."))
        };
        let mut client = Client::with_pipe(64, Http1Config::default(), handler);
        for path in ["/a", "/b", "/c"] {
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            client.settle().await;
        }
        for path in ["/a", "/b", "/c"] {
            let answer = client.until("x.").await;
            let whole = format!("\r\n\r\n{path}:{}.", "x".repeat(10_000));
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&whole), "{answer}");
        }
        client.settle().await;
        assert_eq!(client.desk.deliveries(), [Delivery::Complete; 3]);
    });
}

#[test]
fn answers_of_both_ways_leave_in_order() {
    story(async || {
        let handler = async |received: Received, desk: Desk| {
            let path = received.head.uri.path().to_owned();
            if path == "/waits" {
                tokio::task::yield_now().await;
            }
            desk.whole(&(path + ":" + &"x".repeat(1_000) + "."))
        };
        let mut client = Client::with_pipe(400, Http1Config::default(), handler);
        let unread = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        let waits = "GET /waits HTTP/1.1\r\nHost: a\r\n\r\n";
        let now = "GET /now HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(&[unread, now, waits, now].concat()).await;
        client.settle().await;
        // A little room: the connection is polled, and cannot write everything.
        let mut piece = [0; 50];
        client.pipe.read_exact(&mut piece).await.expect("readable");
        client.read.extend_from_slice(&piece);
        client.settle().await;
        for path in ["/unread", "/now", "/waits", "/now"] {
            let answer = client.until("x.").await;
            let whole = format!("\r\n\r\n{path}:{}.", "x".repeat(1_000));
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&whole), "{answer}");
        }
        client.settle().await;
        assert_eq!(client.desk.deliveries(), [Delivery::Complete; 4]);
    });
}
