//! What a verdict leads to.
//!
//! The exchange takes the way; `explain` tells it. Both ask here.

use selvedge_cache::policy::{MethodClass, RequestFacts, Verdict};

use crate::journal::CacheOutcome;

/// Where a looked-up request goes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It is answered from what is stored.
    Stored(CacheOutcome),
    /// It wanted nothing but what is stored, and that cannot be used: 504.
    Unsatisfied,
    /// To the origin, for this client alone.
    Pass,
    /// To the origin by a fetch that others may join.
    Fetch,
}

impl Way {
    /// The way of a request with these facts; `usable` says whether a stored response is in hand.
    pub fn of(verdict: Verdict, usable: bool, facts: &RequestFacts) -> Self {
        match verdict {
            Verdict::Fresh if usable => Self::Stored(CacheOutcome::Hit),
            Verdict::Stale { .. } if usable => Self::Stored(CacheOutcome::Stale),
            Verdict::Unsatisfied => Self::Unsatisfied,
            Verdict::Bypass => Self::Pass,
            // What is asked of the origin for these is for this client alone.
            _ if facts.method != MethodClass::Get || facts.no_store => Self::Pass,
            _ => Self::Fetch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_one_way() {
        let get = RequestFacts::default();
        let of = |verdict, facts: &RequestFacts| Way::of(verdict, true, facts);
        assert_eq!(of(Verdict::Fresh, &get), Way::Stored(CacheOutcome::Hit));
        let stale = Verdict::Stale { refresh: true };
        assert_eq!(of(stale, &get), Way::Stored(CacheOutcome::Stale));
        assert_eq!(of(Verdict::Validate, &get), Way::Fetch);
        assert_eq!(of(Verdict::Absent, &get), Way::Fetch);
        assert_eq!(of(Verdict::Unsatisfied, &get), Way::Unsatisfied);
        assert_eq!(of(Verdict::Bypass, &get), Way::Pass);
        // Nothing in hand: to the origin, whatever was said of it.
        assert_eq!(Way::of(Verdict::Fresh, false, &get), Way::Fetch);
        for alone in [
            RequestFacts { method: MethodClass::Head, ..get },
            RequestFacts { no_store: true, ..get },
        ] {
            assert_eq!(of(Verdict::Absent, &alone), Way::Pass);
            assert_eq!(of(Verdict::Fresh, &alone), Way::Stored(CacheOutcome::Hit));
        }
    }
}
