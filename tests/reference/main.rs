//! The cache against a model of RFC 9111 that a person can check with the RFC beside it.
//!
//! Random requests and random answers of an origin, over a clock of the test's own, are told to
//! both; after each they must have decided the same: answered from the store with the same body,
//! age and fields, asked the origin with the same conditions, refused. What is stored is compared by
//! what later requests get.
//!
//! A disagreement prints its seed and its story. To replay one, or to go on longer:
//!
//! ```text
//! SELVEDGE_REFERENCE_SEED=17 cargo test -p selvedge-tests --test reference -- --nocapture
//! SELVEDGE_REFERENCE_STEPS=1000000 cargo test --profile ci -p selvedge-tests --test reference
//! ```

mod cached;
mod fields;
mod model;
mod story;

use std::fmt::Write;

use cached::{Cached, Fetching};
use model::{Decision, Delivery, Model};
use story::{Dice, Step};

/// Steps of one story; what is stored at its end is forgotten.
const STORY_STEPS: u32 = 60;
/// Steps of one run.
const STEPS: u64 = 100_000;
/// When a story begins.
const START_S: u64 = 1_800_000_000;

/// Both caches in one story.
struct Stage {
    model: Model,
    cached: Cached,
    now_s: u64,
}

impl Stage {
    fn new() -> Self {
        Self { model: Model::default(), cached: Cached::new(START_S), now_s: START_S }
    }

    fn pass_s(&mut self, seconds: u64) {
        self.now_s += seconds;
        self.cached.pass_s(seconds);
    }

    /// Takes a step; the error says what the two said.
    fn take(&mut self, step: &Step) -> Result<String, String> {
        self.pass_s(step.gap_s);
        let expected = self.model.ask(&step.request, self.now_s);
        let (decided, fetching) = self.cached.ask(&step.request);
        if decided != expected {
            return Err(format!("model: {expected:?}\n  cache: {decided:?}"));
        }
        let requested_s = self.now_s;
        let mut told = format!("{decided:?}");
        match (&decided, fetching) {
            (Decision::Alone, _) => {
                self.pass_s(step.delay_s);
                let answer = step.answer.as_ref();
                let expected = self.model.passed(&step.request, self.now_s, answer);
                let delivered = self.cached.passed(&step.request, answer);
                same(&mut told, &expected, &delivered)?;
            }
            (Decision::Stored { .. } | Decision::Fetch { .. }, Some(fetching)) => {
                self.pass_s(step.delay_s);
                self.fetch(step, requested_s, fetching, &mut told)?;
            }
            (Decision::Unsatisfied, _) | (_, None) => {}
        }
        Ok(told)
    }

    fn fetch(
        &mut self,
        step: &Step,
        requested_s: u64,
        fetching: Fetching,
        told: &mut String,
    ) -> Result<(), String> {
        let conditional = self.cached.is_conditional(&fetching);
        let confirms = step.confirms.as_ref().filter(|_| conditional);
        let answer = confirms.or(step.answer.as_ref());
        let times = (requested_s, self.now_s);
        let expected = self.model.fetched(&step.request, times, answer, conditional);
        let (delivered, again) = self.cached.fetched(&step.request, fetching, answer);
        same(told, &expected, &delivered)?;
        if let Some(again) = again {
            let times = (self.now_s, self.now_s);
            let answer = Some(&step.again);
            let expected = self.model.fetched(&step.request, times, answer, false);
            let (delivered, _) = self.cached.fetched(&step.request, again, answer);
            same(told, &expected, &delivered)?;
        }
        Ok(())
    }
}

fn same(told: &mut String, expected: &Delivery, delivered: &Delivery) -> Result<(), String> {
    if expected != delivered {
        return Err(format!("{told}, then\n  model: {expected:?}\n  cache: {delivered:?}"));
    }
    let _ = write!(told, "; {delivered:?}");
    Ok(())
}

/// Plays the story of a seed; the error is the story up to the disagreement.
fn play(seed: u64, tell: bool) -> Result<(), String> {
    let (mut dice, mut stage, mut told) = (Dice::new(seed), Stage::new(), String::new());
    for number in 0..STORY_STEPS {
        let step = story::step(&mut dice, stage.now_s, number);
        let _ = writeln!(told, "{number:>4} at {} {step}", stage.now_s - START_S);
        match stage.take(&step) {
            Ok(same) => drop(writeln!(told, "      both: {same}")),
            Err(differs) => return Err(format!("seed {seed}\n{told}\n  {differs}")),
        }
    }
    if tell {
        println!("{told}");
    }
    Ok(())
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn the_cache_decides_as_the_rfc_says() {
    if let Some(seed) = variable("SELVEDGE_REFERENCE_SEED") {
        return play(seed, true).unwrap_or_else(|story| panic!("{story}"));
    }
    let steps = variable("SELVEDGE_REFERENCE_STEPS").unwrap_or(STEPS);
    for seed in 0..steps.div_ceil(u64::from(STORY_STEPS)) {
        play(seed, false).unwrap_or_else(|story| panic!("{story}"));
    }
}

/// A model that never stores would agree with nothing; a story that stores nothing would prove
/// nothing.
#[test]
fn stories_visit_every_decision() {
    let (mut stored, mut fetched, mut alone, mut unsatisfied, mut refreshed) = (0, 0, 0, 0, 0);
    for seed in 0..100 {
        let (mut dice, mut stage) = (Dice::new(seed), Stage::new());
        for number in 0..STORY_STEPS {
            let step = story::step(&mut dice, stage.now_s, number);
            match stage.model.ask(&step.request, stage.now_s + step.gap_s) {
                Decision::Stored { refresh, .. } => {
                    stored += 1;
                    refreshed += u32::from(refresh);
                }
                Decision::Fetch { .. } => fetched += 1,
                Decision::Alone => alone += 1,
                Decision::Unsatisfied => unsatisfied += 1,
            }
            let _story_of_the_other_test = stage.take(&step);
        }
    }
    let visits = [stored, fetched, alone, unsatisfied, refreshed];
    assert!(visits.iter().all(|visits| *visits > 20), "{visits:?}");
}
