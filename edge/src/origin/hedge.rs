//! A second try beside the first, when the first is late.
//!
//! Of many requests a few are slow for no reason of their own: a pause of a collector, a lost
//! packet, a busy core. When a request has waited longer than nineteen of twenty do, another
//! origin is asked too, and whichever answers first is the answer (Dean and Barroso, *The Tail at
//! Scale*). It costs a twentieth more at most, within the same budget as retries, and only for
//! requests that may reach two origins without harm.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::sleep;

use super::OriginReply;
use super::observe::Repeat;
use super::pool::pick::Wish;
use super::pool::upload::Outbound;
use super::pool::{Attempt, Pool};
use super::request::Template;
use super::send::{Connections, Tripped};

/// What of all answers should have come before a second try is worth it, in percent.
const LATE_PERCENT: u32 = 95;
/// A second try is not begun sooner than this: waits of a millisecond are nobody's trouble.
const AFTER_MIN: Duration = Duration::from_millis(5);

/// How long to wait before the second try; `None` when there shall be none.
pub fn after(pool: &Pool) -> Option<Duration> {
    if !pool.config().retry.hedge || pool.config().origins.len() < 2 {
        return None;
    }
    let usual_us = pool.latencies().at(LATE_PERCENT)?;
    Some(Duration::from_micros(usual_us).max(AFTER_MIN))
}

impl Connections {
    /// One try, and after a while another at another origin beside it. Tells of the try that
    /// answered, or failed last; the other one's end has been told. `second` is where the second
    /// went. Only for requests without content that may be sent twice.
    pub(super) async fn trip_hedged(
        &self,
        attempt: Attempt,
        template: &Template,
        wish: Wish<'_>,
        after: Duration,
        second: &mut Option<usize>,
        on_interim: &mut impl FnMut(StatusCode, HeaderMap),
    ) -> Result<OriginReply, Box<Tripped>> {
        let pool = attempt.pool().clone();
        let (mut one, mut other) = (Some(Outbound::Empty), Some(Outbound::Empty));
        let mut first = std::pin::pin!(self.trip(
            attempt,
            template,
            &mut one,
            (false, wish.urgency),
            on_interim
        ));
        tokio::select! {
            biased;
            ended = &mut first => return ended,
            () = sleep(after) => {}
        }
        let Some(_extra) = pool.budget().extra(pool.config().retry.share_percent) else {
            return first.await;
        };
        // A hedge is no trial: it would be abandoned when the first answers.
        let elsewhere = Wish { may_risk: false, has_fallback: true, preferred: None, ..wish };
        let Some((index, false)) = pool.pick(elsewhere) else { return first.await };
        *second = Some(index);
        pool.observer().repeated(pool.name_of(index), Repeat::Hedge);
        let attempt = Attempt::begin(pool.clone(), index, false);
        let no_hints = &mut |_, _| {};
        let mut beside = std::pin::pin!(self.trip(
            attempt,
            template,
            &mut other,
            (false, wish.urgency),
            no_hints
        ));
        let (ended, rest) = tokio::select! {
            biased;
            ended = &mut first => (ended, None),
            ended = &mut beside => (ended, Some(())),
        };
        match (ended, rest) {
            (Ok(reply), _) => Ok(reply),
            (Err(failed), None) => {
                failed.conclude();
                beside.await
            }
            (Err(failed), Some(())) => {
                failed.conclude();
                first.await
            }
        }
    }
}
