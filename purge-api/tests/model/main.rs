//! The protocol of purges as a model, checked exhaustively at small size.
//!
//! The model knows one resource, purges by URL and by tag, hard and soft, clients, fetches with
//! and without a condition, a memory that is lost and a disk that is not. A ghost beside it knows
//! what nobody in the system can know: which purges were accepted when the bytes of a response
//! were asked for. The promise is an invariant over the ghost:
//!
//! > a purge that was acknowledged before a request arrived is known to whatever that request is
//! > answered with: to its bytes if the purge is hard, to its last validation if it is soft and
//! > the answer counts as fresh.
//!
//! Each rule of the protocol can be left out ([`Rule`]); every one that is left out breaks the
//! promise, and the checker shows how in the fewest steps. The same stories are told to the real
//! cache in `cache/tests/weakenings.rs`.

mod node;
mod parent;
mod rule;

use std::num::NonZeroUsize;

use stateright::{Checker, HasDiscoveries, Model};

use node::{Node, Scenario};
use parent::Fleet;
use rule::Rule;

/// Far more than any of the models has; a model that grows past it fails instead of running on.
const STATES_MAX: usize = 3_000_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Whether the promise holds in every state; how it breaks otherwise.
fn check<M>(model: M) -> Result<usize, String>
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + PartialEq + std::hash::Hash + Send + Sync + 'static,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().threads(threads()).target_state_count(STATES_MAX);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    if let Some(path) = checker.discovery("the promise") {
        let steps: Vec<_> = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
        return Err(steps.join(", "));
    }
    for sometimes in ["a hit", "a purged response is not used"] {
        assert!(checker.discovery(sometimes).is_some(), "never: {sometimes}");
    }
    let states = checker.unique_state_count();
    assert!(checker.state_count() < STATES_MAX, "not exhaustive: {states} states");
    Ok(states)
}

#[test]
fn the_rules_keep_the_promise_in_every_state() {
    for scenario in Scenario::EXHAUSTIVE {
        let found = check(Node { scenario, without: None });
        let states = found.unwrap_or_else(|steps| panic!("{scenario:?}: {steps}"));
        println!("{states} states: {scenario:?}");
        assert!(states > 1_000, "{scenario:?}: {states} states are no model");
    }
}

#[test]
fn without_any_one_rule_the_promise_breaks() {
    for rule in Rule::OF_A_NODE {
        let broken = Scenario::REFUTING
            .into_iter()
            .find_map(|scenario| check(Node { scenario, without: Some(rule) }).err());
        let steps = broken.unwrap_or_else(|| panic!("{rule:?} can be left out"));
        println!("{rule:?}: {steps}");
    }
}

#[test]
fn a_child_and_its_parent_keep_the_promise_in_every_state() {
    let states = check(Fleet { without: None }).unwrap_or_else(|steps| panic!("{steps}"));
    println!("{states} states");
    assert!(states > 1_000);
}

#[test]
fn without_any_one_rule_a_parent_undoes_a_purge() {
    for rule in Rule::OF_A_FLEET {
        let broken = check(Fleet { without: Some(rule) }).err();
        println!("{rule:?}: {}", broken.unwrap_or_else(|| panic!("{rule:?} can be left out")));
    }
}
