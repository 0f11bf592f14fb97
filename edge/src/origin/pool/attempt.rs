//! One attempt at one origin, from the choice to the last byte of its response.
//!
//! Health and telemetry must hear of every attempt exactly once, whatever path it takes out of the
//! code: a complete response, a failure at any stage, a client that leaves. So the attempt is a
//! value that travels (from the choice, through the exchange, into the response body), and dropping
//! it is an ending too.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::AbortHandle;

use super::Pool;
use super::takers::Lent;
use crate::origin::health::passive::Change;
use crate::origin::observe::OriginOutcome;

/// An attempt under way.
#[derive(Debug)]
pub struct Attempt {
    pool: Arc<Pool>,
    index: usize,
    trial: bool,
    ended: bool,
    place: Option<OwnedSemaphorePermit>,
}

impl Attempt {
    /// Begins at the origin that was picked; `trial`: it is the one that decides over an ejection.
    pub fn begin(pool: Arc<Pool>, index: usize, trial: bool) -> Self {
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
    pub fn hold(&mut self, place: OwnedSemaphorePermit) {
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
    pub fn answered(&mut self, outcome: OriginOutcome) {
        if self.trial && !self.counts_against(outcome) {
            self.trial = false;
            self.tell(self.pool.origin(self.index).health.succeeded());
        }
    }

    /// It ended.
    pub fn end(mut self, outcome: OriginOutcome) {
        self.ended = true;
        self.conclude(outcome);
    }

    fn conclude(&mut self, outcome: OriginOutcome) {
        let health = &self.pool.origin(self.index).health;
        let change = if self.counts_against(outcome) {
            health.failed(self.pool.now(), self.pool.entropy())
        } else if outcome.is_answer() {
            health.succeeded()
        } else {
            if self.trial {
                health.trial_abandoned(self.pool.now());
            }
            None
        };
        self.tell(change);
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

    fn tell(&self, change: Option<Change>) {
        let Some(change) = change else { return };
        let name = self.pool.name_of(self.index);
        match change {
            Change::Ejected { until } => {
                let for_ms = until.since_ms(self.pool.now());
                tracing::warn!(pool = name.pool, origin = name.origin, for_ms, "origin ejected");
            }
            Change::Recovered => {
                tracing::info!(pool = name.pool, origin = name.origin, "origin recovered");
            }
        }
        self.pool.observer().health_changed(name, change == Change::Recovered);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.ended {
            self.conclude(OriginOutcome::Abandoned);
        }
    }
}
