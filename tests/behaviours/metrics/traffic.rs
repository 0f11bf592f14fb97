//! What clients are answered with.

use harness::{Edge, Origin, eventually, temp};

use super::{Book, close};
use crate::parts_prometheus::{AMOUNTS, Release, node, origin, produce};

/// Bytes that each outcome of [`AMOUNTS`] hands out; the pages of ours are compared by their size.
fn bytes(cache: &str) -> Option<usize> {
    Some(match cache {
        "hit" => 7 * "an answer".len(),
        "stale" => 3 * "stale".len(),
        "revalidated" => 2 * "revalidated".len(),
        "miss" => "an answer".len() + "stale".len() + "revalidated".len() + "collapsed".len(),
        "collapsed" => 5 * "collapsed".len(),
        "pass" => 6 * "an answer".len(),
        _ => return None,
    })
}

pub(super) fn answers(book: &Book) {
    let (held, dir) = (Release::default(), temp::dir());
    let origin = origin(&held);
    let edge = node(&origin, &dir);
    let before = edge.metrics();
    assert!(before.sum("selvedge_hit_ratio", &[]).is_nan(), "nobody has asked");
    produce(&edge, &held);
    for (cache, amount) in AMOUNTS {
        let label = format!("cache=\"{cache}\"");
        let labels = ["site=\"shop\"", label.as_str()];
        book.counts(&edge, "selvedge_requests_total", &labels, amount);
        for histogram in ["selvedge_request_ttfb_seconds", "selvedge_request_duration_seconds"] {
            let metrics = edge.metrics();
            let part = |name: &str| metrics.sum(&format!("{histogram}_{name}"), &labels);
            assert!(close(part("count"), amount as f64), "{histogram} {cache}");
            assert!(part("sum") > 0.0 && part("sum") < 60.0, "{histogram} {cache}");
            book.note(histogram);
        }
        if let Some(bytes) = bytes(cache) {
            book.counts(&edge, "selvedge_response_bytes_total", &labels, bytes);
        }
    }
    let amount = |names: &[&str]| -> f64 {
        AMOUNTS.iter().filter(|(name, _)| names.contains(name)).map(|(_, n)| *n as f64).sum()
    };
    let size = |names: &[&str]| names.iter().filter_map(|name| bytes(name)).sum::<usize>() as f64;
    let hits = ["hit", "stale", "revalidated", "collapsed"];
    let all = ["hit", "stale", "revalidated", "collapsed", "miss", "pass"];
    let shop = &["site=\"shop\""];
    book.reaches(&edge, "selvedge_hit_ratio", shop, amount(&hits) / amount(&all));
    book.reaches(&edge, "selvedge_byte_hit_ratio", shop, size(&hits) / size(&all));
    book.counts(&edge, "selvedge_errors_total", &["cause=\"origin_broke\""], 2);
    asked(book, &edge, &origin);
    process(book, &edge);
}

/// The origin's own count of what it was asked.
fn asked(book: &Book, edge: &Edge, origin: &Origin) {
    let name = "selvedge_origin_requests_total";
    // What broke on a kept connection and went out on a fresh one at once ended there.
    let fresh = edge.metrics().count("selvedge_origin_repeats_total", &["kind=\"fresh\""]);
    let errors = origin.requests().iter().filter(|request| request.target == "/error").count();
    assert_eq!(errors - fresh, 2, "one for each client");
    let broken = errors - fresh;
    let not_modified =
        origin.requests().iter().filter(|request| request.count("if-none-match") > 0).count();
    assert_eq!(not_modified, 2);
    book.counts(edge, name, &["outcome=\"broken\""], broken);
    book.counts(edge, name, &["outcome=\"not_modified\""], not_modified);
    book.counts(edge, name, &["outcome=\"ok\""], origin.count() - errors - not_modified);
    book.counts(edge, name, &["site=\"shop\""], origin.count() - fresh);
}

fn process(book: &Book, edge: &Edge) {
    let first = edge.metrics().sum("selvedge_uptime_seconds", &[]);
    eventually("time goes on", || {
        let now = edge.metrics().sum("selvedge_uptime_seconds", &[]);
        (now > first && now < first + 60.0).then_some(())
    });
    book.note("selvedge_uptime_seconds");
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    book.counts(edge, "selvedge_build_info", &[&version], 1);
}

pub(super) fn interim_responses(book: &Book) {
    let origin = Origin::start(|_, to| {
        to.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
        to.cacheable("x");
    });
    let edge = Edge::before(&origin);
    for path in ["/1", "/2", "/2"] {
        let mut client = edge.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let (status, _) = client.head().expect("a head");
        assert!(status == 103 || status == 200);
        if status == 103 {
            assert_eq!(client.response(false).status, 200);
        }
    }
    // The third was a hit: what was stored has none.
    book.counts(&edge, "selvedge_interim_responses_total", &[], 2);
}
