//! Hit ratios over the last minute, ten minutes and hour.
//!
//! The counters are the truth; a ratio is the difference of two readings of them. Once a second
//! somebody hands the present totals to [`History::tick`], which keeps a few old readings; the
//! ratio over a window is what was added since the newest reading that is at least as old as the
//! window. So the hit path pays nothing, and the ratio is what Prometheus computes from the same
//! counters. Pure: time is an argument, and nothing here reads a counter.
//!
//! A late tick makes a window longer by its delay, never shorter. Before the first window has
//! passed, the ratio covers the time since the beginning.

use std::collections::VecDeque;

use selvedge_cache::Millis;

/// Readings of the counters that a ratio needs; only outcomes that take part are in it
/// (see [`CacheOutcome::counts`](crate::journal::CacheOutcome::counts)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Exchanges answered without asking the origin for the content.
    pub hits: u64,
    /// All exchanges that take part.
    pub requests: u64,
    /// Body bytes of `hits`.
    pub hit_bytes: u64,
    /// Body bytes of `requests`.
    pub bytes: u64,
}

/// How far back a ratio looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// 60 s, in steps of one: the window of the metrics.
    Minute,
    /// 10 min, in steps of 10 s.
    TenMinutes,
    /// 1 h, in steps of a minute.
    Hour,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::TenMinutes, Self::Hour];

    /// The name in `/v1/status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::TenMinutes => "10m",
            Self::Hour => "1h",
        }
    }

    /// Milliseconds between two kept readings.
    const fn step_ms(self) -> u64 {
        match self {
            Self::Minute => 1_000,
            Self::TenMinutes => 10_000,
            Self::Hour => 60_000,
        }
    }

    const fn length_ms(self) -> u64 {
        self.step_ms() * STEPS
    }
}

/// Steps of a window.
const STEPS: u64 = 60;

/// Hits among all, by number and by bytes; NaN where there was nothing.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// Of exchanges.
    pub requests: f64,
    /// Of body bytes.
    pub bytes: f64,
}

/// Old readings of one site: at most 62 per window.
#[derive(Clone, Debug)]
pub struct History([Readings; 3]);

impl History {
    /// A history that begins at `now` with counters at zero.
    pub fn starting(now: Millis) -> Self {
        Self(
            Window::ALL.map(|window| Readings {
                window,
                kept: VecDeque::from([(now, Totals::default())]),
            }),
        )
    }

    /// Takes the present totals; called about once a second.
    pub fn tick(&mut self, now: Millis, totals: Totals) {
        for readings in &mut self.0 {
            readings.tick(now, totals);
        }
    }

    /// The ratio of what came in the last `window` before `now`, when the counters read `totals`.
    pub fn ratio(&self, now: Millis, totals: Totals, window: Window) -> Ratio {
        let base = self.0[window as usize].base(now);
        let added = |now: u64, then: u64| now.saturating_sub(then) as f64;
        // 0.0 / 0.0 is the NaN that is asked for.
        Ratio {
            requests: added(totals.hits, base.hits) / added(totals.requests, base.requests),
            bytes: added(totals.hit_bytes, base.hit_bytes) / added(totals.bytes, base.bytes),
        }
    }
}

#[derive(Clone, Debug)]
struct Readings {
    window: Window,
    kept: VecDeque<(Millis, Totals)>,
}

impl Readings {
    fn tick(&mut self, now: Millis, totals: Totals) {
        let due = self.kept.back().is_none_or(|(last, _)| {
            // Half a step of slack: a tick that comes a little early is still this step's.
            now.since_ms(*last) + self.window.step_ms() / 2 >= self.window.step_ms()
        });
        if due {
            self.kept.push_back((now, totals));
        }
        // The oldest reading is kept as the base until its successor is old enough to be it.
        while self.kept.get(1).is_some_and(|(at, _)| self.is_old(*at, now)) {
            self.kept.pop_front();
        }
    }

    fn base(&self, now: Millis) -> Totals {
        let old = self.kept.iter().rev().find(|(at, _)| self.is_old(*at, now));
        old.or_else(|| self.kept.front()).map(|(_, totals)| *totals).unwrap_or_default()
    }

    fn is_old(&self, at: Millis, now: Millis) -> bool {
        now.since_ms(at) >= self.window.length_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(hits: u64, requests: u64) -> Totals {
        Totals { hits, requests, hit_bytes: hits * 10, bytes: requests * 10 }
    }

    fn at(seconds: u64) -> Millis {
        Millis(1_000_000).plus_s(seconds)
    }

    #[test]
    fn nothing_gives_nan() {
        let history = History::starting(at(0));
        let ratio = history.ratio(at(5), Totals::default(), Window::Minute);
        assert!(ratio.requests.is_nan() && ratio.bytes.is_nan());
    }

    #[test]
    fn a_young_history_counts_from_its_beginning() {
        let mut history = History::starting(at(0));
        history.tick(at(1), totals(1, 2));
        let ratio = history.ratio(at(1), totals(3, 4), Window::Minute);
        assert!((ratio.requests - 0.75).abs() < 1e-9 && (ratio.bytes - 0.75).abs() < 1e-9);
    }

    #[test]
    fn what_is_older_than_the_window_no_longer_counts() {
        let mut history = History::starting(at(0));
        // One miss in the first second, then one hit each second.
        for second in 1..=200 {
            history.tick(at(second), totals(second - 1, second));
        }
        let now = totals(199, 200);
        assert!((history.ratio(at(200), now, Window::Minute).requests - 1.0).abs() < 1e-9);
        let long = history.ratio(at(200), now, Window::TenMinutes).requests;
        assert!((long - 199.0 / 200.0).abs() < 1e-9);
    }

    #[test]
    fn a_silent_minute_is_nan_again_but_the_hour_remembers() {
        let mut history = History::starting(at(0));
        for second in 1..=100 {
            history.tick(at(second), totals(1, 2));
        }
        assert!(history.ratio(at(100), totals(1, 2), Window::Minute).requests.is_nan());
        let hour = history.ratio(at(100), totals(1, 2), Window::Hour).requests;
        assert!((hour - 0.5).abs() < 1e-9);
    }

    #[test]
    fn early_and_late_ticks_keep_the_number_of_readings_bounded() {
        let mut history = History::starting(at(0));
        for tick in 0..100_000_u64 {
            history.tick(at(0).plus_ms(tick * 97), totals(tick, tick * 2));
        }
        assert!(history.0.iter().all(|readings| readings.kept.len() <= 122));
        let mut late = History::starting(at(0));
        late.tick(at(1), totals(1, 1));
        late.tick(at(500), totals(1, 2));
        // The stalled ticks make the window longer, never shorter.
        assert!(late.ratio(at(500), totals(1, 2), Window::Minute).requests < 0.1);
    }

    /// The window equals the difference of the counters, whatever the traffic: what PromQL's
    /// `increase` over the same readings gives.
    #[test]
    fn the_ratio_is_the_difference_of_two_readings() {
        let mut history = History::starting(at(0));
        let mut readings = vec![Totals::default()];
        let mut seed = 7_u64;
        for second in 1..=300 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let last = readings[second as usize - 1];
            let (hit, all) = ((seed >> 60) & 7, ((seed >> 60) & 7) + ((seed >> 40) & 3));
            readings.push(totals(last.hits + hit, last.requests + all));
            history.tick(at(second), readings[second as usize]);
            let base = readings[second.saturating_sub(60) as usize];
            let now = readings[second as usize];
            let expected = (now.hits - base.hits) as f64 / (now.requests - base.requests) as f64;
            let got = history.ratio(at(second), now, Window::Minute).requests;
            assert!(got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()));
        }
    }
}
