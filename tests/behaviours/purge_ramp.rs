//! A soft purge of everything: readers are answered at once, and the origin is not flattened.

use std::time::{Duration, Instant};

use harness::{Edge, Origin, Response};

const RESPONSES: usize = 150;

/// A node whose responses may be used stale for an hour, refreshed so many per second.
fn node(per_second: usize) -> (harness::temp::Dir, Origin, Edge) {
    let origin = Origin::start(|request, to| {
        let directives = "max-age=600, stale-while-revalidate=3600";
        to.send(200, &[("Cache-Control", directives)], format!("{}", request.number));
    });
    let dir = harness::temp::dir();
    let file = dir.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
         [[site]]\nname = \"s\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n\
         stale.refreshes_per_second = {per_second}\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch file");
    let edge = Edge::configured(&file);
    (dir, origin, edge)
}

/// Asks for every response once on one connection; how many were fresh.
fn round(edge: &Edge) -> usize {
    let mut client = edge.client();
    let mut ask = |n| client.request("GET", &format!("/{n}"), &[], b"");
    let is_fresh =
        |answer: Response| answer.is_hit() && !answer.field("cache-status").contains("ttl=-");
    (0..RESPONSES).filter(|n| is_fresh(ask(*n))).count()
}

/// Stores all, purges softly, asks for each once. How long that took.
fn purge_and_ask(edge: &Edge) -> Duration {
    round(edge);
    harness::eventually("all are stored", || (round(edge) == RESPONSES).then_some(()));
    edge.purge(r#"{"everything":true,"soft":true}"#);
    let started = Instant::now();
    round(edge);
    started.elapsed()
}

#[test]
fn a_soft_purge_of_everything_reaches_the_origin_at_a_rate() {
    let (_dir, origin, edge) = node(20);
    let started = Instant::now();
    purge_and_ask(&edge);
    // A burst of two, and twenty in each second, counted generously from before.
    let allowed = |since: Instant| 2 + 20 * since.elapsed().as_millis() as usize / 1000 + 1;
    let asked = origin.count() - RESPONSES;
    assert!(asked <= allowed(started), "{asked} questions");
    let told = edge.metrics();
    let deferred = told.count("selvedge_refreshes_total", &["outcome=\"deferred\""]);
    let begun = told.count("selvedge_refreshes_total", &["outcome=\"started\""]);
    assert!(begun <= allowed(started), "{begun} refreshes");
    assert!(deferred >= RESPONSES - begun, "{deferred} put off, {begun} started");
    // Whoever asks keeps the refreshes going, until all are fresh again.
    harness::eventually("all are fresh", || (round(&edge) == RESPONSES).then_some(()));
    assert!(origin.count() - RESPONSES <= allowed(started) + RESPONSES);
}

#[test]
fn without_the_rate_every_reader_is_a_question_to_the_origin() {
    let (_dir, origin, edge) = node(1_000_000);
    purge_and_ask(&edge);
    harness::eventually("each was asked for", || (origin.count() == 2 * RESPONSES).then_some(()));
    let deferred = edge.metrics().count("selvedge_refreshes_total", &["outcome=\"deferred\""]);
    assert_eq!(deferred, 0);
}
