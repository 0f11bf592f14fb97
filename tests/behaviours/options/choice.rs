//! Which of several origins a request goes to.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::{Origin, eventually, parts};
use serde_json::Value;

use super::scene::{Scene, connect};
use super::{Group, row};

/// Two origins that answer anything, and how often both were asked.
fn two() -> ([Origin; 2], Arc<[AtomicUsize; 2]>) {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let origin = |index: usize| {
        let counts = Arc::clone(&counts);
        Origin::start(move |request, to| {
            if request.target.starts_with("/held") {
                to.until_closed();
                return;
            }
            counts[index].fetch_add(1, Ordering::SeqCst);
            to.send(200, &[("X-Origin", ["a", "b"][index])], "x");
        })
    };
    ([origin(0), origin(1)], counts)
}

/// Asks several times past the cache: `one` or `both`, by who answered.
fn who(scene: &Scene, path: impl Fn() -> String, times: usize) -> &'static str {
    let mut client = scene.edge.client();
    let mut answer = || {
        let fields = [("X-User", "me")];
        client.request("POST", &path(), &fields, b"").field("x-origin").to_owned()
    };
    let first = answer();
    if (1..times).all(|_| answer() == first) { "one" } else { "both" }
}

/// The origins of the only site, as `/v1/status` tells of them.
pub(super) fn origins(scene: &Scene) -> Vec<Value> {
    let status = scene.edge.admin("GET", "/v1/status", "").json();
    status["sites"][0]["origins"].as_array().expect("a list").clone()
}

/// Says what is to become of an origin.
pub(super) fn rule(scene: &Scene, index: usize, rule: &str) {
    let name = origins(scene)[index]["name"].as_str().expect("a name").to_owned();
    let said = format!(r#"{{"site":"all","origin":"{name}","rule":"{rule}"}}"#);
    assert_eq!(scene.edge.admin("POST", "/v1/origins", &said).status, 200);
}

/// How it is chosen, and by what.
pub(super) fn choosing() -> Group {
    let (origins, counts) = two();
    let urls: Vec<_> = origins.iter().map(Origin::url).collect();
    let mut group = Group::before(&urls, &[]);
    group.rows = vec![
        row("site[].origin.balance", ["\"turns\"", "\"hash\""], ["both", "one"], |scene| {
            let path = scene.path("/same");
            who(scene, || path.clone(), 8).to_owned()
        }),
        row("site[].origin.sticky", ["", "\"bound\""], ["no cookie", "a cookie"], |scene| {
            let answer = scene.edge.client().request("POST", "/", &[], b"");
            let bound = answer.field("set-cookie").starts_with("bound=");
            if bound { "a cookie" } else { "no cookie" }.to_owned()
        }),
    ];
    group.actors = vec![Box::new(origins), Box::new(counts)];
    group
}

/// What a hash is made of.
pub(super) fn hashing() -> Group {
    let (origins, counts) = two();
    let urls: Vec<_> = origins.iter().map(Origin::url).collect();
    let base = [("site[].origin.balance", "\"hash\"")];
    let mut group = Group::before(&urls, &base);
    let hash_by = ["\"key\"", "\"header:X-User\""];
    group.rows = vec![row("site[].origin.hash_by", hash_by, ["both", "one"], |scene| {
        who(scene, || scene.path("/other"), 24).to_owned()
    })];
    group.actors = vec![Box::new(origins), Box::new(counts)];
    group
}

/// How much of one key an origin takes.
pub(super) fn bounding() -> Group {
    let (origins, counts) = two();
    let urls: Vec<_> = origins.iter().map(Origin::url).collect();
    let base =
        [("site[].origin.balance", "\"hash\""), ("site[].origin.hash_by", "\"header:X-User\"")];
    let mut group = Group::before(&urls, &base);
    let look = |scene: &Scene| {
        let owner = |scene: &Scene| {
            let fields = [("X-User", "me")];
            scene.edge.client().request("POST", "/", &fields, b"").field("x-origin").to_owned()
        };
        let before = owner(scene);
        let mut holder = connect(scene.edge.address);
        let held = b"POST /held HTTP/1.1\r\nHost: a\r\nX-User: me\r\nContent-Length: 0\r\n\r\n";
        holder.write_all(held).expect("written");
        let busy = || origins_busy(scene);
        eventually("the owner has one in hand", || (busy() >= 1).then_some(()));
        let told = if owner(scene) == before { "the owner" } else { "the next one" };
        drop(holder);
        eventually("nothing is in hand", || (busy() == 0).then_some(()));
        told.to_owned()
    };
    let seen = ["the owner", "the next one"];
    group.rows = vec![row("site[].origin.hash_bound", ["0", "100"], seen, look)];
    group.actors = vec![Box::new(origins), Box::new(counts)];
    group
}

fn origins_busy(scene: &Scene) -> u64 {
    origins(scene).iter().map(|origin| origin["in_flight"].as_u64().expect("a number")).sum()
}

/// Origins that come back, and a tier that is mostly down.
pub(super) fn coming_back() -> Group {
    let (origins, counts) = two();
    let urls: Vec<_> = origins.iter().map(Origin::url).collect();
    let base = [("site[].origin.balance", "\"turns\"")];
    let mut group = Group::before(&urls, &base);
    let seen_by = Arc::clone(&counts);
    let look = move |scene: &Scene| {
        rule(scene, 1, "disabled");
        rule(scene, 1, "enabled");
        let before = seen_by[1].load(Ordering::SeqCst);
        let mut client = scene.edge.client();
        for _ in 0..40 {
            assert_eq!(client.request("POST", "/", &[], b"").status, 200);
        }
        let got = seen_by[1].load(Ordering::SeqCst) - before;
        if got >= 15 { "its share" } else { "little" }.to_owned()
    };
    let seen = ["its share", "little"];
    group.rows = vec![row("site[].origin.slow_start", ["\"0s\"", "\"1h\""], seen, look)];
    group.actors = vec![Box::new(origins), Box::new(counts)];
    group
}

/// One of two origins is down.
pub(super) fn panicking() -> Group {
    let well = Origin::constant("x");
    let nobody = format!("http://127.0.0.1:{}", parts::free_port());
    let base = [
        ("site[].origin.balance", "\"turns\""),
        ("site[].health.failures", "0"),
        ("site[].check.kind", "\"connect\""),
        ("site[].check.interval", "\"100ms\""),
        ("site[].check.fall", "1"),
    ];
    let mut group = Group::before(&[well.url(), nobody], &base);
    let look = |scene: &Scene| {
        eventually("it is known to be down", || {
            (!origins(scene)[1]["healthy"].as_bool().expect("a bool")).then_some(())
        });
        let tries = || {
            let outcome = &["outcome=\"connect\""];
            scene.edge.metrics().count("selvedge_origin_requests_total", outcome)
        };
        let before = tries();
        let mut client = scene.edge.client();
        for _ in 0..10 {
            assert_eq!(client.request("POST", "/", &[], b"").status, 200);
        }
        if tries() > before { "tried" } else { "left alone" }.to_owned()
    };
    let seen = ["left alone", "tried"];
    group.rows = vec![row("site[].origin.panic", ["0", "100"], seen, look)];
    group.actors = vec![Box::new(well)];
    group
}
