//! Why a request would be answered as it would: the lookup once more, told in full.
//!
//! It is the lookup that serves ([`Cache::lookup`]) and the judgement that serves; beside them
//! stands what they were made from. Nothing is changed by asking but what every lookup does: the
//! record counts as used, and as compared with the ledger. No origin is asked, no byte moves
//! between tiers.
//!
//! Everything is bounded: variants per key, scopes per target, fills per key, chunks looked at.

use http::HeaderMap;
use smallvec::SmallVec;

use super::{Cache, Request};
use crate::Millis;
use crate::directory::Record;
use crate::fill::InFlight;
use crate::fill::collapse::Candidate;
use crate::head::{self, StoredHead};
use crate::invalidate::{LedgerId, Marks, Position, Probed};
use crate::policy::outlook::{Span, outlook, stands_in_until};
use crate::policy::{Cause, Judgement};
use crate::store::{Part, Presence, StoreKey};
use crate::variant::normalize;

/// Chunks of one body whose place is looked up; of a longer body the first ones speak.
const CHUNKS_SEEN_MAX: usize = 16_384;

/// What a request would meet, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// When it was asked.
    pub now: Millis,
    /// What serving would be told.
    pub judgement: Judgement,
    /// The stored response that fits, also when a purge forbids its bytes.
    pub record: Option<Record>,
    /// Its head, if it can be read.
    pub head: Option<StoredHead>,
    /// Everything stored under the key, newest first.
    pub variants: Vec<VariantView>,
    /// The verdict from now on, as time alone will change it.
    pub outlook: SmallVec<[Span; 4]>,
    /// Until when it would stand in for a failing origin.
    pub stands_in_until: Option<Millis>,
    /// The comparison with the ledger.
    pub compared: Compared,
    /// Where the bytes lie.
    pub place: Option<Place>,
    /// Fetches under way for the key.
    pub fills: Vec<InFlight>,
    /// What a request that needs the origin would do.
    pub way_on: WayOn,
}

/// One stored response of a key, as the selecting fields of the request see it.
#[derive(Clone, Debug)]
pub struct VariantView {
    /// Object id of its head.
    pub head: u64,
    /// Whether it fits the request.
    pub fits: bool,
    /// The selecting fields and what the request says in them, normalised; `None`: not there.
    pub selecting: Vec<(http::HeaderName, Option<String>)>,
    /// When it was received.
    pub received: Millis,
    /// Its status.
    pub status: u16,
    /// Length of its body in bytes.
    pub length: u64,
}

/// What the ledger was asked.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Which ledger.
    pub ledger: LedgerId,
    /// The highest position in force.
    pub in_force: Position,
    /// Everything fetched before this position counts as purged.
    pub floor: Position,
    /// The position from which the record had to be compared, before this was asked.
    pub since: Option<Position>,
    /// Unsafe methods on this URL invalidated it after this many others, on the whole node.
    pub local: u64,
    /// Every scope that selects the target or a tag of the record, and its marks.
    pub scopes: Vec<ScopeView>,
}

/// One scope and the highest positions that select it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeView {
    /// Its kind, in the word of a purge: `everything`, `host`, `url`, `prefix`, `tag`.
    pub kind: &'static str,
    /// The prefix, or the hash of the tag; empty for the others.
    pub value: String,
    /// Marks of purges for all sites.
    pub all_sites: Option<Marks>,
    /// Marks of purges for the request's site.
    pub own_site: Option<Marks>,
}

/// Where the bytes of a record lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The head, with the body when that is inline.
    pub head: Presence,
    /// The body stands behind the head.
    pub inline: bool,
    /// Chunks of the body that were looked up.
    pub chunks: u64,
    /// Of these: in memory.
    pub in_memory: u64,
    /// Of these: on disk alone.
    pub on_disk: u64,
}

impl Place {
    /// One word: `memory`, `disk`, `memory and disk`, `partial` (some chunks are gone), `gone`.
    pub const fn name(&self) -> &'static str {
        let absent = self.chunks - self.in_memory - self.on_disk;
        match self.head {
            Presence::Absent => "gone",
            _ if absent > 0 => "partial",
            Presence::Memory if self.on_disk == 0 => "memory",
            Presence::Disk if self.in_memory == 0 => "disk",
            _ => "memory and disk",
        }
    }
}

/// How a request that needs the origin would get on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayOn {
    /// It would start a fetch that others may join.
    Fetch,
    /// It would wait for a fetch under way.
    Join,
    /// It would go to the origin alone.
    Alone(Cause),
}

impl Cache {
    /// What would happen to this request now, and why.
    pub async fn explain(&self, request: &Request<'_>) -> Explanation {
        let now = self.clock.now();
        let before = self.compared_before(request);
        let examined = self.examine(request, now);
        let judgement = examined.judgement;
        let record = examined.record.clone();
        let found = examined.into_found(request);
        let stored = record.as_ref().map(|record| (&record.fresh, record.stale_since));
        let (facts, options) = (request.facts, request.options);
        let purges = &judgement.purges;
        let asks = found.asks(request);
        let may_join = |fill: &Candidate<'_>| self.may_join(request, &found, asks, fill);
        let fills = self.fills.listed(request.key, may_join);
        let way_on = match self.uncacheable(request) {
            Some(true) => WayOn::Alone(Cause::HitForMiss),
            _ if fills.iter().any(|fill| fill.admits) => WayOn::Join,
            _ => WayOn::Fetch,
        };
        Explanation {
            now,
            judgement,
            outlook: outlook(facts, stored, purges, now, options),
            stands_in_until: stored
                .and_then(|stored| stands_in_until(facts, stored, purges, now, options)),
            variants: self.variants(request),
            compared: self.compared(request, record.as_ref(), before),
            place: record.as_ref().map(|record| self.place(record)),
            head: match &record {
                Some(record) => self.read_head(record).await,
                None => None,
            },
            fills,
            way_on,
            record,
        }
    }

    async fn read_head(&self, record: &Record) -> Option<StoredHead> {
        let block = self.store.read(StoreKey { object: record.head, part: Part::Head }).await?;
        head::decode_again(&block).map(|(head, _)| head)
    }

    fn variants(&self, request: &Request<'_>) -> Vec<VariantView> {
        let view = |record: &Record| VariantView {
            head: record.head,
            fits: super::join::fits(request, record.varied.as_deref()),
            selecting: record.varied.as_ref().map_or_else(Vec::new, |varied| {
                varied.vary.0.iter().map(|name| selecting(name, request.headers)).collect()
            }),
            received: record.fresh.received,
            status: record.fresh.status,
            length: record.length,
        };
        self.directory.variants(request.key).iter().map(view).collect()
    }

    /// The position from which the fitting record has yet to be compared.
    fn compared_before(&self, request: &Request<'_>) -> Option<Position> {
        let variants = self.directory.variants(request.key);
        let fits = |record: &&Record| super::join::fits(request, record.varied.as_deref());
        let record = variants.iter().find(fits)?;
        Some(self.live.compared(record.sent, record.checked))
    }

    fn compared(
        &self,
        request: &Request<'_>,
        record: Option<&Record>,
        since: Option<Position>,
    ) -> Compared {
        let tags = record.map_or(&[][..], |record| &record.tags);
        let mut scopes = Vec::new();
        request.target.each_named(tags, |probed, all_sites, own_site| {
            let (kind, value) = match probed {
                Probed::Everything => ("everything", String::new()),
                Probed::Host => ("host", String::new()),
                Probed::Url => ("url", String::new()),
                Probed::Prefix(prefix) => ("prefix", format!("{prefix}/")),
                Probed::Tag(hash) => ("tag", format!("{hash:016x}")),
            };
            let (all_sites, own_site) = (self.live.marks(all_sites), self.live.marks(own_site));
            scopes.push(ScopeView { kind, value, all_sites, own_site });
        });
        let watermark = self.watermark();
        Compared {
            ledger: watermark.ledger,
            in_force: watermark.position,
            floor: self.live.floor(),
            since,
            local: watermark.local,
            scopes,
        }
    }

    fn place(&self, record: &Record) -> Place {
        let head = self.store.presence(StoreKey { object: record.head, part: Part::Head });
        let mut place = Place { head, inline: record.inline, chunks: 0, in_memory: 0, on_disk: 0 };
        for (object, chunk) in record.chunks().take(CHUNKS_SEEN_MAX) {
            place.chunks += 1;
            match self.store.presence(StoreKey { object, part: Part::Chunk(chunk) }) {
                Presence::Memory => place.in_memory += 1,
                Presence::Disk => place.on_disk += 1,
                Presence::Absent => {}
            }
        }
        place
    }
}

fn selecting(name: &http::HeaderName, request: &HeaderMap) -> (http::HeaderName, Option<String>) {
    let mut value = normalize::Buffer::new();
    let present = normalize::selecting_value(name, request, &mut value);
    (name.clone(), present.then(|| normalize::readable(&value)))
}
