//! The last steps: a head is completed, a body is chosen, and both go to the codec.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use selvedge_cache::budget::Class;
use selvedge_cache::budget::window::PIECE_BYTES_MIN;
use selvedge_cache::cache::Loaded;
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FillHead, Waiter};
use selvedge_cache::head::StoredHead;
use selvedge_cache::policy::validation::Stored;
use selvedge_cache::policy::{self, Judgement, Verdict, flag};

use super::{Closing, Exchange, Refused, Reply, outbound};
use crate::error::{Cause, Error};
use crate::filter::{Context, Filters, ResponseHead};
use crate::journal::{CacheOutcome, Journal};
use crate::node::Shared;
use crate::origin::OriginReply;
use crate::respond::cache_status::{CACHE_STATUS, Forward, Provenance, add_cache_status};
use crate::respond::conditional::{Shape, reshape, shape};
use crate::respond::fields;
use crate::respond::synthetic::{self, Notice};
use crate::respond::{Body, Outgoing};

impl Exchange {
    /// Answers from a stored response. `None` when its bytes are gone: the record is, too, or it has
    /// shrunk to what can be read.
    pub(super) async fn stored(
        &mut self,
        record: &Record,
        judgement: &Judgement,
        outcome: CacheOutcome,
    ) -> Option<Reply> {
        let loaded = self.shared.cache.load(record).await?;
        let mut found = self.take(record, loaded);
        // A head that was sent cannot be taken back: the first bytes must be in hand.
        if let Some((_, _, body)) = &mut found
            && !body.primed().await
        {
            found = None;
        }
        if found.is_none() {
            let cache = &self.shared.cache;
            let head = cache.load(record).await?.head;
            cache.shrink(record, &head.headers);
        }
        Some(self.stored_reply(record, judgement, outcome, found?))
    }

    /// [`stored`](Self::stored) without waiting: `None` unless all of it is in memory, head and
    /// content in one.
    pub(super) fn stored_now(
        &mut self,
        record: &Record,
        judgement: &Judgement,
        outcome: CacheOutcome,
    ) -> Option<Reply> {
        if !record.inline {
            return None;
        }
        let loaded = self.shared.cache.load_now(record)?;
        let found = self.take(record, loaded)?;
        Some(self.stored_reply(record, judgement, outcome, found))
    }

    /// What the request gets of a stored response; `None` if its bytes are not all there.
    fn take(&self, record: &Record, loaded: Loaded) -> Option<(StoredHead, Shape, Body)> {
        let Loaded { head, inline, .. } = loaded;
        let shape = shape(
            &self.admitted.method,
            &self.admitted.headers,
            &Stored {
                status: head.status,
                headers: &head.headers,
                received: record.fresh.received,
            },
            Some(record.length),
        );
        let body = if self.admitted.method == Method::HEAD {
            Body::Empty
        } else {
            self.stored_body(record, (&head.headers, &inline), &shape)?
        };
        Some((head, shape, body))
    }

    /// The answer, with what a stored response gets on its way out.
    fn stored_reply(
        &mut self,
        record: &Record,
        judgement: &Judgement,
        outcome: CacheOutcome,
        (head, shape, body): (StoredHead, Shape, Body),
    ) -> Reply {
        let StoredHead { status, mut headers } = head;
        if record.fresh.has(flag::EDGE_FIELDS) {
            fields::remove_edge_fields(&mut headers);
        }
        fields::set_age(&mut headers, judgement.age_s.unwrap_or(0));
        add_cache_status(&mut headers, &self.provenance(judgement, outcome));
        self.journal().cache = outcome;
        self.journal().detail = match outcome {
            // Why the origin was asked; that its answer is fresh needs no word.
            CacheOutcome::Revalidated | CacheOutcome::Collapsed => self.cause,
            _ => judgement.cause.token(),
        };
        self.shaped(shape, status, headers, body, Some(record.length))
    }

    /// The bytes of a stored response that the shape needs; `None` if they are not all there. What is
    /// lost while they are read is fetched again.
    fn stored_body(
        &self,
        record: &Record,
        (headers, inline): (&HeaderMap, &Bytes),
        shape: &Shape,
    ) -> Option<Body> {
        let cache = &self.shared.cache;
        let read = |from: u64, to: u64| {
            if record.inline {
                return Some(Body::Inline(inline.slice(from as usize..to as usize)));
            }
            let mut readers = cache.readers(record, from, to)?;
            Some(match readers.len() {
                1 => readers.pop().map_or(Body::Empty, |reader| {
                    // The chunks of a part are not those of the whole.
                    let whole = record.parts.is_none();
                    let mender = whole.then(|| self.mender(headers, record.length, record.body));
                    Body::Stored(reader.mended(mender.flatten()))
                }),
                _ => Body::Sequence(readers.into_iter().map(Body::Stored).collect()),
            })
        };
        match shape {
            Shape::Full => read(0, record.length),
            Shape::Partial(range) => read(range.first, range.last + 1),
            Shape::Parts(parts) => {
                let parts = parts.iter().map(|part| read(part.first, part.last + 1));
                Some(Body::Sequence(parts.collect::<Option<_>>()?))
            }
            _ => Some(Body::Empty),
        }
    }

    /// Answers while the body arrives.
    pub(super) fn filling(
        &mut self,
        head: &FillHead,
        waiter: Waiter,
        outcome: CacheOutcome,
    ) -> Reply {
        self.name_for_log();
        let now = self.shared.cache.clock.now();
        let mut headers = head.headers.clone();
        if outcome != CacheOutcome::Collapsed {
            headers.extend(head.omitted.clone());
        }
        if head.fresh.has(flag::EDGE_FIELDS) {
            fields::remove_edge_fields(&mut headers);
        }
        if head.fresh.age_at(now) > 0 {
            fields::set_age(&mut headers, head.fresh.age_at(now));
        }
        let (method, asked) = (&self.admitted.method, &self.admitted.headers);
        let stored =
            Stored { status: head.status, headers: &headers, received: head.fresh.received };
        let length = head.part.as_ref().map_or(head.length, |part| Some(part.length));
        let shape = match shape(method, asked, &stored, length) {
            // Several parts of a body that still arrives would have to wait for the last of them.
            Shape::Parts(_) => Shape::Full,
            shape => shape,
        };
        let tells = self.forward == Forward::Stale || shape != Shape::Full || head.part.is_some();
        let answered = if head.part.is_some() { StatusCode::PARTIAL_CONTENT } else { head.status };
        let provenance = Provenance {
            forward: Some(self.forward),
            forward_status: tells.then_some(answered),
            ttl_s: Some(head.fresh.ttl_at(now)),
            // Of a length that is not stated nobody knows yet.
            stored: head.length.is_none_or(|length| self.shared.cache.can_keep(length)),
            collapsed: outcome == CacheOutcome::Collapsed,
            detail: self.forward_detail(),
            ..Provenance::default()
        };
        add_cache_status(&mut headers, &provenance);
        self.journal().cache = outcome;
        self.journal().detail = self.cause;
        if outcome == CacheOutcome::Miss
            && let Some(part) = self.as_it_came(head, &shape)
        {
            return self.part_as_it_came(head, part, headers, waiter);
        }
        let (from, to) = match shape {
            Shape::Partial(range) => (range.first, Some(range.last + 1)),
            _ => (0, length),
        };
        let body = if let Some(part) = &head.part {
            self.assembled(head, part, waiter, (from, to.unwrap_or(part.length)))
        } else {
            let store = Arc::clone(&self.shared.cache.store);
            let mender = length.and_then(|length| self.mender(&head.headers, length, head.object));
            let reader = waiter.read(store, head.object, from, to).mended(mender);
            Body::Filling(reader, to.map(|to| to - from))
        };
        self.shaped(shape, head.status, headers, body, length)
    }

    /// Passes the origin's answer on as it is.
    pub(super) fn passing(&mut self, reply: OriginReply, provenance: &Provenance<'_>) -> Reply {
        let OriginReply { status, mut headers, body, .. } = reply;
        self.complete(&mut headers, provenance);
        let body = Body::Passing(Box::new(body));
        let length = None;
        self.shaped(Shape::Full, status, headers, body, length)
    }

    /// Passes on an answer to a request that was made whole and unconditional: what the client
    /// asked is applied here.
    pub(super) fn passing_shaped(
        &mut self,
        reply: OriginReply,
        provenance: &Provenance<'_>,
    ) -> Reply {
        let shape = shape(
            &self.admitted.method,
            &self.admitted.headers,
            &Stored {
                status: reply.status,
                headers: &reply.headers,
                received: self.shared.cache.clock.now(),
            },
            // Ranges of a body that is not stored would have to be cut out of a stream.
            None,
        );
        let OriginReply { status, mut headers, body, .. } = reply;
        self.complete(&mut headers, provenance);
        self.shaped(shape, status, headers, Body::Passing(Box::new(body)), None)
    }

    /// Fields that a response from the origin gets when it is not stored.
    fn complete(&mut self, headers: &mut HeaderMap, provenance: &Provenance<'_>) {
        self.name_for_log();
        if !self.plan.site.keep_tags {
            fields::remove_edge_fields(headers);
        }
        fields::ensure_date(headers, self.shared.cache.clock.now().unix_s());
        fields::add_via(headers, http::Version::HTTP_11);
        add_cache_status(headers, provenance);
    }

    /// The cause of a fetch for `Cache-Status`; `uri-miss` says already that nothing was stored.
    fn forward_detail(&self) -> &'static str {
        if self.cause == policy::Cause::NothingStored.token() { "" } else { self.cause }
    }

    /// How a stored response came to be the answer.
    fn provenance(&self, judgement: &Judgement, outcome: CacheOutcome) -> Provenance<'static> {
        let detail = match judgement.verdict {
            Verdict::Stale { .. } => judgement.cause.token(),
            _ => "",
        };
        let ttl_s = judgement.ttl_s;
        match outcome {
            CacheOutcome::Revalidated | CacheOutcome::Collapsed => Provenance {
                forward: Some(self.forward),
                // A HEAD is never sent with the conditions of the cache.
                forward_status: Some(if self.admitted.method == Method::HEAD {
                    StatusCode::OK
                } else {
                    StatusCode::NOT_MODIFIED
                }),
                ttl_s,
                stored: true,
                collapsed: outcome == CacheOutcome::Collapsed,
                detail: self.forward_detail(),
                ..Provenance::default()
            },
            _ => Provenance { ttl_s, detail, ..Provenance::default() },
        }
    }

    /// Applies the shape that the client asked for, the filters, and hands over.
    pub(super) fn shaped(
        &mut self,
        shape: Shape,
        mut status: StatusCode,
        mut headers: HeaderMap,
        body: Body,
        length: Option<u64>,
    ) -> Reply {
        let notice = match shape {
            Shape::PreconditionFailed => Some(Notice::PreconditionFailed),
            Shape::Unsatisfiable => {
                Some(Notice::RangeNotSatisfiable { length: length.unwrap_or(0) })
            }
            _ => None,
        };
        if let Some(notice) = notice {
            let (status, mut own, content) =
                synthetic::respond(notice, None, &self.admitted.headers);
            if let Some(member) = headers.remove(CACHE_STATUS) {
                own.insert(CACHE_STATUS, member);
            }
            fields::ensure_date(&mut own, self.shared.cache.clock.now().unix_s());
            let is_head = self.admitted.method == Method::HEAD;
            let body = if is_head { Body::Empty } else { Body::Inline(content) };
            return self.hand_over(status, own, body);
        }
        let multipart = reshape(&shape, &mut status, &mut headers, length, || {
            // Unknown to whoever wrote the content: keyed by this process's own randomness.
            let state = std::hash::RandomState::new();
            let half = |salt: u8| u128::from(std::hash::BuildHasher::hash_one(&state, salt));
            half(0) << 64 | half(1)
        });
        let mut body = body;
        if let Some(multipart) = multipart {
            body = body.framed(&multipart);
        }
        if shape == Shape::NotModified {
            body = Body::Empty;
        } else if let Some(length) = length
            && !headers.contains_key(CONTENT_LENGTH)
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let body = if self.admitted.method == Method::HEAD { Body::Empty } else { body };
        let budget = &self.shared.cache.budget;
        if body.is_streamed() && !budget.could_take(Class::Windows, PIECE_BYTES_MIN) {
            // Better than a head whose body would not come.
            return self.fail(&Cause::Overloaded.into());
        }
        self.hand_over(status, headers, body)
    }

    fn hand_over(&mut self, mut status: StatusCode, mut headers: HeaderMap, body: Body) -> Reply {
        let mut journal = self.journal.take().expect("an exchange answers once");
        let filters = &self.plan.site.filters;
        if filters.is_empty() {
            journal.status = status;
            journal.ttfb = Some(journal.started.elapsed());
            let closing = Closing::new(journal, Arc::clone(&self.shared.telemetry));
            let outgoing = Outgoing::new(body, closing).within(&self.shared.cache.budget);
            return assemble(status, headers, outgoing);
        }
        let mut head = ResponseHead { status: &mut status, headers: &mut headers };
        filters.iter().for_each(|filter| filter.response(&mut self.context, &mut head));
        journal.status = status;
        journal.ttfb = Some(journal.started.elapsed());
        let sees_body = filters.sees_response_body();
        if sees_body {
            headers.remove(CONTENT_LENGTH);
        }
        let filtered = sees_body && !matches!(body, Body::Empty);
        let context = std::mem::take(&mut self.context);
        let copy = outbound::context(&context);
        let closing = Closing::new(journal, Arc::clone(&self.shared.telemetry))
            .with_filters(filters.clone(), context);
        let mut outgoing = Outgoing::new(body, closing).within(&self.shared.cache.budget);
        if filtered {
            outgoing = outgoing.filtered(filters.clone(), copy);
        }
        assemble(status, headers, outgoing)
    }

    /// Names the request for the log: what may fail must be told. (A hit cannot fail once its
    /// bytes are in hand, and does not pay for this.)
    fn name_for_log(&mut self) {
        let (host, target) = (self.admitted.host().to_owned(), self.plan.target.to_string());
        let journal = self.journal();
        (journal.host, journal.target) = (host, target);
    }

    /// A failure that nothing stands in for.
    pub(super) fn fail(&mut self, error: &Error) -> Reply {
        self.name_for_log();
        let notice = Notice::from(error);
        let (status, mut headers, content) =
            synthetic::respond(notice, None, &self.admitted.headers);
        let provenance = Provenance {
            forward: Some(self.forward),
            detail: error.cause.label(),
            ..Provenance::default()
        };
        fields::ensure_date(&mut headers, self.shared.cache.clock.now().unix_s());
        add_cache_status(&mut headers, &provenance);
        let chain = error.chain();
        let journal = self.journal();
        journal.cache = CacheOutcome::Error;
        journal.error = Some(error.cause);
        journal.error_chain = Some(chain);
        journal.detail = error.cause.label();
        let body =
            if self.admitted.method == Method::HEAD { Body::Empty } else { Body::Inline(content) };
        self.hand_over(status, headers, body)
    }
}

/// A request that was refused before there was a plan for it.
pub(super) fn refused(shared: &Shared, mut journal: Box<Journal>, refused: &Refused) -> Reply {
    let mut accept = HeaderMap::new();
    if let Some(value) = &refused.accept {
        accept.insert(http::header::ACCEPT, value.clone());
    }
    let error = &refused.error;
    let (status, mut headers, content) = synthetic::respond(error, None, &accept);
    let own = Provenance { own: true, detail: error.cause.label(), ..Provenance::default() };
    fields::ensure_date(&mut headers, shared.cache.clock.now().unix_s());
    add_cache_status(&mut headers, &own);
    journal.cache = CacheOutcome::Error;
    journal.error = Some(error.cause);
    journal.error_chain = Some(error.chain());
    journal.detail = error.cause.label();
    let body = if refused.is_head { Body::Empty } else { Body::Inline(content) };
    journal.status = status;
    journal.ttfb = Some(journal.started.elapsed());
    let closing = Closing::new(journal, Arc::clone(&shared.telemetry));
    assemble(status, headers, Outgoing::new(body, closing))
}

/// An answer that a filter or the node itself made; the site's filters see its end.
pub(super) fn synthetic(
    shared: &Shared,
    mut journal: Box<Journal>,
    response: Response<Bytes>,
    is_head: bool,
    (filters, context): (Filters, Context),
) -> Reply {
    let (head, content) = response.into_parts();
    let mut headers = head.headers;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(content.len()));
    fields::ensure_date(&mut headers, shared.cache.clock.now().unix_s());
    add_cache_status(&mut headers, &Provenance { own: true, ..Provenance::default() });
    journal.cache = CacheOutcome::Synthetic;
    journal.status = head.status;
    journal.ttfb = Some(journal.started.elapsed());
    let body = if is_head { Body::Empty } else { Body::Inline(content) };
    let closing =
        Closing::new(journal, Arc::clone(&shared.telemetry)).with_filters(filters, context);
    assemble(head.status, headers, Outgoing::new(body, closing))
}

fn assemble(status: StatusCode, headers: HeaderMap, body: Outgoing<Closing>) -> Reply {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
