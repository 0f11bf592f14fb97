//! The purge protocol was model-checked before it was built; each way of weakening it had a
//! shortest story in which somebody is given what they must not be given. Here those stories are
//! told to the cache as it is. Names are those of the model.

mod story;

use selvedge_cache::invalidate::Mode::{Hard, Soft};
use story::client::End;
use story::fetch::Answer;
use story::ghost::{Selector, Sharing};
use story::{Who, World};

const ANYBODY: Who = Who { language: 0, authorized: false, no_cache: false };

fn world() -> World {
    World::new(64 << 20)
}

/// A world in which body 0 is stored.
fn stored(sharing: Sharing) -> World {
    let mut world = world();
    world.origin.sharing = sharing;
    world.ask(ANYBODY);
    world.serve(0);
    world.settle();
    assert_eq!(world.ghost.heads.len(), 1, "it is stored");
    world
}

/// Everybody goes on to the end; the body that `client` was given, and how.
fn given(world: &mut World, client: usize) -> (usize, &'static str) {
    world.settle();
    assert_eq!(world.ghost.wrongs, Vec::<String>::new());
    let (body, given) = world.clients[client].given.expect("it was answered");
    (body, given.how)
}

#[test]
fn watermark_at_response() {
    let mut world = world();
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::Tag("a"), Hard);
    world.answer(0, Answer::Full);
    let later = world.ask(ANYBODY);
    world.serve(0);
    assert_eq!(given(&mut world, later).0, 1);
    // What was fetched before the purge does not come back as a hit either.
    let last = world.ask(ANYBODY);
    assert_eq!(given(&mut world, last), (1, "hit"));
}

#[test]
fn join_unchecked() {
    let mut world = world();
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::Url, Hard);
    let later = world.ask(ANYBODY);
    assert_eq!(world.fetches.len(), 2, "it does not wait for the older fetch");
    assert_eq!(given(&mut world, later), (1, "fill"));
}

#[test]
fn join_url_only() {
    let mut world = world();
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::Tag("a"), Hard);
    let later = world.ask(ANYBODY);
    assert_eq!(world.fetches.len(), 1, "the tags are not known yet");
    world.answer(0, Answer::Full);
    assert_eq!(given(&mut world, later), (1, "fill"));
}

#[test]
fn join_of_what_no_purge_selects() {
    let mut world = world();
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::Tag("b"), Hard);
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later), (0, "joined"));
}

#[test]
fn merge_no_base_check() {
    let mut world = stored(Sharing::Plain);
    world.pass_ms(70_000);
    world.ask(ANYBODY);
    world.purge(Selector::Url, Hard);
    world.send(1);
    let later = world.ask(ANYBODY);
    world.answer(1, Answer::Right);
    assert_eq!(given(&mut world, later).0, 1);
}

#[test]
fn waiters_by_leader_304() {
    let mut world = stored(Sharing::Short);
    world.pass_ms(6_000);
    let stale = world.ask(ANYBODY);
    world.purge(Selector::Url, Hard);
    world.send(1);
    let later = world.ask(ANYBODY);
    world.answer(1, Answer::Right);
    assert_eq!(given(&mut world, later).0, 1);
    assert_eq!(given(&mut world, stale), (0, "stale"));
}

#[test]
fn cond_after_hard() {
    let mut world = stored(Sharing::Plain);
    world.purge(Selector::Url, Hard);
    let later = world.ask(ANYBODY);
    // The origin would confirm what is stored, if it were asked.
    world.send(1);
    world.answer(1, Answer::Right);
    assert_eq!(given(&mut world, later), (1, "fill"));
}

#[test]
fn merge_replaces_tags() {
    let mut world = stored(Sharing::Short);
    world.pass_ms(6_000);
    world.origin.tags = vec!["b"];
    world.ask(ANYBODY);
    world.send(1);
    world.purge(Selector::Tag("a"), Soft);
    let later = world.ask(ANYBODY);
    world.answer(1, Answer::Right);
    let how = given(&mut world, later).1;
    assert!(how.starts_with("stale"), "{how}: fresh only by a later validation");
    // The old tag still selects it.
    world.purge(Selector::Tag("a"), Hard);
    let last = world.ask(ANYBODY);
    assert_eq!(given(&mut world, last).0, 1);
}

#[test]
fn merge_gains_a_tag_that_was_purged() {
    let mut world = stored(Sharing::Plain);
    world.purge(Selector::Tag("b"), Hard);
    // A hit compares it with the purge: without the tag it is not selected.
    let hit = world.ask(ANYBODY);
    assert_eq!(given(&mut world, hit), (0, "hit"));
    world.pass_ms(70_000);
    world.origin.tags = vec!["a", "b"];
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later).0, 1, "a 304 does not rehabilitate");
}

#[test]
fn merge_any_record() {
    // Each use is validated, so two validations of one base can be under way.
    let mut world = stored(Sharing::Brief);
    world.ask(ANYBODY);
    world.ask(ANYBODY);
    world.send(1);
    world.origin.version = 1;
    world.serve(2);
    // The 304 that comes now is about content that is not stored any more.
    world.origin.version = 0;
    world.answer(1, Answer::Right);
    world.origin.version = 1;
    world.settle();
    let last = world.ask(ANYBODY);
    let (body, how) = given(&mut world, last);
    assert_eq!((world.ghost.bodies[body].version, how), (1, "revalidated"));
}

#[test]
fn sie_unchecked() {
    let mut world = stored(Sharing::Spare);
    world.pass_ms(6_000);
    let before = world.ask(ANYBODY);
    world.send(1);
    world.purge(Selector::Tag("a"), Hard);
    world.ask(ANYBODY);
    world.answer(1, Answer::Error);
    world.settle();
    assert_eq!(world.ghost.wrongs, Vec::<String>::new());
    assert_eq!(world.clients[before].end, Some(End::Alone));
}

#[test]
fn everybody_who_waited_is_given_what_stands_in_for_an_error() {
    for answer in [Answer::Error, Answer::Failure] {
        let mut world = stored(Sharing::Spare);
        world.pass_ms(6_000);
        let crowd: Vec<usize> = (0..5).map(|_| world.ask(ANYBODY)).collect();
        world.send(1);
        world.answer(1, answer);
        for client in crowd {
            assert_eq!(given(&mut world, client), (0, "stale on error"));
        }
        assert_eq!(world.fetches.len(), 2);
    }
}

#[test]
fn soft_join_fresh() {
    let mut world = world();
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::Url, Soft);
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later), (1, "fill"));
}

#[test]
fn one_live_value() {
    let mut world = world();
    world.origin.sharing = Sharing::Short;
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::Url, Hard);
    world.purge(Selector::Url, Soft);
    world.serve(0);
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later), (1, "fill"));
}

#[test]
fn local_as_position() {
    let mut world = stored(Sharing::Plain);
    world.purge(Selector::UnsafeMethod, Hard);
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later), (1, "fill"));
    // And the URL is cacheable again.
    let last = world.ask(ANYBODY);
    assert_eq!(given(&mut world, last), (1, "hit"));
}

#[test]
fn an_unsafe_method_is_honoured_by_who_joins() {
    let mut world = world();
    world.ask(ANYBODY);
    world.send(0);
    world.purge(Selector::UnsafeMethod, Hard);
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later), (1, "fill"));
}

// === who may share ===

#[test]
fn an_authorised_request_is_not_given_what_an_anonymous_one_fetched() {
    let authorised = Who { authorized: true, ..ANYBODY };
    for (leader, other) in [(ANYBODY, authorised), (authorised, ANYBODY)] {
        let mut world = world();
        world.ask(leader);
        let second = world.ask(other);
        assert_eq!(world.fetches.len(), 2, "nobody waits for what is not for them");
        world.serve(0);
        world.settle();
        assert_eq!(world.ghost.wrongs, Vec::<String>::new());
        if let Some((body, _)) = world.clients[second].given {
            assert_eq!(world.ghost.bodies[body].asked.authorized, other.authorized);
        }
    }
}

#[test]
fn what_needs_a_validation_for_each_use_is_not_shared_by_those_who_waited() {
    for sharing in [Sharing::Validated, Sharing::Brief] {
        let mut world = world();
        world.origin.sharing = sharing;
        world.ask(ANYBODY);
        let follower = world.ask(ANYBODY);
        world.serve(0);
        world.settle();
        assert_eq!(world.ghost.wrongs, Vec::<String>::new());
        assert_eq!(world.clients[follower].end, Some(End::Alone));
        // Once that is known, nobody waits: each validates for itself.
        world.ask(ANYBODY);
        world.ask(ANYBODY);
        assert_eq!(world.fetches.len(), 3);
        world.settle();
        assert_eq!(world.ghost.wrongs, Vec::<String>::new());
    }
}

#[test]
fn a_fill_that_went_stale_while_it_arrives_is_not_joined() {
    let mut world = world();
    world.origin.sharing = Sharing::Spare;
    world.ask(ANYBODY);
    world.send(0);
    world.answer(0, Answer::Full);
    world.pass_ms(6_000);
    let later = world.ask(ANYBODY);
    assert_eq!(given(&mut world, later).0, 1);
    // The older one ends last and does not take the newer one's place.
    let last = world.ask(ANYBODY);
    assert_eq!(given(&mut world, last), (1, "hit"));
}
