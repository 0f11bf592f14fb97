//! `PURGE` as a request method: off unless the site names who may send it.

use http::{Response, StatusCode};
use selvedge_cache::invalidate::Mode;
use selvedge_purge_api::ledger::NewEntry;
use serde_json::json;

use super::{Exchange, Refused, Reply, answer};
use crate::error::Cause;
use crate::lookup::purge_method;

impl Exchange {
    /// Purges the URL of the request: every variant, for good.
    pub(super) async fn purge(mut self) -> Reply {
        let journal = self.journal.take().expect("an exchange answers once");
        if !purge_method::is_allowed(&self.plan.site, &self.admitted) {
            let refused = Refused::of(Cause::Method.into(), &self.admitted);
            return answer::refused(&self.shared, journal, &refused);
        }
        let started = std::time::Instant::now();
        let selector = purge_method::selector(&self.plan.site, &self.admitted, &self.plan.target);
        let kind = selector.kind();
        let from = match self.admitted.connection.peer.ip() {
            Some(address) => address.to_string(),
            None => "unix".to_owned(),
        };
        let entry = NewEntry {
            accepted: self.shared.cache.clock.now(),
            mode: Mode::Hard,
            selector,
            who: format!("PURGE from {from}"),
            from: Some(from),
            idempotency_key: None,
        };
        let done = self.shared.ledger.append(entry).await;
        self.shared.purged(kind, Mode::Hard, started.elapsed(), done.is_ok());
        let (status, document) = match done {
            Ok(appended) => {
                let durable = self.shared.ledger.is_durable();
                (StatusCode::OK, json!({"position": appended.position.0, "durable": durable}))
            }
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, json!({"title": error.to_string()})),
        };
        let mut response = Response::new(format!("{document}\n").into());
        *response.status_mut() = status;
        let kind =
            if status == StatusCode::OK { "application/json" } else { "application/problem+json" };
        let kind = http::HeaderValue::from_static(kind);
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        let watched = (self.plan.site.filters.clone(), std::mem::take(&mut self.context));
        answer::synthetic(&self.shared, journal, response, false, watched)
    }
}
