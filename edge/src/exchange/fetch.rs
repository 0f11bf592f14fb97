//! The fetch behind a fill: runs on the core of the request that started it, and goes on when
//! that client leaves.
//!
//! The request to the origin is the client's without what would make the answer partial or
//! conditional; if something is stored, it is made conditional on that. The answer becomes a
//! fill, freshens what is stored, or — if it may not be stored — is handed to the one client
//! that started the fetch.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use selvedge_cache::cache::{Loaded, Request};
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FailureCode, FillPermit};
use selvedge_cache::head::StoredHead;
use selvedge_cache::policy::freshen::{Base, freshen};
use selvedge_cache::policy::storable::storable;
use selvedge_cache::policy::validation::{Conditional, ValidationReply, read_reply};
use selvedge_cache::policy::{NotStorable, OriginResponse, Storable, flag};
use tokio::sync::{mpsc, oneshot};

use super::post::{Times, as_get};
use super::{Exchange, outbound};
use crate::decide::Plan;
use crate::filter::{Context, ResponseHead};
use crate::node::{Shared, Worker, World};
use crate::origin::{self, OriginReply, Outbound, OutboundRequest};
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
    shared: Arc<Shared>,
    worker: Rc<Worker>,
    world: Arc<World>,
    plan: Plan,
    host: String,
    /// Fields of the client's request, for selecting.
    headers: HeaderMap,
    /// Host and fields for the origin.
    outgoing: (HeaderValue, HeaderMap),
    context: Context,
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
        let mut outgoing = outbound::fields(&exchange.admitted);
        outbound::whole_and_unconditional(&mut outgoing);
        Self {
            shared: Arc::clone(&exchange.shared),
            worker: Rc::clone(&exchange.worker),
            world: Arc::clone(&exchange.world),
            plan: exchange.plan.clone(),
            host: exchange.admitted.host().to_owned(),
            headers: exchange.admitted.headers.clone(),
            outgoing: (outbound::host(&exchange.plan, &exchange.admitted), outgoing),
            context: outbound::context(&exchange.context),
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
        self.fill(permit, reply, times).await;
    }

    /// Fetches and settles the permit, whatever happens.
    pub(super) async fn run(mut self, permit: FillPermit) {
        let base = match self.base.take() {
            Some(record) => {
                let loaded = self.shared.cache.load(&record).await;
                loaded.map(|loaded| (record, loaded))
            }
            None => None,
        };
        if let Some(permit) = self.attempt(permit, base).await {
            // The base cannot be used after all: ask once more, without it.
            self.attempt(permit, None).await;
        }
    }

    /// One request to the origin. Gives the permit back if it must be repeated without a base.
    async fn attempt(
        &mut self,
        mut permit: FillPermit,
        base: Option<(Box<Record>, Loaded)>,
    ) -> Option<FillPermit> {
        let (host, mut headers) = self.outgoing.clone();
        let offered: Vec<&HeaderMap> = base.iter().map(|(_, l)| &l.head.headers).collect();
        let conditional = Conditional::from_stored(&offered);
        conditional.apply(&mut headers);
        let requested = self.shared.cache.clock.now();
        let sent = permit.sending();
        let pool = Arc::clone(self.world.pool(&self.plan.site));
        let has_fallback = base.as_ref().is_some_and(|(record, _)| {
            self.shared.cache.stale_on_error(&self.request(sent), record)
        });
        let request = outbound::request(
            (&self.plan, &pool),
            (Method::GET, host),
            headers,
            Outbound::Empty,
            &mut self.context,
        );
        let request = OutboundRequest { has_fallback, ..request };
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
        match (read_reply(reply.status, &reply.headers, &conditional, &offered), &base) {
            (ValidationReply::NotModified { .. }, Some((record, loaded))) => {
                match self.freshen(record, loaded, &reply.headers, times, sent) {
                    Some(fresh) => permit.validated(fresh),
                    // A hard purge took the base meanwhile, or it may not be stored any more.
                    None => return Some(permit),
                }
            }
            (ValidationReply::Contradiction, _) if !conditional.is_empty() => return Some(permit),
            (ValidationReply::ServerError, Some(_)) => {
                self.hand(reply, ORIGIN_ERROR);
                permit.erred(true);
            }
            _ => self.fill(permit, reply, times).await,
        }
        None
    }

    async fn fill(&mut self, permit: FillPermit, reply: OriginReply, times: Times) {
        let Times { requested, received } = times;
        let response =
            OriginResponse { status: reply.status, headers: &reply.headers, requested, received };
        let storable = storable(&self.plan.facts, &response, &self.plan.site.cache);
        let storable = match storable.and_then(selectable) {
            Ok(storable) => self.bounded(storable, &reply.headers),
            Err(reason) => {
                tracing::debug!(reason = reason.token(), "not storable");
                let erred = is_origin_error(reply.status);
                self.hand(reply, reason.token());
                if erred {
                    permit.erred(false);
                } else if remembers(reason) {
                    permit.not_storable();
                }
                return;
            }
        };
        let varied = self.shared.cache.varied(&self.request(permit.sent()), &storable);
        let OriginReply { status, headers, body, .. } = reply;
        let length = http_body::Body::size_hint(&body).exact();
        let stored = self.stored_fields(&headers, &storable.omitted_fields, received);
        let omitted = named(&headers, &storable.omitted_fields);
        match permit.storable(status, (stored, omitted), length, storable, varied) {
            Ok(writer) => {
                if let Err(error) = origin::fill::pump(writer, body).await {
                    tracing::debug!(
                        cause = error.cause.label(),
                        "fill broke off: {}",
                        error.chain()
                    );
                }
            }
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
        Times { requested, received }: Times,
        sent: selvedge_cache::invalidate::Watermark,
    ) -> Option<Record> {
        let base = Base {
            status: loaded.head.status,
            headers: &loaded.head.headers,
            tags: &record.tags,
            tags_overflow: record.tags_overflow,
        };
        let update =
            OriginResponse { status: loaded.head.status, headers: confirmed, requested, received };
        let freshened = freshen(&self.plan.facts, &base, &update, &self.plan.site.cache);
        let storable = match freshened.storable.and_then(selectable) {
            Ok(storable) => storable,
            Err(reason) => {
                if remembers(reason) {
                    self.shared.cache.forget(record);
                }
                return None;
            }
        };
        let storable = self.bounded(storable, &freshened.headers);
        let headers = self.stored_fields(&freshened.headers, &storable.omitted_fields, received);
        let merged = StoredHead { status: loaded.head.status, headers };
        let request = self.request(sent);
        self.shared.cache.freshen(&request, record, &loaded.inline, &merged, storable, sent)
    }

    /// A stated lifetime within the site's bounds, and a mark if there is something that must not
    /// go out. (The fields themselves stay: a later 304 without them is judged by them.)
    fn bounded(&self, mut storable: Storable, headers: &HeaderMap) -> Storable {
        let fresh = &mut storable.fresh;
        if !self.plan.site.keep_tags && fields::EDGE_FIELDS.iter().any(|n| headers.contains_key(n))
        {
            fresh.flags |= flag::EDGE_FIELDS;
        }
        if fresh.has(flag::EXPLICIT) {
            fresh.lifetime_s = self.plan.site.bounded_s(fresh.lifetime_s);
        }
        storable
    }

    /// The fields that are stored: without those that a directive names, with those that every answer from the store needs. What is done here no hit has to do.
    fn stored_fields(
        &self,
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

    fn request(&self, arrival: selvedge_cache::invalidate::Watermark) -> Request<'_> {
        Request {
            key: &self.plan.key,
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

/// Reasons that speak of the URL; the others speak of this one request.
fn remembers(reason: NotStorable) -> bool {
    !matches!(
        reason,
        NotStorable::Authorization | NotStorable::RequestNoStore | NotStorable::Method
    )
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
