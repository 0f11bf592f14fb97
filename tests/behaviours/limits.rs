//! What clients may take: sizes, counts, time; and how the node goes when it is told to.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use harness::{Client, ConfigFile, Edge, Ending, Origin, config, eventually};

fn with(rest: &str, origin: &Origin) -> (ConfigFile, Edge) {
    let file = ConfigFile::new("", &[rest, &config::site(&[origin], "")].concat());
    let edge = file.start();
    (file, edge)
}

/// Sends a head in one piece and reads the status.
fn status(edge: &Edge, head: &str) -> u16 {
    let mut client = edge.client();
    client.send(head.as_bytes());
    client.try_response(false).map_or(0, |answer| answer.status)
}

#[test]
fn a_head_up_to_the_limit_is_served_and_beyond_it_is_431() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("[limits]\nhead_bytes = \"4KiB\"\ntarget_bytes = \"2KiB\"\n", &origin);
    let filled = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    assert_eq!((status(&edge, &filled(4096)), status(&edge, &filled(4097))), (200, 431));
    assert_eq!(status(&edge, &filled(1 << 20)), 431);
}

#[test]
fn so_many_fields_are_served_and_one_more_is_431() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("", &origin);
    let head = |fields: usize| {
        let others: Vec<String> = (1..fields).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", others.concat())
    };
    assert_eq!((status(&edge, &head(100)), status(&edge, &head(101))), (200, 431));
}

#[test]
fn a_target_beyond_the_limit_is_414() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("", &origin);
    let head = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes - 1));
    assert_eq!((status(&edge, &head(8000)), status(&edge, &head(9000))), (200, 414));
    assert_eq!(status(&edge, &head(100_000)), 414);
}

#[test]
fn a_body_beyond_the_limit_is_413_and_never_whole_at_the_origin() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("[limits]\nbody_bytes = \"1KiB\"\n", &origin);
    let told = edge.client().request("POST", "/", &[], &[b'x'; 1025]);
    assert_eq!(told.status, 413);
    let mut client = edge.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..5 {
        client.send(b"100\r\n");
        client.send(&[b'x'; 256]);
        client.send(b"\r\n");
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.response(false).status, 413);
    assert_eq!(origin.count(), 0);
    let fits = edge.client().request("POST", "/", &[], &[b'x'; 1024]);
    assert_eq!((fits.status, origin.requests()[0].body.len()), (200, 1024));
}

#[test]
fn a_head_that_does_not_come_in_time_is_408() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("[deadlines]\nhead = \"300ms\"\n", &origin);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHo");
    assert_eq!(client.response(false).status, 408);
    assert!(client.is_closed());
}

#[test]
fn a_head_that_drips_is_408_too() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("[deadlines]\nhead = \"500ms\"\n", &origin);
    let mut stream = TcpStream::connect(edge.address).expect("accepts");
    let mut writer = stream.try_clone().expect("a socket can be cloned");
    let done = Arc::new(AtomicBool::new(false));
    let dripping = Arc::clone(&done);
    let drip = std::thread::spawn(move || {
        let _gone = writer.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ");
        while !dripping.load(Ordering::SeqCst) && writer.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    stream.set_read_timeout(Some(harness::PATIENCE)).expect("positive");
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut answer).expect("an answer");
    done.store(true, Ordering::SeqCst);
    drip.join().expect("the drip ends");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn a_body_that_stalls_is_408() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("[deadlines]\nbody = \"300ms\"\n", &origin);
    let mut client = edge.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(client.response(false).status, 408);
    assert!(client.is_closed());
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::constant("x");
    let (_file, edge) = with("[deadlines]\nidle = \"300ms\"\n", &origin);
    let mut fresh = edge.client();
    let mut used = edge.client();
    assert_eq!(used.request("GET", "/", &[], b"").text(), "x");
    assert!(used.is_closed() && fresh.is_closed());
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![0; 64 * 1024];
        while to.try_raw(&piece) {}
    });
    let (_file, edge) = with("[deadlines]\nwrite = \"300ms\"\n", &origin);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the deadline is counted", || {
        (edge.metrics().count("selvedge_client_deadlines_total", &[]) >= 1).then_some(())
    });
    eventually("the connection is gone", || {
        (edge.metrics().count("selvedge_connections_open", &[]) == 0).then_some(())
    });
}

#[test]
fn connections_beyond_the_ceiling_are_refused_and_the_others_are_served() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new("connections_max = 10", &config::site(&[&origin], ""));
    let edge = file.start();
    let mut kept: Vec<Client> = (0..10).map(|_| edge.client()).collect();
    for client in &mut kept {
        assert_eq!(client.request("GET", "/", &[], b"").status, 200);
    }
    let mut over = edge.client();
    over.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(over.try_response(false).is_none_or(|answer| answer.status == 503));
    assert_eq!(edge.metrics().count("selvedge_connections_refused_total", &[]), 1);
    for client in &mut kept {
        assert_eq!(client.request("GET", "/", &[], b"").status, 200);
    }
    kept.clear();
    eventually("there is room again", || {
        let mut client = edge.client();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.try_response(false).filter(|answer| answer.status == 200)
    });
}

#[test]
fn a_thousand_idle_connections_cost_little_memory() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    let before = edge.resident_kib();
    let mut idle: Vec<Client> = (0..1000).map(|_| edge.client()).collect();
    for client in &mut idle {
        assert_eq!(client.request("GET", "/", &[], b"").status, 200);
    }
    let grown = edge.resident_kib().saturating_sub(before);
    assert!(grown < 43_000, "{grown} KiB for 1,000 connections");
}

/// An origin whose answer to `/slow` begins at once and ends when the test says so.
fn paced() -> (Origin, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |request, to| {
        if request.target == "/slow" {
            to.raw(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nfirst",
            );
            let _test_is_over = wait.lock().expect("unpoisoned").recv();
            to.raw("after");
        } else {
            to.cacheable("x");
        }
    });
    (origin, go)
}

/// Begins the download of `/slow` and reads the first half.
fn begin(edge: &Edge) -> Client {
    let mut client = edge.client();
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    client.await_bytes(b"first");
    client
}

fn refuses(edge: &Edge) {
    eventually("new connections are refused", || TcpStream::connect(edge.address).err());
}

#[test]
fn a_running_download_finishes_after_sigterm_and_the_exit_code_is_0() {
    for signal in ["TERM", "INT"] {
        let (origin, go) = paced();
        let mut edge = Edge::before(&origin);
        let mut client = begin(&edge);
        edge.signal(signal);
        refuses(&edge);
        go.send(()).expect("the origin waits");
        let answer = client.response(false);
        assert_eq!((answer.ending, answer.text().as_str()), (Ending::Clean, "firstafter"));
        assert!(client.is_closed());
        assert_eq!(edge.wait().code(), Some(0));
    }
}

#[test]
fn idle_connections_do_not_hold_a_drain_up() {
    let origin = Origin::constant("x");
    let mut edge = Edge::before(&origin);
    let mut used = edge.client();
    assert_eq!(used.request("GET", "/", &[], b"").status, 200);
    let mut fresh = edge.client();
    edge.signal("TERM");
    assert!(used.is_closed() && fresh.is_closed());
    assert_eq!(edge.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_drain_at_once() {
    let (origin, _go) = paced();
    let mut edge = Edge::before(&origin);
    let mut client = begin(&edge);
    edge.signal("TERM");
    refuses(&edge);
    edge.signal("TERM");
    edge.wait();
    assert_eq!(client.response(false).ending, Ending::Cut);
}

#[test]
fn the_drain_deadline_cuts_what_is_still_running() {
    let (origin, _go) = paced();
    let file = ConfigFile::new("drain_deadline = \"300ms\"", &config::site(&[&origin], ""));
    let mut edge = file.start();
    let mut client = begin(&edge);
    edge.signal("TERM");
    assert_eq!(client.response(false).ending, Ending::Cut);
    edge.wait();
}

#[test]
fn no_request_that_was_taken_is_lost_by_a_stop() {
    let origin = Origin::start(|request, to| to.send(200, &[], &request.target));
    let mut edge = Edge::before(&origin);
    let (address, answered) = (edge.address, Arc::new(AtomicUsize::new(0)));
    let stopping = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..6)
        .map(|worker| {
            let (answered, stopping) = (Arc::clone(&answered), Arc::clone(&stopping));
            std::thread::spawn(move || {
                for n in 0.. {
                    let Some(mut client) = Client::try_connect(address) else { return };
                    let came_before = !stopping.load(Ordering::SeqCst);
                    let path = format!("/{worker}/{n}");
                    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
                    match client.try_response(false) {
                        Some(answer) => {
                            let (status, ending) = (answer.status, answer.ending);
                            assert_eq!((status, ending), (200, Ending::Clean));
                            assert_eq!(answer.text(), path);
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        // The kernel may complete a connection while the listener is closed.
                        None => assert!(!came_before, "{path} was taken and not answered"),
                    }
                }
            })
        })
        .collect();
    eventually("there is load", || (answered.load(Ordering::SeqCst) > 200).then_some(()));
    stopping.store(true, Ordering::SeqCst);
    edge.signal("TERM");
    for thread in load {
        thread.join().expect("no request was lost");
    }
    assert_eq!(edge.wait().code(), Some(0));
}

#[test]
fn connections_that_wait_in_the_kernel_when_the_signal_comes_are_served() {
    let origin = Origin::constant("x");
    // How long a connection that has not spoken may still do so: a busy machine takes its time.
    let (_file, mut edge) = with("[deadlines]\nlinger = \"20s\"\n", &origin);
    assert_eq!(edge.get("/").status, 200);
    edge.signal("STOP");
    let mut waiting: Vec<Client> = (0..400).map(|_| edge.client()).collect();
    for client in &mut waiting {
        client.send(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n");
    }
    edge.signal("TERM");
    edge.signal("CONT");
    for client in &mut waiting {
        assert_eq!(client.try_response(false).map_or(0, |answer| answer.status), 200);
    }
    drop(waiting);
    assert_eq!(edge.wait().code(), Some(0));
}
