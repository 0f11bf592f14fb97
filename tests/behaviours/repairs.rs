//! Chunks that are lost while somebody reads are fetched again, or the body breaks off visibly.

use harness::{Client, Edge, Origin, content, eventually};

const LENGTH: usize = 8 << 20;

/// An origin of one large tagged body, and of others that push it out. It has ranges if they are of
/// the version that it has: `changed` is another one.
pub(crate) fn origin(changed: fn(usize) -> bool) -> Origin {
    Origin::start(move |request, to| {
        if request.target != "/large" {
            return to.cacheable(content(&request.target, 1 << 20));
        }
        let version = if changed(request.number) { "\"v2\"" } else { "\"v1\"" };
        let body = content(if version == "\"v1\"" { "/large" } else { "/other" }, LENGTH);
        let fields = [("Cache-Control", "max-age=600"), ("ETag", version)];
        let range = request.field("range").strip_prefix("bytes=").and_then(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        });
        match range.filter(|_| request.field("if-range") == version) {
            Some((first, last)) => {
                let of = format!("bytes {first}-{last}/{LENGTH}");
                let [cache, tag] = fields;
                to.send(206, &[cache, tag, ("Content-Range", &of)], &body[first..=last]);
            }
            None => to.send(200, &fields, body),
        }
    })
}

pub(crate) fn edge(origin: &Origin) -> Edge {
    Edge::start(&["--origin", &origin.url(), "--memory", "32MiB", "--workers", "2"])
}

/// Clients that have the head of the stored body and stop reading; then the body is pushed out.
pub(crate) fn left_behind(edge: &Edge, count: usize) -> Vec<Client> {
    eventually("it is stored", || edge.get("/large").is_hit().then_some(()));
    let mut slow: Vec<_> = (0..count).map(|_| Client::narrow(edge.address)).collect();
    for client in &mut slow {
        client.send(b"GET /large HTTP/1.1\r\nHost: test.example\r\n\r\n");
        assert_eq!(client.head().expect("a head").0, 200);
    }
    for number in 0..60 {
        edge.get(&format!("/{number}"));
        edge.get(&format!("/{number}"));
    }
    slow
}

/// Everything up to the end of the body or of the connection.
pub(crate) fn rest(client: &mut Client) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < LENGTH {
        let piece = client.read_some();
        if piece.is_empty() {
            break;
        }
        got.extend_from_slice(&piece);
    }
    got
}

#[test]
fn a_slow_reader_gets_what_was_evicted_under_it_by_ranges_of_the_same_version() {
    let origin = origin(|_| false);
    let edge = edge(&origin);
    let whole = content("/large", LENGTH);
    for client in &mut left_behind(&edge, 3) {
        assert!(rest(client) == whole, "wrong or missing bytes");
    }
    let metrics = edge.metrics();
    let spliced = metrics.sum("selvedge_repairs_total", &["outcome=\"spliced\""]);
    assert!(spliced > 0.0, "nothing was lost: this test shows nothing");
    let asked: Vec<_> = origin.requests().into_iter().filter(|it| it.count("range") > 0).collect();
    assert_eq!(asked.len() as u64, spliced as u64);
    assert!(asked.iter().all(|it| it.field("if-range") == "\"v1\""));
    // They read one after the other what the first brought back.
    let chunks = LENGTH.div_ceil(65_472);
    assert!(asked.len() < chunks, "{} requests for {chunks} chunks", asked.len());
    assert_eq!(metrics.sum("selvedge_errors_total", &["cause=\"fell_behind\""]) as u64, 0);
}

#[test]
fn a_slow_reader_of_a_version_that_is_gone_sees_its_body_break_off() {
    // The first request for the body is number 0: whatever comes later is of the next version.
    let origin = origin(|number| number > 0);
    let edge = edge(&origin);
    let whole = content("/large", LENGTH);
    let mut slow = left_behind(&edge, 3);
    for client in &mut slow {
        let got = rest(client);
        assert!(got.len() < LENGTH, "bytes of two versions, or nothing was lost");
        assert!(whole.starts_with(&got), "wrong bytes");
    }
    let asked = origin.requests().into_iter().filter(|it| it.count("range") > 0).count();
    assert_eq!(asked, 1, "an origin that has refused is asked again");
    let metrics = edge.metrics();
    assert_eq!(metrics.sum("selvedge_repairs_total", &["outcome=\"refused\""]) as u64, 1);
    assert_eq!(metrics.sum("selvedge_errors_total", &["cause=\"fell_behind\""]) as u64, 3);
}
