//! Purges through the admin plane: what each selector takes out, and what it leaves.

use harness::{Edge, Origin, Response};

/// A node before an origin whose answers tell their number and carry tags from the query:
/// `/a?tags=x,y`.
fn node() -> (Origin, Edge) {
    let origin = Origin::start(|request, to| {
        let tags = request.target.split_once("tags=").map_or("", |(_, tags)| tags);
        let fields = [("Cache-Control", "max-age=60"), ("Cache-Tag", tags), ("ETag", "\"v\"")];
        if request.field("if-none-match") == "\"v\"" {
            to.send(304, &fields, "");
        } else {
            to.send(200, &fields, format!("{}", request.number));
        }
    });
    let edge = Edge::before(&origin);
    (origin, edge)
}

/// A place: host and path.
type Place = (&'static str, &'static str);

const A: &str = "a.example";
const B: &str = "b.example";

const PLACES: [Place; 12] = [
    (A, "/"),
    (A, "/list"),
    (A, "/list?tags=x"),
    (A, "/list?tags=x,y"),
    (A, "/list?tags=y"),
    (A, "/list/one"),
    (A, "/list/one/deep?tags=y"),
    (A, "/listing"),
    (A, "/LIST"),
    (B, "/list"),
    (B, "/list?tags=x"),
    (B, "/list/one"),
];

fn ask(edge: &Edge, (host, path): Place) -> Response {
    edge.client().request_to(host, "GET", path, &[], b"")
}

/// Stores all places, purges, and returns those that are not hits any more.
fn gone_after(selector: &str) -> Vec<Place> {
    let (_origin, edge) = node();
    for place in &PLACES {
        ask(&edge, *place);
        harness::eventually("it is stored", || ask(&edge, *place).is_hit().then_some(()));
    }
    edge.purge(selector);
    let only_if_cached = [("Cache-Control", "only-if-cached")];
    let is_gone = |(host, path): &Place| {
        let answer = edge.client().request_to(host, "GET", path, &only_if_cached, b"");
        answer.status == 504
    };
    PLACES.into_iter().filter(is_gone).collect()
}

#[test]
fn a_url_selects_exactly_itself() {
    assert_eq!(gone_after(r#"{"url":"http://a.example/list"}"#), [(A, "/list")]);
    assert_eq!(gone_after(r#"{"url":"http://a.example/list?tags=x"}"#), [(A, "/list?tags=x")]);
    assert_eq!(gone_after(r#"{"url":"https://A.Example:443/list/one"}"#), [(A, "/list/one")]);
}

#[test]
fn a_prefix_selects_itself_and_what_is_below_by_whole_segments() {
    let below = [
        (A, "/list"),
        (A, "/list?tags=x"),
        (A, "/list?tags=x,y"),
        (A, "/list?tags=y"),
        (A, "/list/one"),
        (A, "/list/one/deep?tags=y"),
    ];
    assert_eq!(gone_after(r#"{"prefix":"http://a.example/list"}"#), below);
    assert_eq!(
        gone_after(r#"{"prefix":"http://b.example/"}"#),
        [PLACES[9], PLACES[10], PLACES[11]]
    );
    assert_eq!(gone_after(r#"{"prefix":"http://a.example/list/one"}"#), below[4..]);
}

#[test]
fn tags_select_what_carries_any_of_them_on_every_host() {
    let x = [(A, "/list?tags=x"), (A, "/list?tags=x,y"), (B, "/list?tags=x")];
    assert_eq!(gone_after(r#"{"tag":"x"}"#), x);
    assert_eq!(
        gone_after(r#"{"tags":["nobody's","y"]}"#),
        [(A, "/list?tags=x,y"), (A, "/list?tags=y"), (A, "/list/one/deep?tags=y")]
    );
    assert_eq!(gone_after(r#"{"tag":"X"}"#), []);
}

#[test]
fn a_host_selects_all_of_it_and_nothing_of_others() {
    assert_eq!(gone_after(r#"{"host":"B.example"}"#), PLACES[9..]);
    assert_eq!(gone_after(r#"{"host":"example"}"#), []);
}

#[test]
fn a_site_and_everything_select_everything_here() {
    let (_origin, edge) = node();
    let site = edge.admin("GET", "/v1/status", "").json()["sites"][0]["name"].clone();
    drop(edge);
    assert_eq!(gone_after(&format!("{{\"site\":{site}}}")), PLACES);
    assert_eq!(gone_after(r#"{"everything":true}"#), PLACES);
}

#[test]
fn a_site_narrows_another_selector() {
    let dir = harness::temp::dir();
    let origin = Origin::start(|_, to| {
        to.send(200, &[("Cache-Control", "max-age=60"), ("Surrogate-Key", "t u")], "x");
    });
    let file = dir.path().join("edge.toml");
    let url = origin.url();
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [[site]]\nname = \"one\"\nhosts = [\"a.example\"]\norigins = [\"{url}\"]\n\
         [[site]]\nname = \"two\"\nhosts = [\"b.example\"]\norigins = [\"{url}\"]\n"
    );
    std::fs::write(&file, text).expect("a scratch file");
    let edge = Edge::configured(&file);
    let fill = || [(A, "/"), (B, "/")].map(|place| ask(&edge, place).is_hit());
    fill();
    harness::eventually("both are stored", || (fill() == [true, true]).then_some(()));
    edge.purge(r#"{"tag":"u","site":"two"}"#);
    assert_eq!(fill(), [true, false]);
    harness::eventually("both are stored", || (fill() == [true, true]).then_some(()));
    edge.purge(r#"{"site":"one"}"#);
    assert_eq!(fill(), [false, true]);
    harness::eventually("both are stored", || (fill() == [true, true]).then_some(()));
    edge.purge(r#"{"everything":true,"site":"two"}"#);
    assert_eq!(fill(), [true, false]);
    assert_eq!(edge.admin("POST", "/v1/purges", r#"{"site":"three"}"#).status, 422);
}

#[test]
fn all_variants_of_a_url_go_together() {
    let origin = Origin::start(|request, to| {
        let fields = [("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")];
        to.send(200, &fields, format!("{}", request.number));
    });
    let edge = Edge::before(&origin);
    let ask = || ["de", "en", "fr"].map(|l| edge.get_with("/a", &[("Accept-Language", l)]));
    ask();
    let before = ask();
    assert!(before.iter().all(Response::is_hit));
    edge.purge(r#"{"url":"http://test.example/a"}"#);
    let after = ask();
    assert!(after.iter().all(|answer| !answer.is_hit()), "{after:?}");
    assert!(after.iter().zip(&before).all(|(new, old)| new.body != old.body));
}

#[test]
fn a_hard_purge_forgets_even_the_validator() {
    let (origin, edge) = node();
    edge.get("/a");
    edge.purge(r#"{"url":"http://test.example/a"}"#);
    assert_eq!(edge.get("/a").text(), "1");
    assert_eq!(origin.requests()[1].count("if-none-match"), 0);
    assert!(edge.get("/a").is_hit());
}

#[test]
fn a_soft_purge_makes_stale_and_a_validation_makes_good_again() {
    let (origin, edge) = node();
    edge.get("/a");
    edge.purge(r#"{"url":"http://test.example/a","soft":true}"#);
    let validated = edge.get("/a");
    assert_eq!(validated.text(), "0");
    assert!(validated.field("cache-status").contains("fwd=stale"), "{validated:?}");
    assert_eq!(origin.requests()[1].field("if-none-match"), "\"v\"");
    assert!(edge.get("/a").is_hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn softly_purged_content_stands_in_while_it_is_refreshed_and_hard_purged_never() {
    let origin = Origin::start(|request, to| {
        if request.number == 0 {
            let directives = "max-age=60, stale-while-revalidate=60, stale-if-error=60";
            to.send(200, &[("Cache-Control", directives), ("Surrogate-Key", "t")], "old");
        } else {
            to.break_off();
        }
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    edge.purge(r#"{"tag":"t","soft":true}"#);
    let stale = edge.get("/a");
    assert_eq!((stale.status, stale.text().as_str()), (200, "old"), "{stale:?}");
    edge.purge(r#"{"tag":"t"}"#);
    let gone = edge.get("/a");
    assert!(gone.status >= 500 && gone.text() != "old", "{gone:?}");
    // A soft purge after the hard one does not bring it back.
    edge.purge(r#"{"tag":"t","soft":true}"#);
    assert!(edge.get("/a").status >= 500);
}

#[test]
fn a_purge_of_twenty_thousand_objects_takes_about_as_long_as_one_of_a_thousand() {
    let dir = harness::temp::dir();
    let origin = Origin::start(|_, to| {
        to.send(200, &[("Cache-Control", "max-age=600"), ("Cache-Tag", "all")], "x");
    });
    let disk = dir.path().join("cache");
    let edge = Edge::start(&[
        "--origin",
        &origin.url(),
        "--disk",
        disk.to_str().expect("a plain path"),
        "--disk-size",
        "512MiB",
    ]);
    let mut client = edge.client();
    let mut took = Vec::new();
    for objects in [1_000, 20_000] {
        for first in (0..objects).step_by(50) {
            let mut requests = Vec::new();
            for number in first..first + 50 {
                let request = format!("GET /{number} HTTP/1.1\r\nHost: test.example\r\n\r\n");
                requests.extend(request.into_bytes());
            }
            client.send(&requests);
            (0..50).for_each(|_| assert_eq!(client.response(false).status, 200));
        }
        // The best of a few: what a purge must cost, without what else the machine does.
        let best = (0..5)
            .map(|_| {
                let started = std::time::Instant::now();
                edge.purge(r#"{"tag":"all"}"#);
                started.elapsed()
            })
            .min();
        took.push(best.expect("five purges"));
        for number in (0..objects).step_by(97) {
            let path = format!("/{number}");
            let only = [("Cache-Control", "only-if-cached")];
            assert_eq!(client.request("GET", &path, &only, b"").status, 504, "{path}");
        }
    }
    // Twenty times the objects: work in proportion to them would show.
    let slack = std::time::Duration::from_millis(50);
    assert!(took[1] < took[0] * 10 + slack, "{took:?}");
}
