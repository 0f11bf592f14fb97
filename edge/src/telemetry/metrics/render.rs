//! One scrape: sums the cells, reads what others hold, writes the page.
//!
//! Runs on the control runtime, never on a data core. Counters that live elsewhere are copied
//! into the exporter with `absolute`, which never goes back.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use selvedge_cache::Millis;
use selvedge_cache::budget::Class;
use selvedge_cache::repair::Outcome;
use selvedge_cache::store::{ErrorKind, Health, Tier};

use super::exposition::Page;
use super::histogram::Distribution;
use super::table::{self, Metric};
use super::{Gauges, Metrics, SiteMetrics, labels, register};
use crate::journal::{COUNTERS, CacheOutcome};
use crate::telemetry::ratio::{Ratio, Window};

const TIERS: [Tier; 2] = [Tier::Memory, Tier::Disk];

/// The page of `/metrics` at `now`.
pub(super) fn page(metrics: &Metrics, now: Millis) -> String {
    publish_counters(metrics);
    let mut page = Page::default();
    site_families(&mut page, metrics, now);
    page.histograms(table::PURGE_APPLY, [([], metrics.purges.apply())]);
    page.gauges(table::UPTIME, [([], metrics.started.elapsed().as_secs_f64())]);
    page.gauges(table::BUILD, [([env!("CARGO_PKG_VERSION")], 1.0)]);
    page.gauges(table::CONNECTIONS_OPEN, [([], load(&COUNTERS.connections_open) as f64)]);
    if let Some(gauges) = metrics.gauges.get() {
        held_by_others(&mut page, &**gauges);
    }
    let mut text = page.finish();
    text.push_str(&metrics.handle.render());
    text
}

fn site_families(page: &mut Page, metrics: &Metrics, now: Millis) {
    let ratios: Vec<(&SiteMetrics, Ratio)> =
        metrics.sites().map(|site| (&**site, site.ratio(now, Window::Minute))).collect();
    let requests = ratios.iter().map(|(site, ratio)| ([&**site.name()], ratio.requests));
    page.gauges(table::HIT_RATIO, requests);
    let bytes = ratios.iter().map(|(site, ratio)| ([&**site.name()], ratio.bytes));
    page.gauges(table::BYTE_HIT_RATIO, bytes);

    type Read = fn(&SiteMetrics, CacheOutcome) -> Distribution;
    let families: [(Metric, Read); 2] =
        [(table::TTFB, SiteMetrics::ttfb), (table::DURATION, SiteMetrics::duration)];
    for (metric, read) in families {
        let series = metrics.sites().flat_map(|site| {
            CacheOutcome::ALL.map(|outcome| ([&**site.name(), outcome.name()], read(site, outcome)))
        });
        page.histograms(metric, series);
    }
}

fn held_by_others(page: &mut Page, gauges: &dyn Gauges) {
    let tiers = || TIERS.into_iter().filter_map(|tier| Some((tier, gauges.tier(tier)?)));
    page.gauges(table::STORE_BYTES, tiers().map(|(tier, it)| ([tier.name()], it.bytes as f64)));
    page.gauges(table::STORE_ENTRIES, tiers().map(|(tier, it)| ([tier.name()], it.entries as f64)));
    let disk = match gauges.disk_health() {
        Health::MemoryOnly => None,
        Health::Healthy => Some(1.0),
        Health::Bypassed => Some(0.0),
    };
    page.gauges(table::STORE_HEALTHY, disk.map(|up| ([Tier::Disk.name()], up)));
    page.gauges(table::FILLS_IN_FLIGHT, [([], gauges.fills_in_flight() as f64)]);
    let ledger = gauges.ledger();
    for (row, value) in [
        (table::PURGE_POSITION, ledger.position.0 as f64),
        (table::PURGE_FLOOR, ledger.floor.0 as f64),
        (table::LEDGER_HEALTHY, f64::from(u8::from(ledger.is_healthy))),
        (table::LEDGER_BYTES, ledger.bytes as f64),
        (table::LEDGER_SCOPES, ledger.scopes as f64),
    ] {
        page.gauges(row, [([], value)]);
    }
    let budget = gauges.budget();
    let parts = |read: fn(&_, Class) -> usize| {
        Class::ALL.map(|class| ([class.name()], read(budget, class) as f64))
    };
    page.gauges(table::MEMORY_BYTES, parts(selvedge_cache::budget::Budget::used_bytes));
    page.gauges(table::MEMORY_LIMIT, parts(selvedge_cache::budget::Budget::limit_bytes));

    let mut healthy = Vec::new();
    gauges.origins(&mut |site, origin, up| {
        if healthy.len() < labels::ORIGINS_MAX {
            let names = [labels::bounded(site).to_owned(), labels::bounded(origin).to_owned()];
            healthy.push((names, f64::from(u8::from(up))));
        }
    });
    let series = healthy.iter().map(|(names, up)| ([names[0].as_str(), names[1].as_str()], *up));
    page.gauges(table::ORIGIN_HEALTHY, series);
}

fn publish_counters(metrics: &Metrics) {
    let set =
        |row, values: &[&str], value| register(&metrics.recorder, row, values).absolute(value);
    for site in metrics.sites() {
        for outcome in CacheOutcome::ALL {
            let values = [&**site.name(), outcome.name()];
            set(table::REQUESTS, &values, site.requests(outcome));
            set(table::RESPONSE_BYTES, &values, site.bytes(outcome));
        }
    }
    let moved_by_others: [(Metric, &AtomicU64); 9] = [
        (table::PLACES_TAKEN_BACK, &COUNTERS.places_taken_back),
        (table::CONNECTIONS_ACCEPTED, &COUNTERS.connections_accepted),
        (table::CONNECTIONS_REFUSED, &COUNTERS.connections_refused),
        (table::ACCEPT_ERRORS, &COUNTERS.accept_errors),
        (table::HANDSHAKES_FAILED, &COUNTERS.handshakes_failed),
        (table::CLIENT_DEADLINES, &COUNTERS.client_deadlines),
        (table::GATE_REFUSALS, &COUNTERS.gate_refusals),
        (table::H2_FLOODS, &COUNTERS.floods),
        (table::INTERIM, &COUNTERS.interim_sent),
    ];
    for (row, counter) in moved_by_others {
        set(row, &[], load(counter));
    }
    set(table::ACCESS_LOG_DROPPED, &[], metrics.losses.dropped());
    set(table::ACCESS_LOG_ERRORS, &[], metrics.losses.errors());
    set(table::LABELS_REFUSED, &[], metrics.refused.get());
    let Some(gauges) = metrics.gauges.get() else { return };
    for tier in TIERS {
        let Some(stats) = gauges.tier(tier) else { continue };
        set(table::STORE_EVICTIONS, &[tier.name()], stats.evictions);
        for (kind, errors) in ErrorKind::ALL.into_iter().zip(stats.errors) {
            set(table::STORE_ERRORS, &[tier.name(), kind.name()], errors);
        }
    }
    gauges.refreshes(&mut |site, started, deferred| {
        let site = labels::bounded(site);
        set(table::REFRESHES, &[site, "started"], started);
        set(table::REFRESHES, &[site, "deferred"], deferred);
    });
    let (urls, groups) = gauges.invalidations();
    set(table::INVALIDATIONS, &["url"], urls);
    set(table::INVALIDATIONS, &["group"], groups);
    set(table::TAGS_OVERFLOWED, &[], gauges.tags_overflowed());
    let repairs = gauges.repairs();
    for (outcome, count) in Outcome::ALL.into_iter().zip(repairs.counts()) {
        set(table::REPAIRS, &[outcome.name()], count);
    }
    set(table::REPAIR_BYTES, &[], repairs.bytes());
    set(table::LEDGER_FAILURES, &[], gauges.ledger().failures);
    for class in Class::ALL {
        set(table::MEMORY_REFUSALS, &[class.name()], gauges.budget().refusals(class));
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}
