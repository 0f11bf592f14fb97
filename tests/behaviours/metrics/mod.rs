//! Every metric: what moves it, and by how much.
//!
//! Each story lets known things happen to a node of its own and compares the numbers with them.
//! The [`Book`] remembers which rows of the table were compared, so a metric that nobody has seen
//! move fails the test here.

mod doors;
mod log;
mod memory;
mod origins;
mod purges;
mod storage;
mod traffic;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use harness::scrape::Scrape;
use harness::{Edge, eventually};
use selvedge::telemetry::metrics::table::TABLE;

/// Which metrics were seen to change by the amount that happened.
#[derive(Default)]
struct Book(Mutex<BTreeSet<String>>);

impl Book {
    /// A series had one value and comes to have another.
    fn moves<T>(
        &self,
        edge: &Edge,
        (metric, labels): (&str, &[&str]),
        (before, after): (f64, f64),
        act: impl FnOnce() -> T,
    ) -> T {
        assert!((before - after).abs() > f64::EPSILON, "{metric}: no change");
        assert_close(&edge.metrics(), metric, labels, before);
        let done = act();
        self.comes_to(edge, metric, labels, after);
        done
    }

    /// A series that was zero when the node started comes to have exactly this value.
    fn reaches(&self, edge: &Edge, metric: &str, labels: &[&str], value: f64) {
        assert!(value != 0.0, "{metric}: it has that value before anything happens");
        self.comes_to(edge, metric, labels, value);
    }

    fn comes_to(&self, edge: &Edge, metric: &str, labels: &[&str], value: f64) {
        // What ends an exchange is counted just after the client has its last byte.
        let is = |scrape: &Scrape| close(scrape.sum(metric, labels), value);
        eventually(&format!("{metric} {labels:?} is {value}"), || {
            is(&edge.metrics()).then_some(())
        });
        self.note(metric);
    }

    /// The same, of something that is counted.
    fn counts(&self, edge: &Edge, metric: &str, labels: &[&str], amount: usize) {
        self.reaches(edge, metric, labels, amount as f64);
    }

    /// A metric was compared in some other way.
    fn note(&self, metric: &str) {
        self.0.lock().expect("unpoisoned").insert(metric.to_owned());
    }
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

fn assert_close(scrape: &Scrape, metric: &str, labels: &[&str], value: f64) {
    let has = scrape.sum(metric, labels);
    assert!(close(has, value), "{metric} {labels:?} is {has}, not {value}");
}

/// The stories.
const STORIES: &[fn(&Book)] = &[
    traffic::answers,
    traffic::interim_responses,
    doors::connections,
    doors::refusals,
    doors::want_of_descriptors,
    log::a_full_target,
    log::names_past_the_bound,
    origins::repeats,
    origins::health,
    origins::places,
    purges::of_every_kind,
    purges::tags_and_groups,
    purges::a_ledger_that_cannot_be_written,
    purges::forgetting,
    purges::keeping,
    purges::sweeping,
    memory::refreshing,
    memory::filling,
    memory::repairing,
    storage::tiers,
    storage::a_disk_that_fails,
];

#[test]
fn every_metric_changes_by_what_happened() {
    let book = Book::default();
    let next = Mutex::new(STORIES.iter());
    let tell = || {
        loop {
            let Some(story) = next.lock().expect("unpoisoned").next() else { return };
            story(&book);
        }
    };
    // Two at a time: each starts a node.
    thread::scope(|threads| {
        threads.spawn(tell);
        threads.spawn(tell);
    });
    let seen = book.0.into_inner().expect("unpoisoned");
    let unseen: Vec<_> =
        TABLE.iter().map(|row| row.name).filter(|name| !seen.contains(*name)).collect();
    assert!(unseen.is_empty(), "no story moves these and compares the amount: {unseen:#?}");
    let unknown: Vec<_> =
        seen.iter().filter(|name| TABLE.iter().all(|row| row.name != **name)).collect();
    assert!(unknown.is_empty(), "not in the table of metrics: {unknown:#?}");
}
