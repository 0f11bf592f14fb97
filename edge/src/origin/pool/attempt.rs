//! One attempt at one origin, from the choice to the last byte of its response.
//!
//! Health and telemetry must hear of every attempt exactly once, whatever path it takes out of the
//! code: a complete response, a failure at any stage, a client that leaves. So the attempt is a
//! value that travels (from the choice, through the exchange, into the response body), and dropping
//! it is an ending too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use tokio::task::AbortHandle;

use super::Pool;
use super::places::Place;
use super::takers::Lent;
use crate::origin::observe::OriginOutcome;

/// An attempt under way.
#[derive(Debug)]
pub struct Attempt {
    pool: Arc<Pool>,
    index: usize,
    trial: bool,
    ended: bool,
    place: Option<Place>,
}

impl Attempt {
    /// Begins at the origin that was picked; `trial`: it is the one that decides over an ejection.
    pub fn begin(pool: Arc<Pool>, index: usize, trial: bool) -> Self {
        pool.under_way.fetch_add(1, Ordering::Relaxed);
        Self { pool, index, trial, ended: false, place: None }
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Which of its origins.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Holds the place until the attempt ends.
    pub fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Lends the place to whoever takes the response that `connection` brings.
    pub fn lend(&mut self, connection: AbortHandle) -> Lent {
        let takers = &self.pool.origin(self.index).takers;
        takers.lend(self.place.take(), connection, self.pool.now())
    }

    /// Whether it has one.
    pub fn holds_place(&self) -> bool {
        self.place.is_some()
    }

    /// A response head has arrived. It is enough to pass a trial: others need not wait for the end
    /// of a long download.
    pub fn answered(&mut self, status: StatusCode, took: Duration) {
        let (pool, origin, now) = (&self.pool, self.pool.origin(self.index), self.pool.now());
        let (outcome, took_us) = (OriginOutcome::of_status(status), took.as_micros() as u64);
        if outcome == OriginOutcome::ServerError {
            origin.latency.observe_failure(took_us, now);
        } else {
            origin.latency.observe(took_us, now);
            pool.latencies().observe(took_us);
        }
        let overloaded = matches!(status.as_u16(), 429 | 503);
        origin.learn((took_us, overloaded), &pool.config().limits, now);
        if self.trial && !self.counts_against(outcome) {
            self.trial = false;
            pool.tell(self.index, origin.health.succeeded(now));
        }
    }

    /// It ended.
    pub fn end(mut self, outcome: OriginOutcome) {
        self.ended = true;
        self.conclude(outcome);
    }

    fn conclude(&mut self, outcome: OriginOutcome) {
        let (origin, now) = (self.pool.origin(self.index), self.pool.now());
        let health = &origin.health;
        if outcome == OriginOutcome::Timeout {
            origin.learn((0, true), &self.pool.config().limits, now);
        }
        let event = if self.counts_against(outcome) {
            health.window.count(false);
            health.failed(self.trial, now, self.pool.entropy())
        } else if outcome.is_answer() {
            health.window.count(outcome != OriginOutcome::ServerError);
            health.succeeded(now)
        } else {
            if self.trial {
                health.trial_abandoned(now);
                self.pool.refresh();
            }
            None
        };
        self.pool.tell(self.index, event);
        self.pool.observer().finished(self.pool.name_of(self.index), outcome);
    }

    fn counts_against(&self, outcome: OriginOutcome) -> bool {
        match outcome {
            OriginOutcome::ServerError => {
                self.pool.origin(self.index).health.counts_server_errors()
            }
            OriginOutcome::Connect | OriginOutcome::Timeout | OriginOutcome::Broken => true,
            // A full queue is our own bound, and says nothing of how the origin is.
            OriginOutcome::Refused
            | OriginOutcome::Ok
            | OriginOutcome::NotModified
            | OriginOutcome::ClientError
            | OriginOutcome::Abandoned => false,
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.pool.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.ended {
            self.conclude(OriginOutcome::Abandoned);
        }
    }
}
