//! One request and its one final response: the steps, and the loop that moves between them.
//!
//! ```text
//!            ┌────────────────────── Look ◄──────────────────┐ (refused by a purge, bytes gone)
//!            ▼              ▼          ▼           ▼          │
//!         Stored           Enter      Pass      Trouble       │
//!            │              │  ▲        │          ▲ │        │
//!            │              ▼  └────┐   │          │ ▼        │
//!            │            Await ────┼───┼──────────┘ Stored   │
//!            │              │       │   │         (stale on   │
//!            ▼              ▼       ▼   ▼            error)   │
//!          answer         Fill    Hand  answer ───────────────┘
//! ```
//!
//! `Look` asks the cache. `Stored` answers from it. `Enter` joins a fetch or starts one, which
//! runs detached from this client (`fetch`). `Await` waits for its head: then the client reads
//! along (`Fill`), is given the origin's answer because it may not be stored (`Hand`), or goes to
//! the origin alone (`Pass`). `Trouble` is a failure that a stale response may stand in for.
//!
//! Only this file and `node.rs` join folders.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use http::Response;
use selvedge_cache::cache::{Entry, Found, Request};
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FillHead, Waiter};
use selvedge_cache::invalidate::Watermark;
use selvedge_cache::policy::{self, Judgement, Verdict};
use tokio::sync::{mpsc, oneshot};

use crate::accept::{Answer, Connection, Handler, Received};
use crate::admit::Admitted;
use crate::decide::Plan;
use crate::error::{Cause, Error};
use crate::filter::{Caching, Context};
use crate::journal::{CacheOutcome, Journal};
use crate::lookup::Way;
use crate::node::{Shared, Worker, World};
use crate::origin::OriginReply;
use crate::respond::cache_status::Forward;
use crate::respond::{self, Outgoing};

mod answer;
mod begin;
mod close;
mod fetch;
mod filtering;
mod head;
mod outbound;
mod parts;
mod pass;
mod post;
mod purge;
mod refetch;
mod search;
mod sticky;
mod upload;
mod wait;

pub use close::Closing;

use begin::Refused;
use wait::{Await, Lead};

/// How often a request may look again before it goes to the origin alone.
const LOOKS_MAX: u32 = 4;

/// Interim responses that wait for a client; further ones are left out.
const INTERIM_WAITING_MAX: usize = 8;

/// The body type of every response.
pub type Reply = Response<Outgoing<Closing>>;

/// Answers the requests of one core.
#[derive(Clone, Debug)]
pub struct Exchanger {
    /// What all cores share.
    pub shared: Arc<Shared>,
    /// What belongs to this core.
    pub worker: Rc<Worker>,
}

impl Handler for Exchanger {
    type Body = Outgoing<Closing>;

    fn call(&self, received: Received) -> Answer<Self::Body> {
        self.answer(received)
    }

    fn refused(&self, connection: &Connection, cause: Cause, sent_bytes: Option<u64>) {
        self.shared.telemetry.finish(&close::refused(connection, cause, sent_bytes));
    }
}

/// Where an exchange stands.
enum Step {
    Look,
    Stored(Box<Record>, Judgement, CacheOutcome),
    Enter(Box<Found>),
    Await(Await),
    Fill(Arc<FillHead>, Waiter, CacheOutcome),
    /// With the reason why it may not be stored.
    Hand(Box<OriginReply>, &'static str),
    Pass(&'static str),
    Trouble(Error, Option<Box<Record>>),
}

impl Step {
    /// The name in traces.
    const fn name(&self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Stored(..) => "stored",
            Self::Enter(_) => "enter",
            Self::Await(_) => "await",
            Self::Fill(..) => "fill",
            Self::Hand(..) => "hand",
            Self::Pass(..) => "pass",
            Self::Trouble(..) => "trouble",
        }
    }
}

/// One request under way.
struct Exchange {
    shared: Arc<Shared>,
    worker: Rc<Worker>,
    world: Arc<World>,
    admitted: Admitted,
    plan: Plan,
    context: Context,
    arrival: Watermark,
    /// Why the origin is asked, once that is known.
    forward: Forward,
    /// The cause in the words of the verdict, once there was one.
    cause: &'static str,
    /// Taken when the answer is handed over.
    journal: Option<Box<Journal>>,
}

impl Exchange {
    /// The steps that need not wait; [`run`](Self::run) goes on from there.
    fn begin(mut self) -> Answer<Outgoing<Closing>> {
        if self.admitted.method.as_str() == "PURGE" {
            return Answer::later(self.purge());
        }
        let step = self.first_step();
        if !matches!(step, Step::Look) {
            return Answer::later(self.run(step, 0));
        }
        let found = self.lookup();
        if found.judgement.verdict == Verdict::Fresh
            && let Some(record) = &found.record
            && let Some(reply) = self.stored_now(record, &found.judgement, CacheOutcome::Hit)
        {
            tracing::trace!(connection = self.admitted.connection.id, step = "stored");
            return Answer::Now(reply);
        }
        let step = self.found(found);
        Answer::later(self.run(step, 1))
    }

    /// The loop. Each step says what comes next, or answers.
    async fn run(mut self, mut step: Step, mut looks: u32) -> Reply {
        loop {
            tracing::trace!(connection = self.admitted.connection.id, step = step.name());
            step = match step {
                Step::Look if looks >= LOOKS_MAX => Step::Pass("LOOKS-EXHAUSTED"),
                Step::Look => {
                    looks += 1;
                    self.look()
                }
                Step::Stored(record, judgement, outcome) => {
                    match self.stored(&record, &judgement, outcome).await {
                        Some(reply) => return reply,
                        None => Step::Look,
                    }
                }
                Step::Enter(found) => self.enter(*found),
                Step::Await(waiting) => self.wait(waiting).await,
                Step::Fill(head, waiter, outcome) => {
                    return self.filling(&head, waiter, outcome);
                }
                Step::Hand(reply, why) => return self.handed(*reply, why),
                Step::Pass(detail) => match self.pass(detail).await {
                    Ok(reply) => return reply,
                    Err((error, base)) => Step::Trouble(error, base),
                },
                Step::Trouble(error, base) => {
                    match base.filter(|base| self.may_stand_in(&error, base)) {
                        Some(base) => {
                            let mut judgement = self.judge(&base);
                            judgement.verdict = Verdict::Stale { refresh: false };
                            self.journal().error = Some(error.cause);
                            self.journal().error_chain = Some(error.chain());
                            match self.stored(&base, &judgement, CacheOutcome::Stale).await {
                                Some(reply) => return reply,
                                None => Step::Trouble(error, None),
                            }
                        }
                        None => return self.fail(&error),
                    }
                }
            };
        }
    }

    /// Methods that the cache does not answer, and sites whose filters say so, pass at once.
    fn first_step(&mut self) -> Step {
        let filters = &self.plan.site.filters;
        if !filters.is_empty()
            && filters.before_lookup(&mut self.context, &self.admitted.headers) == Caching::Bypass
        {
            return Step::Pass("FILTER");
        }
        if self.admitted.upgrade.is_some() {
            return Step::Trouble(Cause::Upgrade.into(), None);
        }
        Step::Look
    }

    fn request(&self) -> Request<'_> {
        Request {
            key: self.plan.cache_key(),
            facts: &self.plan.facts,
            headers: &self.admitted.headers,
            target: self.plan.scopes(self.admitted.host()),
            options: &self.plan.site.cache,
            arrival: self.arrival,
        }
    }

    fn look(&mut self) -> Step {
        let found = self.lookup();
        self.found(found)
    }

    fn lookup(&mut self) -> Found {
        let found = self.search();
        self.forward = Forward::because(found.judgement.cause).unwrap_or(Forward::Stale);
        found
    }

    /// What to do with what the cache holds.
    fn found(&mut self, mut found: Found) -> Step {
        let judgement = found.judgement;
        let cause = judgement.cause.token();
        self.cause = cause;
        if let Verdict::Stale { refresh: true } = judgement.verdict
            && found.record.is_some()
        {
            self.refresh(&found);
        }
        let way = Way::of(judgement.verdict, found.record.is_some(), &self.plan.facts);
        match (way, found.record.take()) {
            (Way::Stored(outcome), Some(record)) => {
                Step::Stored(Box::new(record), judgement, outcome)
            }
            (Way::Unsatisfied, _) => Step::Trouble(Cause::OnlyIfCached.into(), None),
            (Way::Pass, _) => Step::Pass(cause),
            (Way::Fetch | Way::Stored(_), record) => {
                found.record = record;
                Step::Enter(Box::new(found))
            }
        }
    }

    fn enter(&self, found: Found) -> Step {
        match self.shared.cache.enter(&self.request(), &found) {
            Entry::Again => Step::Look,
            Entry::Alone(cause) => Step::Pass(cause.token()),
            Entry::Follow(waiter) => {
                Step::Await(Await { waiter, lead: None, base: found.base().cloned().map(Box::new) })
            }
            Entry::Lead(permit, waiter) => {
                let (hand, handed) = oneshot::channel();
                let (hints, interim) = mpsc::channel(INTERIM_WAITING_MAX);
                let origin = Rc::<OnceCell<Arc<str>>>::default();
                let leader = fetch::Leader { hand, interim: hints, origin: Rc::clone(&origin) };
                let base = found.base().cloned().map(Box::new);
                let incomplete = || found.incomplete().cloned().map(Box::new);
                let job = fetch::Job::new(self, base.clone().or_else(incomplete), Some(leader));
                tokio::task::spawn_local(job.run(permit));
                Step::Await(Await { waiter, lead: Some(Lead { handed, interim, origin }), base })
            }
        }
    }

    /// Starts a validation in the background, unless one is under way or too many were started.
    fn refresh(&self, found: &Found) {
        let cache = &self.shared.cache;
        let enter = || cache.enter_background(&self.request(), found);
        if let Some(permit) = self.world.ramp(&self.plan.site).start(cache.clock.now(), enter) {
            // A fetch asks with GET, whatever method found the response stale.
            let job = fetch::Job::new(self, found.record.clone().map(Box::new), None).for_get();
            tokio::task::spawn_local(job.run(permit));
        }
    }

    /// Whether a stale response may stand in for a failure: the origin's fault only.
    fn may_stand_in(&self, error: &Error, base: &Record) -> bool {
        error.cause.fault() == crate::error::Fault::Origin
            && self.shared.cache.stale_on_error(&self.request(), base)
    }

    /// The age sum of a record now, with what the ledger says.
    fn judge(&self, record: &Record) -> Judgement {
        let now = self.shared.cache.clock.now();
        policy::reuse::judge(
            &self.plan.facts,
            Some((&record.fresh, record.stale_since)),
            &selvedge_cache::invalidate::PurgeState::default(),
            now,
            &self.plan.site.cache,
        )
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("the journal is there until the answer is handed over")
    }
}

pub use respond::Body;
