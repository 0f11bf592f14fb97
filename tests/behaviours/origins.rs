//! What origins do wrong: the client gets the right status, the connection is dropped, and
//! nothing that is not whole and right is stored.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use harness::{ConfigFile, Edge, Ending, Origin, config, eventually, parts};

/// A node with short waits, in front of these origins.
fn impatient(origins: &[&Origin]) -> (ConfigFile, Edge) {
    let waits = "[site.origin]\nconnect = \"2s\"\nresponse = \"400ms\"\nbody = \"400ms\"\n";
    let file = ConfigFile::new("", &config::site(origins, waits));
    let edge = file.start();
    (file, edge)
}

#[test]
fn one_connection_serves_many_requests() {
    let origin = Origin::start(|request, to| to.send(200, &[], &request.target));
    let edge = Edge::start(&["--origin", &origin.url(), "--workers", "1"]);
    for n in 0..20 {
        assert_eq!(edge.get(&format!("/{n}")).text(), format!("/{n}"));
    }
    assert_eq!((origin.count(), origin.connections()), (20, 1));
}

#[test]
fn two_origins_share_the_load() {
    let (one, two) = (Origin::constant("1"), Origin::constant("2"));
    let turns = "[site.origin]\nbalance = \"turns\"\n";
    let edge = ConfigFile::new("", &config::site(&[&one, &two], turns)).start();
    for n in 0..40 {
        edge.get(&format!("/{n}"));
    }
    assert_eq!((one.count(), two.count()), (20, 20));
}

#[test]
fn a_get_fails_over_when_an_origin_is_killed() {
    let (one, two) = (Origin::constant("x"), Origin::constant("x"));
    let edge = Edge::start(&["--origin", &one.url(), "--origin", &two.url()]);
    for n in 0..10 {
        assert_eq!(edge.get(&format!("/before/{n}")).status, 200);
    }
    one.stop();
    for n in 0..40 {
        assert_eq!(edge.get(&format!("/after/{n}")).status, 200, "{n}");
    }
    let numbers = edge.metrics();
    let mut asked = 0;
    eventually("the dead origin is known to be dead", || {
        // Requests tell, and one that failed is asked less often for a while.
        asked += 1;
        assert_eq!(edge.get(&format!("/later/{asked}")).status, 200);
        let numbers = edge.metrics();
        (numbers.count("selvedge_origin_healthy", &[]) == 1).then_some(())
    });
    assert!(numbers.count("selvedge_origin_requests_total", &["outcome=\"ok\""]) >= 50);
}

#[test]
fn a_get_whose_answer_never_began_is_repeated_once_elsewhere() {
    let mute = Origin::start(|_, to| to.close());
    let good = Origin::constant("x");
    let edge = Edge::start(&["--origin", &mute.url(), "--origin", &good.url(), "--workers", "1"]);
    for n in 0..4 {
        assert_eq!(edge.get(&format!("/{n}")).status, 200);
    }
    assert_eq!(good.count(), 4);
}

#[test]
fn a_post_is_never_sent_twice() {
    let mute = Origin::start(|_, to| to.close());
    let mute_too = Origin::start(|_, to| to.close());
    let edge = Edge::start(&["--origin", &mute.url(), "--origin", &mute_too.url()]);
    let answer = edge.client().request("POST", "/pay", &[], b"100 pounds");
    assert_eq!((answer.status, mute.count() + mute_too.count()), (502, 1));
}

#[test]
fn a_post_goes_elsewhere_when_nothing_of_it_was_sent() {
    let good = Origin::constant("paid");
    let nobody = format!("http://127.0.0.1:{}", parts::free_port());
    let edge = Edge::start(&["--origin", &nobody, "--origin", &good.url()]);
    for _ in 0..4 {
        let answer = edge.client().request("POST", "/pay", &[], b"100 pounds");
        assert_eq!((answer.status, answer.text().as_str()), (200, "paid"));
    }
    assert_eq!(good.count(), 4);
}

#[test]
fn an_origin_that_refuses_is_a_502_that_says_so() {
    let nobody = format!("http://127.0.0.1:{}", parts::free_port());
    let edge = Edge::start(&["--origin", &nobody]);
    let answer = edge.get_with("/", &[("Accept", "application/json")]);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.field("content-type"), "application/problem+json");
    assert!(answer.field("proxy-status").contains("error=connection_refused"));
    assert_eq!(answer.json()["status"], 502);
}

#[test]
fn an_origin_that_stalls_is_a_504() {
    // Accepts into the backlog and never reads.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let waits = "[site.origin]\nresponse = \"300ms\"\n";
    let site = format!("[[site]]\nname = \"all\"\nhosts = [\"*\"]\norigins = [\"{url}\"]\n{waits}");
    let file = ConfigFile::new("", &site);
    let edge = file.start();
    assert_eq!(edge.get("/").status, 504);
    let half = Origin::start(|_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Le");
        to.until_closed();
    });
    let (_file, edge) = impatient(&[&half]);
    assert_eq!(edge.get("/").status, 504);
}

#[test]
fn a_response_that_is_not_http_is_a_502_and_is_never_stored() {
    let bad: &'static [&'static [u8]] = &[
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 99 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 1000 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/3.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ];
    let origin = Origin::start(move |request, to| {
        if let Some(bytes) = request.target.strip_prefix("/bad/") {
            to.raw(bad[bytes.parse::<usize>().expect("a number")]);
            to.close();
        } else {
            to.cacheable("good");
        }
    });
    let edge = Edge::before(&origin);
    let mut wrong = Vec::new();
    for (n, bytes) in bad.iter().enumerate() {
        let shown = String::from_utf8_lossy(bytes);
        for round in 0..2 {
            let answer = edge.get(&format!("/bad/{n}"));
            if answer.status != 502 || answer.is_hit() {
                wrong.push(format!("{} in round {round}: {shown:?}", answer.status));
            }
        }
        // A connection with such bytes on it is of no use to the next request.
        assert_eq!(edge.get(&format!("/good/{n}")).text(), "good", "after {shown:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_body_that_ends_too_early_is_cut_for_the_client_and_not_stored() {
    let origin = Origin::start(|request, to| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        match request.target.as_str() {
            "/length" => to.raw(format!("{head}Content-Length: 10\r\n\r\nhello")),
            "/chunk" => to.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")),
            "/inside" => to.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n9\r\nhello")),
            _ => to.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")),
        }
        to.close();
    });
    let edge = Edge::before(&origin);
    for path in ["/length", "/chunk", "/inside", "/garbage"] {
        for round in 0..2 {
            let mut client = edge.client();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            match client.try_response(false) {
                None => {}
                Some(answer) if answer.status == 502 => {}
                Some(answer) => {
                    assert_eq!(answer.ending, Ending::Cut, "{path} in round {round}");
                    assert!(!answer.is_hit(), "{path} in round {round}");
                }
            }
        }
    }
    assert_eq!(origin.count(), 8);
}

#[test]
fn a_body_that_stalls_is_cut_and_not_stored() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello");
        to.until_closed();
    });
    let (_file, edge) = impatient(&[&origin]);
    for _ in 0..2 {
        let mut client = edge.client();
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.response(false);
        assert_eq!((answer.ending, answer.text().as_str()), (Ending::Cut, "hello"));
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn bytes_behind_the_end_of_a_response_poison_nothing() {
    let poison = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\npoison";
    let origin = Origin::start(move |request, to| {
        let body = &request.target;
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        to.raw(format!("{head}Content-Length: {}\r\n\r\n{body}{poison}", body.len()));
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--workers", "1"]);
    for n in 0..20 {
        let path = format!("/{n}");
        assert_eq!(edge.get(&path).text(), path);
    }
    assert_eq!(origin.connections(), 20);
}

#[test]
fn bytes_on_an_idle_connection_poison_nothing() {
    let (answered, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let (sent, poisoned) = mpsc::channel::<()>();
    let origin = Origin::start(move |request, to| {
        to.cacheable(&request.target);
        if request.target == "/first" {
            // The client has its answer; now the connection is idle.
            wait.lock().expect("unpoisoned").recv().expect("the test goes on");
            to.raw(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\npoison",
            );
            sent.send(()).expect("the test waits");
        }
    });
    let edge = Edge::start(&["--origin", &origin.url(), "--workers", "1"]);
    assert_eq!(edge.get("/first").text(), "/first");
    answered.send(()).expect("the origin waits");
    poisoned.recv().expect("the origin sent");
    for n in 0..5 {
        let path = format!("/{n}");
        assert_eq!(edge.get(&path).text(), path);
    }
}

#[test]
fn an_endless_row_of_interim_responses_ends() {
    let origin =
        Origin::start(
            |_, to| {
                while to.try_raw("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") {}
            },
        );
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response(false);
    assert_eq!(answer.status, 502);
    assert!(answer.interim.len() <= 100, "{} were relayed", answer.interim.len());
}

#[test]
fn early_hints_reach_the_client_before_the_answer() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
        to.send(200, &[("Cache-Control", "no-store")], "page");
    });
    let edge = Edge::before(&origin);
    let answer = edge.get("/");
    assert_eq!(answer.text(), "page");
    let (status, fields) = &answer.interim[0];
    assert_eq!(*status, 103);
    assert!(fields.iter().any(|(name, value)| name == "link" && value.contains("style.css")));
    let mut old = edge.client();
    old.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(old.response(false).interim.is_empty(), "HTTP/1.0 has no interim responses");
}

#[test]
fn an_answer_before_the_whole_upload_reaches_the_client() {
    let origin = Origin::start(|_, _| panic!("never whole"));
    drop(origin);
    let early = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", early.local_addr().expect("bound"));
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in early.incoming().map_while(Result::ok) {
            let mut piece = [0; 4096];
            let _head = stream.read(&mut piece);
            let _gone = stream.write_all(
                b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!",
            );
        }
    });
    let edge = Edge::start(&["--origin", &url]);
    let mut client = edge.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(&[b'x'; 10_000]);
    let answer = client.response(false);
    assert_eq!((answer.status, answer.text().as_str()), (413, "no!"));
}

#[test]
fn a_head_answer_has_the_length_but_no_body() {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nCache-Control: no-store\r\n\r\n");
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for _ in 0..3 {
        let answer = client.request("HEAD", "/", &[], b"");
        assert_eq!((answer.status, answer.field("content-length")), (200, "1000"));
    }
}

#[test]
fn an_origin_that_comes_back_is_used_again() {
    let origin = Origin::constant("before");
    let address = origin.address();
    let edge = Edge::before(&origin);
    assert_eq!(edge.get("/1").status, 200);
    origin.stop();
    for n in 0..10 {
        let status = edge.get(&format!("/down/{n}")).status;
        assert!(status == 502 || status == 503, "{status}");
    }
    let _back = Origin::start_at(address, |_, to| to.cacheable("after"));
    let mut n = 0;
    eventually("the origin is used again", || {
        n += 1;
        (edge.get(&format!("/up/{n}")).text() == "after").then_some(())
    });
}

#[test]
fn when_an_origin_fails_followers_of_the_fetch_see_the_same_end() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |_, to| {
        eventually("the followers are there", || gate.load(Ordering::SeqCst).then_some(()));
        to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhello");
        to.close();
    });
    let edge = Edge::before(&origin);
    let mut clients: Vec<_> = (0..8).map(|_| edge.client()).collect();
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    eventually("the first asks the origin", || (origin.count() >= 1).then_some(()));
    open.store(true, Ordering::SeqCst);
    for client in &mut clients {
        let whole = client
            .try_response(false)
            .is_some_and(|answer| answer.status == 200 && answer.ending != Ending::Cut);
        assert!(!whole, "half of a body was shown as whole");
    }
}
