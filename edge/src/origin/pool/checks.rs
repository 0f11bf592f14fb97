//! Asking origins whether they are well, and comparing them with each other.
//!
//! One task per pool, on the control runtime: a data thread that is busy must not make origins
//! look ill. Each check is a connection of its own, so that a full pool of connections cannot make
//! a well origin fail, and a check cannot take a request's place. What is asked and what answers
//! mean is decided in [`health::check`](crate::origin::health::check).

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Origin, Pool, connect};
use crate::origin::balance::Standing;
use crate::origin::config::wait;
use crate::origin::health::check::{
    BODY_BYTES_MAX, CheckConfig, CheckKind, HttpCheck, Turn, Verdict, next_ms,
};
use crate::origin::health::outlier::{Sample, outliers};

/// Who asks, as origins see it in their logs.
const USER_AGENT: HeaderValue = HeaderValue::from_static("selvedge-health-check");
/// How often a task looks whether its pool is still there, in milliseconds.
const LOOK_MS: u64 = 1_000;

impl Pool {
    /// Checks the origins, and compares them, for as long as the pool lives. Needs a runtime. A
    /// pool that is watched already goes on as it is.
    pub fn watch(self: &Arc<Self>) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        if self.config.health.outliers_percent > 0 {
            let interval = wait(self.config.health.interval_ms);
            tokio::spawn(compare(Arc::downgrade(self), interval));
        }
        if self.config.check.is_some() {
            for index in 0..self.origins.len() {
                tokio::spawn(check(Arc::downgrade(self), index));
            }
        }
    }

    /// Ejects who stands out since the last call.
    pub(in crate::origin) fn compare(&self) {
        let now = self.now();
        let sample = |origin: &Origin| {
            let (ok, failed) = origin.health.window.take();
            let latency_us = origin.latency.expected_us(now);
            let is_away = origin.health.standing(now) != Standing::Healthy;
            Sample { ok, failed, latency_us, is_away }
        };
        let samples: Vec<_> = self.origins.iter().map(sample).collect();
        for (index, why) in outliers(&samples, self.config.health.outliers_percent) {
            let event = self.origins[index].health.stands_out(why, now, self.entropy());
            self.tell(index, event);
        }
    }
}

async fn compare(pool: Weak<Pool>, interval: Duration) {
    let mut due = Instant::now();
    loop {
        due += interval;
        sleep_until(due).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.compare();
    }
}

/// Checks one origin until its pool is gone.
async fn check(pool: Weak<Pool>, index: usize) {
    let mut verdict = Verdict::default();
    loop {
        let Some(there) = pool.upgrade() else { return };
        let Some(config) = there.config.check.clone() else { return };
        let origin = &there.origins[index];
        let patience = wait(config.timeout_ms);
        let answer = match timeout(patience, ask(&there, origin, &config)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} ms", config.timeout_ms)),
        };
        let found = match (verdict.answer(origin.health.is_down(), answer.is_ok(), &config), answer)
        {
            (Turn::Down, Err(found)) => Some(Some(found)),
            (Turn::Up, _) => Some(None),
            _ => None,
        };
        if let Some(found) = found {
            there.tell(index, origin.health.checked(found, there.now()));
        }
        let due = Instant::now() + wait(next_ms(config.interval_ms, there.entropy()));
        drop(there);
        // A pool that a reload took away is not kept for the length of an interval.
        while Instant::now() < due {
            if pool.strong_count() == 0 {
                return;
            }
            sleep_until(due.min(Instant::now() + Duration::from_millis(LOOK_MS))).await;
        }
    }
}

/// One check; the error says what is wrong.
async fn ask(pool: &Pool, origin: &Origin, config: &CheckConfig) -> Result<(), String> {
    let stream = connect::connect(pool, origin).await.map_err(|error| error.chain())?;
    match &config.kind {
        CheckKind::Connect => Ok(()),
        CheckKind::Http(check) => {
            let host = check.host.clone().or_else(|| origin.host.clone());
            let host = host.or_else(|| {
                let authority = origin.config.address.authority();
                authority.and_then(|authority| HeaderValue::try_from(authority).ok())
            });
            let host = host.unwrap_or(HeaderValue::from_static("localhost"));
            exchange(stream, check, host, &pool.config.limits).await
        }
    }
}

async fn exchange(
    stream: connect::Transport,
    check: &HttpCheck,
    host: HeaderValue,
    limits: &crate::origin::config::OriginLimits,
) -> Result<(), String> {
    let said = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(limits.fields_max)
        .max_buf_size(BODY_BYTES_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(said)?;
    let request = Request::get(&check.path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(said)?;
        check.head(response.status(), response.headers())?;
        if check.body.is_none() {
            return Ok(());
        }
        let content = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let content = content.map_err(|error| error.to_string())?;
        check.content(&content.to_bytes())
    };
    let mut connection = pin!(connection);
    let mut talk = pin!(talk);
    tokio::select! {
        answer = &mut talk => answer,
        _ended = &mut connection => talk.await,
    }
}
