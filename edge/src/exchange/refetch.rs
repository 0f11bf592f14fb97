//! The origin's part of a repair: one range request for lost chunks of a body.
//!
//! The request is that of the client whose reader found the gap, made one for the missing bytes of
//! the same representation; the answer is spliced or refused by [`Missing::splice`]. It runs on that
//! reader's core, and goes on when the reader leaves: others may wait for the same chunks.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use selvedge_cache::range::{Missing, Representation, Splice};
use selvedge_cache::repair::{Mender, Refetch, RepairWriter};

use super::{Exchange, outbound};
use crate::decide::Plan;
use crate::filter::{Context, ResponseHead};
use crate::node::{Worker, World};
use crate::origin::{OriginReply, Outbound};

/// What is needed to ask once more for what a request was answered with.
struct Asker {
    worker: Rc<Worker>,
    world: Arc<World>,
    plan: Plan,
    host: HeaderValue,
    fields: HeaderMap,
    context: Context,
}

impl Exchange {
    /// For a reader of a body: fetches lost chunks again. `None` if the response has no strong tag:
    /// then nothing can be put together with it.
    pub(super) fn mender(&self, headers: &HeaderMap, length: u64, object: u64) -> Option<Mender> {
        let of = Representation::of(headers, length)?;
        let mut fields = outbound::fields(&self.admitted, &self.world.admission.cdn_loop);
        outbound::whole_and_unconditional(&mut fields);
        let asker = Asker {
            worker: Rc::clone(&self.worker),
            world: Arc::clone(&self.world),
            plan: self.plan.clone(),
            host: outbound::host(&self.plan, &self.admitted),
            fields,
            context: outbound::context(&self.context),
        };
        let cache = &self.shared.cache;
        let (repairs, store) = (Arc::clone(&cache.repairs), Arc::clone(&cache.store));
        Some(Mender::new(repairs, store, of, object, Box::new(Detached(Rc::new(asker)))))
    }
}

/// Asks when it is told to, on a task of its own.
struct Detached(Rc<Asker>);

impl Refetch for Detached {
    fn refetch(&self, missing: Missing, repair: RepairWriter) {
        tokio::task::spawn_local(fetch(Rc::clone(&self.0), missing, repair));
    }
}

async fn fetch(asker: Rc<Asker>, missing: Missing, repair: RepairWriter) {
    let range = missing.range();
    let (first, last) = (range.first, range.last);
    let Some(reply) = asker.ask(&missing).await else { return };
    match missing.splice(reply.status, &reply.headers) {
        Splice::Part(_) => pump(reply, repair).await,
        // An error speaks of the moment, not of what the origin has.
        Splice::Refused(_) if is_passing_trouble(reply.status) => {
            tracing::debug!(first, last, status = reply.status.as_u16(), "no repair now");
        }
        Splice::Refused(unfit) => {
            tracing::debug!(first, last, why = unfit.name(), "lost bytes cannot be had again");
            repair.refused();
        }
    }
}

/// The origin's content to where it is missing; what does not come is told by the writer's end.
async fn pump(reply: OriginReply, mut repair: RepairWriter) {
    let mut body = reply.body;
    loop {
        repair.ready().await;
        let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
        match next {
            None => return,
            Some(Err(error)) => {
                tracing::debug!(cause = error.cause.label(), "repair broke off: {}", error.chain());
                return;
            }
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                if repair.write(data).is_err() {
                    tracing::debug!("an origin sent more than the range that it announced");
                    return;
                }
            }
        }
    }
}

fn is_passing_trouble(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

impl Asker {
    async fn ask(&self, missing: &Missing) -> Option<OriginReply> {
        let pool = Arc::clone(self.world.pool(&self.plan.site));
        let mut fields = self.fields.clone();
        missing.ask(&mut fields);
        let mut context = outbound::context(&self.context);
        let request = outbound::request(
            (&self.plan, &pool),
            (Method::GET, self.host.clone()),
            fields,
            Outbound::Empty,
            &mut context,
        );
        match self.worker.connections.send(&pool, request, |_, _| {}).await {
            Ok(mut reply) => {
                // As when the response was stored: its fields are compared with those.
                for filter in self.plan.site.filters.iter() {
                    let mut head =
                        ResponseHead { status: &mut reply.status, headers: &mut reply.headers };
                    filter.origin_response(&mut context, &mut head);
                }
                Some(reply)
            }
            Err(failure) => {
                tracing::debug!("no repair: {}", failure.error.chain());
                None
            }
        }
    }
}
