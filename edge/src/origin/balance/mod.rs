//! Which origin gets this attempt.
//!
//! A balancer sees candidates and answers with one of them; it does no I/O and keeps no clock.
//! What it is told of each origin is one word, [`Standing`], and a number of requests in flight.
//! The order of preference is the same for every balancer and stands in [`eligible`]:
//! an origin whose trial is due (if the request may be risked), then healthy ones, then, when no
//! healthy one is left, all the others, because a wrong guess about health must not be an outage.
//!
//! Knows nothing of connections, requests or why an origin is unwell.

use smallvec::SmallVec;

pub mod round_robin;

pub use round_robin::RoundRobin;

/// What health says of an origin at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Use it.
    Healthy,
    /// Leave it alone.
    Ejected,
    /// Its time-out is over and nobody tries it yet: one request may.
    TrialDue,
}

/// One origin as a balancer sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Place in the pool.
    pub index: usize,
    /// What health says.
    pub standing: Standing,
    /// Requests it has in hand.
    pub in_flight: usize,
    /// This request was already sent to it.
    pub tried: bool,
}

/// Candidates of one choice; pools are small.
pub type Candidates = SmallVec<[Candidate; 8]>;

/// Chooses among candidates.
pub trait Balance: Send + Sync {
    /// One of the candidates, or `None` if this request has tried them all. `may_risk`: the
    /// request could be sent again elsewhere, so it may be the trial of an ejected origin.
    fn pick(&self, candidates: &[Candidate], may_risk: bool) -> Option<usize>;
}

/// The candidates that deserve to be chosen from, best class only.
pub fn eligible(candidates: &[Candidate], may_risk: bool) -> Candidates {
    let class = |wanted: fn(Standing) -> bool| -> Candidates {
        candidates.iter().filter(|c| !c.tried && wanted(c.standing)).copied().collect()
    };
    if may_risk {
        let due = class(|standing| standing == Standing::TrialDue);
        if !due.is_empty() {
            return due;
        }
    }
    let healthy = class(|standing| standing == Standing::Healthy);
    if healthy.is_empty() { class(|_| true) } else { healthy }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Ejected, Healthy, TrialDue};

    fn indices(standings: &[(Standing, bool)], may_risk: bool) -> Vec<usize> {
        let candidates: Vec<_> = standings
            .iter()
            .enumerate()
            .map(|(index, (standing, tried))| Candidate {
                index,
                standing: *standing,
                in_flight: 0,
                tried: *tried,
            })
            .collect();
        eligible(&candidates, may_risk).iter().map(|c| c.index).collect()
    }

    #[test]
    fn healthy_origins_come_before_ejected_ones() {
        assert_eq!(indices(&[(Ejected, false), (Healthy, false), (Healthy, true)], true), [1]);
    }

    #[test]
    fn when_all_are_ejected_all_are_tried() {
        assert_eq!(indices(&[(Ejected, false), (Ejected, false)], true), [0, 1]);
        assert_eq!(indices(&[(Ejected, true), (Healthy, true)], true), Vec::<usize>::new());
        assert_eq!(indices(&[(Ejected, false), (Healthy, true)], true), [0]);
    }

    #[test]
    fn only_a_request_that_may_be_sent_again_is_a_trial() {
        assert_eq!(indices(&[(TrialDue, false), (Healthy, false)], true), [0]);
        assert_eq!(indices(&[(TrialDue, false), (Healthy, false)], false), [1]);
    }
}
