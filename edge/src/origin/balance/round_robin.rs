//! Each in turn: simple, fair when requests cost alike, and without any shared lock.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Balance, Candidate, eligible};

/// Each in turn, over all cores.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl Balance for RoundRobin {
    fn pick(&self, candidates: &[Candidate], may_risk: bool) -> Option<usize> {
        let choice = eligible(candidates, may_risk);
        if choice.is_empty() {
            return None;
        }
        // Counting turns over the whole pool and not over the eligible ones keeps the turns even
        // when an origin comes and goes between two picks.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % candidates.len();
        let picked = choice.iter().find(|c| c.index >= turn).or(choice.first());
        picked.map(|c| c.index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    fn candidates(healthy: &[bool]) -> Vec<Candidate> {
        let standing = |healthy| if healthy { Standing::Healthy } else { Standing::Ejected };
        healthy
            .iter()
            .enumerate()
            .map(|(index, healthy)| Candidate {
                index,
                standing: standing(*healthy),
                in_flight: 0,
                tried: false,
            })
            .collect()
    }

    #[test]
    fn healthy_origins_take_turns() {
        let balance = RoundRobin::default();
        let all = candidates(&[true, true, true]);
        let picks: Vec<_> = (0..6).filter_map(|_| balance.pick(&all, true)).collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn an_ejected_origin_is_passed_over() {
        let balance = RoundRobin::default();
        let two = candidates(&[true, false, true]);
        let picks: Vec<_> = (0..4).filter_map(|_| balance.pick(&two, true)).collect();
        assert!(!picks.contains(&1), "{picks:?}");
        assert!(picks.contains(&0) && picks.contains(&2));
    }

    #[test]
    fn nobody_is_picked_when_all_were_tried() {
        let mut all = candidates(&[true]);
        all[0].tried = true;
        assert_eq!(RoundRobin::default().pick(&all, true), None);
        assert_eq!(RoundRobin::default().pick(&[], true), None);
    }
}
