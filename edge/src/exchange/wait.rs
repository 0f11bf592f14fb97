//! Waiting for the head that a fetch brings, one's own or another's, and what it means for the one
//! who waited.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use selvedge_cache::cache::Admission;
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FailureCode, HeadOutcome, Waiter};
use selvedge_cache::policy::Verdict;
use tokio::sync::{mpsc, oneshot};

use super::{Exchange, Step, fetch};
use crate::error::Cause;
use crate::journal::CacheOutcome;

/// How long a request waits for a head that another request fetches, in milliseconds; then it
/// goes to the origin alone.
const WAIT_MS_MAX: u64 = 30_000;

/// Why a request goes alone that waited for what turned out to be another's.
const NOT_SHARED: &str = "NOT-SHARED";

/// A request that waits for a head.
pub(super) struct Await {
    pub(super) waiter: Waiter,
    /// Set for the request that started the fetch: the answer that may not be stored.
    pub(super) lead: Option<Lead>,
    /// What is stored, if the fetch validates it or a failure may be answered with it.
    pub(super) base: Option<Box<Record>>,
}

/// What the request that started a fetch gets beside the head.
pub(super) struct Lead {
    pub(super) handed: oneshot::Receiver<fetch::Handed>,
    pub(super) interim: mpsc::Receiver<(StatusCode, HeaderMap)>,
    /// Which origin was asked, once that is known.
    pub(super) origin: Rc<OnceCell<Arc<str>>>,
}

impl Exchange {
    /// Waits, and says what comes next.
    pub(super) async fn wait(&mut self, mut waiting: Await) -> Step {
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
                shared_or(admission, || Step::Fill(head, waiting.waiter, CacheOutcome::Collapsed))
            }
            HeadOutcome::Validated(record) if leads => {
                let judgement = self.judge(&record);
                Step::Stored(record, judgement, CacheOutcome::Revalidated)
            }
            HeadOutcome::Validated(record) => {
                let admission = self.shared.cache.admits_record(&self.request(), &record);
                let judgement = self.judge(&record);
                shared_or(admission, || Step::Stored(record, judgement, CacheOutcome::Collapsed))
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
    pub(super) fn stand_in(&self, base: Option<Box<Record>>) -> Option<Step> {
        let base = base.filter(|base| self.shared.cache.stale_on_error(&self.request(), base))?;
        let mut judgement = self.judge(&base);
        judgement.verdict = Verdict::Stale { refresh: false };
        Some(Step::Stored(base, judgement, CacheOutcome::Stale))
    }
}

/// The way on for a request that did not start the fetch it waited for.
fn shared_or(admission: Admission, share: impl FnOnce() -> Step) -> Step {
    match admission {
        Admission::Share => share(),
        // Purged since it was sent, or another variant.
        Admission::Look => Step::Look,
        Admission::Alone => Step::Pass(NOT_SHARED),
    }
}
