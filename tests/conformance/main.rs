//! Suites that others wrote, and the list of what does not pass with the reason: one list for every
//! way to run a node.
//!
//! A test that fails without standing in `expected.toml` is a failure here; so is one that stands
//! there and passes, so that the list cannot rot. To write the list anew, with the reasons kept:
//!
//! ```text
//! SELVEDGE_CONFORMANCE_REWRITE=1 cargo test -p selvedge-tests --test conformance
//! ```
//!
//! A new entry then carries what the suite said, marked as unexplained: this fails until a person
//! has written a reason.

mod expected;
mod http_cache_suite;
mod nodes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expected::Expected;
use http_cache_suite::{Kind, Outcome, Suite};
use nodes::{Door, Nodes};

/// Least number of tests that must pass.
const REQUIRED_MIN: usize = 120;
/// Least number of optimal answers.
const OPTIMAL_MIN: usize = 60;

/// Tests of the suite that run at the same time.
const AT_ONCE: usize = 50;
/// The same when something surprising is asked again, calmly: the suite counts in whole seconds,
/// and a machine that was busy with other things must not make a finding.
const AT_ONCE_CALM: usize = 4;
/// How often. What surprised once must be as expected every time: a fault that comes and goes
/// is found by the next run if not by this one.
const CALM_RUNS: usize = 2;
/// Most tests that may surprise once and then no more. So many at once are no accident.
const FLICKERS_MAX: usize = 3;

#[test]
fn the_suite_gives_what_is_expected_in_memory() {
    let suite = Suite::start();
    let nodes = Nodes::start(&["--origin", &suite.origin_url(), "--memory", "64MiB"]);
    let mut expected = Expected::read(&list());
    let outcomes = outcomes(&suite, &nodes.plain(), &expected);
    if std::env::var_os("SELVEDGE_CONFORMANCE_REWRITE").is_some() {
        expected.rewrite(&outcomes);
        expected.write(&list());
    }
    assert_expected(&expected, &outcomes);
}

/// The same node on a disk: first empty, then with what it read back after a restart.
#[test]
fn the_suite_gives_the_same_on_a_disk_and_after_a_restart() {
    let suite = Suite::start();
    let disk = harness::temp::dir();
    let folder = disk.path().to_str().expect("a plain name");
    let origin = suite.origin_url();
    let arguments =
        ["--origin", &origin, "--memory", "16MiB", "--disk", folder, "--disk-size", "256MiB"];
    for _ in ["empty", "warm"] {
        let nodes = Nodes::start(&arguments);
        same(&suite, &nodes.plain());
        assert_eq!(nodes.stop().code(), Some(0));
    }
}

#[test]
fn the_suite_gives_the_same_over_tls() {
    let suite = Suite::start();
    let nodes = Nodes::with_tls(&suite.origin_url());
    same(&suite, &nodes.tls(false));
}

#[test]
fn the_suite_gives_the_same_over_http2() {
    let suite = Suite::start();
    let nodes = Nodes::with_tls(&suite.origin_url());
    same(&suite, &nodes.tls(true));
}

#[test]
fn the_suite_gives_the_same_behind_a_parent() {
    let suite = Suite::start();
    let nodes = Nodes::behind_a_parent(&suite.origin_url());
    same(&suite, &nodes.plain());
}

#[test]
fn the_suite_gives_the_same_with_eight_workers() {
    let suite = Suite::start();
    let nodes = Nodes::start(&["--origin", &suite.origin_url(), "--workers", "8"]);
    same(&suite, &nodes.plain());
}

/// A site that asks for the ranges that clients ask for, and believes the octets of a 206 that
/// contradicts itself (the suite's origin has no others), passes four tests more, and no other
/// differently.
#[test]
fn a_site_that_asks_for_ranges_and_believes_octets_passes_four_more() {
    let suite = Suite::start();
    let more = "[site.ranges]\nfetch = \"asked\"\nmismatch = \"octets\"";
    let nodes = Nodes::with_site(&suite.origin_url(), more);
    let expected = Expected::read(&list());
    let outcomes = outcomes(&suite, &nodes.plain(), &expected);
    let differing = outcomes.iter().filter(|it| expected.is_surprised_by(it));
    let differing: BTreeSet<&str> = differing.map(|it| it.id.as_str()).collect();
    let four = [
        "partial-store-partial-reuse-partial",
        "partial-store-partial-reuse-partial-absent",
        "partial-store-partial-reuse-partial-byterange",
        "partial-store-partial-reuse-partial-suffix",
    ];
    assert_eq!(differing, BTreeSet::from(four));
}

fn list() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/expected.toml")
}

/// Runs the suite through a door and holds what came against the list.
fn same(suite: &Suite, door: &Door) {
    let expected = Expected::read(&list());
    assert_expected(&expected, &outcomes(suite, door, &expected));
}

/// What came of every test; what surprised was asked once more, calmly.
fn outcomes(suite: &Suite, door: &Door, expected: &Expected) -> Vec<Outcome> {
    let mut outcomes = suite.run(door, AT_ONCE, &[]);
    let surprising: Vec<String> =
        outcomes.iter().filter(|it| expected.is_surprised_by(it)).map(|it| it.id.clone()).collect();
    let mut flickers = Vec::new();
    if !surprising.is_empty() {
        let again: Vec<_> =
            (0..CALM_RUNS).map(|_| suite.run(door, AT_ONCE_CALM, &surprising)).collect();
        flickers = calmed(expected, &mut outcomes, &again);
    }
    for flicker in &flickers {
        println!("{flicker}");
    }
    assert!(flickers.len() <= FLICKERS_MAX, "{} tests come and go: see above", flickers.len());
    outcomes
}

fn assert_expected(expected: &Expected, outcomes: &[Outcome]) {
    let passed = |kind| outcomes.iter().filter(|it| it.kind == kind && it.passed).count();
    let all = |kind| outcomes.iter().filter(|it| it.kind == kind).count();
    for kind in Kind::ALL {
        println!("{}: {} of {} pass", kind.name(), passed(kind), all(kind));
    }
    let wrong = complaints(expected, outcomes);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!([all(Kind::Required), all(Kind::Optimal), all(Kind::Check)], [165, 95, 90]);
    assert!(passed(Kind::Required) >= REQUIRED_MIN);
    assert!(passed(Kind::Optimal) >= OPTIMAL_MIN);
}

/// Takes the calm answer of a surprising test where every calm run gave the expected one; says
/// which those are, and what they had said first. Where any of them surprised, too, that stands.
fn calmed(expected: &Expected, outcomes: &mut [Outcome], again: &[Vec<Outcome>]) -> Vec<String> {
    let mut flickers = Vec::new();
    for outcome in outcomes.iter_mut().filter(|it| expected.is_surprised_by(it)) {
        let calm: Vec<_> = again.iter().flatten().filter(|it| it.id == outcome.id).collect();
        match calm.iter().find(|it| expected.is_surprised_by(it)) {
            Some(surprise) => outcome.clone_from(surprise),
            None if calm.len() == again.len() && !calm.is_empty() => {
                let first = if outcome.passed { "passed" } else { outcome.said.as_str() };
                flickers.push(format!("{} surprised once, then no more: {first}", outcome.id));
                outcome.clone_from(calm[0]);
            }
            None => {} // It was not asked again each time: the surprise stands.
        }
    }
    flickers
}

#[test]
fn what_comes_and_goes_is_told_and_what_surprises_twice_stands() {
    let outcome = |id: &str, passed| Outcome {
        id: id.to_owned(),
        kind: Kind::Required,
        name: "a name".to_owned(),
        passed,
        said: if passed { String::new() } else { "a complaint".to_owned() },
    };
    let expected = Expected::parse("[required]\n");
    let mut outcomes = [outcome("once", false), outcome("twice", false), outcome("fine", true)];
    let again = [
        vec![outcome("once", true), outcome("twice", true)],
        vec![outcome("once", true), outcome("twice", false)],
    ];
    let told = calmed(&expected, &mut outcomes, &again);
    assert_eq!(told, ["once surprised once, then no more: a complaint"]);
    assert_eq!(complaints(&expected, &outcomes), ["twice fails: a complaint (a name)"]);
}

/// Every difference between what came and what is expected, as a line for people.
fn complaints(expected: &Expected, outcomes: &[Outcome]) -> Vec<String> {
    let mut wrong = Vec::new();
    for outcome in outcomes.iter().filter(|it| expected.is_surprised_by(it)) {
        let Outcome { id, name, said, .. } = outcome;
        wrong.push(if outcome.passed {
            format!("{id} passes now: take it from the list ({name})")
        } else {
            format!("{id} fails: {said} ({name})")
        });
    }
    let known: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
    for (id, reason) in expected.entries() {
        if !known.contains(id) {
            wrong.push(format!("{id} is on the list and no test of the suite"));
        } else if Expected::is_unexplained(reason) {
            wrong.push(format!("{id} is on the list without a reason: {reason}"));
        }
    }
    wrong
}

#[test]
fn a_list_that_rots_is_noticed() {
    let outcome = |id: &str, passed| Outcome {
        id: id.to_owned(),
        kind: Kind::Required,
        name: "a name".to_owned(),
        passed,
        said: if passed { String::new() } else { "a complaint".to_owned() },
    };
    let list = "[required]\n\"known\" = \"a reason\"\n\"gone\" = \"a reason\"\n";
    let expected = Expected::parse(list);
    let outcomes = [outcome("known", true), outcome("new", false), outcome("fine", true)];
    let wrong = complaints(&expected, &outcomes).join("\n");
    for part in ["known passes now", "new fails: a complaint", "gone is on the list"] {
        assert!(wrong.contains(part), "{wrong}");
    }

    let mut rewritten = Expected::parse(list);
    rewritten.rewrite(&[outcome("known", false), outcome("new", false)]);
    let text = rewritten.to_string();
    assert!(text.contains("\"known\" = \"a reason\"") && !text.contains("gone"), "{text}");
    let wrong =
        complaints(&Expected::parse(&text), &[outcome("known", false), outcome("new", false)]);
    assert!(wrong.len() == 1 && wrong[0].starts_with("new is on the list without"), "{wrong:?}");
}
