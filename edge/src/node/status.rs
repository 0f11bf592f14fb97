//! What `/v1/status` tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use selvedge_cache::store::{Health, Tier};
use serde_json::{Value, json};

use super::Shared;
use crate::telemetry::ratio::Window;
use crate::upkeep::admin::{Readiness, StatusSource};

/// Whether the node wants traffic; shared with whoever starts and drains it.
#[derive(Debug, Default)]
pub struct Phase(AtomicU8);

impl Phase {
    /// From now on.
    pub fn set(&self, readiness: Readiness) {
        let number = match readiness {
            Readiness::Starting => 0,
            Readiness::Ready => 1,
            Readiness::Draining => 2,
        };
        self.0.store(number, Ordering::Release);
    }

    fn get(&self) -> Readiness {
        match self.0.load(Ordering::Acquire) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }
}

/// Reads the status from the running node.
#[derive(Debug)]
pub struct NodeStatus {
    /// The node.
    pub shared: Arc<Shared>,
    /// Its phase.
    pub phase: Arc<Phase>,
}

impl StatusSource for NodeStatus {
    fn status(&self) -> Value {
        let world = self.shared.world.load();
        let metrics = self.shared.telemetry.metrics();
        let now = metrics.now();
        let sites: Vec<Value> = world
            .sites
            .iter()
            .map(|site| {
                let numbers = metrics.site(&site.name);
                let ratio = |window: Window| {
                    let ratio = numbers.ratio(now, window);
                    json!({"requests": finite(ratio.requests), "bytes": finite(ratio.bytes)})
                };
                let origins: Vec<Value> = world
                    .pool(site)
                    .origins()
                    .iter()
                    .map(|origin| {
                        json!({
                            "name": &*origin.name,
                            "healthy": origin.healthy,
                            "in_flight": origin.in_flight,
                            "limit": origin.limit,
                            "queued": origin.queued,
                            "connections": origin.connections,
                            "rule": origin.rule.name(),
                            "latency_ms": origin.latency_us as f64 / 1000.0,
                            "ejections": origin.ejections,
                            "last_event": origin.last.as_ref().map(|(ago_ms, event)| json!({
                                "event": event.name(),
                                "what": event.to_string(),
                                "seconds_ago": ago_ms / 1000,
                            })),
                        })
                    })
                    .collect();
                json!({
                    "name": &*site.name,
                    "hosts": site.hosts,
                    "origins": origins,
                    "hit_ratio": {
                        "1m": ratio(Window::Minute),
                        "10m": ratio(Window::TenMinutes),
                        "1h": ratio(Window::Hour),
                    },
                })
            })
            .collect();
        let cache = &self.shared.cache;
        let tier = |tier: Tier| {
            cache.store.stats(tier).map(|stats| {
                json!({"bytes": stats.bytes, "entries": stats.entries, "evictions": stats.evictions})
            })
        };
        json!({
            "sites": sites,
            "tiers": {"memory": tier(Tier::Memory), "disk": tier(Tier::Disk)},
            "disk": match cache.store.health() {
                Health::MemoryOnly => "none",
                Health::Healthy => "healthy",
                Health::Bypassed => "bypassed",
            },
            "stored": cache.directory.len(),
            "fills_in_flight": cache.fills.in_flight(),
        })
    }

    fn readiness(&self) -> Readiness {
        self.phase.get()
    }
}

/// JSON has no NaN: nothing happened is `null`.
fn finite(number: f64) -> Value {
    if number.is_finite() { json!(number) } else { Value::Null }
}
