//! Many clients at once for something that is not stored yet.
//!
//! All of them connect first and ask then, so that the requests really come together. What
//! arrives is compared with what the origin wrote, byte by byte, and not kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use rustix::process::{Resource, getrlimit};
use tokio::task::JoinSet;

use super::client::{EXCHANGE_WAIT, connect, get, text};
use super::{Failed, TOUR_HOST};

/// Clients of the crowd, when the limit of descriptors allows as many.
const CLIENTS: u64 = 1_000;

/// Descriptors that the node, the origin and the guide need beside the crowd.
const DESCRIPTORS_KEPT: u64 = 128;

/// What one client of the crowd saw.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `Cache-Status`.
    pub(super) cache_status: String,
    /// Body bytes; all of them right.
    pub(super) bytes: u64,
    /// When the first of them was there.
    pub(super) first: Instant,
    /// When the last of them was there.
    pub(super) last: Instant,
}

/// What the crowd saw.
#[derive(Debug)]
pub(super) struct Crowd {
    /// When all were connected and began to ask.
    pub(super) started: Instant,
    /// One for each client.
    pub(super) seen: Vec<Seen>,
}

impl Crowd {
    /// The slowest client's wait for its first byte.
    pub(super) fn slowest_first(&self) -> Duration {
        let last = self.seen.iter().map(|seen| seen.first).max();
        last.map_or(Duration::ZERO, |first| first.duration_since(self.started))
    }
}

/// How many clients this process has descriptors for: each connection has two ends here.
pub(super) fn clients() -> u64 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    CLIENTS.min(limit.saturating_sub(DESCRIPTORS_KEPT) / 2)
}

/// Lets `count` clients ask for `path` at once; all of them must get exactly `expected`.
pub(super) async fn gather(
    address: &str,
    path: &'static str,
    count: u64,
    expected: Vec<u8>,
) -> Result<Crowd, Failed> {
    let mut senders = Vec::new();
    for _ in 0..count {
        senders.push(connect(address).await?);
    }
    let expected: Arc<[u8]> = expected.into();
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for sender in senders {
        clients.spawn(client(sender, path, Arc::clone(&expected)));
    }
    let mut seen = Vec::new();
    let all = async {
        while let Some(one) = clients.join_next().await {
            seen.push(one.map_err(|_| Failed::new("A client of the crowd died."))??);
        }
        Ok(())
    };
    match tokio::time::timeout(EXCHANGE_WAIT, all).await {
        Ok(result) => result?,
        Err(_) => return Err(Failed::new("The crowd was not answered in time.")),
    }
    Ok(Crowd { started, seen })
}

async fn client(
    mut sender: SendRequest<Full<Bytes>>,
    path: &'static str,
    expected: Arc<[u8]>,
) -> Result<Seen, Failed> {
    let lost = |error: hyper::Error| Failed::new(format!("A client of the crowd: {error}."));
    let response = sender.send_request(get(TOUR_HOST, path)).await.map_err(lost)?;
    if response.status() != http::StatusCode::OK {
        let status = response.status();
        return Err(Failed::new(format!("A client of the crowd was answered {status}.")));
    }
    let cache_status = text(response.headers(), "cache-status").to_owned();
    let mut body = response.into_body();
    let (mut at, mut first) = (0, None);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(lost)?.into_data() else { continue };
        first.get_or_insert_with(Instant::now);
        if expected.get(at..at + data.len()) != Some(&*data) {
            return Err(Failed::new("A client of the crowd got bytes that the origin never sent."));
        }
        at += data.len();
    }
    if at != expected.len() {
        return Err(Failed::new(format!(
            "A client of the crowd got {at} of {} bytes.",
            expected.len()
        )));
    }
    let last = Instant::now();
    Ok(Seen { cache_status, bytes: at as u64, first: first.unwrap_or(last), last })
}
