//! From what a codec read to an exchange: admission, the site, its filters, the plan.
//!
//! Nothing here waits, except for filters that do. So a request that memory can answer is answered
//! in the call that brought it, and only the others become futures.

use std::sync::Arc;

use http::Method;
use selvedge_cache::invalidate::Watermark;

use super::{Closing, Exchange, Exchanger, Reply, answer, close, filtering};
use crate::accept::{Answer, Received};
use crate::admit::{self, Admitted};
use crate::decide::{Plan, Site};
use crate::error::{Cause, Error};
use crate::filter::{Action, Context};
use crate::journal::Journal;
use crate::node::World;
use crate::respond::Outgoing;
use crate::respond::cache_status::Forward;

impl Exchanger {
    /// Begins an exchange. What memory can answer is answered here; only what has to wait becomes
    /// a future.
    pub(super) fn answer(&self, received: Received) -> Answer<Outgoing<Closing>> {
        // Taken before anything else: a purge that was acknowledged before this request arrived
        // is in force for it.
        let arrival = self.shared.cache.watermark();
        let world = self.shared.world.load_full();
        // Copies of texts are made for readers only.
        let is_read = self.shared.telemetry.wants_lines() || world.has_filters;
        let mut journal = close::journal(&received, is_read);
        let (site, admitted) = match Self::admit(&world, received, &mut journal) {
            Ok(admitted) => admitted,
            Err(refused) => return Answer::Now(answer::refused(&self.shared, journal, &refused)),
        };
        let context = Context { client: admitted.client, ..Context::default() };
        let begun = Begun { exchanger: self.clone(), arrival, world, journal, context };
        if !site.filters.is_empty() {
            return Answer::later(begun.filtered(site, admitted));
        }
        begun.exchange(site, admitted).begin()
    }

    /// Admission, and the site that answers.
    fn admit(
        world: &World,
        received: Received,
        journal: &mut Journal,
    ) -> Result<(Arc<Site>, Admitted), Box<Refused>> {
        let admitted = admit::admit(received, &world.admission).map_err(|rejected| {
            Box::new(Refused {
                accept: rejected.head.headers.get(http::header::ACCEPT).cloned(),
                is_head: rejected.head.method == Method::HEAD,
                error: rejected.error,
            })
        })?;
        close::admitted(journal, &admitted);
        let Some(site) = world.sites.find(admitted.host()) else {
            return Err(Box::new(Refused::of(Cause::UnknownHost.into(), &admitted)));
        };
        journal.site = site.index;
        if admitted.content_length.is_some_and(|length| length > site.body_bytes_max) {
            return Err(Box::new(Refused::of(Cause::BodyTooLarge.into(), &admitted)));
        }
        Ok((Arc::clone(site), admitted))
    }
}

/// An exchange before there is a plan for it.
struct Begun {
    exchanger: Exchanger,
    arrival: Watermark,
    world: Arc<World>,
    journal: Box<Journal>,
    context: Context,
}

impl Begun {
    /// Lets the site's filters see the request first: they may wait for somebody.
    async fn filtered(mut self, site: Arc<Site>, mut admitted: Admitted) -> Reply {
        let shared = &self.exchanger.shared;
        match filtering::request(&site, &mut self.context, &mut admitted).await {
            Ok(Action::Continue) => {}
            Ok(Action::Respond(response)) => {
                let is_head = admitted.method == Method::HEAD;
                let watched = (site.filters.clone(), self.context);
                return answer::synthetic(shared, self.journal, response, is_head, watched);
            }
            Err(cause) => {
                let refused = Refused::of(cause.into(), &admitted);
                return answer::refused(shared, self.journal, &refused);
            }
        }
        self.exchange(site, admitted).begin().response().await
    }

    fn exchange(self, site: Arc<Site>, admitted: Admitted) -> Exchange {
        let plan = Plan::make(site, &admitted);
        let Self { exchanger: Exchanger { shared, worker }, arrival, world, journal, context } =
            self;
        Exchange {
            shared,
            worker,
            world,
            admitted,
            plan,
            context,
            arrival,
            forward: Forward::Bypass,
            cause: "",
            journal: Some(journal),
        }
    }
}

/// A request that is answered before there is a plan for it.
pub(super) struct Refused {
    pub(super) error: Error,
    pub(super) accept: Option<http::HeaderValue>,
    pub(super) is_head: bool,
}

impl Refused {
    pub(super) fn of(error: Error, admitted: &Admitted) -> Self {
        Self {
            error,
            accept: admitted.headers.get(http::header::ACCEPT).cloned(),
            is_head: admitted.method == Method::HEAD,
        }
    }
}
