//! An answer to POST that stands for later GETs of the same URL (RFC 9110 §9.3.3).
//!
//! The POST has invalidated what was stored for its target by then, its own answer included: so
//! the answer counts as fetched right after that invalidation. If another change of the target
//! came in between, nobody can say which of both the answer describes, and it is not stored.

use std::rc::Rc;

use selvedge_cache::Millis;
use selvedge_cache::fill::HeadOutcome;
use selvedge_cache::invalidate::{LocalMark, Watermark};
use selvedge_cache::policy::invalidation::{Target, is_own_target};
use selvedge_cache::policy::storable::storable_post;
use selvedge_cache::policy::{MethodClass, OriginResponse, RequestFacts};
use tokio::sync::{mpsc, oneshot};

use super::{Exchange, Reply, fetch};
use crate::journal::CacheOutcome;
use crate::origin::OriginReply;

/// When a request was sent, and when its answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Right before the first connection attempt.
    pub(super) requested: Millis,
    /// When the head was there.
    pub(super) received: Millis,
}

impl Exchange {
    /// Stores the answer while the client reads it; gives it back if it may not be stored.
    pub(super) async fn keep_post(
        &mut self,
        reply: OriginReply,
        times: Times,
        sent: Watermark,
        own: LocalMark,
    ) -> Result<Reply, OriginReply> {
        if own.last > sent.local || !self.stands_for_get(&reply, times) {
            return Err(reply);
        }
        let sent = Watermark { local: own.at, ..sent };
        let entered = self.shared.cache.enter_answered(&self.request(), sent);
        let Some((permit, mut waiter)) = entered else { return Err(reply) };
        let (hand, mut handed) = oneshot::channel();
        // Interim responses went straight to the client.
        let (interim, _) = mpsc::channel(1);
        let leader = fetch::Leader { hand, interim, origin: Rc::default() };
        let job = fetch::Job::new(self, None, Some(leader)).for_get();
        tokio::task::spawn_local(job.keep(permit, reply, times));
        match waiter.head().await {
            HeadOutcome::Head(head) => Ok(self.filling(&head, waiter, CacheOutcome::Pass)),
            _ => Err(*handed.try_recv().expect("what is not stored is handed").reply),
        }
    }

    fn stands_for_get(&self, reply: &OriginReply, times: Times) -> bool {
        if self.admitted.method != http::Method::POST {
            return false;
        }
        let own = Target {
            path: self.plan.target.path().to_owned(),
            query: self.plan.target.query().map(str::to_owned),
        };
        let names_it = is_own_target(self.admitted.host(), &own, &reply.headers);
        let response = OriginResponse {
            status: reply.status,
            headers: &reply.headers,
            requested: times.requested,
            received: times.received,
        };
        let site = &self.plan.site;
        let options = site.options_for(&own.path, reply.status, &reply.headers);
        storable_post(&self.plan.facts, &response, names_it, &options).is_ok()
    }
}

/// The facts of the GET that a POST's answer, or a HEAD's, is kept for.
pub(super) const fn as_get(facts: RequestFacts) -> RequestFacts {
    RequestFacts { method: MethodClass::Get, has_body: false, ..facts }
}
