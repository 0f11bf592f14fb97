//! When an origin is left alone: outcomes of requests, and checks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use harness::{Origin, eventually};

use super::choice::{origins, rule};
use super::scene::{Scene, connect, ends};
use super::{Group, Row, row};
use std::io::Write;

fn is_well(scene: &Scene) -> bool {
    origins(scene)[0]["healthy"].as_bool().expect("a bool")
}

fn word(is_well: bool) -> String {
    if is_well { "used" } else { "left alone" }.to_owned()
}

/// A look that has the origins for itself, and begins with nothing held against the first one.
fn alone(look: impl Fn(&Scene) -> String + Sync + 'static) -> impl Fn(&Scene) -> String + Sync {
    let turns = Mutex::new(());
    move |scene: &Scene| {
        let _turn = turns.lock().expect("no look panics twice");
        rule(scene, 0, "enabled");
        look(scene)
    }
}

/// Fails once at the first of the origins.
fn fail(scene: &Scene) {
    let mut client = scene.edge.client();
    for _ in 0..2 {
        assert_eq!(client.request("GET", &scene.path("/fail"), &[], b"").status, 200);
    }
}

/// Whether the first origin comes back in time when requests try it.
fn comes_back(scene: &Scene) -> bool {
    let asked = Instant::now();
    while asked.elapsed() < scene.patience() {
        assert_eq!(scene.edge.get(&scene.path("/ok")).status, 200);
        if is_well(scene) {
            return true;
        }
    }
    false
}

/// Two origins, of which the first fails when it is told to.
fn outcomes(base: &[(&'static str, &str)], rows: Vec<Row>) -> Group {
    let bad = Origin::start(|request, to| match request.target.get(..5) {
        Some("/fail") => to.break_off(),
        Some("/500/") => to.send(500, &[], "x"),
        _ => to.cacheable("x"),
    });
    let good = Origin::constant("x");
    let mut settings = vec![("site[].origin.balance", "\"turns\"")];
    settings.extend(base);
    let mut group = Group::before(&[bad.url(), good.url()], &settings);
    group.rows = rows;
    group.actors = vec![Box::new(bad), Box::new(good)];
    group
}

pub(super) fn failures() -> Group {
    let look = alone(|scene| {
        fail(scene);
        word(is_well(scene))
    });
    let seen = ["used", "left alone"];
    let base = [("site[].health.eject", "\"60s\"")];
    outcomes(&base, vec![row("site[].health.failures", ["0", "1"], seen, look)])
}

pub(super) fn server_errors() -> Group {
    let look = alone(|scene| {
        let mut client = scene.edge.client();
        for _ in 0..2 {
            client.request("GET", &scene.path("/500"), &[], b"");
        }
        word(is_well(scene))
    });
    let seen = ["used", "left alone"];
    let base = [("site[].health.eject", "\"60s\""), ("site[].health.failures", "1")];
    outcomes(&base, vec![row("site[].health.server_errors", ["false", "true"], seen, look)])
}

pub(super) fn ejections() -> Group {
    let look = alone(|scene| {
        fail(scene);
        word(comes_back(scene))
    });
    let base = [("site[].health.eject_max", "\"1h\""), ("site[].health.failures", "1")];
    let values = ["\"1h\"", "\"10ms\""];
    outcomes(&base, vec![row("site[].health.eject", values, ["left alone", "used"], look)])
}

pub(super) fn longest_ejection() -> Group {
    let look = alone(|scene| {
        let times = || origins(scene)[0]["ejections"].as_u64().expect("a number");
        // Each failed trial doubles the time, unless it is long enough.
        eventually("it was ejected several times", || {
            fail(scene);
            (times() >= 7).then_some(())
        });
        word(comes_back(scene))
    });
    let base = [("site[].health.eject", "\"10ms\""), ("site[].health.failures", "1")];
    let values = ["\"1h\"", "\"10ms\""];
    outcomes(&base, vec![row("site[].health.eject_max", values, ["left alone", "used"], look)])
}

/// Three origins, of which one answers with errors that are no failures.
fn compared(base: &[(&'static str, &str)], rows: Vec<Row>) -> Group {
    let bad = Origin::start(|_, to| to.send(500, &[], "x"));
    let good = [Origin::constant("x"), Origin::constant("x")];
    let urls = [bad.url(), good[0].url(), good[1].url()];
    let mut settings = vec![("site[].origin.balance", "\"turns\"")];
    settings.extend(base);
    let mut group = Group::before(&urls, &settings);
    group.rows = rows;
    group.actors = vec![Box::new(bad), Box::new(good)];
    group
}

fn stands_out(scene: &Scene) -> String {
    let (asked, mut client) = (Instant::now(), scene.edge.client());
    while asked.elapsed() < scene.patience() {
        client.request("POST", "/", &[], b"");
        if !is_well(scene) {
            return word(false);
        }
    }
    word(true)
}

const COMPARED: [&str; 2] = ["used", "left alone"];

pub(super) fn outliers() -> Group {
    let look = alone(stands_out);
    let row = row("site[].health.outliers", ["0", "50"], COMPARED, look);
    let interval = ("site[].health.interval", "\"1s\"".to_owned());
    compared(&[], vec![row.with(interval.0, interval.1)])
}

pub(super) fn intervals() -> Group {
    let look = alone(stands_out);
    let base = [("site[].health.outliers", "50")];
    compared(&base, vec![row("site[].health.interval", ["\"1h\"", "\"1s\""], COMPARED, look)])
}

/// An origin that is checked; and how often it was.
fn checked(base: &[(&'static str, &str)], rows: impl FnOnce(Arc<Checked>) -> Vec<Row>) -> Group {
    let state = Arc::new(Checked::default());
    let told = Arc::clone(&state);
    let origin = Origin::start(move |request, to| {
        let is_check = request.field("user-agent") == "selvedge-health-check";
        if is_check {
            told.checks.fetch_add(1, Ordering::SeqCst);
        }
        let is_bad = request.target == "/down"
            || request.field("host") == "down.example"
            || told.is_bad.load(Ordering::SeqCst);
        if request.target == "/slow" {
            thread::sleep(std::time::Duration::from_millis(400));
        }
        let status = if is_check && is_bad { 503 } else { 200 };
        to.send(status, &[("X-Ready", "yes")], "all is fine");
    });
    let mut group = Group::before(&[origin.url()], base);
    group.rows = rows(state);
    group.actors = vec![Box::new(origin)];
    group
}

#[derive(Default)]
pub(super) struct Checked {
    checks: AtomicUsize,
    is_bad: AtomicBool,
}

impl Checked {
    fn count(&self) -> usize {
        self.checks.load(Ordering::SeqCst)
    }

    /// Waits until the origin was checked a few times more.
    fn some_more(&self) {
        let before = self.count();
        eventually("some checks", || (self.count() >= before + 4).then_some(()));
    }
}

pub(super) fn checks() -> Group {
    checked(&[], |state| {
        let look = move |scene: &Scene| {
            let asked = Instant::now();
            while asked.elapsed() < scene.patience() && state.count() == 0 {
                thread::yield_now();
            }
            if state.count() == 0 { "not asked" } else { "asked" }.to_owned()
        };
        let values = ["\"off\"", "\"http\""];
        vec![row("site[].check.kind", values, ["not asked", "asked"], look)]
    })
}

const EAGER: [(&str, &str); 2] =
    [("site[].check.kind", "\"http\""), ("site[].check.interval", "\"100ms\"")];

/// What is asked, and what is right.
pub(super) fn answers() -> Group {
    let mut base = EAGER.to_vec();
    base.extend([("site[].check.rise", "1"), ("site[].check.fall", "1")]);
    checked(&base, |state| {
        let turns = Arc::new(Mutex::new(()));
        let told = |option: &'static str, values: [&str; 2]| {
            let (state, turns) = (Arc::clone(&state), Arc::clone(&turns));
            row(option, values, ["used", "left alone"], move |scene| {
                let _turn = turns.lock().expect("no look panics twice");
                state.some_more();
                word(is_well(scene))
            })
        };
        vec![
            told("site[].check.path", ["\"/up\"", "\"/down\""]),
            told("site[].check.host", ["\"up.example\"", "\"down.example\""]),
            told("site[].check.status", ["\"200-399\"", "\"204\""]),
            told("site[].check.body", ["\"fine\"", "\"other\""]),
            told("site[].check.field", ["\"X-Ready: yes\"", "\"X-Ready: no\""]),
        ]
    })
}

pub(super) fn falling() -> Group {
    let mut base = EAGER.to_vec();
    base.extend([("site[].check.path", "\"/down\"")]);
    checked(&base, |state| {
        let look = alone(move |scene| {
            state.some_more();
            word(is_well(scene))
        });
        vec![row("site[].check.fall", ["1", "100"], ["left alone", "used"], look)]
    })
}

pub(super) fn rising() -> Group {
    let mut base = EAGER.to_vec();
    base.extend([("site[].check.fall", "1")]);
    checked(&base, |state| {
        let look = alone(move |scene| {
            state.is_bad.store(true, Ordering::SeqCst);
            eventually("it is known to be down", || (!is_well(scene)).then_some(()));
            state.is_bad.store(false, Ordering::SeqCst);
            state.some_more();
            word(is_well(scene))
        });
        vec![row("site[].check.rise", ["1", "100"], ["used", "left alone"], look)]
    })
}

pub(super) fn check_intervals() -> Group {
    checked(&[("site[].check.kind", "\"http\"")], |state| {
        let look = move |scene: &Scene| {
            let (asked, before) = (Instant::now(), state.count());
            // Two may come at once: the first of a pool, and one that was under way.
            while asked.elapsed() < scene.patience() && state.count() < before + 4 {
                thread::yield_now();
            }
            if state.count() < before + 4 { "seldom" } else { "often" }.to_owned()
        };
        let values = ["\"1h\"", "\"100ms\""];
        vec![row("site[].check.interval", values, ["seldom", "often"], look)]
    })
}

pub(super) fn check_timeouts() -> Group {
    let mut base = EAGER.to_vec();
    base.extend([("site[].check.path", "\"/slow\""), ("site[].check.fall", "1")]);
    checked(&base, |state| {
        let look = alone(move |scene| {
            state.some_more();
            word(is_well(scene))
        });
        let values = ["\"10s\"", "\"50ms\""];
        vec![row("site[].check.timeout", values, ["used", "left alone"], look)]
    })
}

/// Forty requests at a time, half of which have to be tried again.
pub(super) fn repeating() -> Group {
    let bad = Origin::start(|_, to| to.break_off());
    let slow = Origin::start(|_, to| {
        thread::sleep(std::time::Duration::from_millis(400));
        to.cacheable("x");
    });
    let base = [("site[].origin.balance", "\"turns\""), ("site[].health.failures", "0")];
    let mut group = Group::before(&[bad.url(), slow.url()], &base);
    let look = |scene: &Scene| {
        let clients: Vec<_> = (0..40)
            .map(|_| {
                let mut client = scene.edge.client();
                let path = scene.path("/");
                client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
                client
            })
            .collect();
        let failed = clients.into_iter().any(|mut client| client.response(false).status != 200);
        if failed { "some failed" } else { "all were answered" }.to_owned()
    };
    let seen = ["all were answered", "some failed"];
    group.rows = vec![row("site[].origin.retry_share", ["100", "0"], seen, look)];
    group.actors = vec![Box::new(bad), Box::new(slow)];
    group
}

/// One of two origins is late now and then.
pub(super) fn hedging() -> Group {
    let late = Origin::start(|request, to| {
        if request.target.starts_with("/late") { to.until_closed() } else { to.cacheable("x") }
    });
    let quick = Origin::constant("x");
    let base = [("site[].origin.balance", "\"turns\"")];
    let mut group = Group::before(&[late.url(), quick.url()], &base);
    let look = |scene: &Scene| {
        let mut client = scene.edge.client();
        for _ in 0..80 {
            client.request("GET", &scene.path("/usual"), &[], b"");
        }
        let is_late = (0..2).any(|_| {
            let mut stream = connect(scene.edge.address);
            let path = scene.path("/late");
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("written");
            ends(&mut stream, scene.patience()) == "open"
        });
        if is_late { "late" } else { "in time" }.to_owned()
    };
    group.rows = vec![row("site[].origin.hedge", ["false", "true"], ["late", "in time"], look)];
    group.actors = vec![Box::new(late), Box::new(quick)];
    group
}

pub(super) fn adapting() -> Group {
    let origin = Origin::constant("x");
    let mut group = Group::before(&[origin.url()], &[]);
    let look = |scene: &Scene| {
        let limit = origins(scene)[0]["limit"].as_u64().expect("a number");
        if limit == 1024 { "as configured" } else { "found out" }.to_owned()
    };
    let seen = ["as configured", "found out"];
    group.rows = vec![row("site[].origin.adaptive", ["false", "true"], seen, look)];
    group.actors = vec![Box::new(origin)];
    group
}
