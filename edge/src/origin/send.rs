//! One core's way to the origins: its idle connections, and the loop that sends a request.
//!
//! The loop is all that is here: choose an origin, get a place and a connection, exchange, and when
//! that fails ask [`retry`] what to do. Each of these steps lives elsewhere.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use selvedge_cache::Millis;
use selvedge_cache::budget::Budget;
use smallvec::SmallVec;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::budget::Extra;
use super::config::wait;
use super::hedge;
use super::observe::{OriginOutcome, Repeat};
use super::pool::body::{Lease, OriginBody};
use super::pool::http1::{Broken, Connection};
use super::pool::pick::Wish;
use super::pool::places::Urgency;
use super::pool::reuse::{IdleSet, ReuseKey};
use super::pool::upload::{Outbound, Upload};
use super::pool::{Attempt, Pool, connect, head};
use super::request::{OutboundRequest, Template};
use super::retry::{self, Content, Decision, Failed};
use super::{OriginFailure, OriginReply};
use crate::error::{Cause, Error, Stage};

/// How long a connection may take to be free after its response has ended.
const SETTLE: Duration = Duration::from_secs(1);

/// The idle connections of one core. Clones share them. Needs a `LocalSet` or a local runtime:
/// connections are tasks on this core.
#[derive(Clone, Debug)]
pub struct Connections(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    idle: RefCell<IdleSet<Connection>>,
    /// The task that closes idle connections, and when it wakes.
    sweep: RefCell<Option<(Millis, AbortHandle)>>,
    epoch: Instant,
    budget: Option<Budget>,
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

impl Connections {
    /// No connection yet.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// As [`Connections::new`]; connections read less at a time while this budget is short.
    pub fn within(budget: Budget) -> Self {
        Self::with(Some(budget))
    }

    fn with(budget: Option<Budget>) -> Self {
        let (idle, sweep) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Inner { idle, sweep, epoch: Instant::now(), budget }))
    }

    /// Idle connections on this core, over all pools.
    pub fn idle(&self) -> usize {
        self.0.idle.borrow().len()
    }

    /// Closes all idle connections: the node is draining.
    pub fn close_idle(&self) {
        *self.0.idle.borrow_mut() = IdleSet::default();
    }

    /// Sends a request to an origin of the pool, and again where that is allowed, until a response
    /// head arrives. Interim responses are handed to `on_interim` as they come, without the fields
    /// of the connection. Dropping the future gives the request up and closes its connection.
    pub async fn send(
        &self,
        pool: &Arc<Pool>,
        request: OutboundRequest,
        mut on_interim: impl FnMut(StatusCode, HeaderMap),
    ) -> Result<OriginReply, OriginFailure> {
        let started = Instant::now();
        let (mut preferred, has_fallback) = (request.preferred, request.has_fallback);
        let affinity = request.affinity;
        let urgency = match (has_fallback, request.is_shared) {
            (true, _) => Urgency::Dispensable,
            (false, true) => Urgency::Shared,
            (false, false) => Urgency::Alone,
        };
        let (template, mut content) = request.into_template();
        if template.method == http::Method::CONNECT {
            return Err(OriginFailure::unsent(Cause::Method.into()));
        }
        let _live = pool.budget().enter();
        // What goes out again, for as long as it does.
        let mut extras: SmallVec<[Extra; 2]> = SmallVec::new();
        let idempotent = retry::is_idempotent(&template.method);
        let mut tried: SmallVec<[usize; 4]> = SmallVec::new();
        let mut resends = 0;
        let mut last = None;
        loop {
            let may_risk = idempotent && content.as_ref().is_some_and(Outbound::is_empty);
            let preferred = preferred.take();
            let wish = Wish { tried: &[], may_risk, preferred, has_fallback, affinity, urgency };
            let Some((index, trial)) = pool.pick(Wish { tried: &tried, ..wish }) else {
                return Err(last.unwrap_or_else(|| OriginFailure::unsent(Cause::NoOrigin.into())));
            };
            tried.push(index);
            let mut attempt = Attempt::begin(pool.clone(), index, trial);
            let mut fresh = false;
            loop {
                let hedge = if may_risk && !trial && !fresh { hedge::after(pool) } else { None };
                let mut second = None;
                let tripped = match hedge {
                    None => {
                        let how = (fresh, urgency);
                        self.trip(attempt, &template, &mut content, how, &mut on_interim).await
                    }
                    Some(after) => {
                        let wish = Wish { tried: &tried, ..wish };
                        let second = &mut second;
                        // Rare and large: it must not make every request larger.
                        Box::pin(self.trip_hedged(
                            attempt,
                            &template,
                            wish,
                            after,
                            second,
                            &mut on_interim,
                        ))
                        .await
                    }
                };
                tried.extend(second);
                let Tripped { broken, reused, attempt: ended } = match tripped {
                    Ok(reply) => return Ok(reply),
                    Err(tripped) => *tripped,
                };
                attempt = ended;
                let index = attempt.index();
                let Broken { error, stage, content: rest } = broken;
                if rest.is_some() {
                    content = rest;
                }
                let mut decision = retry::decide(
                    &pool.config().retry,
                    pool.config().deadlines.total_ms,
                    &Failed {
                        idempotent,
                        content: left(content.as_ref()),
                        stage,
                        cause: error.cause,
                        reused,
                        attempts: tried.len() as u32,
                        resends,
                        elapsed_ms: started.elapsed().as_millis() as u64,
                    },
                );
                if let Decision::Next { .. } = decision {
                    match pool.budget().extra(pool.config().retry.share_percent) {
                        Some(extra) => extras.push(extra),
                        None => decision = Decision::Spent,
                    }
                }
                if let Some(repeat) = Repeat::of(decision) {
                    pool.observer().repeated(pool.name_of(index), repeat);
                }
                if decision == Decision::Fresh {
                    fresh = true;
                    continue;
                }
                attempt.end(OriginOutcome::of_failure(error.cause));
                let failure =
                    OriginFailure { error, stage, origin: Some(pool.origin(index).name.clone()) };
                match decision {
                    Decision::Next { resend } => resends += u32::from(resend),
                    Decision::GiveUp | Decision::Spent | Decision::Fresh => return Err(failure),
                }
                last = Some(failure);
                break;
            }
        }
    }

    /// One try on one connection. Takes the content only when it is handed to a connection.
    pub(super) async fn trip(
        &self,
        mut attempt: Attempt,
        template: &Template,
        content: &mut Option<Outbound>,
        (fresh, urgency): (bool, Urgency),
        on_interim: &mut impl FnMut(StatusCode, HeaderMap),
    ) -> Result<OriginReply, Box<Tripped>> {
        let pool = attempt.pool().clone();
        let config = pool.config();
        let origin = pool.origin(attempt.index());
        if !attempt.holds_place() {
            match origin.place(&pool, urgency).await {
                Ok(place) => attempt.hold(place),
                Err(error) => return Err(Box::new(Tripped::unsent(error, attempt))),
            }
        }
        let mut connection = match self.connection(&attempt, fresh).await {
            Ok(connection) => connection,
            Err(error) => return Err(Box::new(Tripped::unsent(error, attempt))),
        };

        let (requested, sent_at) = (std::time::Instant::now(), Instant::now());
        let replay = content.as_ref().is_none_or(Outbound::is_empty);
        let (upload, progress) = Upload::new(content.take().unwrap_or_default(), sent_at);
        let last = config.limits.idle_max == 0;
        let request = template.request(origin.host.as_ref(), last, upload);
        let (response_ms, interim_max) = (config.deadlines.response_ms, config.limits.interim_max);
        let exchanged =
            connection.exchange(request, &progress, response_ms, interim_max, on_interim).await;
        let reused = connection.is_reused();
        if replay {
            *content = Some(Outbound::Empty);
        }
        let response = match exchanged {
            Ok(response) => response,
            Err(broken) => return Err(Box::new(Tripped { broken, reused, attempt })),
        };

        let (mut parts, incoming) = response.into_parts();
        if let Err(reason) = head::judge(parts.status, parts.version, &mut parts.headers) {
            let error = Error::with(Cause::OriginMalformed, reason);
            let broken = Broken { error, stage: Stage::Answered, content: None };
            return Err(Box::new(Tripped { broken, reused, attempt }));
        }
        let outcome = OriginOutcome::of_status(parts.status);
        attempt.answered(parts.status, sent_at.elapsed());
        let whole_by = sent_at + wait(config.deadlines.whole_ms);
        let home = self.clone();
        let lent = attempt.lend(connection.abort_handle());
        let lease = Lease { connection, attempt, lent, home, upload: progress, outcome };
        Ok(OriginReply {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            body: OriginBody::new(incoming, lease, whole_by),
            origin: origin.name.clone(),
            requested,
            received: std::time::Instant::now(),
        })
    }

    /// The newest idle connection, or a new one.
    async fn connection(&self, attempt: &Attempt, fresh: bool) -> Result<Connection, Error> {
        let pool = attempt.pool();
        let index = attempt.index();
        if !fresh {
            let mut idle = self.0.idle.borrow_mut();
            if let Some(free) = idle.take((pool.id(), index), self.now(), Connection::is_free) {
                return Ok(free);
            }
        }
        let origin = pool.origin(index);
        let transport = connect::connect(pool, origin).await?;
        pool.observer().connected(pool.name_of(index));
        let (limits, budget) = (&pool.config().limits, self.0.budget.clone());
        Connection::open(transport, limits, origin.connections.clone(), budget).await
    }

    /// Takes a connection back after a whole response. It is kept once it is free; it never will
    /// be while the request's content is still under way.
    pub(super) fn give_back(
        &self,
        pool: &Arc<Pool>,
        index: usize,
        mut connection: Connection,
        upload_done: bool,
    ) {
        let limits = &pool.config().limits;
        if connection.is_closed() || !upload_done || limits.idle_max == 0 {
            return;
        }
        let now = Instant::now();
        let idle_until = now + wait(pool.config().deadlines.idle_ms);
        let old_at = connection.born() + wait(limits.lifetime_ms);
        let expires = self.at(idle_until.min(old_at));
        let (key, idle_max) = ((pool.id(), index), limits.idle_max);
        if connection.is_free() {
            return self.keep(key, connection, expires, idle_max);
        }
        let home = self.clone();
        tokio::task::spawn_local(async move {
            if let Ok(true) = timeout(SETTLE, connection.becomes_free()).await {
                home.keep(key, connection, expires, idle_max);
            }
        });
    }

    fn keep(&self, key: ReuseKey, connection: Connection, expires: Millis, idle_max: usize) {
        let evicted = self.0.idle.borrow_mut().put(key, connection, expires, idle_max);
        drop(evicted);
        let mut running = self.0.sweep.borrow_mut();
        // A pool with a shorter wait than the others' must not wait for theirs.
        if running.as_ref().is_none_or(|(wakes, _)| expires < *wakes) {
            let next = tokio::task::spawn_local(sweep(Rc::downgrade(&self.0))).abort_handle();
            if let Some((_, late)) = running.replace((expires, next)) {
                late.abort();
            }
        }
    }

    fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Millis {
        self.0.at(instant)
    }
}

impl Inner {
    fn at(&self, instant: Instant) -> Millis {
        Millis(instant.saturating_duration_since(self.epoch).as_millis() as u64)
    }
}

/// Closes idle connections whose time is over; ends when none is left.
async fn sweep(core: Weak<Inner>) {
    loop {
        let Some(inner) = core.upgrade() else { return };
        let next = {
            let mut idle = inner.idle.borrow_mut();
            idle.sweep(inner.at(Instant::now()), |connection| !connection.is_closed());
            idle.next_expiry()
        };
        let Some(next) = next else {
            *inner.sweep.borrow_mut() = None;
            return;
        };
        if let Some((wakes, _)) = inner.sweep.borrow_mut().as_mut() {
            *wakes = next;
        }
        let wake = inner.epoch + Duration::from_millis(next.0);
        drop(inner);
        sleep_until(wake).await;
    }
}

/// A try that failed.
pub(super) struct Tripped {
    broken: Broken,
    reused: bool,
    attempt: Attempt,
}

impl Tripped {
    /// It was one of two, and the other one counts.
    pub(super) fn conclude(self) {
        self.attempt.end(OriginOutcome::of_failure(self.broken.error.cause));
    }

    fn unsent(error: Error, attempt: Attempt) -> Self {
        let broken = Broken { error, stage: Stage::Unsent, content: None };
        Self { broken, reused: false, attempt }
    }
}

fn left(content: Option<&Outbound>) -> Content {
    match content {
        Some(Outbound::Empty) => Content::Empty,
        Some(Outbound::Stream(_)) => Content::Whole,
        None => Content::Consumed,
    }
}
