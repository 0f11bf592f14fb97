//! The fetch behind a fill: runs on the core of the request that started it, and goes on when
//! that client leaves.
//!
//! The request to the origin is the client's without what would make the answer partial or
//! conditional; if something is stored, it is made conditional on that. The answer becomes a
//! fill, freshens what is stored, or — if it may not be stored — is handed to the one client
//! that started the fetch.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use selvedge_cache::cache::{Loaded, Offer, Request};
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FailureCode, FillPermit, FillWriter};
use selvedge_cache::head::StoredHead;
use selvedge_cache::policy::freshen::{Base, freshen};
use selvedge_cache::policy::storable::storable;
use selvedge_cache::policy::validation::{Conditional, ValidationReply, read_reply};
use selvedge_cache::policy::{CookieRule, NotStorable, Options, OriginResponse, Storable, flag};
use selvedge_cache::range::{Splice, Unfit};
use tokio::sync::{mpsc, oneshot};

use super::parts::{Ask, content};
use super::post::{Times, as_get};
use super::{Exchange, outbound};
use crate::decide::Plan;
use crate::filter::{Context, ResponseHead};
use crate::node::{Shared, Worker, World};
use crate::origin::{self, OriginBody, OriginReply, Outbound, OutboundRequest};
use crate::respond::fields;

/// The answer that may not be stored, for the client that started the fetch.
pub(super) type Hand = oneshot::Sender<Handed>;

/// An answer that was not stored.
pub(super) struct Handed {
    pub(super) reply: Box<OriginReply>,
    /// Why not: a word for `Cache-Status` and the log.
    pub(super) why: &'static str,
}

/// Why an answer is not stored that the policy says nothing about: an error in place of a
/// validation, or no memory for another fill.
const ORIGIN_ERROR: &str = "ORIGIN-ERROR";
const NO_ROOM: &str = "NO-ROOM";

/// Everything a fetch needs once its client may be gone.
pub(super) struct Job {
    pub(super) shared: Arc<Shared>,
    worker: Rc<Worker>,
    world: Arc<World>,
    pub(super) plan: Plan,
    pub(super) host: String,
    pub(super) scheme: &'static str,
    /// Fields of the client's request, for selecting.
    headers: HeaderMap,
    /// Host and fields for the origin.
    outgoing: (HeaderValue, HeaderMap),
    context: Context,
    /// Which origin it goes to, where that is chosen by hash.
    affinity: Option<u64>,
    /// The origin that the client is bound to: the answer may turn out to be for it alone.
    bound: Option<usize>,
    base: Option<Box<Record>>,
    leader: Option<Leader>,
}

/// The client that started a fetch, as far as the fetch can reach it.
pub(super) struct Leader {
    /// The answer that may not be stored.
    pub(super) hand: Hand,
    /// Interim responses of the origin.
    pub(super) interim: mpsc::Sender<(StatusCode, HeaderMap)>,
    /// Which origin was asked.
    pub(super) origin: Rc<OnceCell<Arc<str>>>,
}

/// An error of the origin for which a stale response may stand in (RFC 5861 §4).
pub(super) fn is_origin_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

impl Job {
    pub(super) fn new(
        exchange: &Exchange,
        base: Option<Box<Record>>,
        leader: Option<Leader>,
    ) -> Self {
        let mut outgoing = outbound::fields(&exchange.admitted, &exchange.world.admission.cdn_loop);
        outbound::whole_and_unconditional(&mut outgoing);
        Self {
            shared: Arc::clone(&exchange.shared),
            worker: Rc::clone(&exchange.worker),
            world: Arc::clone(&exchange.world),
            plan: exchange.plan.clone(),
            host: exchange.admitted.host().to_owned(),
            scheme: exchange.admitted.scheme,
            headers: exchange.admitted.headers.clone(),
            outgoing: (outbound::host(&exchange.plan, &exchange.admitted), outgoing),
            context: outbound::context(&exchange.context),
            affinity: exchange.affinity(),
            bound: exchange.bound(),
            base,
            leader,
        }
    }

    /// For a response that came by another way than this fetch, and is kept for later GETs.
    pub(super) fn for_get(mut self) -> Self {
        self.plan.facts = as_get(self.plan.facts);
        self
    }

    /// Stores a response that is here already, and settles the permit.
    pub(super) async fn keep(mut self, permit: FillPermit, reply: OriginReply, times: Times) {
        self.fill(permit, reply, times, None, true).await;
    }

    /// Fetches and settles the permit, whatever happens.
    pub(super) async fn run(mut self, permit: FillPermit) {
        let base = self.base.take().map(|record| *record);
        let fitting = base.as_ref().map(|record| record.head);
        let request = self.request(permit.sent());
        let (mut offers, ask) = match permit.asked() {
            None => (self.shared.cache.offers(&request, base).await, Ask::All),
            Some(asked) => self.ask_for(asked, base).await,
        };
        // Others than what fits stand in for nothing.
        let fits = offers.first().is_some_and(|first| fitting == Some(first.record.head));
        if let Some(permit) = self.attempt(permit, &offers, fits, ask).await {
            // What is stored cannot be used after all: ask once more, without it.
            offers.clear();
            self.attempt(permit, &offers, false, Ask::All).await;
        }
    }

    /// One request to the origin about what is stored, of which the first may fit the request as it
    /// is. Gives the permit back if it must be repeated without.
    async fn attempt(
        &mut self,
        mut permit: FillPermit,
        offers: &[Offer],
        fits: bool,
        ask: Ask,
    ) -> Option<FillPermit> {
        let (host, mut headers) = self.outgoing.clone();
        let offered: Vec<&HeaderMap> = offers.iter().map(|o| &o.loaded.head.headers).collect();
        let conditional = match &ask {
            Ask::All => Conditional::from_stored(&offered),
            Ask::Range(_) | Ask::Rest(_) => Conditional::default(),
        };
        conditional.apply(&mut headers);
        ask.apply(&mut headers, &self.headers);
        let requested = self.shared.cache.clock.now();
        let sent = permit.sending();
        let pool = Arc::clone(self.world.pool(&self.plan.site));
        let base = if fits { offers.first() } else { None };
        let has_fallback = base.is_some_and(|base| {
            ask.is_whole() && self.shared.cache.stale_on_error(&self.request(sent), &base.record)
        });
        let request = outbound::request(
            (&self.plan, &pool),
            (Method::GET, host),
            headers,
            Outbound::Empty,
            &mut self.context,
        );
        let preferred = request.preferred.or(self.bound);
        let (affinity, is_shared) = (self.affinity, true);
        let request = OutboundRequest { preferred, has_fallback, affinity, is_shared, ..request };
        let interim = self.leader.as_ref().map(|leader| leader.interim.clone());
        let relay = |status, headers| {
            // Who is slow to take them, or gone, misses some: they are hints.
            let _missed = interim.as_ref().map(|interim| interim.try_send((status, headers)));
        };
        let reply = self.worker.connections.send(&pool, request, relay).await;
        let mut reply = match reply {
            Ok(reply) => reply,
            Err(failure) => {
                self.tell_origin(failure.origin.as_ref());
                tracing::debug!(cause = failure.error.cause.label(), "{}", failure.error.chain());
                permit.failed(FailureCode(failure.error.cause.code()));
                return None;
            }
        };
        let times = Times { requested, received: self.shared.cache.clock.now() };
        self.tell_origin(Some(&reply.origin));
        self.filter(&mut reply);
        if let (Ask::Rest(missing), Some(base)) = (&ask, base) {
            match missing.splice(reply.status, &reply.headers) {
                Splice::Part(range) => return self.add(permit, base, reply, range, times).await,
                // Another version, all of it, or an error.
                Splice::Refused(Unfit::Status) if !matches!(reply.status.as_u16(), 304 | 416) => {}
                Splice::Refused(why) => {
                    tracing::debug!(why = why.name(), "the rest does not fit what is stored");
                    return Some(permit);
                }
            }
        }
        match read_reply(reply.status, &reply.headers, &conditional, &offered) {
            ValidationReply::NotModified { base } => {
                let Offer { record, loaded } = &offers[base];
                match self.freshen(record, loaded, &reply.headers, times, sent) {
                    Some(fresh) => permit.validated(fresh),
                    // A hard purge took the base meanwhile, or it may not be stored any more.
                    None => return Some(permit),
                }
            }
            ValidationReply::Contradiction if !conditional.is_empty() => return Some(permit),
            ValidationReply::ServerError if base.is_some() => {
                self.hand(reply, ORIGIN_ERROR);
                permit.erred(true);
            }
            _ => {
                let base = base.map(|base| &base.record);
                self.fill(permit, reply, times, base, ask.is_whole()).await;
            }
        }
        None
    }

    async fn fill(
        &mut self,
        permit: FillPermit,
        mut reply: OriginReply,
        times: Times,
        base: Option<&Record>,
        asked_for_all: bool,
    ) {
        let Times { requested, received } = times;
        let length = http_body::Body::size_hint(&reply.body).exact();
        let part = self.part(reply.status, &reply.headers, length);
        // What is stored stands for the whole (RFC 9111 §3.4), so it is judged as such.
        let as_stored = if part.is_some() { StatusCode::OK } else { reply.status };
        let headers = self.without_cookies(&reply.headers);
        let response = OriginResponse { status: as_stored, headers: &headers, requested, received };
        let options = self.options(as_stored, &headers);
        let storable = storable(&self.plan.facts, &response, &options);
        let storable = match storable.and_then(selectable) {
            Ok(storable) => {
                if let Cow::Owned(headers) = headers {
                    reply.headers = headers;
                }
                self.marked(storable, &reply.headers)
            }
            Err(reason) => {
                tracing::debug!(reason = reason.token(), "not storable");
                let status = reply.status;
                if let Some(base) = base.filter(|_| remembers(reason) && replaces(reply.status)) {
                    // What is stored is not what the URL says any more (RFC 9111 §4.3.3).
                    self.shared.cache.forget(base);
                }
                self.hand(reply, reason.token());
                if is_origin_error(status) {
                    permit.erred(false);
                } else if remembers(reason)
                    && (asked_for_all || !speaks_of_a_range(status))
                    && status != StatusCode::TOO_EARLY
                {
                    permit.not_storable();
                }
                // Otherwise the answer speaks of this one request: the next may be stored.
                return;
            }
        };
        let kept = self.kept(&reply.headers, permit.sent());
        let request = Request { key: &kept.key, ..self.request(permit.sent()) };
        let varied = self.shared.cache.varied(&request, &storable, &reply.headers);
        let OriginReply { status, headers, body, .. } = reply;
        let mut stored = stored_fields(&headers, &storable.omitted_fields, received);
        let omitted = named(&headers, &storable.omitted_fields);
        let content = content(part, length, &mut stored);
        match permit.storable(kept, as_stored, (stored, omitted), content, storable, varied) {
            Ok(writer) => pump(writer, body).await,
            Err(permit) => {
                // No memory for another fill: this client gets the answer, the others go alone.
                let reply = OriginReply { status, headers, body, ..reply };
                self.hand(reply, NO_ROOM);
                drop(permit);
            }
        }
    }

    /// The stored response with the fields of a 304, or of a 200 to HEAD, taken over
    /// (RFC 9111 §3.2, §4.3.4, §4.3.5).
    pub(super) fn freshen(
        &self,
        record: &Record,
        loaded: &Loaded,
        confirmed: &HeaderMap,
        times: Times,
        sent: selvedge_cache::invalidate::Watermark,
    ) -> Option<Record> {
        let (merged, storable) = self.merged(record, loaded, confirmed, times)?;
        let request = self.request(sent);
        self.shared.cache.freshen(&request, record, &loaded.inline, &merged, storable, sent)
    }

    /// The stored head with the fields of a newer one of the same representation. `None`: it may
    /// not be stored any more, and is not.
    pub(super) fn merged(
        &self,
        record: &Record,
        loaded: &Loaded,
        newer: &HeaderMap,
        Times { requested, received }: Times,
    ) -> Option<(StoredHead, Storable)> {
        let base = Base {
            status: loaded.head.status,
            headers: &loaded.head.headers,
            tags: &record.tags,
            tags_overflow: record.tags_overflow,
        };
        let headers = &*self.without_cookies(newer);
        let update = OriginResponse { status: loaded.head.status, headers, requested, received };
        let options = self.options(loaded.head.status, &loaded.head.headers);
        let freshened = freshen(&self.plan.facts, &base, &update, &options);
        let storable = match freshened.storable.and_then(selectable) {
            Ok(storable) => storable,
            Err(reason) => {
                if remembers(reason) {
                    self.shared.cache.forget(record);
                }
                return None;
            }
        };
        let storable = self.marked(storable, &freshened.headers);
        let headers = stored_fields(&freshened.headers, &storable.omitted_fields, received);
        Some((StoredHead { status: loaded.head.status, headers }, storable))
    }

    /// The site's rules for a response.
    fn options(&self, status: StatusCode, headers: &HeaderMap) -> Cow<'_, Options> {
        self.plan.site.options_for(self.plan.target.path(), status, headers)
    }

    /// A mark if there is something that must not go out. (The fields themselves stay: a later 304 without them is judged by them.)
    fn marked(&self, mut storable: Storable, headers: &HeaderMap) -> Storable {
        let fresh = &mut storable.fresh;
        if !self.plan.site.keep_tags && fields::EDGE_FIELDS.iter().any(|n| headers.contains_key(n))
        {
            fresh.flags |= flag::EDGE_FIELDS;
        }
        storable
    }

    /// The fields as a site that strips cookies has them judged and stored.
    fn without_cookies<'a>(&self, headers: &'a HeaderMap) -> Cow<'a, HeaderMap> {
        let strips = self.plan.site.cache.cookies == CookieRule::Strip;
        if !strips || !headers.contains_key(SET_COOKIE) {
            return Cow::Borrowed(headers);
        }
        let mut headers = headers.clone();
        headers.remove(SET_COOKIE);
        Cow::Owned(headers)
    }

    pub(super) fn request(&self, arrival: selvedge_cache::invalidate::Watermark) -> Request<'_> {
        Request {
            key: self.plan.cache_key(),
            facts: &self.plan.facts,
            headers: &self.headers,
            target: self.plan.scopes(&self.host),
            options: &self.plan.site.cache,
            arrival,
        }
    }

    fn filter(&mut self, reply: &mut OriginReply) {
        for filter in self.plan.site.filters.iter() {
            let mut head = ResponseHead { status: &mut reply.status, headers: &mut reply.headers };
            filter.origin_response(&mut self.context, &mut head);
        }
    }

    /// For the journal of the client that started the fetch; a repeated request asks the same.
    fn tell_origin(&self, origin: Option<&Arc<str>>) {
        if let (Some(leader), Some(origin)) = (&self.leader, origin) {
            let _known_already = leader.origin.set(Arc::clone(origin));
        }
    }

    /// Gives the answer to the client that started the fetch, if it is still there.
    fn hand(&mut self, reply: OriginReply, why: &'static str) {
        if let Some(leader) = self.leader.take() {
            // A client that left does not want it.
            let _gone = leader.hand.send(Handed { reply: Box::new(reply), why });
        }
    }
}

/// A response that varies on what this node writes into each request (the client's address) fits
/// no other request: what selects it is not in the request that a lookup sees.
fn selectable(storable: Storable) -> Result<Storable, NotStorable> {
    let ours = |name: &http::HeaderName| outbound::WRITTEN_PER_CLIENT.contains(&name.as_str());
    if storable.vary.0.iter().any(ours) { Err(NotStorable::VaryStar) } else { Ok(storable) }
}

/// Whether an answer speaks of what the URL stands for now, not of this request or the moment.
fn replaces(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection() || matches!(status.as_u16(), 404 | 410)
}

/// Moves a body into the cache.
pub(super) async fn pump(writer: FillWriter, body: OriginBody) {
    if let Err(error) = origin::fill::pump(writer, body).await {
        tracing::debug!(cause = error.cause.label(), "fill broke off: {}", error.chain());
    }
}

/// Statuses that say something of the range that was asked for, nothing of the URL.
const fn speaks_of_a_range(status: StatusCode) -> bool {
    matches!(status.as_u16(), 206 | 416)
}

/// Reasons that speak of the URL; the others speak of this one request.
fn remembers(reason: NotStorable) -> bool {
    !matches!(
        reason,
        NotStorable::Authorization | NotStorable::RequestNoStore | NotStorable::Method
    )
}

/// The fields that are stored: without those that a directive names, with those that every answer
/// from the store needs. What is done here no hit has to do.
fn stored_fields(
    headers: &HeaderMap,
    omitted: &[http::HeaderName],
    received: selvedge_cache::Millis,
) -> HeaderMap {
    let mut stored = headers.clone();
    for name in omitted {
        stored.remove(name);
    }
    fields::ensure_date(&mut stored, received.unix_s());
    if !stored.contains_key(http::header::VIA) {
        fields::add_via(&mut stored, http::Version::HTTP_11);
    }
    stored
}

/// The fields with these names.
fn named(headers: &HeaderMap, names: &[http::HeaderName]) -> HeaderMap {
    let mut found = HeaderMap::new();
    for name in names {
        for value in headers.get_all(name) {
            found.append(name, value.clone());
        }
    }
    found
}
