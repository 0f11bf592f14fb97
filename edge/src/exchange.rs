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
use std::time::Duration;

use http::{HeaderMap, Method, Response, StatusCode};
use selvedge_cache::cache::{Admission, Entry, Found, Request};
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FailureCode, FillHead, HeadOutcome, Waiter};
use selvedge_cache::invalidate::Watermark;
use selvedge_cache::policy::{self, Judgement, Verdict};
use tokio::sync::{mpsc, oneshot};

use crate::accept::{Answer, Handler, Received};
use crate::admit::{self, Admitted};
use crate::decide::{Plan, Site};
use crate::error::{Cause, Error};
use crate::filter::{Action, Caching, Context};
use crate::journal::{CacheOutcome, Journal};
use crate::lookup::Way;
use crate::node::{Shared, Worker, World};
use crate::origin::OriginReply;
use crate::respond::cache_status::Forward;
use crate::respond::{self, Outgoing};

mod answer;
mod close;
mod fetch;
mod filtering;
mod head;
mod outbound;
mod parts;
mod pass;
mod post;
mod purge;
mod sticky;
mod upload;

pub use close::Closing;

/// How often a request may look again before it goes to the origin alone.
const LOOKS_MAX: u32 = 4;

/// How long a request waits for a head that another request fetches, in milliseconds; then it
/// goes to the origin alone.
const WAIT_MS_MAX: u64 = 30_000;

/// Why a request goes alone that waited for what turned out to be another's.
const NOT_SHARED: &str = "NOT-SHARED";

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

/// A request that waits for a head.
struct Await {
    waiter: Waiter,
    /// Set for the request that started the fetch: the answer that may not be stored.
    lead: Option<Lead>,
    /// What is stored, if the fetch validates it or a failure may be answered with it.
    base: Option<Box<Record>>,
}

/// What the request that started a fetch gets beside the head.
struct Lead {
    handed: oneshot::Receiver<fetch::Handed>,
    interim: mpsc::Receiver<(StatusCode, HeaderMap)>,
    /// Which origin was asked, once that is known.
    origin: Rc<OnceCell<Arc<str>>>,
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

impl Exchanger {
    /// Begins an exchange. What memory can answer is answered here; only what has to wait becomes
    /// a future.
    fn answer(&self, received: Received) -> Answer<Outgoing<Closing>> {
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
struct Refused {
    error: Error,
    accept: Option<http::HeaderValue>,
    is_head: bool,
}

impl Refused {
    fn of(error: Error, admitted: &Admitted) -> Self {
        Self {
            error,
            accept: admitted.headers.get(http::header::ACCEPT).cloned(),
            is_head: admitted.method == Method::HEAD,
        }
    }
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
            key: &self.plan.key,
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
        let found = self.shared.cache.lookup(&self.request());
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

    async fn wait(&mut self, mut waiting: Await) -> Step {
        let leads = waiting.lead.is_some();
        let outcome = if let Some(lead) = &mut waiting.lead {
            // The fetch has deadlines of its own.
            let outcome = self.head_with_hints(&mut waiting.waiter, lead).await;
            self.journal().origin = lead.origin.get().cloned();
            outcome
        } else {
            let limit = Duration::from_millis(WAIT_MS_MAX);
            match tokio::time::timeout(limit, waiting.waiter.head()).await {
                Ok(outcome) => outcome,
                Err(_) => return Step::Pass("WAIT-LIMIT"),
            }
        };
        match outcome {
            HeadOutcome::Head(head) if leads && self.is_useless(&head) => Step::Pass(NOT_SHARED),
            HeadOutcome::Head(head) if leads => {
                Step::Fill(head, waiting.waiter, CacheOutcome::Miss)
            }
            HeadOutcome::Head(head) => {
                let admission = self.shared.cache.admits(&self.request(), &head);
                self.shared_or(admission, || {
                    Step::Fill(head, waiting.waiter, CacheOutcome::Collapsed)
                })
            }
            HeadOutcome::Validated(record) if leads => {
                let judgement = self.judge(&record);
                Step::Stored(record, judgement, CacheOutcome::Revalidated)
            }
            HeadOutcome::Validated(record) => {
                let admission = self.shared.cache.admits_record(&self.request(), &record);
                let judgement = self.judge(&record);
                self.shared_or(admission, || {
                    Step::Stored(record, judgement, CacheOutcome::Collapsed)
                })
            }
            HeadOutcome::Released | HeadOutcome::Erred => {
                match waiting.lead.and_then(|mut lead| lead.handed.try_recv().ok()) {
                    Some(handed) => self.hand_or_stand_in(handed, waiting.base),
                    None if matches!(outcome, HeadOutcome::Erred) => {
                        self.stand_in(waiting.base).unwrap_or(Step::Pass(NOT_SHARED))
                    }
                    None => Step::Pass(NOT_SHARED),
                }
            }
            HeadOutcome::Failed(FailureCode(code)) => {
                let cause = Cause::from_code(code).unwrap_or(Cause::OriginBroke);
                Step::Trouble(cause.into(), waiting.base)
            }
        }
    }

    /// Waits for the head and passes interim responses on that come before it.
    async fn head_with_hints(&mut self, waiter: &mut Waiter, lead: &mut Lead) -> HeadOutcome {
        loop {
            tokio::select! {
                biased;
                Some((status, headers)) = lead.interim.recv() => {
                    self.admitted.interim.send(status, headers);
                }
                outcome = waiter.head() => return outcome,
            }
        }
    }

    /// The origin answered with an error: a stale response may stand in (RFC 5861 §4).
    fn hand_or_stand_in(&self, handed: fetch::Handed, base: Option<Box<Record>>) -> Step {
        let fetch::Handed { reply, why } = handed;
        let stale = if fetch::is_origin_error(reply.status) { self.stand_in(base) } else { None };
        stale.unwrap_or(Step::Hand(reply, why))
    }

    /// What is stored, if it may stand in for an error of the origin.
    fn stand_in(&self, base: Option<Box<Record>>) -> Option<Step> {
        let base = base.filter(|base| self.shared.cache.stale_on_error(&self.request(), base))?;
        let mut judgement = self.judge(&base);
        judgement.verdict = Verdict::Stale { refresh: false };
        Some(Step::Stored(base, judgement, CacheOutcome::Stale))
    }

    /// The way on for a request that did not start the fetch it waited for.
    fn shared_or(&self, admission: Admission, share: impl FnOnce() -> Step) -> Step {
        match admission {
            Admission::Share => share(),
            // Purged since it was sent, or another variant.
            Admission::Look => Step::Look,
            Admission::Alone => Step::Pass(NOT_SHARED),
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
