//! How many requests an origin is given at once, found out by watching it.
//!
//! An origin that is given more than it can work on does not do more: its queue grows, every
//! answer takes longer, and beyond some point all of them are too late to be wanted. The right
//! number is not known and changes. What can be seen is latency: while it is what it has long
//! been, there is room; as it rises above that, a queue has formed.
//!
//! A gradient (after Netflix's *concurrency-limits*): the limit is multiplied by how much quicker
//! the long run is than the present, never by less than a half, and a headroom of its square root
//! is added, so that it feels its way up. It moves only when the present number was in use: an
//! idle origin says nothing of what it could bear. Failures by overload (time-outs, 503) take a
//! tenth off at once.
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
/// Weight of a sample in the long run.
const LONG: f64 = 0.02;
/// Present latency that is no sign of a queue, relative to the long run.
const TOLERANCE: f64 = 1.5;
/// Part of a new limit that is taken over at once.
const SMOOTHING: f64 = 0.2;
/// What is left of the limit after a failure by overload; at most once per sample.
const BACKOFF: f64 = 0.9;
/// Where it begins.
const START: usize = 20;

/// The limit of one origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptive {
    limit: f64,
    /// Latency in the long run, in microseconds; 0 before the first sample.
    long_us: f64,
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
        let limit = START.clamp(config.min, config.max.max(config.min)) as f64;
        Self { limit, long_us: 0.0, sample: Sample::default() }
    }

    /// The limit now.
    pub fn limit(&self) -> usize {
        self.limit as usize
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
            self.close(config);
        }
        self.limit()
    }

    /// Takes a whole sample.
    fn close(&mut self, config: &AdaptiveConfig) {
        let sample = std::mem::take(&mut self.sample);
        let present_us = sample.sum_us as f64 / f64::from(sample.count);
        if self.long_us == 0.0 {
            self.long_us = present_us;
        }
        // The long run follows the present slowly upwards, so that a queue is seen as such, and
        // faster downwards: what was once possible is possible.
        let weight = if present_us < self.long_us { LONG * 5.0 } else { LONG };
        self.long_us += (present_us - self.long_us) * weight;
        let wanted = if sample.overloaded {
            self.limit * BACKOFF
        } else {
            let gradient = (TOLERANCE * self.long_us / present_us.max(1.0)).clamp(0.5, 1.0);
            // Without use, nothing is learnt upwards.
            let in_use = sample.in_flight_max * 2 >= self.limit();
            let room = if in_use { self.limit.sqrt() } else { 0.0 };
            self.limit * gradient + room
        };
        let next = if sample.overloaded {
            wanted
        } else {
            self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING
        };
        self.limit = next.clamp(config.min as f64, config.max.max(config.min) as f64);
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
    fn run(
        limit: &mut Adaptive,
        seconds: u64,
        from_ms: u64,
        capacity: usize,
        work_us: u64,
    ) -> usize {
        let mut now = from_ms;
        while now < from_ms + seconds * 1_000 {
            let in_flight = limit.limit();
            let took = latency_us(in_flight, capacity, work_us);
            for _ in 0..in_flight.clamp(1, 200) {
                limit.observe(&CONFIG, (took, false), in_flight, Millis(now));
            }
            now += (took / 1_000).max(10);
        }
        limit.limit()
    }

    #[test]
    fn it_finds_about_what_the_origin_can_work_on() {
        for capacity in [10, 50, 200] {
            let mut limit = Adaptive::new(&CONFIG);
            let found = run(&mut limit, 60, 0, capacity, 20_000);
            assert!(found >= capacity * 7 / 10 && found <= capacity * 4, "{capacity}: {found}");
        }
    }

    #[test]
    fn a_brown_out_lowers_it_and_its_end_raises_it() {
        let mut limit = Adaptive::new(&CONFIG);
        let well = run(&mut limit, 60, 0, 100, 10_000);
        let brown = run(&mut limit, 10, 60_000, 10, 100_000);
        assert!(brown * 3 < well, "{well} then {brown}");
        let again = run(&mut limit, 120, 70_000, 100, 10_000);
        assert!(again * 2 > well, "{well}, {brown}, then {again}");
    }

    #[test]
    fn an_idle_origin_teaches_nothing_and_overload_takes_a_tenth() {
        let mut limit = Adaptive::new(&CONFIG);
        let before = limit.limit();
        for ms in 0..10_000 {
            limit.observe(&CONFIG, (1_000, false), 1, Millis(ms));
        }
        assert_eq!(limit.limit(), before);
        for ms in 10_000..10_200 {
            limit.observe(&CONFIG, (1_000, true), before, Millis(ms));
        }
        assert!(limit.limit() < before);
    }

    #[test]
    fn bounds_hold_whatever_happens() {
        let narrow = AdaptiveConfig { min: 3, max: 5 };
        let mut limit = Adaptive::new(&narrow);
        for ms in 0..100_000_u64 {
            let took = if ms % 7 == 0 { u64::MAX } else { 0 };
            let now = limit.observe(&narrow, (took, ms % 3 == 0), 5, Millis(ms));
            assert!((3..=5).contains(&now));
        }
    }
}
