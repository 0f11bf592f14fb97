//! Parts of a body: what the origin is asked for, what its 206 is good for, and how a client gets
//! the bytes that are stored and those that still arrive one after the other.
//!
//! Which bytes are missing and which answers fit is the library's to say (`selvedge_cache::range`).

use std::collections::VecDeque;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, RANGE};
use http::{HeaderMap, StatusCode};
use selvedge_cache::cache::Offer;
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{Content, FillHead, FillPermit, PartHead, Waiter};
use selvedge_cache::range::{
    ByteRange, Missing, RangeSpec, Received, Representation, wanted::forwardable,
};

use super::fetch::{Job, pump};
use super::post::Times;
use super::{Exchange, Reply};
use crate::origin::OriginReply;
use crate::respond::Body;
use crate::respond::conditional::Shape;

/// What the origin is asked for.
pub(super) enum Ask {
    /// Everything, unless what is stored still holds.
    All,
    /// The range that the client asks for.
    Range(RangeSpec),
    /// What is missing of a stored response.
    Rest(Missing),
}

impl Ask {
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Puts `Range` and `If-Range` into a request that has none yet. With its own range the client's
    /// condition goes along: the origin is as good a judge of it.
    pub(super) fn apply(&self, request: &mut HeaderMap, client: &HeaderMap) {
        match self {
            Self::All => {}
            Self::Rest(missing) => missing.ask(request),
            Self::Range(range) => {
                request.insert(RANGE, range.to_value());
                for condition in client.get_all(IF_RANGE) {
                    request.append(IF_RANGE, condition.clone());
                }
            }
        }
    }
}

impl Job {
    /// How the bytes are asked for, and what is stored of the rest if the answer may be used with
    /// it.
    pub(super) async fn ask_for(
        &self,
        asked: RangeSpec,
        base: Option<Record>,
    ) -> (Vec<Offer>, Ask) {
        let Some(record) = base else { return (Vec::new(), Ask::Range(asked)) };
        let cache = &self.shared.cache;
        let Some(loaded) = cache.load(&record).await else { return (Vec::new(), Ask::All) };
        let pieces = record.parts.iter().flat_map(|parts| parts.pieces());
        if pieces.copied().any(|piece| cache.reader(piece).is_none()) {
            // Some went since the lookup: what would be combined is not all there.
            cache.shrink(&record, &loaded.head.headers);
            return (Vec::new(), Ask::All);
        }
        let RangeSpec::From { first, last: Some(last) } = asked else {
            return (Vec::new(), Ask::All);
        };
        let stored = Representation::of(&loaded.head.headers, record.length);
        match stored.and_then(|stored| stored.missing(ByteRange { first, last })) {
            Some(missing) => (vec![Offer { record, loaded }], Ask::Rest(missing)),
            None => (Vec::new(), Ask::All),
        }
    }

    /// Adds the part that an answer brings to what is stored. Gives the permit back if that cannot
    /// be.
    pub(super) async fn add(
        &self,
        permit: FillPermit,
        Offer { record, loaded }: &Offer,
        reply: OriginReply,
        range: ByteRange,
        times: Times,
    ) -> Option<FillPermit> {
        let OriginReply { headers, body, .. } = reply;
        let as_sent = headers.get(CONTENT_RANGE)?.clone();
        let said = http_body::Body::size_hint(&body).exact();
        let request = self.request(permit.sent());
        if said.is_some_and(|said| said != range.len())
            || self.shared.cache.forbids(&request, record)
        {
            return Some(permit);
        }
        let Some((merged, storable)) = self.merged(record, loaded, &headers, times) else {
            return Some(permit);
        };
        let varied = self.shared.cache.varied(&request, &storable, &merged.headers);
        let received = Received { range, length: record.length, as_sent };
        let content = Content::Part(received, Some(Box::new(record.clone())));
        let head = (merged.headers, HeaderMap::new());
        if let Ok(writer) = permit.storable(merged.status, head, content, storable, varied) {
            pump(writer, body).await;
        }
        None
    }

    /// What a 206 brings, if it can be stored.
    pub(super) fn part(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        content: Option<u64>,
    ) -> Option<Received> {
        let trust = self.plan.site.cache.trust;
        (status == StatusCode::PARTIAL_CONTENT)
            .then(|| Received::of(headers, content, trust))
            .flatten()
    }
}

/// What the content of an answer is. The head of a part is stored as that of the whole.
pub(super) fn content(
    part: Option<Received>,
    length: Option<u64>,
    stored: &mut HeaderMap,
) -> Content {
    let Some(part) = part else { return Content::Whole(length) };
    stored.remove(CONTENT_RANGE);
    stored.remove(CONTENT_LENGTH);
    if part.is_whole() { Content::Whole(Some(part.length)) } else { Content::Part(part, None) }
}

impl Exchange {
    /// Whether the client that started a fetch cannot be answered with what comes of it.
    pub(super) fn is_useless(&self, head: &FillHead) -> bool {
        head.part.as_ref().is_some_and(|part| part.as_sent.is_none())
            && self.shared.cache.lacks(&self.request(), head)
    }

    /// The part that came, if the client that started the fetch is to get it as it came: the
    /// origin answered its own request, or answered with something else than was asked.
    pub(super) fn as_it_came<'a>(&self, head: &'a FillHead, shape: &Shape) -> Option<&'a PartHead> {
        let part = head.part.as_ref().filter(|part| part.as_sent.is_some())?;
        let is_own = self.plan.site.cache.forward_ranges
            && forwardable(self.plan.facts.method, &self.admitted.headers).is_some();
        let fits = match shape {
            Shape::Partial(_) => is_own || self.shared.cache.lacks(&self.request(), head),
            Shape::Full => self.shared.cache.lacks(&self.request(), head),
            _ => false,
        };
        fits.then_some(part)
    }

    /// The same, as an answer.
    pub(super) fn part_as_it_came(
        &mut self,
        head: &FillHead,
        part: &PartHead,
        mut headers: HeaderMap,
        waiter: Waiter,
    ) -> Reply {
        headers.extend(part.as_sent.clone().map(|value| (CONTENT_RANGE, value)));
        let store = std::sync::Arc::clone(&self.shared.cache.store);
        let body = Body::Filling(waiter.read(store, head.object, 0, head.length), head.length);
        self.shaped(Shape::Full, StatusCode::PARTIAL_CONTENT, headers, body, head.length)
    }

    /// The bytes `from..to` of a body of which one part still arrives and others are stored.
    pub(super) fn assembled(
        &self,
        head: &FillHead,
        part: &PartHead,
        waiter: Waiter,
        (from, to): (u64, u64),
    ) -> Body {
        let range = ByteRange { first: from, last: to.saturating_sub(1) };
        let cache = &self.shared.cache;
        let mut waiter = Some(waiter);
        let mut bodies = VecDeque::new();
        for piece in part.parts.cut(range).unwrap_or_default() {
            let (from, bytes) = (piece.offset, piece.range.len());
            let store = std::sync::Arc::clone(&cache.store);
            // The arriving part is one piece.
            let arriving = waiter.take_if(|_| piece.object == head.object);
            bodies.push_back(match arriving {
                Some(waiter) => {
                    let reader = waiter.read(store, head.object, from, Some(from + bytes));
                    Body::Filling(reader, Some(bytes))
                }
                None => Body::Stored(selvedge_cache::reader::StoredReader::new(
                    store,
                    piece.object,
                    from,
                    from + bytes,
                )),
            });
        }
        Body::Sequence(bodies)
    }
}
