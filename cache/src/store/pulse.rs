//! Is the disk instance well? Decided here, without a disk and without a clock.
//!
//! The engine gives no sign when it can no longer write: its flusher dies, every later value is
//! dropped, and "wait until written" returns at once. So a canary value is written and looked
//! for: a few seconds after the last sign of life while there is traffic, once a minute when
//! there is none. One lost value or canary makes the instance ill, as an engine that has seen
//! one failed write cannot be trusted with the next: it is taken out of use, and opened anew at
//! growing intervals until a canary comes back. Reads that do not end in time, several in a row,
//! make it ill, too: a hung disk costs every request the whole deadline of a read.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often things are tried, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From the last sign of life to the next canary while values are written.
    pub(super) probe_ms: u64,
    /// The same, when nothing is written.
    pub(super) idle_ms: u64,
    /// From falling ill to the first attempt to reopen; doubles from then on.
    pub(super) retry_ms: u64,
    /// Longest pause between attempts.
    pub(super) retry_ms_max: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { probe_ms: 5_000, idle_ms: 60_000, retry_ms: 1_000, retry_ms_max: 60_000 }
    }
}

/// What is wrong with an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Illness {
    /// Less space is free than the block files still want.
    NoSpace {
        /// Bytes that are free.
        free_bytes: u64,
    },
    /// A value did not arrive on disk.
    Lost,
    /// The canary is on disk but could not be read back.
    Unreadable,
    /// Writing did not end in time.
    Stuck,
    /// Several reads in a row did not end in time.
    Silent,
    /// The engine panicked.
    Died,
    /// The engine could not be opened.
    Closed(String),
}

impl fmt::Display for Illness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace { free_bytes } => {
                write!(f, "the file system is full ({free_bytes} bytes free)")
            }
            Self::Lost => f.write_str("what was written did not arrive on disk"),
            Self::Died => f.write_str("the disk engine died"),
            Self::Unreadable => f.write_str("a test value could not be read back"),
            Self::Stuck => f.write_str("writing did not end in time"),
            Self::Silent => f.write_str("reads did not end in time"),
            Self::Closed(reason) => f.write_str(reason),
        }
    }
}

/// Reads in a row that may be late, before that makes the instance ill: each has cost its request
/// the whole deadline.
const LATE_READS_MAX: u32 = 2;

/// Whether reads end in time. Reads are many and on all cores; the keeper looks at this.
#[derive(Debug, Default)]
pub(super) struct Reads {
    late: AtomicU32,
}

impl Reads {
    /// One ended, whatever it brought.
    pub(super) fn ended(&self) {
        if self.late.load(Ordering::Relaxed) > 0 {
            self.late.store(0, Ordering::Relaxed);
        }
    }

    /// One did not end in time; says whether the instance is ill by that.
    pub(super) fn late(&self) -> bool {
        self.late.fetch_add(1, Ordering::Relaxed) >= LATE_READS_MAX
    }

    /// The keeper asks what became of them, once.
    pub(super) fn outcome(&self) -> Result<(), Illness> {
        if self.late.load(Ordering::Relaxed) <= LATE_READS_MAX {
            return Ok(());
        }
        self.late.store(0, Ordering::Relaxed);
        Err(Illness::Silent)
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing for so many milliseconds.
    Wait(u64),
    /// Write a canary.
    Probe,
    /// Open the engine anew and write a canary.
    Reopen,
}

/// The instance changed sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Take it out of use.
    Fell(Illness),
    /// Use it again.
    Recovered,
}

/// What is known of an instance.
#[derive(Debug)]
pub(super) struct Pulse {
    pace: Pace,
    well: bool,
    /// Last proof that writing works.
    alive_ms: u64,
    /// Values were written since.
    active: bool,
    /// No canary has come back yet.
    unproved: bool,
    /// When ill: the next attempt, and the pause before the one after.
    retry_at_ms: u64,
    pause_ms: u64,
    /// Last recovery: whoever falls ill soon after is not tried more often than before.
    recovered_ms: Option<u64>,
}

impl Pulse {
    /// An instance that was opened but has not proved itself: the first step is a canary.
    pub(super) fn new(now_ms: u64, pace: Pace) -> Self {
        Self {
            pace,
            well: true,
            alive_ms: now_ms,
            active: false,
            unproved: true,
            retry_at_ms: 0,
            pause_ms: pace.retry_ms,
            recovered_ms: None,
        }
    }

    /// What to do at `now_ms`.
    pub(super) fn step(&self, now_ms: u64) -> Step {
        let (due_ms, step) = if self.well {
            let wait_ms = if self.active { self.pace.probe_ms } else { self.pace.idle_ms };
            let due_ms = if self.unproved { 0 } else { self.alive_ms.saturating_add(wait_ms) };
            (due_ms, Step::Probe)
        } else {
            (self.retry_at_ms, Step::Reopen)
        };
        match due_ms.saturating_sub(now_ms) {
            0 => step,
            left => Step::Wait(left),
        }
    }

    /// What became of a batch: `Ok` if every value of it arrived.
    pub(super) fn wrote(&mut self, now_ms: u64, outcome: Result<(), Illness>) -> Option<Turn> {
        if outcome.is_err() {
            return self.probed(now_ms, outcome);
        }
        self.alive_ms = now_ms;
        self.active = true;
        None
    }

    /// What became of reads.
    pub(super) fn read(&mut self, now_ms: u64, outcome: Result<(), Illness>) -> Option<Turn> {
        if outcome.is_ok() || !self.well {
            return None;
        }
        self.probed(now_ms, outcome)
    }

    /// What a canary (or an attempt to reopen) said.
    pub(super) fn probed(&mut self, now_ms: u64, outcome: Result<(), Illness>) -> Option<Turn> {
        let was_well = self.well;
        self.well = outcome.is_ok();
        self.unproved = false;
        match outcome {
            Ok(()) => {
                self.alive_ms = now_ms;
                self.active = false;
                if was_well {
                    return None;
                }
                self.recovered_ms = Some(now_ms);
                Some(Turn::Recovered)
            }
            Err(illness) => {
                let long_well = self
                    .recovered_ms
                    .is_none_or(|at| now_ms.saturating_sub(at) > self.pace.retry_ms_max);
                if was_well && long_well {
                    self.pause_ms = self.pace.retry_ms;
                }
                self.retry_at_ms = now_ms.saturating_add(self.pause_ms);
                self.pause_ms = self.pause_ms.saturating_mul(2).min(self.pace.retry_ms_max);
                was_well.then_some(Turn::Fell(illness))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proved() -> Pulse {
        let mut pulse = Pulse::new(0, Pace::default());
        assert_eq!(pulse.step(0), Step::Probe);
        assert_eq!(pulse.probed(0, Ok(())), None);
        pulse
    }

    #[test]
    fn an_idle_instance_is_probed_rarely_and_a_busy_one_often() {
        let mut pulse = proved();
        assert_eq!(pulse.step(1_000), Step::Wait(59_000));
        assert_eq!(pulse.wrote(4_000, Ok(())), None);
        assert_eq!(pulse.step(4_000), Step::Wait(5_000), "written values are proof enough");
        assert_eq!(pulse.step(9_000), Step::Probe);
    }

    #[test]
    fn a_lost_value_ends_the_use_at_once() {
        let mut pulse = proved();
        let turn = pulse.wrote(10, Err(Illness::Lost));
        assert_eq!(turn, Some(Turn::Fell(Illness::Lost)));
        assert_eq!(pulse.step(11), Step::Wait(999));
    }

    #[test]
    fn late_reads_in_a_row_end_the_use_and_one_that_ends_begins_anew() {
        let (mut pulse, reads) = (proved(), Reads::default());
        assert!(!reads.late() && !reads.late());
        reads.ended();
        assert!(!reads.late() && !reads.late());
        assert_eq!(pulse.read(10, reads.outcome()), None);
        assert!(reads.late());
        assert_eq!(pulse.read(10, reads.outcome()), Some(Turn::Fell(Illness::Silent)));
        assert_eq!(pulse.read(11, reads.outcome()), None, "told once");
        assert_eq!(pulse.step(11), Step::Wait(999));
    }

    #[test]
    fn an_instance_that_keeps_falling_ill_is_tried_ever_more_rarely() {
        let mut pulse = proved();
        let mut now_ms = 0;
        for pause in [1_000, 2_000, 4_000] {
            assert!(pulse.wrote(now_ms, Err(Illness::Lost)).is_some());
            assert_eq!(pulse.step(now_ms), Step::Wait(pause));
            now_ms += pause;
            assert_eq!(pulse.probed(now_ms, Ok(())), Some(Turn::Recovered));
        }
        now_ms += 100_000;
        assert!(pulse.wrote(now_ms, Err(Illness::Lost)).is_some());
        assert_eq!(pulse.step(now_ms), Step::Wait(1_000));
    }

    #[test]
    fn an_ill_instance_is_reopened_at_growing_intervals_and_told_once() {
        let mut pulse = proved();
        assert!(pulse.probed(0, Err(Illness::Stuck)).is_some());
        let mut now_ms = 0;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Step::Wait(pause) = pulse.step(now_ms) else { panic!("a pause is due") };
            pauses.push(pause);
            now_ms += pause;
            assert_eq!(pulse.step(now_ms), Step::Reopen);
            assert_eq!(pulse.probed(now_ms, Err(Illness::Lost)), None);
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(pulse.probed(now_ms, Ok(())), Some(Turn::Recovered));
        assert_eq!(pulse.step(now_ms), Step::Wait(60_000));
    }
}
