//! Past the cache: straight to the origin and back, both bodies streamed.
//!
//! A successful unsafe method invalidates what is stored for its target (RFC 9111 §4.4), also
//! when the connection is lost after the request was sent: the origin may have acted on it.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use selvedge_cache::directory::Record;
use selvedge_cache::invalidate::{LocalMark, TargetScopes};
use selvedge_cache::key::KeyParts;
use selvedge_cache::policy;
use selvedge_cache::policy::invalidation::Groups;

use super::post::Times;
use super::upload::Upload;
use super::{Exchange, Reply, Step, fetch, outbound, sticky};
use crate::accept::RequestBody;
use crate::admit;
use crate::error::{Error, Stage};
use crate::filter::ResponseHead;
use crate::journal::CacheOutcome;
use crate::origin::{OriginReply, Outbound, OutboundRequest};
use crate::respond::cache_status::Provenance;

/// A failure, and what is stored that might stand in for it.
type Trouble = (Error, Option<Box<Record>>);

impl Exchange {
    pub(super) async fn pass(&mut self, detail: &'static str) -> Result<Reply, Trouble> {
        self.journal().cache = CacheOutcome::Pass;
        self.journal().detail = detail;
        let body = std::mem::take(&mut self.admitted.body);
        let body = self.outbound_body(body);
        let pool = Arc::clone(self.world.pool(&self.plan.site));
        let request = outbound::request(
            (&self.plan, &pool),
            (self.admitted.method.clone(), outbound::host(&self.plan, &self.admitted)),
            outbound::fields(&self.admitted, &self.world.admission.cdn_loop),
            body,
            &mut self.context,
        );
        let preferred = request.preferred.or_else(|| self.bound());
        let request = OutboundRequest { affinity: self.affinity(), preferred, ..request };
        let interim = &mut self.admitted.interim;
        let requested = self.shared.cache.clock.now();
        let sent = self.shared.cache.watermark();
        let answered = self
            .worker
            .connections
            .send(&pool, request, |status, headers| interim.send(status, headers))
            .await;
        match answered {
            Ok(mut reply) => {
                let times = Times { requested, received: self.shared.cache.clock.now() };
                for filter in self.plan.site.filters.iter() {
                    let mut head =
                        ResponseHead { status: &mut reply.status, headers: &mut reply.headers };
                    filter.origin_response(&mut self.context, &mut head);
                }
                self.journal().origin = Some(reply.origin.clone());
                if let Some(own) = self.invalidate(Some(&reply)) {
                    match self.keep_post(reply, times, sent, own).await {
                        Ok(stored) => return Ok(stored),
                        Err(back) => reply = back,
                    }
                }
                if let Some(answer) = self.stale_instead(reply.status).await {
                    return Ok(answer);
                }
                if let Some(record) = self.freshen_by_head(&reply, times, sent).await {
                    let judgement = self.judge(&record);
                    let outcome = CacheOutcome::Revalidated;
                    if let Some(answer) = self.stored(&record, &judgement, outcome).await {
                        return Ok(answer);
                    }
                }
                sticky::bind(&self.plan.site, &self.admitted, &mut reply);
                let provenance = Provenance {
                    forward: Some(self.forward),
                    forward_status: Some(reply.status),
                    detail,
                    ..Provenance::default()
                };
                Ok(self.passing(reply, &provenance))
            }
            Err(failure) => {
                if failure.stage > Stage::Unsent {
                    self.invalidate(None);
                }
                self.journal().origin = failure.origin;
                Err((failure.error, self.stored_for_trouble()))
            }
        }
    }

    /// The leader of a fetch gets the answer that may not be stored, for this reason.
    pub(super) fn handed(&mut self, mut reply: OriginReply, why: &'static str) -> Reply {
        sticky::bind(&self.plan.site, &self.admitted, &mut reply);
        let journal = self.journal();
        journal.cache = CacheOutcome::Pass;
        journal.origin = Some(reply.origin.clone());
        journal.detail = why;
        let provenance = Provenance {
            forward: Some(self.forward),
            forward_status: Some(reply.status),
            detail: why,
            ..Provenance::default()
        };
        self.passing_shaped(reply, &provenance)
    }

    /// What the request is told apart by, where origins are chosen by hash.
    pub(super) fn affinity(&self) -> Option<u64> {
        self.plan.site.affinity.as_ref()?.of(&self.plan.key, &self.admitted)
    }

    /// The origin that the client is bound to, by its place in the pool.
    pub(super) fn bound(&self) -> Option<usize> {
        sticky::bound(&self.plan.site, &self.admitted, self.world.pool(&self.plan.site))
    }

    fn outbound_body(&mut self, body: RequestBody) -> Outbound {
        if body.is_empty() {
            return Outbound::Empty;
        }
        let site = &self.plan.site;
        Outbound::stream(Upload::new(body, site.body_bytes_max, &site.filters, &self.context))
    }

    /// What an unsafe method's success makes unusable, or what the lack of an answer might have.
    /// Gives the mark of its own target.
    fn invalidate(&self, reply: Option<&OriginReply>) -> Option<LocalMark> {
        let status = reply.map(|reply| reply.status);
        if !policy::invalidation::invalidates(self.plan.facts.method, status) {
            return None;
        }
        let local = &self.shared.cache.local;
        let host = self.admitted.host();
        let own = TargetScopes { query: self.plan.target.query(), ..self.plan.scopes(host) };
        let groups = reply.map(|reply| policy::invalidation::invalidated_groups(&reply.headers));
        // Before the own target: the answer itself, if it is kept, comes after all of them.
        if let Some(groups) = groups.filter(|groups| *groups != Groups::default()) {
            local.invalidate_groups(&own, &groups.tags, groups.all);
        }
        let searches = &self.shared.cache.searches;
        let folded = |target: &PathAndQuery| {
            let parts = self.plan.key_parts(self.admitted.scheme, host);
            searches.folded(&KeyParts { path: target.path(), query: target.query(), ..parts })
        };
        let invalidate_folded = |target: &PathAndQuery| {
            if let Some(folded) = folded(target) {
                let (path, query) = (target.path(), folded.query.as_deref());
                local.invalidate(TargetScopes { path, query, ..own }.url());
            }
        };
        invalidate_folded(&self.plan.target);
        let mark = local.invalidate(own.url());
        let Some(reply) = reply else { return Some(mark) };
        for (path, query) in policy::invalidation::same_host_targets(&own, &reply.headers) {
            let text = match query {
                Some(query) => format!("{path}?{query}"),
                None => path,
            };
            let Ok(target) = text.parse() else { continue };
            let Ok(target) = admit::normal_target(&target) else { continue };
            let target = self.plan.site.key.fold(&target);
            if target != self.plan.target {
                let scopes = TargetScopes { path: target.path(), query: target.query(), ..own };
                local.invalidate(scopes.url());
                invalidate_folded(&target);
            }
        }
        Some(mark)
    }

    /// What is stored, if it may stand in for an error of the origin (RFC 5861 §4).
    async fn stale_instead(&mut self, status: StatusCode) -> Option<Reply> {
        if !fetch::is_origin_error(status) {
            return None;
        }
        let base = self.stored_for_trouble()?;
        let Step::Stored(record, judgement, outcome) = self.stand_in(Some(base))? else {
            return None;
        };
        self.stored(&record, &judgement, outcome).await
    }

    /// For a `GET` or `HEAD` that failed: what is stored may stand in.
    fn stored_for_trouble(&self) -> Option<Box<Record>> {
        matches!(self.admitted.method, Method::GET | Method::HEAD)
            .then(|| self.shared.cache.lookup(&self.request()).record)
            .flatten()
            .map(Box::new)
    }
}
