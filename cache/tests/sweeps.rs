//! The sweep: what leaves, what stays, and how far back the ledger must remember.

mod story;

use selvedge_cache::cache::{Step, Sweeper};
use selvedge_cache::invalidate::Mode::{Hard, Soft};
use selvedge_cache::invalidate::Position;
use story::ghost::Selector;
use story::{Who, World};

fn stored() -> World {
    let mut world = World::new(64 << 20);
    world.ask(Who::default());
    world.serve(0);
    world.settle();
    assert_eq!(world.cache.directory.len(), 1);
    world
}

/// A whole round in small steps.
fn round(world: &World) -> Step {
    let (mut sweeper, mut sum) = (Sweeper::default(), Step::default());
    while sum.oldest.is_none() {
        let step = sweeper.step(&world.cache, 100);
        sum.seen += step.seen;
        sum.lost += step.lost;
        sum.purged += step.purged;
        sum.oldest = step.oldest;
    }
    sum
}

#[test]
fn what_a_tag_or_everything_purged_leaves_and_the_ledger_need_not_remember() {
    for selector in [Selector::Tag("a"), Selector::Everything] {
        let mut world = stored();
        assert_eq!(round(&world), Step { seen: 1, oldest: Some(Position(0)), ..Step::default() });
        world.purge(selector, Hard);
        let step = round(&world);
        assert_eq!((step.purged, step.lost, step.oldest), (1, 0, Some(Position(1))));
        assert!(world.cache.directory.is_empty());
    }
}

#[test]
fn what_is_only_stale_or_known_by_its_url_alone_stays_and_pins_the_ledger() {
    for (selector, mode) in
        [(Selector::Tag("a"), Soft), (Selector::Url, Hard), (Selector::Tag("other"), Hard)]
    {
        let mut world = stored();
        world.purge(selector, mode);
        assert_eq!(round(&world), Step { seen: 1, oldest: Some(Position(0)), ..Step::default() });
    }
}

#[test]
fn a_fetch_under_way_pins_the_ledger_from_the_moment_it_is_sent() {
    let mut world = World::new(64 << 20);
    world.ask(Who::default());
    world.send(0);
    world.purge(Selector::Url, Hard);
    assert_eq!(round(&world).oldest, Some(Position(0)));
    // It began in the middle of a round: what it brings was fetched under what is in force.
    let mut sweeper = Sweeper::default();
    assert_eq!(sweeper.step(&world.cache, 1).oldest, None);
    world.serve(0);
    world.settle();
    let rest = std::iter::repeat_with(|| sweeper.step(&world.cache, 100)).find_map(|s| s.oldest);
    assert_eq!(rest, Some(Position(0)));
}
