//! What time alone will do to a verdict: until when it holds, and what comes after it.
//!
//! No second set of rules: the moments at which something may change are worked out, and
//! [`judge`] and [`stale_on_error`] themselves are asked what they say from each of them on.
//! Knows nothing of purges to come, evictions or the origin.

use smallvec::SmallVec;

use super::reuse::{judge, stale_at, stale_on_error};
use super::{Cause, Fresh, Options, RequestFacts, Verdict};
use crate::Millis;
use crate::invalidate::PurgeState;

/// A time in which the verdict is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its beginning.
    pub from: Millis,
    /// Its end, outside of it; `None` if time alone changes nothing any more.
    pub until: Option<Millis>,
    /// What is done with a request.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
}

/// The verdict now and all that follow, in order.
pub fn outlook(
    request: &RequestFacts,
    stored: Option<(&Fresh, Millis)>,
    purges: &PurgeState,
    now: Millis,
    options: &Options,
) -> SmallVec<[Span; 4]> {
    let mut spans = SmallVec::<[Span; 4]>::new();
    let turns = stored.map(|(fresh, since)| turns(request, fresh, since, purges));
    for from in std::iter::once(now).chain(turns.into_iter().flatten()).filter(|at| *at >= now) {
        let judged = judge(request, stored, purges, from, options);
        let (verdict, cause) = (judged.verdict, judged.cause);
        match spans.last_mut() {
            Some(last) if (last.verdict, last.cause) == (verdict, cause) => continue,
            Some(last) => last.until = Some(from),
            None => {}
        }
        spans.push(Span { from, until: None, verdict, cause });
    }
    spans
}

/// Until when a failure of the origin would be answered with the stored response, the end outside;
/// `None` if it would not be now.
pub fn stands_in_until(
    request: &RequestFacts,
    (fresh, stale_since): (&Fresh, Millis),
    purges: &PurgeState,
    now: Millis,
    options: &Options,
) -> Option<Millis> {
    let stands_in = |at| stale_on_error(fresh, stale_since, request, purges, at, options);
    if !stands_in(now) {
        return None;
    }
    turns(request, fresh, stale_since, purges).into_iter().find(|at| *at > now && !stands_in(*at))
}

/// Every moment at which the verdict on a stored response may change, in order.
fn turns(
    request: &RequestFacts,
    fresh: &Fresh,
    stale_since: Millis,
    purges: &PurgeState,
) -> SmallVec<[Millis; 8]> {
    let stale_at = stale_at(fresh, stale_since, purges);
    let mut turns = SmallVec::<[Millis; 8]>::new();
    turns.push(stale_at);
    turns.push(stale_at.plus_s(u64::from(fresh.swr_s)));
    turns.push(stale_at.plus_s(u64::from(request.stale_if_error_s.unwrap_or(fresh.sie_s))));
    if let Some(allowed_s) = request.max_stale_s.filter(|allowed_s| *allowed_s < u32::MAX) {
        // Whole seconds of staleness are compared, equality included.
        turns.push(stale_at.plus_s(u64::from(allowed_s) + 1));
    }
    if let Some(wanted_s) = request.min_fresh_s {
        let last = stale_at.0.saturating_sub(u64::from(wanted_s) * 1000);
        turns.push(Millis(last.saturating_add(1)));
    }
    if let Some(oldest_s) = request.max_age_s {
        // Whole seconds of age are compared, equality included.
        let resident_s = (u64::from(oldest_s) + 1).saturating_sub(u64::from(fresh.age_s));
        turns.push(fresh.received.plus_s(resident_s));
    }
    turns.sort_unstable();
    turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::flag;

    const START: Millis = Millis(1_000_000_000);

    fn fresh(lifetime_s: u32, swr_s: u32, sie_s: u32) -> Fresh {
        let flags = 0;
        Fresh { received: START, age_s: 10, lifetime_s, swr_s, sie_s, flags, status: 200 }
    }

    #[test]
    fn a_response_is_fresh_then_refreshed_behind_then_validated() {
        let (request, purges, options) = Default::default();
        let fresh = fresh(70, 30, 600);
        let stored = Some((&fresh, Millis::MAX));
        let spans = outlook(&request, stored, &purges, START, &options);
        let told: Vec<_> = spans.iter().map(|s| (s.from.since_ms(START), s.cause)).collect();
        let want = [(0, Cause::Fresh), (60_000, Cause::WithinSwr), (90_000, Cause::Expired)];
        assert_eq!(told, want);
        assert_eq!(spans[2].until, None);
        let until = stands_in_until(&request, (&fresh, Millis::MAX), &purges, START, &options);
        assert_eq!(until, Some(START.plus_s(660)));
    }

    #[test]
    fn nothing_stored_stays_so() {
        let (request, purges, options) = Default::default();
        let spans = outlook(&request, None, &purges, START, &options);
        assert_eq!((spans.len(), spans[0].cause), (1, Cause::NothingStored));
    }

    fn seconds() -> impl Strategy<Value = u32> {
        0u32..60
    }

    proptest! {
        /// Between two turns nothing changes, and at each something does.
        #[test]
        fn the_verdict_changes_when_it_was_said_to_and_never_else(
            age_s in seconds(), lifetime_s in seconds(), swr_s in seconds(), sie_s in seconds(),
            max_age_s in proptest::option::of(seconds()),
            min_fresh_s in proptest::option::of(seconds()),
            max_stale_s in proptest::option::of(prop_oneof![seconds(), Just(u32::MAX)]),
            stale_if_error_s in proptest::option::of(seconds()),
            soft in proptest::option::of(0u64..60_000),
            bound: bool,
            asked_ms in 0u64..200_000,
            later_ms in 0u64..400_000,
        ) {
            let flags = if bound { flag::MUST_REVALIDATE } else { 0 };
            let fresh = Fresh { received: START, age_s, lifetime_s, swr_s, sie_s, flags, status: 200 };
            let request = RequestFacts {
                max_age_s, min_fresh_s, max_stale_s, stale_if_error_s, ..RequestFacts::default()
            };
            let purges = PurgeState {
                soft: soft.map(|ms| (crate::invalidate::Position(1), START.plus_ms(ms))),
                ..PurgeState::default()
            };
            let options = Options::default();
            let stored = Some((&fresh, Millis::MAX));
            let (now, later) = (START.plus_ms(asked_ms), START.plus_ms(asked_ms + later_ms));
            let spans = outlook(&request, stored, &purges, now, &options);
            prop_assert!(spans.len() <= 8);
            prop_assert_eq!(spans[0].from, now);
            for pair in spans.windows(2) {
                prop_assert_eq!(pair[0].until, Some(pair[1].from));
                prop_assert!((pair[0].verdict, pair[0].cause) != (pair[1].verdict, pair[1].cause));
            }
            let within = |s: &&Span| s.from <= later && s.until.is_none_or(|until| later < until);
            let span = spans.iter().find(within).expect("the spans cover all time to come");
            let judged = judge(&request, stored, &purges, later, &options);
            prop_assert_eq!((span.verdict, span.cause), (judged.verdict, judged.cause));

            let stored = (&fresh, Millis::MAX);
            let until = stands_in_until(&request, stored, &purges, now, &options);
            let stands_in = stale_on_error(&fresh, Millis::MAX, &request, &purges, later, &options);
            prop_assert_eq!(until.is_some_and(|until| later < until), stands_in, "{:?}", until);
        }
    }
}
