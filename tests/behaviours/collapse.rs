//! Many ask for the same thing at once: one fetch, nobody waits for more than they must.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, Edge, Latch, Origin, content, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Lets this process, and the nodes it starts, open as many files as the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit it is allowed");
}

/// One client of the crowd: connects, tells, sends when all are there, reads to the end.
async fn one_of_many(
    node: SocketAddr,
    ready: Arc<tokio::sync::Barrier>,
) -> std::io::Result<(Instant, Vec<u8>)> {
    let mut stream = tokio::net::TcpStream::connect(node).await?;
    ready.wait().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await?;
    let mut whole = Vec::new();
    let mut first = None;
    loop {
        let before = whole.len();
        if stream.read_buf(&mut whole).await? == 0 {
            break;
        }
        // The first byte of the body, not of the head.
        let head_end = whole.windows(4).position(|four| four == b"\r\n\r\n");
        if first.is_none() && head_end.is_some_and(|end| whole.len() > end + 4) {
            first = Some(Instant::now());
        }
        debug_assert!(whole.len() > before);
    }
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    Ok((first.unwrap_or_else(Instant::now), whole.split_off(end)))
}

#[test]
fn a_thousand_clients_on_two_workers_read_along_with_one_slow_fetch() {
    const CLIENTS: usize = 1000;
    const PIECES: usize = 20;
    raise_file_limit();
    let body = content("/slow", PIECES * 500);
    let sent_last = Arc::new(std::sync::Mutex::new(None));
    let (sending, noted) = (body.clone(), Arc::clone(&sent_last));
    let origin = Origin::start(move |_, to| {
        to.raw(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n",
            sending.len()
        ));
        for piece in sending.chunks(500) {
            // Paced by the origin: the whole takes two seconds.
            thread::sleep(Duration::from_millis(100));
            *noted.lock().expect("unpoisoned") = Some(Instant::now());
            to.raw(piece);
        }
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--workers", "2"]);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let answers = runtime.expect("a runtime").block_on(async {
        let ready = Arc::new(tokio::sync::Barrier::new(CLIENTS));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| tokio::spawn(one_of_many(edge.address, Arc::clone(&ready))))
            .collect();
        let mut answers = Vec::new();
        for client in clients {
            answers.push(client.await.expect("no panic").expect("an answer"));
        }
        answers
    });
    let last = sent_last.lock().expect("unpoisoned").expect("the origin answered");
    let late = answers.iter().filter(|(first, _)| *first >= last).count();
    let wrong = answers.iter().filter(|(_, got)| *got != body).count();
    assert_eq!((late, wrong, origin.count()), (0, 0, 1));
}

/// Starts `count` clients that all ask for `path`; each result as it came.
fn crowd(edge: &Edge, count: usize, path: &str) -> Vec<thread::JoinHandle<harness::Response>> {
    let (address, barrier) = (edge.address, Arc::new(Barrier::new(count)));
    (0..count)
        .map(|_| {
            let (path, barrier) = (path.to_owned(), Arc::clone(&barrier));
            thread::spawn(move || {
                let mut client = Client::connect(address);
                barrier.wait();
                client.request("GET", &path, &[], b"")
            })
        })
        .collect()
}

#[test]
fn waiters_are_told_apart_from_the_one_that_fetched() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |_, to| {
        held.wait();
        to.cacheable("shared");
    });
    let edge = Edge::before(&origin);
    let clients = crowd(&edge, 8, "/a");
    eventually("the fetch is under way", || (origin.count() == 1).then_some(()));
    go.open();
    let answers: Vec<_> = clients.into_iter().map(|c| c.join().expect("an answer")).collect();
    assert!(answers.iter().all(|a| a.text() == "shared"));
    let says =
        |word: &str| answers.iter().filter(|a| a.field("cache-status").contains(word)).count();
    assert_eq!(says("fwd=uri-miss") - says("collapsed"), 1, "{answers:#?}");
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_client_that_started_a_fetch_may_leave() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |_, to| {
        to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\nhalf");
        held.wait();
        to.raw("half");
    });
    let edge = Edge::before(&origin);
    let mut leader = edge.client();
    leader.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    leader.head().expect("a head");
    let mut follower = edge.client();
    follower.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    follower.head().expect("a head");
    drop(leader);
    go.open();
    let mut got = Vec::new();
    while got.len() < 8 {
        let piece = follower.read_some();
        assert!(!piece.is_empty(), "cut after {got:?}");
        got.extend(piece);
    }
    assert_eq!(got, b"halfhalf");
    eventually("it is stored", || edge.get("/a").is_hit().then_some(()));
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_short_fetch_that_everybody_left_is_finished_and_stored() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |_, to| {
        to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\nhalf");
        held.wait();
        to.raw("half");
    });
    let edge = Edge::before(&origin);
    let mut leader = edge.client();
    leader.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    leader.head().expect("a head");
    leader.abort();
    eventually("the node noticed", || {
        // Only the connection that asks is left.
        (edge.metrics().sum("selvedge_connections_open", &[]) < 1.0).then_some(())
    });
    go.open();
    let only = [("Cache-Control", "only-if-cached")];
    let stored = eventually("it is stored", || {
        let answer = edge.get_with("/a", &only);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!((stored.text().as_str(), origin.count()), ("halfhalf", 1));
}

#[test]
fn the_client_that_started_a_fetch_may_leave_before_the_head() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |_, to| {
        held.wait();
        to.cacheable("late");
    });
    let edge = Edge::before(&origin);
    let mut leader = edge.client();
    leader.send(b"GET /a HTTP/1.1\r\nHost: test.example\r\n\r\n");
    eventually("the fetch is under way", || (origin.count() == 1).then_some(()));
    let followers = crowd(&edge, 4, "/a");
    drop(leader);
    go.open();
    for follower in followers {
        assert_eq!(follower.join().expect("an answer").text(), "late");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_response_that_may_not_be_shared_releases_those_who_waited() {
    // Each answer is one client's own; the first waits for the test, the others for each other.
    let go = Latch::default();
    let held = go.clone();
    let here = Arc::new((AtomicUsize::new(0), Latch::default()));
    let meeting = Arc::clone(&here);
    let origin = Origin::start(move |request, to| {
        if request.number == 0 {
            held.wait();
        } else if meeting.0.fetch_add(1, Ordering::SeqCst) + 1 == 7 {
            // All seven are here at the same time: they do not queue behind one another.
            meeting.1.open();
        } else {
            meeting.1.wait();
        }
        to.send(200, &[("Cache-Control", "private")], format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    let clients = crowd(&edge, 8, "/mine");
    eventually("the first fetch is under way", || (origin.count() == 1).then_some(()));
    go.open();
    let mut bodies: Vec<_> =
        clients.into_iter().map(|c| c.join().expect("an answer").text()).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    assert!(here.1.is_open());
}

#[test]
fn requests_for_what_is_known_to_be_uncacheable_do_not_queue() {
    let here = Arc::new((AtomicUsize::new(0), Latch::default()));
    let meeting = Arc::clone(&here);
    let origin = Origin::start(move |request, to| {
        if request.number > 0 {
            if meeting.0.fetch_add(1, Ordering::SeqCst) + 1 == 10 {
                meeting.1.open();
            }
            meeting.1.wait();
        }
        to.send(200, &[("Cache-Control", "no-store")], "x");
    });
    let edge = Edge::before(&origin);
    edge.get("/never");
    for client in crowd(&edge, 10, "/never") {
        assert_eq!(client.join().expect("an answer").text(), "x");
    }
    // Only if all ten were at the origin at once is the door open.
    assert!(here.1.is_open());
}

#[test]
fn waiters_of_another_variant_get_their_own() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        if request.number == 0 {
            held.wait();
        }
        let language = request.field("accept-language").to_owned();
        to.send(200, &[("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")], language);
    });
    let edge = Edge::before(&origin);
    let address = edge.address;
    let ask = move |language: &'static str| {
        thread::spawn(move || {
            let fields = [("Accept-Language", language)];
            (language, Client::connect(address).request("GET", "/a", &fields, b"").text())
        })
    };
    let mut clients = vec![ask("de")];
    eventually("the fetch is under way", || (origin.count() == 1).then_some(()));
    clients.extend(["de", "en", "fr", "en", "de", "fr"].map(ask));
    go.open();
    for client in clients {
        let (asked, got) = client.join().expect("an answer");
        assert_eq!(asked, got);
    }
    // One fetch per variant would be best; one more each for those who raced is no harm.
    assert!(origin.count() <= 7, "{}", origin.count());
}

#[test]
fn an_error_of_the_origin_reaches_all_who_waited_without_a_convoy() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |_, to| {
        held.wait();
        to.break_off();
    });
    let edge = Edge::before(&origin);
    let clients = crowd(&edge, 20, "/a");
    eventually("the fetch is under way", || (origin.count() >= 1).then_some(()));
    go.open();
    for client in clients {
        assert_eq!(client.join().expect("an answer").status, 502);
    }
    // Retries are allowed, one fetch per waiter is not.
    assert!(origin.count() < 20, "{} requests", origin.count());
}

#[test]
fn a_slow_reader_does_not_throttle_the_others() {
    const LENGTH: usize = 16 << 20;
    let origin = Origin::start(|request, to| to.cacheable(content(&request.target, LENGTH)));
    let edge = Edge::before(&origin);
    let mut slow = edge.client();
    slow.send(b"GET /big HTTP/1.1\r\nHost: test.example\r\n\r\n");
    slow.head().expect("a head");
    // It reads nothing more for now: the fill and the others go on.
    let quick = edge.get("/big");
    assert!(quick.body == content("/big", LENGTH));
    eventually("it is stored", || {
        edge.get_with("/big", &[("Range", "bytes=0-0")]).is_hit().then_some(())
    });
    // And it gets everything in the end.
    let mut got = 0;
    let whole = content("/big", LENGTH);
    while got < LENGTH {
        let piece = slow.read_some();
        assert!(!piece.is_empty(), "cut after {got} bytes");
        assert!(whole[got..].starts_with(&piece), "wrong bytes after {got}");
        got += piece.len();
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn two_urls_do_not_wait_for_each_other() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        if request.target == "/held" {
            held.wait();
        }
        to.cacheable("x");
    });
    let edge = Edge::before(&origin);
    let waiting = crowd(&edge, 3, "/held");
    eventually("it is held", || (origin.count() == 1).then_some(()));
    assert_eq!(edge.get("/free").status, 200);
    assert!(!go.is_open());
    go.open();
    for client in waiting {
        assert_eq!(client.join().expect("an answer").status, 200);
    }
}

#[test]
fn all_who_waited_get_what_may_stand_in_for_an_error() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        if request.number == 0 {
            let lifetime = [("Cache-Control", "max-age=0, stale-if-error=600")];
            return to.send(200, &[lifetime[0], ("ETag", "\"1\"")], "kept");
        }
        held.wait();
        to.send(503, &[], "broken");
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let clients = crowd(&edge, 6, "/a");
    eventually("a validation is under way", || (origin.count() >= 2).then_some(()));
    go.open();
    for client in clients {
        assert_eq!(client.join().expect("an answer").text(), "kept");
    }
}

#[test]
fn an_authorised_request_does_not_read_along_with_an_anonymous_one() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        if request.number == 0 {
            held.wait();
        }
        to.cacheable(format!("for {:?}", request.field("authorization")));
    });
    let edge = Edge::before(&origin);
    let anonymous = crowd(&edge, 1, "/a");
    eventually("the fetch is under way", || (origin.count() == 1).then_some(()));
    let own = edge.get_with("/a", &[("Authorization", "Basic YTpi")]);
    assert_eq!(own.text(), "for \"Basic YTpi\"");
    go.open();
    for client in anonymous {
        assert_eq!(client.join().expect("an answer").text(), "for \"\"");
    }
}

#[test]
fn what_varies_on_the_address_of_the_client_is_not_stored() {
    let origin = Origin::start(|request, to| {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "X-Forwarded-For")];
        to.send(200, &fields, format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    assert_eq!((edge.get("/a").text(), edge.get("/a").text()), ("0".into(), "1".into()));
}
