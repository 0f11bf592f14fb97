//! Several origins: who is asked, who is left alone, and what that spares the clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{ConfigFile, Edge, Origin, config, eventually, parts};
use serde_json::Value;

/// A node in front of these origins, as tables write them.
fn node(origins: &[String], more: &str) -> (ConfigFile, Edge) {
    let site = format!(
        "[[site]]\nname = \"all\"\nhosts = [\"*\"]\norigins = [{}]\n{more}\n",
        origins.join(", ")
    );
    let file = ConfigFile::new("", &site);
    let edge = file.start();
    (file, edge)
}

fn origins(edge: &Edge) -> Vec<Value> {
    let status = edge.admin("GET", "/v1/status", "").json();
    status["sites"][0]["origins"].as_array().expect("a list").clone()
}

fn post(edge: &Edge, times: usize) {
    let mut client = edge.client();
    for _ in 0..times {
        assert_eq!(client.request("POST", "/", &[], b"").status, 200);
    }
}

fn rule(edge: &Edge, origin: &Origin, rule: &str) -> u16 {
    let said = format!(r#"{{"site":"all","origin":"{}","rule":"{rule}"}}"#, origin.url());
    edge.admin("POST", "/v1/origins", &said).status
}

#[test]
fn a_request_that_was_here_before_is_refused() {
    let origin = Origin::start(|_, to| to.send(200, &[], "x"));
    let edge = Edge::before(&origin);
    edge.get_with("/", &[("CDN-Loop", "other.example; a=b")]);
    let seen = origin.requests().remove(0);
    let lines: Vec<_> = seen.fields.iter().filter(|(name, _)| name == "cdn-loop").collect();
    assert_eq!((lines.len(), lines[0].1.as_str()), (2, "other.example; a=b"));
    let answer = edge.get_with("/again", &[("CDN-Loop", lines[1].1.as_str())]);
    assert_eq!((answer.status, origin.count()), (508, 1));
    let beside = Edge::before(&origin);
    let passed = beside.get_with("/", &[("CDN-Loop", lines[1].1.as_str())]);
    assert_eq!(passed.status, 200, "another node is no loop");
}

#[test]
fn weights_and_tiers_say_who_is_asked() {
    let (heavy, light, spare) =
        (Origin::constant("x"), Origin::constant("x"), Origin::constant("x"));
    let table = |origin: &Origin, rest: &str| format!("{{ url = {:?}, {rest} }}", origin.url());
    let urls =
        [table(&heavy, "weight = 3"), table(&light, "weight = 1"), table(&spare, "tier = 1")];
    let (_file, edge) = node(&urls, "[site.origin]\nbalance = \"turns\"\n");
    post(&edge, 40);
    assert_eq!((heavy.count(), light.count(), spare.count()), (30, 10, 0));
    assert_eq!((rule(&edge, &heavy, "disabled"), rule(&edge, &light, "disabled")), (200, 200));
    post(&edge, 10);
    assert_eq!((heavy.count(), light.count(), spare.count()), (30, 10, 10));
}

#[test]
fn an_operator_takes_an_origin_out_and_puts_it_back() {
    let (one, two) = (Origin::constant("x"), Origin::constant("x"));
    let (file, edge) = node(
        &[format!("{:?}", one.url()), format!("{:?}", two.url())],
        "[site.origin]\nbalance = \"turns\"\n",
    );
    assert_eq!(rule(&edge, &one, "draining"), 200);
    post(&edge, 10);
    assert_eq!((one.count(), two.count()), (0, 10));
    let told = &origins(&edge)[0];
    assert_eq!((told["rule"].as_str(), told["healthy"].as_bool()), (Some("draining"), Some(false)));
    assert_eq!(told["last_event"]["event"].as_str(), Some("operator"));
    // A change of something else keeps what was said.
    let more = "[site.origin]\nbalance = \"turns\"\nqueue = \"9s\"\n";
    file.rewrite("", &config::site(&[&one, &two], more));
    edge.signal("HUP");
    edge.logged("\"reloaded\"");
    post(&edge, 10);
    assert_eq!(one.count(), 0);
    assert_eq!(rule(&edge, &two, "disabled"), 200);
    let nobody = edge.client().request("POST", "/", &[], b"");
    assert_eq!(nobody.status, 503, "not even as a last resort");
    assert_eq!((rule(&edge, &one, "enabled"), rule(&edge, &one, "gone")), (200, 400));
    post(&edge, 10);
    assert_eq!((one.count(), two.count()), (10, 20));
    let events = edge.metrics().count("selvedge_origin_events_total", &["event=\"operator\""]);
    assert_eq!(events, 3);
}

#[test]
fn a_bound_client_stays_with_its_origin() {
    let origin = |name: &'static str| Origin::start(move |_, to| to.send(200, &[], name));
    let (one, two) = (origin("1"), origin("2"));
    let (_file, edge) = node(
        &[format!("{:?}", one.url()), format!("{:?}", two.url())],
        "[site.origin]\nbalance = \"turns\"\nsticky = \"where\"\n",
    );
    let mut client = edge.client();
    let first = client.request("GET", "/page", &[], b"");
    let cookie = first.field("set-cookie").split(';').next().expect("a cookie").to_owned();
    assert!(cookie.starts_with("where=") && !cookie.contains("127"), "{cookie}");
    for n in 0..6 {
        let path = format!("/page/{n}");
        let again = client.request("GET", &path, &[("Cookie", &cookie)], b"");
        assert_eq!((again.text(), again.all("set-cookie").len()), (first.text(), 0));
    }
    let owner = if first.text() == "1" { &one } else { &two };
    rule(&edge, owner, "disabled");
    let moved = client.request("GET", "/page/9", &[("Cookie", &cookie)], b"");
    assert!(moved.text() != first.text() && moved.field("set-cookie").starts_with("where="));
}

#[test]
fn the_same_key_goes_to_the_same_origin_on_every_node() {
    let origin = |name: &'static str| Origin::start(move |_, to| to.send(200, &[], name));
    let all = [origin("1"), origin("2"), origin("3")];
    let urls: Vec<_> = all.iter().map(|origin| format!("{:?}", origin.url())).collect();
    let more = "[site.origin]\nbalance = \"hash\"\nhash_by = \"cookie:user\"\n";
    let (nodes, users) = ([node(&urls, more), node(&urls, more)], 0..24);
    let asked = |edge: &Edge, user: i32| {
        let cookie = format!("user={user}");
        edge.client().request("POST", "/", &[("Cookie", &cookie)], b"").text()
    };
    for user in users {
        assert_eq!(asked(&nodes[0].1, user), asked(&nodes[1].1, user), "{user}");
    }
    assert!(all.iter().all(|origin| origin.count() > 0));
}

#[test]
fn a_failing_check_takes_an_origin_away_before_a_client_notices() {
    let is_up = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&is_up);
    let one = Origin::start(move |request, to| {
        let up = told.load(Ordering::SeqCst);
        let status = if request.target == "/healthz" && !up { 503 } else { 200 };
        to.send(status, &[], "x");
    });
    let two = Origin::constant("x");
    let (_file, edge) = node(
        &[format!("{:?}", one.url()), format!("{:?}", two.url())],
        "[site.origin]\nbalance = \"turns\"\n[site.check]\nkind = \"http\"\npath = \"/healthz\"\n\
         interval = \"100ms\"\n",
    );
    let is_well = || origins(&edge)[0]["healthy"].as_bool();
    is_up.store(false, Ordering::SeqCst);
    eventually("the check fails three times", || (is_well() == Some(false)).then_some(()));
    let served = |origin: &Origin| {
        origin.requests().iter().filter(|request| request.method == "POST").count()
    };
    post(&edge, 10);
    assert_eq!((served(&one), served(&two)), (0, 10));
    edge.logged("its health check fails: status 503");
    is_up.store(true, Ordering::SeqCst);
    eventually("the check passes twice", || (is_well() == Some(true)).then_some(()));
    post(&edge, 10);
    assert_eq!((served(&one), served(&two)), (5, 15));
}

#[test]
fn when_one_of_three_dies_no_request_that_may_be_repeated_fails() {
    let slow = || {
        Origin::start(|_, to| {
            thread::sleep(Duration::from_millis(2));
            to.send(200, &[("Cache-Control", "no-store")], "x");
        })
    };
    let (one, two, three) = (slow(), slow(), slow());
    let edge = ConfigFile::new("", &config::site(&[&one, &two, &three], "")).start();
    let (over, failed, done) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|threads| {
        for worker in 0..8 {
            let (edge, over, failed, done) = (&edge, &over, &failed, &done);
            threads.spawn(move || {
                let mut client = edge.client();
                for n in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let answer = client.request("GET", &format!("/{worker}/{n}"), &[], b"");
                    failed.fetch_add(usize::from(answer.status != 200), Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        eventually("load", || (done.load(Ordering::SeqCst) > 200).then_some(()));
        two.stop();
        let before = done.load(Ordering::SeqCst);
        eventually("load without one", || {
            (done.load(Ordering::SeqCst) > before + 400).then_some(())
        });
        over.store(true, Ordering::SeqCst);
    });
    assert_eq!(failed.load(Ordering::SeqCst), 0);
    assert_eq!(edge.metrics().count("selvedge_origin_healthy", &[]), 2);
}

/// An origin that works on few requests at a time, and whose work is wasted when nobody waits for
/// it any more: more of it only makes all of it late.
#[test]
fn in_a_brown_out_an_origin_is_given_what_it_can_work_on() {
    let at_once = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::clone(&at_once), Arc::clone(&most));
    let origin = Origin::start(move |_, to| {
        let others = now.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(others, Ordering::SeqCst);
        // Four work side by side; with more, each takes its part longer.
        thread::sleep(Duration::from_millis(10) * others.div_ceil(4) as u32);
        now.fetch_sub(1, Ordering::SeqCst);
        to.send(200, &[("Cache-Control", "no-store")], "x");
    });
    let waits = "[site.origin]\nadaptive = true\nqueue = \"200ms\"\nqueue_max = 16\n";
    let edge = ConfigFile::new("", &config::site(&[&origin], waits)).start();
    let (good, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    thread::scope(|threads| {
        for worker in 0..64 {
            let (edge, good, refused) = (&edge, &good, &refused);
            threads.spawn(move || {
                let mut client = edge.client();
                for n in 0.. {
                    if began.elapsed() > Duration::from_secs(6) {
                        return;
                    }
                    let asked = Instant::now();
                    let answer = client.request("POST", &format!("/{worker}/{n}"), &[], b"");
                    match answer.status {
                        200 if asked.elapsed() < Duration::from_millis(500) => {
                            good.fetch_add(1, Ordering::SeqCst);
                        }
                        200 => {}
                        status => {
                            assert_eq!(
                                (status, answer.field("retry-after").is_empty()),
                                (503, false)
                            );
                            refused.fetch_add(1, Ordering::SeqCst);
                            thread::sleep(Duration::from_millis(50));
                        }
                    }
                }
            });
        }
    });
    // Four at a time, ten milliseconds each: 400 a second at best.
    let (good, refused) = (good.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    assert!(good > 600, "{good} in time, {refused} refused");
    assert!(most.load(Ordering::SeqCst) < 40, "{most:?} at once of 64");
    assert!(refused > 0);
}

#[test]
fn what_has_no_origin_left_says_so() {
    let nobody = format!("\"http://127.0.0.1:{}\"", parts::free_port());
    let (_file, edge) = node(&[nobody], "[site.check]\nkind = \"connect\"\ninterval = \"100ms\"\n");
    eventually("the check fails", || {
        (origins(&edge)[0]["healthy"].as_bool() == Some(false)).then_some(())
    });
    // A wrong guess about health must not be an outage: it is tried all the same.
    assert_eq!(edge.get("/").status, 502);
    let event = edge.metrics().count("selvedge_origin_events_total", &["event=\"check_failed\""]);
    assert_eq!(event, 1);
}
