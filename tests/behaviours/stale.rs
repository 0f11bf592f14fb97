//! Stale content where it is better than none, and never where the origin forbids it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use harness::{Edge, Latch, Origin, Request, Responder, eventually};

/// Stale on arrival, by 90 seconds.
fn stale(directives: &str) -> Vec<(&'static str, String)> {
    vec![("Cache-Control", format!("max-age=10{directives}")), ("Age", "100".to_owned())]
}

fn send(to: &mut Responder<'_>, fields: &[(&'static str, String)], body: impl AsRef<[u8]>) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    to.send(200, &fields, body);
}

/// Found by the model of RFC 9111 (`tests/reference`): the answer to such a fetch was thrown away.
#[test]
fn what_a_head_finds_stale_is_refreshed_for_later_gets() {
    let origin = Origin::start(|request, to| match request.number {
        0 => send(to, &stale(", stale-while-revalidate=1000"), "old"),
        _ => to.cacheable("new"),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let head = edge.client().request("HEAD", "/a", &[], b"");
    assert!(head.field("cache-status").contains("selvedge; hit; ttl=-"), "{head:?}");
    eventually("the refresh is stored", || {
        // Only what is stored: this asks nobody.
        let told = edge.admin("GET", "/v1/explain?url=http://test.example/a", "").json();
        (told["now"]["detail"] == "FRESH").then_some(())
    });
    assert_eq!((edge.get("/a").text().as_str(), origin.count()), ("new", 2));
    let methods: Vec<_> = origin.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["GET", "GET"]);
}

#[test]
fn while_it_is_revalidated_once_everybody_gets_the_stale_response_at_once() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        if request.number == 0 {
            send(to, &stale(", stale-while-revalidate=1000"), "old");
        } else {
            held.wait();
            to.cacheable("new");
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    for _ in 0..10 {
        // The origin does not answer yet: none of these waits for it.
        let answer = edge.get("/a");
        assert_eq!(answer.text(), "old", "{answer:?}");
        assert!(answer.field("cache-status").contains("selvedge; hit; ttl=-"), "{answer:?}");
        assert!(answer.field("age").parse::<u64>().is_ok_and(|age| age >= 100), "{answer:?}");
    }
    eventually("the refresh is under way", || (origin.count() == 2).then_some(()));
    go.open();
    let new = eventually("the refresh is stored", || {
        let answer = edge.get("/a");
        (answer.text() == "new").then_some(answer)
    });
    assert!(new.is_hit(), "{new:?}");
    assert_eq!(origin.count(), 2);
    // A request is counted right after its last byte has left.
    eventually("all of them are counted", || {
        let stale = edge.metrics().sum("selvedge_requests_total", &["cache=\"stale\""]);
        (stale >= 10.0).then_some(())
    });
}

#[test]
fn a_refresh_that_fails_leaves_the_stale_response_and_is_tried_again() {
    let origin = Origin::start(|request, to| match request.number {
        0 => send(to, &stale(", stale-while-revalidate=1000"), "old"),
        1 => to.break_off(),
        _ => to.cacheable("new"),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    eventually("a refresh succeeds", || {
        let answer = edge.get("/a");
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.text() == "new").then_some(())
    });
}

#[test]
fn beyond_the_window_of_revalidation_the_client_waits_for_the_origin() {
    let origin = Origin::start(|request, to| {
        send(to, &stale(", stale-while-revalidate=50"), format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert_eq!(edge.get("/a").text(), "1");
}

/// An origin that is in order once, and then as bad as `trouble`.
fn failing(
    directives: &'static str,
    trouble: impl Fn(&Request, &mut Responder<'_>) + Send + Sync + 'static,
) -> Origin {
    Origin::start(move |request, to| {
        if request.target == "/a" && request.number == 0 {
            send(to, &stale(directives), "old");
        } else {
            trouble(request, to);
        }
    })
}

#[test]
fn stale_if_error_covers_server_errors_and_broken_answers() {
    let troubles: [fn(&Request, &mut Responder<'_>); 5] = [
        |_, to| to.send(500, &[], "bad"),
        |_, to| to.send(502, &[], "bad"),
        |_, to| to.send(503, &[("Cache-Control", "max-age=60")], "bad"),
        |_, to| to.break_off(),
        |_, to| {
            to.raw("nonsense\r\n\r\n");
            to.close();
        },
    ];
    for (number, trouble) in troubles.into_iter().enumerate() {
        let origin = failing(", stale-if-error=1000", trouble);
        let edge = Edge::before(&origin);
        edge.get("/a");
        for _ in 0..2 {
            let answer = edge.get("/a");
            assert_eq!(answer.text(), "old", "trouble {number}: {answer:?}");
            assert!(answer.field("cache-status").contains("ttl=-"), "trouble {number}: {answer:?}");
        }
    }
}

#[test]
fn stale_if_error_covers_an_origin_that_is_gone() {
    let origin = failing(", stale-if-error=1000", |_, _| {});
    let edge = Edge::before(&origin);
    edge.get("/a");
    origin.stop();
    for _ in 0..3 {
        let answer = edge.get("/a");
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{answer:?}");
    }
    // What is not stored has nothing to stand in.
    assert!(matches!(edge.get("/b").status, 502..=504));
}

#[test]
fn stale_if_error_covers_an_origin_that_does_not_answer() {
    let dir = harness::temp::dir();
    let silent = Latch::default();
    let held = silent.clone();
    let origin = failing(", stale-if-error=1000", move |_, to| {
        held.wait();
        to.close();
    });
    let file = dir.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [[site]]\nname = \"s\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n\
         [site.origin]\nresponse = \"100ms\"\ntotal = \"300ms\"\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch file");
    let edge = Edge::configured(&file);
    edge.get("/a");
    let answer = edge.get("/a");
    assert_eq!(answer.text(), "old", "{answer:?}");
    assert_eq!(edge.get("/b").status, 504);
    silent.open();
}

#[test]
fn without_permission_a_stale_response_does_not_hide_an_error() {
    for directives in [
        "",
        ", must-revalidate, stale-if-error=1000",
        ", proxy-revalidate, stale-if-error=1000",
        ", no-cache, stale-if-error=1000",
        ", stale-if-error=50",
    ] {
        let origin = failing(directives, |_, to| to.send(503, &[], "bad"));
        let edge = Edge::before(&origin);
        edge.get("/a");
        let answer = edge.get("/a");
        assert_eq!(answer.status, 503, "{directives}: {answer:?}");
        origin.stop();
        assert!(matches!(edge.get("/a").status, 502..=504), "{directives}");
    }
}

#[test]
fn a_client_may_accept_a_stale_response_instead_of_an_error_unless_the_origin_forbids_it() {
    let wish = [("Cache-Control", "stale-if-error=1000")];
    for (directives, status) in [("", 200), (", must-revalidate", 503), (", s-maxage=10", 503)] {
        let origin = failing(directives, |_, to| to.send(503, &[], "bad"));
        let edge = Edge::before(&origin);
        edge.get("/a");
        assert_eq!(edge.get_with("/a", &wish).status, status, "{directives}");
    }
}

#[test]
fn must_revalidate_forbids_stale_while_revalidate() {
    let origin = Origin::start(|request, to| {
        let fields = stale(", must-revalidate, stale-while-revalidate=1000");
        send(to, &fields, format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    assert_eq!(edge.get("/a").text(), "1");
}

#[test]
fn a_client_may_accept_or_refuse_staleness_for_itself() {
    let origin = Origin::start(|request, to| send(to, &stale(""), format!("{}", request.number)));
    let edge = Edge::before(&origin);
    edge.get("/a");
    let ask = |wish: &str| edge.get_with("/a", &[("Cache-Control", wish)]).text();
    assert_eq!(ask("max-stale"), "0");
    assert_eq!(ask("max-stale=1000"), "0");
    assert_eq!(ask("max-stale=10"), "1");
}

#[test]
fn windows_may_come_from_the_configuration() {
    let dir = harness::temp::dir();
    let origin = failing("", |_, to| to.send(500, &[], "bad"));
    let file = dir.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [[site]]\nname = \"s\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n\
         [site.stale]\nif_error = \"1h\"\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch file");
    let edge = Edge::configured(&file);
    edge.get("/a");
    assert_eq!(edge.get("/a").text(), "old");
}

#[test]
fn with_every_origin_down_stale_is_served_and_recovery_is_noticed() {
    let (one, two) = (origin_of("one"), origin_of("two"));
    let addresses = (one.address(), two.address());
    let edge = Edge::start(&["--origin", &one.url(), "--origin", &two.url()]);
    let before = edge.get("/a").text();
    assert!(["one", "two"].contains(&before.as_str()));
    one.stop();
    two.stop();
    for _ in 0..5 {
        assert_eq!(edge.get("/a").text(), before);
    }
    let back = Origin::start_at(addresses.0, |_, to| to.cacheable("back"));
    eventually("an origin is used again", || (edge.get("/a").text() == "back").then_some(()));
    drop(back);
}

fn origin_of(name: &'static str) -> Origin {
    Origin::start(move |_, to| send(to, &stale(", stale-if-error=1000"), name))
}

#[test]
fn a_wave_of_requests_for_something_stale_is_one_validation() {
    let go = Latch::default();
    let held = go.clone();
    let seen = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noticed, log) = (Arc::clone(&seen), Arc::clone(&asked));
    let origin = Origin::start(move |request, to| {
        log.lock().expect("unpoisoned").push(request.field("if-none-match").to_owned());
        if request.number == 0 {
            let mut fields = stale("");
            fields.push(("ETag", "\"v1\"".to_owned()));
            send(to, &fields, "body");
        } else {
            noticed.store(true, Ordering::SeqCst);
            held.wait();
            to.send(304, &[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")], "");
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    let address = edge.address;
    let clients: Vec<_> = (0..10)
        .map(|_| {
            std::thread::spawn(move || {
                harness::Client::connect(address).request("GET", "/a", &[], b"").text()
            })
        })
        .collect();
    eventually("the validation is under way", || seen.load(Ordering::SeqCst).then_some(()));
    go.open();
    for client in clients {
        assert_eq!(client.join().expect("an answer"), "body");
    }
    assert_eq!(*asked.lock().expect("unpoisoned"), ["", "\"v1\""]);
}
