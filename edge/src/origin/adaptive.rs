//! How many requests an origin is given at once, found out by watching it.
//!
//! An origin that is given more than it can work on does not do more: its queue grows, every
//! answer takes longer, and beyond some point all of them are too late to be wanted. The right
//! number is not known and changes. What can be seen is latency: while it is what it has long
//! been, there is room; as it rises above that, a queue has formed.
//!
//! The requests that wait are counted from outside (as TCP Vegas counts segments): of `limit` that
//! are in hand at latency `l`, with `l₀` the latency without a queue, `limit·(1 - l₀/l)` wait. Fewer
//! than the root of the limit: one may try more, if the present number was in use (an idle origin
//! says nothing of what it could bear). More than twice that: back to what is worked on.
//!
//! `l₀` is the least latency seen lately. An origin that is always full never shows it, and would
//! seem slower and slower; so every few seconds the limit dips for a moment, the queue runs empty,
//! and the origin shows what it can do (as BBR probes for its round trip). An origin that has
//! become slower for good is believed after [`WINDOW_MS`].
//!
//! Answers that say "overloaded" (503, 429) or do not come (time-outs) take a tenth off at once.
//!
//! Pure; time is an argument. The pool gives and takes places as the limit says.

use selvedge_cache::Millis;

/// Bounds of the limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AdaptiveConfig {
    /// Never fewer.
    pub min: usize,
    /// Never more; also `connections_max` of the site.
    pub max: usize,
}

/// Length of a sample, in milliseconds: shorter ones are noise, longer ones late.
const SAMPLE_MS: u64 = 100;
/// Answers in a sample, at least.
const SAMPLE_MIN: u32 = 10;
/// How long the least latency is remembered, at least; at most twice as long. In milliseconds.
const WINDOW_MS: u64 = 30_000;
/// Between two dips, in milliseconds.
const DIP_EVERY_MS: u64 = 10_000;
/// Samples that a dip lasts.
const DIP_SAMPLES: u32 = 3;
/// What is left of the limit in a dip.
const DIP: f64 = 0.6;
/// What is left of the limit at least, when a queue is seen.
const SHRINK: f64 = 0.7;
/// What is left of the limit after a sample with overload.
const BACKOFF: f64 = 0.9;
/// Where it begins.
const START: usize = 10;

/// The limit of one origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptive {
    limit: f64,
    /// Least mean latency of a sample in this window and in the one before, in microseconds.
    least_us: [f64; 2],
    window_since: Millis,
    dip_at: Option<Millis>,
    /// Samples that the present dip still lasts.
    dip: u32,
    sample: Sample,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sample {
    since: Millis,
    count: u32,
    sum_us: u64,
    in_flight_max: usize,
    overloaded: bool,
}

impl Adaptive {
    /// A limit that has seen nothing.
    pub fn new(config: &AdaptiveConfig) -> Self {
        Self {
            limit: START.clamp(config.min, config.max.max(config.min)) as f64,
            least_us: [f64::INFINITY; 2],
            window_since: Millis(0),
            dip_at: None,
            dip: 0,
            sample: Sample::default(),
        }
    }

    /// The limit now.
    pub fn limit(&self, config: &AdaptiveConfig) -> usize {
        let limit = if self.dip > 0 { self.limit * DIP } else { self.limit };
        (limit as usize).clamp(config.min, config.max.max(config.min))
    }

    /// An answer came after `took_us`, when `in_flight` requests were in hand; `overloaded`: it
    /// was none, or one that says so. The new limit.
    pub fn observe(
        &mut self,
        config: &AdaptiveConfig,
        (took_us, overloaded): (u64, bool),
        in_flight: usize,
        now: Millis,
    ) -> usize {
        let sample = &mut self.sample;
        if sample.count == 0 {
            sample.since = now;
        }
        sample.count = sample.count.saturating_add(1);
        sample.sum_us = sample.sum_us.saturating_add(took_us);
        sample.in_flight_max = sample.in_flight_max.max(in_flight);
        sample.overloaded |= overloaded;
        if sample.count >= SAMPLE_MIN && now.since_ms(sample.since) >= SAMPLE_MS {
            self.close(config, now);
        }
        self.limit(config)
    }

    /// Takes a whole sample.
    fn close(&mut self, config: &AdaptiveConfig, now: Millis) {
        let sample = std::mem::take(&mut self.sample);
        if sample.overloaded {
            // Answers of an overloaded origin are quick or never come: they say nothing of time.
            self.limit = (self.limit * BACKOFF).max(config.min as f64);
            return;
        }
        let present_us = (sample.sum_us as f64 / f64::from(sample.count)).max(1.0);
        if now.since_ms(self.window_since) >= WINDOW_MS {
            self.least_us = [f64::INFINITY, self.least_us[0]];
            self.window_since = now;
        }
        self.least_us[0] = self.least_us[0].min(present_us);
        if self.dip > 0 {
            self.dip -= 1;
            return;
        }
        if now >= *self.dip_at.get_or_insert(now.plus_ms(DIP_EVERY_MS)) {
            self.dip_at = Some(now.plus_ms(DIP_EVERY_MS));
            self.dip = DIP_SAMPLES;
        }
        let least_us = self.least_us[0].min(self.least_us[1]);
        let worked_on = self.limit * least_us / present_us;
        let (waiting, root) = (self.limit - worked_on, self.limit.sqrt());
        let in_use = sample.in_flight_max * 2 >= self.limit as usize;
        if waiting < root && in_use {
            self.limit += root / 2.0;
        } else if waiting > 2.0 * root {
            self.limit = (self.limit * SHRINK).max(worked_on + root);
        }
        self.limit = self.limit.clamp(config.min as f64, config.max.max(config.min) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: AdaptiveConfig = AdaptiveConfig { min: 2, max: 1000 };

    /// An origin that works on `capacity` requests at a time, each for `work_us`; more wait.
    fn latency_us(in_flight: usize, capacity: usize, work_us: u64) -> u64 {
        work_us * in_flight.max(capacity) as u64 / capacity as u64
    }

    /// Runs a saturated origin for some seconds and tells the limit at the end.
    fn run(limit: &mut Adaptive, seconds: u64, from_ms: u64, origin: (usize, u64)) -> usize {
        let (capacity, work_us) = origin;
        let mut now = from_ms;
        while now < from_ms + seconds * 1_000 {
            let in_flight = limit.limit(&CONFIG);
            let took = latency_us(in_flight, capacity, work_us);
            for _ in 0..in_flight.clamp(1, 200) {
                limit.observe(&CONFIG, (took, false), in_flight, Millis(now));
            }
            now += (took / 1_000).max(10);
        }
        limit.limit as usize
    }

    #[test]
    fn it_finds_what_the_origin_can_work_on_and_stays_there() {
        for capacity in [10, 50, 200, 600] {
            let mut limit = Adaptive::new(&CONFIG);
            let found = run(&mut limit, 60, 0, (capacity, 20_000));
            assert!(found >= capacity * 9 / 10 && found <= capacity * 13 / 10 + 4, "{found}");
            let later = run(&mut limit, 600, 60_000, (capacity, 20_000));
            assert!(later.abs_diff(found) <= found / 10, "{found} became {later}");
        }
    }

    #[test]
    fn a_brown_out_lowers_it_and_its_end_raises_it() {
        let mut limit = Adaptive::new(&CONFIG);
        let well = run(&mut limit, 60, 0, (100, 10_000));
        let brown = run(&mut limit, 10, 60_000, (10, 100_000));
        assert!(brown * 3 < well, "{well} then {brown}");
        let long = run(&mut limit, 120, 70_000, (10, 100_000));
        assert!((8..=30).contains(&long), "what is slow for good is believed: {long}");
        let again = run(&mut limit, 120, 190_000, (100, 10_000));
        assert!(again * 10 > well * 9, "{well}, {brown}, then {again}");
    }

    #[test]
    fn an_idle_origin_teaches_nothing_and_overload_takes_a_tenth() {
        let mut limit = Adaptive::new(&CONFIG);
        let before = limit.limit as usize;
        for ms in 0..10_000 {
            limit.observe(&CONFIG, (1_000, false), 1, Millis(ms));
        }
        assert_eq!(limit.limit as usize, before);
        for ms in 10_000..10_200 {
            limit.observe(&CONFIG, (1_000, true), before, Millis(ms));
        }
        assert!((limit.limit as usize) < before);
    }

    #[test]
    fn bounds_hold_whatever_happens() {
        let narrow = AdaptiveConfig { min: 3, max: 5 };
        let mut limit = Adaptive::new(&narrow);
        for ms in 0..100_000_u64 {
            let took = if ms % 7 == 0 { u64::MAX } else { 0 };
            let now = limit.observe(&narrow, (took, ms % 30_001 == 0), 5, Millis(ms));
            assert!((3..=5).contains(&now));
        }
    }
}
