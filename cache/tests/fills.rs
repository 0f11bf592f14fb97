//! Random stories about one URL: clients, an origin, an operator and a store that forgets.
//!
//! One number is one story. A story that shows something wrong is told again with everything
//! that happened. `SELVEDGE_STORIES` says how many (20,000 unless told), `SELVEDGE_STORY` tells
//! one of them.

mod story;

use selvedge_cache::invalidate::Mode;
use story::fetch::{Answer, Stage};
use story::ghost::{Selector, Sharing};
use story::{Who, World};

/// Stories unless the environment says otherwise.
const STORIES: u64 = 20_000;

/// Most clients and steps of one story.
const CLIENTS_MAX: usize = 7;
const STEPS_MAX: u64 = 70;

/// Splitmix64: good enough to draw stories, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }
}

/// What a story is mostly about: what is rare in one is common in another.
#[derive(Clone, Copy)]
struct Theme {
    /// Purges are rare.
    calm: bool,
    /// The origin mostly fails.
    ill: bool,
    /// Bodies are mostly large.
    large: bool,
}

/// Tells one story to its end.
fn tell(seed: u64, with_trace: bool) -> World {
    let mut dice = Dice(seed);
    let memory_bytes = dice.pick(&[64 << 20, 4 << 20]);
    let mut world = World::new(memory_bytes);
    world.trace = with_trace.then(Vec::new);
    world.origin.varies = dice.one_in(2);
    let theme = Theme { calm: dice.one_in(2), ill: dice.one_in(4), large: dice.one_in(40) };
    change(&mut world, theme, &mut dice);
    for _ in 0..20 + dice.roll(STEPS_MAX - 20) {
        step(&mut world, theme, &mut dice);
    }
    world.settle();
    world
}

fn step(world: &mut World, theme: Theme, dice: &mut Dice) {
    let sides = if world.fetches.iter().all(story::fetch::Fetch::is_over) { 40 } else { 100 };
    match dice.roll(sides) {
        0..14 if world.clients.len() < CLIENTS_MAX => {
            let language = dice.roll(2) as usize;
            let (authorized, no_cache) = (dice.one_in(6), dice.one_in(8));
            world.arrive(Who { language, authorized, no_cache });
        }
        0..24 => {
            if !world.clients.is_empty() {
                let client = dice.roll(world.clients.len() as u64) as usize;
                world.look_after(client);
            }
        }
        24..28 if theme.calm && !dice.one_in(8) => {}
        24..28 => purge(world, dice),
        28..33 => {
            let ms = dice.pick(&[500, 3_000, 6_000, 20_000, 40_000, 70_000]);
            world.pass_ms(ms);
        }
        33..35 => world.evict(dice.roll(1_000) as usize),
        35..37 => {
            if !world.clients.is_empty() {
                world.leave(dice.roll(world.clients.len() as u64) as usize);
            }
        }
        37..40 => change(world, theme, dice),
        _ => advance(world, theme, dice),
    }
}

fn purge(world: &mut World, dice: &mut Dice) {
    let selectors = [Selector::Url, Selector::Tag("a"), Selector::Tag("b"), Selector::Everything];
    let selector = dice.pick(&selectors);
    if dice.one_in(8) {
        world.purge(Selector::UnsafeMethod, Mode::Hard);
    } else {
        world.purge(selector, if dice.one_in(2) { Mode::Soft } else { Mode::Hard });
    }
}

/// The origin changes its mind.
fn change(world: &mut World, theme: Theme, dice: &mut Dice) {
    let origin = &mut world.origin;
    origin.version += u32::from(dice.one_in(2));
    origin.tags = dice.pick(&[&["a"][..], &["b"], &["a", "b"], &[]]).to_vec();
    origin.sharing = dice.pick(&[
        Sharing::Plain,
        Sharing::Plain,
        Sharing::Plain,
        Sharing::Short,
        Sharing::Short,
        Sharing::Spare,
        Sharing::Spare,
        Sharing::Public,
        Sharing::Validated,
        Sharing::Brief,
        Sharing::Private,
    ]);
    origin.length = match dice.roll(if theme.large { 2 } else { 40 }) {
        0 => 700_000 + dice.roll(100_000) as usize,
        1 => 65_472 + dice.roll(3) as usize,
        2 => 0,
        _ => 20 + dice.roll(80) as usize,
    };
    origin.length_lie = match dice.roll(8) {
        0 => Some(dice.roll(9).cast_signed() - 4),
        1 | 2 => None,
        _ => Some(0),
    };
    if dice.one_in(12) {
        origin.varies = !origin.varies;
    }
    world.note(|| "the origin changes its mind".to_owned());
}

/// One of the fetches under way goes on.
fn advance(world: &mut World, theme: Theme, dice: &mut Dice) {
    let open: Vec<usize> =
        (0..world.fetches.len()).filter(|at| !world.fetches[*at].is_over()).collect();
    let fetch = dice.pick(&open);
    match world.fetches[fetch].stage {
        Stage::Queued => {
            world.send(fetch);
        }
        Stage::Sent { .. } => {
            let answer = match dice.roll(if theme.ill { 7 } else { 20 }) {
                0..3 => Answer::Error,
                3 => Answer::Failure,
                4 => Answer::Dropped,
                5 | 6 => Answer::Full,
                _ => Answer::Right,
            };
            world.answer(fetch, answer);
        }
        Stage::Body { .. } if dice.one_in(if theme.ill { 6 } else { 24 }) => world.die(fetch),
        Stage::Body { .. } => {
            let bytes = dice.pick(&[1, 30, 100, 65_472, 100_000]);
            world.piece(fetch, bytes);
        }
        Stage::Over => {}
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_story_breaks_a_rule() {
    if let Some(seed) = from_environment("SELVEDGE_STORY") {
        let world = tell(seed, true);
        println!("{}", world.trace.unwrap_or_default().join("\n"));
        assert!(world.ghost.wrongs.is_empty(), "{:#?}", world.ghost.wrongs);
        return;
    }
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..from_environment("SELVEDGE_STORIES").unwrap_or(STORIES) {
        let world = tell(seed, false);
        if !world.ghost.wrongs.is_empty() {
            let again = tell(seed, true);
            let trace = again.trace.unwrap_or_default().join("\n");
            panic!("story {seed}\n{trace}\n{:#?}", again.ghost.wrongs);
        }
        for (how, count) in &world.ghost.counts {
            *counts.entry(how).or_default() += count;
        }
        *counts.entry("purges").or_default() += world.ghost.purges.len() as u64;
    }
    println!("{counts:#?}");
    // A rule that no story comes near is not checked.
    for how in
        ["hit", "stale", "stale on error", "fill", "joined", "revalidated", "joined validation"]
    {
        assert!(counts.get(how).is_some_and(|count| *count > 0), "no story with {how}");
    }
}
