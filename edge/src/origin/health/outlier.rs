//! Origins that stand out among their like: they answer, but far worse than the others.
//!
//! A single origin's error rate says little: when the back end behind all of them is down, all
//! fail alike and none should be left alone. So origins are compared with each other over one
//! interval. By success rate: further below the median than chance explains, and by a margin that
//! matters. By latency: several times the median, and by a margin that matters. Medians, because
//! the bad ones among few would pull a mean, and blow up a deviation, until nobody stands out.
//!
//! Pure: counts in, names out.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Why;

/// Answers of one origin in an interval below which it is not compared.
const SAMPLES_MIN: u32 = 20;
/// Origins below which there is nobody to be compared with.
const ORIGINS_MIN: usize = 3;
/// How far below the median stands out, in standard errors of a rate seen in so many answers.
const ERRORS_OF_CHANCE: f64 = 4.0;
/// How far below the median it must be in any case.
const RATE_MARGIN: f64 = 0.1;
/// How many times the median latency stands out.
const LATENCY_FACTOR: u64 = 5;
/// How far above the median it must be in any case, in microseconds.
const LATENCY_MARGIN_US: u64 = 100_000;

/// Outcomes of one interval.
#[derive(Debug, Default)]
pub struct Window {
    ok: AtomicU32,
    failed: AtomicU32,
}

impl Window {
    /// An answer, good or bad.
    pub fn count(&self, ok: bool) {
        let cell = if ok { &self.ok } else { &self.failed };
        cell.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted, and from zero again.
    pub fn take(&self) -> (u32, u32) {
        (self.ok.swap(0, Ordering::Relaxed), self.failed.swap(0, Ordering::Relaxed))
    }
}

/// One origin in one interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Good answers.
    pub ok: u32,
    /// Bad ones, and none at all.
    pub failed: u32,
    /// Recent time to a response head, in microseconds; 0 when nothing is known.
    pub latency_us: u64,
    /// It is left alone already, for whatever reason.
    pub is_away: bool,
}

/// Who stands out, worst first, and why; with those who are away already at most
/// `percent` of all.
pub fn outliers(samples: &[Sample], percent: u32) -> Vec<(usize, Why)> {
    let away = samples.iter().filter(|sample| sample.is_away).count();
    let room = (samples.len() * percent as usize / 100).saturating_sub(away);
    let compared: Vec<(usize, &Sample)> = samples
        .iter()
        .enumerate()
        .filter(|(_, sample)| !sample.is_away && sample.ok + sample.failed >= SAMPLES_MIN)
        .collect();
    if compared.len() < ORIGINS_MIN || room == 0 {
        return Vec::new();
    }
    let mut found = by_success(&compared);
    for (index, why) in by_latency(&compared) {
        if !found.iter().any(|(known, _)| *known == index) {
            found.push((index, why));
        }
    }
    found.truncate(room);
    found
}

fn by_success(compared: &[(usize, &Sample)]) -> Vec<(usize, Why)> {
    let answers = |sample: &Sample| f64::from(sample.ok) + f64::from(sample.failed);
    let rate = |sample: &Sample| f64::from(sample.ok) / answers(sample);
    let mut rates: Vec<_> = compared.iter().map(|(_, sample)| rate(sample)).collect();
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let stands_out = |sample: &Sample| {
        let chance = (median * (1.0 - median) / answers(sample)).sqrt();
        rate(sample) < median - (ERRORS_OF_CHANCE * chance).max(RATE_MARGIN)
    };
    let mut found: Vec<_> = compared.iter().filter(|(_, sample)| stands_out(sample)).collect();
    found.sort_by(|(_, one), (_, other)| rate(one).total_cmp(&rate(other)));
    found.into_iter().map(|(index, _)| (*index, Why::SuccessRate)).collect()
}

fn by_latency(compared: &[(usize, &Sample)]) -> Vec<(usize, Why)> {
    let mut known: Vec<_> =
        compared.iter().map(|(_, sample)| sample.latency_us).filter(|us| *us > 0).collect();
    known.sort_unstable();
    let Some(median) = known.get(known.len() / 2) else { return Vec::new() };
    let most = (median * LATENCY_FACTOR).max(median + LATENCY_MARGIN_US);
    let mut found: Vec<_> = compared.iter().filter(|(_, s)| s.latency_us > most).collect();
    found.sort_by_key(|(_, sample)| std::cmp::Reverse(sample.latency_us));
    found.into_iter().map(|(index, _)| (*index, Why::Latency)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ok: u32, failed: u32) -> Sample {
        Sample { ok, failed, latency_us: 1_000, is_away: false }
    }

    #[test]
    fn one_that_fails_more_than_the_others_stands_out_even_among_three() {
        let pool = [sample(100, 0), sample(60, 40), sample(99, 1)];
        assert_eq!(outliers(&pool, 50), [(1, Why::SuccessRate)]);
        let ten: Vec<_> = (0..10).map(|n| sample(100, if n == 7 { 100 } else { 2 })).collect();
        assert_eq!(outliers(&ten, 10), [(7, Why::SuccessRate)]);
    }

    #[test]
    fn when_all_fail_alike_nobody_does() {
        assert_eq!(outliers(&[sample(10, 90); 5], 50), []);
        let noisy = [sample(10, 10), sample(14, 6), sample(6, 14), sample(11, 9)];
        assert_eq!(outliers(&noisy, 50), [], "chance explains it");
        assert_eq!(outliers(&[sample(0, 100), sample(3, 97), sample(1, 99)], 50), []);
        let close = [sample(100, 0), sample(97, 3), sample(100, 0), sample(100, 0)];
        assert_eq!(outliers(&close, 50), [], "three percent is no reason");
    }

    #[test]
    fn few_answers_and_few_origins_say_nothing() {
        assert_eq!(outliers(&[sample(100, 0), sample(0, 100)], 100), []);
        assert_eq!(outliers(&[sample(100, 0), sample(100, 0), sample(0, 19)], 100), []);
        assert_eq!(outliers(&[], 100), []);
    }

    #[test]
    fn one_that_is_much_slower_stands_out() {
        let slow = |latency_us| Sample { latency_us, ..sample(100, 0) };
        let pool = [slow(20_000), slow(900_000), slow(30_000)];
        assert_eq!(outliers(&pool, 50), [(1, Why::Latency)]);
        assert_eq!(outliers(&[slow(1_000), slow(90_000), slow(1_000)], 50), [], "still quick");
    }

    #[test]
    fn the_share_that_may_be_away_is_bounded_and_the_worst_go_first() {
        let mut pool = vec![sample(100, 0); 8];
        pool.extend([sample(40, 60), sample(10, 90)]);
        assert_eq!(outliers(&pool, 10), [(9, Why::SuccessRate)]);
        assert_eq!(outliers(&pool, 20), [(9, Why::SuccessRate), (8, Why::SuccessRate)]);
        pool[0].is_away = true;
        assert_eq!(outliers(&pool, 10), []);
        assert_eq!(outliers(&pool, 0), []);
    }
}
