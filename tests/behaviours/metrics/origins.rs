//! Origins: requests that go out once more, health, places.

use harness::{Client, ConfigFile, Edge, Origin, config, content};

use super::Book;

pub(super) fn repeats(book: &Book) {
    // A kept connection that is found dead: its second request gets no answer, a fresh one does.
    let stale =
        Origin::start(
            |request, to| {
                if request.number == 1 { to.close() } else { to.send(200, &[], "x") }
            },
        );
    let edge = Edge::start(&["--origin", &stale.url(), "--workers", "1"]);
    let mut client = edge.client();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.request("GET", path, &[], b"").status, 200);
    }
    assert_eq!((stale.count(), stale.connections()), (4, 2));
    book.counts(&edge, "selvedge_origin_repeats_total", &["kind=\"fresh\""], 1);

    // One of two breaks off: the other is asked.
    let (broken, well) = (Origin::start(|_, to| to.close()), Origin::constant("x"));
    let more = "[site.origin]\nbalance = \"turns\"\n";
    let edge = ConfigFile::new("", &config::site(&[&broken, &well], more)).start();
    for path in ["/1", "/2"] {
        assert_eq!(edge.get(path).status, 200);
    }
    let asked = format!("origin=\"{}\"", broken.url());
    let labels = ["kind=\"retry\"", asked.as_str()];
    book.counts(&edge, "selvedge_origin_repeats_total", &labels, broken.count());
    book.counts(&edge, "selvedge_origin_requests_total", &["outcome=\"broken\""], broken.count());
    book.counts(&edge, "selvedge_origin_requests_total", &["outcome=\"ok\""], well.count());
}

pub(super) fn health(book: &Book) {
    let origin = Origin::constant("x");
    let edge = ConfigFile::new("", &config::site(&[&origin], "")).start();
    let rule = |rule: &str| {
        let said = format!(r#"{{"site":"all","origin":"{}","rule":"{rule}"}}"#, origin.url());
        assert_eq!(edge.admin("POST", "/v1/origins", &said).status, 200);
    };
    let healthy = ("selvedge_origin_healthy", &["site=\"all\""] as &[&str]);
    book.moves(&edge, healthy, (1.0, 0.0), || rule("disabled"));
    book.moves(&edge, healthy, (0.0, 1.0), || rule("enabled"));
    book.counts(&edge, "selvedge_origin_events_total", &["event=\"operator\""], 2);
}

pub(super) fn places(book: &Book) {
    let origin = Origin::start(|request, to| {
        let length = if request.target == "/large" { 32 << 20 } else { 3 };
        to.send(200, &[("Cache-Control", "no-store")], content(&request.target, length));
    });
    let site = config::site(&[&origin], "[site.origin]\nconnections_max = 1\n");
    let edge = ConfigFile::new("", &site).start();
    let mut slow = Client::narrow(edge.address);
    slow.send(b"GET /large HTTP/1.1\r\nHost: test.example\r\n\r\n");
    assert_eq!(slow.head().expect("a head").0, 200);
    assert_eq!(edge.get("/small").status, 200, "who takes nothing gives up its place");
    book.counts(&edge, "selvedge_origin_places_taken_back_total", &[], 1);
}
