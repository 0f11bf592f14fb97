//! Who fetches, who waits for another's fetch, and who may be given its answer.
//!
//! Collapsing is reuse (RFC 9111 §4) with a purge ledger behind it: a request joins a fetch only
//! if nothing that it must honour came after the fetch was sent, and is asked again once the head
//! is there, with its tags, its `Vary` and what it says about sharing.

use std::sync::Arc;

use super::{Cache, Entry, Found, Request};
use crate::Millis;
use crate::directory::{Record, Varied};
use crate::fill::collapse::Candidate;
use crate::fill::{FillHead, FillKey, FillPermit, Join, Waiter};
use crate::invalidate::{PurgeState, Watermark};
use crate::policy::{self, Cause, Fresh, RequestFacts, Verdict};
use crate::range::{RangeSpec, wanted};
use crate::store::{Part, Presence, StoreKey};
use crate::variant;

/// What a request does with a response that it waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It answers this request, too.
    Share,
    /// It does not, but something else may: look again.
    Look,
    /// It answers its own request only, and so would the next: go to the origin alone.
    Alone,
}

impl Cache {
    /// **Fill**: joins a fetch in flight or gets the right to fetch.
    pub fn enter(self: &Arc<Self>, request: &Request<'_>, found: &Found) -> Entry {
        match self.uncacheable(request) {
            Some(true) => return Entry::Alone(Cause::HitForMiss),
            Some(false) => self.hit_for_miss.forget(request.key),
            None => {}
        }
        let asked = found.asks(request);
        let key = FillKey { key: *request.key, selected: found.selected, asked };
        match self.fills.join(key, |fill| self.may_join(request, found, asked, fill)) {
            Join::Follow(waiter) => Entry::Follow(waiter),
            Join::Alone => Entry::Alone(Cause::NothingStored),
            Join::Lead(fill, waiter) => {
                self.note(request);
                let permit = FillPermit::new(Arc::clone(self), fill, false);
                // Between our lookup and the permit another fill may have been published.
                let again = self.lookup(request);
                match again.record {
                    Some(record)
                        if again.judgement.verdict == Verdict::Fresh
                            && found.judgement.verdict != Verdict::Fresh =>
                    {
                        // Who joined meanwhile gets it, too.
                        permit.validated(record);
                        Entry::Again
                    }
                    _ => Entry::Lead(permit, waiter),
                }
            }
        }
    }

    /// Whether the URL proved uncacheable lately; `Some(false)` if a purge came since, so that the
    /// memory of it is worth nothing.
    pub(super) fn uncacheable(&self, request: &Request<'_>) -> Option<bool> {
        let position = self.hit_for_miss.recall(request.key, self.clock.now())?;
        let purged = self.live.check(&request.target, &[], position, position);
        Some(purged == PurgeState::default())
    }

    /// The right to validate in the background, unless somebody does already.
    pub fn enter_background(
        self: &Arc<Self>,
        request: &Request<'_>,
        found: &Found,
    ) -> Option<FillPermit> {
        let key = FillKey { key: *request.key, selected: found.selected, asked: None };
        let fill =
            self.fills.lead_quietly(key, |fill| self.may_join(request, found, None, fill))?;
        Some(FillPermit::new(Arc::clone(self), fill, true))
    }

    /// The right to store a response that is here already: the answer to a POST that stands for
    /// later GETs (RFC 9110 §9.3.3), sent under `sent`. Nobody is joined, and only readers of the
    /// body may join.
    pub fn enter_answered(
        self: &Arc<Self>,
        request: &Request<'_>,
        sent: Watermark,
    ) -> Option<(FillPermit, Waiter)> {
        let key = FillKey { key: *request.key, selected: 0, asked: None };
        let Join::Lead(fill, waiter) = self.fills.join(key, |_| false) else { return None };
        Some((FillPermit::answered(Arc::clone(self), fill, sent), waiter))
    }

    pub(super) fn may_join(
        &self,
        request: &Request<'_>,
        found: &Found,
        asks: Option<RangeSpec>,
        fill: &Candidate<'_>,
    ) -> bool {
        if let Some(head) = fill.head {
            return self.shares(request.facts, request, &head.fresh)
                && self.can_read_along(head, fill)
                && self.admits(request, head) == Admission::Share;
        }
        !found.solitary
            && fill.key.selected == found.selected
            // What was asked for is, or covers, what this one would ask for.
            && fill.key.asked.is_none_or(|asked| asks.is_some_and(|asks| asked.covers(asks)))
            && fill.sent.is_none_or(|sent| !self.selected_since(request, sent, &[], false))
    }

    /// Whether a response that is being filled may answer a request that waited for its head: it
    /// may be shared at all, its body can be kept (of one that cannot, a slower reader would lose
    /// what a faster one left behind), it fits the selecting fields, and nothing that the request
    /// must honour selects it since its fetch was sent.
    pub fn admits(&self, request: &Request<'_>, head: &FillHead) -> Admission {
        let keeps = head.length.is_none_or(|length| self.can_keep(length));
        if head.kept.narrower
            || !keeps
            || !self.shares(&having_waited(request.facts), request, &head.fresh)
        {
            return Admission::Alone;
        }
        if fits(request, head.varied.as_deref())
            && !self.lacks(request, head)
            && !self.selected_since(request, head.sent, &head.tags, head.tags_overflow)
        {
            Admission::Share
        } else {
            Admission::Look
        }
    }

    /// Whether a record that somebody else's validation yielded may answer this request.
    pub fn admits_record(&self, request: &Request<'_>, record: &Record) -> Admission {
        if !self.shares(&having_waited(request.facts), request, &record.fresh) {
            return Admission::Alone;
        }
        let purges = self.purges(record, &request.target);
        let lacks = record.parts.as_ref().and_then(|parts| {
            wanted::lacking(request.facts.method, request.headers, parts, record.length)
        });
        if lacks.is_none()
            && fits(request, record.varied.as_deref())
            && !purges.forbids()
            && purges.soft.is_none()
        {
            Admission::Share
        } else {
            Admission::Look
        }
    }

    /// Collapsing is reuse (RFC 9111 §4): only what could be answered from the store if it were
    /// there already may answer somebody who did not ask for it. Not a response that must be
    /// validated for each use (`no-cache`, no lifetime): it may be meant for one person.
    fn shares(&self, facts: &RequestFacts, request: &Request<'_>, fresh: &Fresh) -> bool {
        let stored = Some((fresh, Millis::MAX));
        let now = self.clock.now();
        let purges = PurgeState::default();
        let judged = policy::reuse::judge(facts, stored, &purges, now, request.options);
        matches!(judged.verdict, Verdict::Fresh | Verdict::Stale { .. })
    }

    /// Whether a late reader finds the beginning of the body: in the window of the fill, or in the
    /// store.
    fn can_read_along(&self, head: &FillHead, fill: &Candidate<'_>) -> bool {
        let first = StoreKey { object: head.object, part: Part::Chunk(0) };
        fill.starts_at == 0 || self.store.presence(first) != Presence::Absent
    }

    fn selected_since(
        &self,
        request: &Request<'_>,
        sent: Watermark,
        tags: &[u64],
        tags_overflow: bool,
    ) -> bool {
        let arrival = request.arrival;
        let newer = sent.position < arrival.position
            && (tags_overflow
                || self.live.check(&request.target, tags, sent.position, sent.position)
                    != PurgeState::default());
        newer
            || (sent.local < arrival.local
                && self.local.selects(&request.target, tags, tags_overflow, sent.local))
    }
}

/// Whether a response fits the selecting fields of a request.
pub(super) fn fits(request: &Request<'_>, varied: Option<&Varied>) -> bool {
    varied.is_none_or(|varied| {
        variant::selected_hash(request.key, &varied.vary, request.headers) == varied.selected
    })
}

/// A request that was there before the answer came: the answer is validated for it.
fn having_waited(facts: &RequestFacts) -> RequestFacts {
    RequestFacts { no_cache: false, ..*facts }
}
