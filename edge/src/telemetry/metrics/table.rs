//! The table of metrics: every name that dashboards may depend on, once, as data.
//!
//! Registration, `# HELP` and `# TYPE` lines and `docs/metrics.md` are derived from it. A metric
//! that is not in the table cannot be recorded, because recording takes a row, not a string.

use std::fmt::Write as _;

/// How a metric behaves between two scrapes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, from zero at the start of the process.
    Counter,
    /// A present value.
    Gauge,
    /// Observations in fixed buckets.
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Full name, as exposed.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// What one unit of the value is.
    pub unit: &'static str,
    /// Names of the labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence for people.
    pub meaning: &'static str,
}

macro_rules! metrics_table {
    ($($id:ident: $kind:ident, $name:literal, $unit:literal, [$($label:literal),*], $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                meaning: $meaning,
            };
        )*

        /// Every row, in the order of the document.
        pub const TABLE: &[Metric] = &[$($id,)*];
    };
}

metrics_table! {
    REQUESTS: Counter, "selvedge_requests_total", "requests", ["site", "cache"],
        "Exchanges that are over, by site and by where the answer came from.";
    RESPONSE_BYTES: Counter, "selvedge_response_bytes_total", "bytes", ["site", "cache"],
        "Body bytes handed to clients.";
    TTFB: Histogram, "selvedge_request_ttfb_seconds", "seconds", ["site", "cache"],
        "From the complete request head to the first byte of the final response.";
    DURATION: Histogram, "selvedge_request_duration_seconds", "seconds", ["site", "cache"],
        "From the complete request head to the end of the exchange.";
    HIT_RATIO: Gauge, "selvedge_hit_ratio", "ratio", ["site"],
        "(hit+stale+revalidated+collapsed) / (those+miss+pass), exchanges of the last 60 s; NaN when there were none.";
    BYTE_HIT_RATIO: Gauge, "selvedge_byte_hit_ratio", "ratio", ["site"],
        "The hit ratio weighted by body bytes, exchanges of the last 60 s; NaN when there were no bytes.";
    ERRORS: Counter, "selvedge_errors_total", "errors", ["cause"],
        "Failures of exchanges, by cause (the `error` field of the access log).";
    ORIGIN_REQUESTS: Counter, "selvedge_origin_requests_total", "requests", ["site", "origin", "outcome"],
        "Requests sent to origins, retries included, by how they ended.";
    ORIGIN_REPEATS: Counter, "selvedge_origin_repeats_total", "requests", ["site", "origin", "kind"],
        "Requests that went out once more: on a `fresh` connection because the kept one was stale, as a `retry` elsewhere after this origin failed, as a `hedge` to this origin beside a late one; `refused`: a retry that the budget did not allow.";
    ORIGIN_EVENTS: Counter, "selvedge_origin_events_total", "events", ["site", "origin", "event"],
        "What happened to the health of an origin: ejected (`failures`, `trial`, `success_rate`, `latency`), `recovered`, `check_failed`, `check_passed`, `operator`.";
    ORIGIN_HEALTHY: Gauge, "selvedge_origin_healthy", "0 or 1", ["site", "origin"],
        "Whether the origin may be chosen.";
    STORE_BYTES: Gauge, "selvedge_store_bytes", "bytes", ["tier"],
        "Bytes held by a tier of the store.";
    STORE_ENTRIES: Gauge, "selvedge_store_entries", "values", ["tier"],
        "Values held by a tier of the store.";
    STORE_EVICTIONS: Counter, "selvedge_store_evictions_total", "values", ["tier"],
        "Values that a tier gave up for room.";
    STORE_ERRORS: Counter, "selvedge_store_errors_total", "errors", ["tier", "kind"],
        "Trouble of a tier; the request went on without it.";
    STORE_HEALTHY: Gauge, "selvedge_store_healthy", "0 or 1", ["tier"],
        "0 while the disk tier is bypassed after failing its probe; the series exists only where the tier does.";
    FILLS_IN_FLIGHT: Gauge, "selvedge_fills_in_flight", "fills", [],
        "Origin responses that are being stored now.";
    REFRESHES: Counter, "selvedge_refreshes_total", "refreshes", ["site", "outcome"],
        "Refreshes of stale responses while a reader is answered: `started`, or `deferred` because `site.stale.refreshes_per_second` were started already.";
    REPAIRS: Counter, "selvedge_repairs_total", "repairs", ["outcome"],
        "Range requests for bytes of a stored body that were lost while somebody read it, by how they ended.";
    REPAIR_BYTES: Counter, "selvedge_repair_bytes_total", "bytes", [],
        "Body bytes that repairs brought back.";
    PURGES: Counter, "selvedge_purges_total", "purges", ["selector", "mode"],
        "Purges accepted by this process.";
    PURGES_REFUSED: Counter, "selvedge_purges_refused_total", "requests", ["status"],
        "Requests to the purge surface that were refused, by status.";
    INVALIDATIONS: Counter, "selvedge_invalidations_total", "invalidations", ["of"],
        "Invalidations by successful unsafe requests: of a `url`, or of a `group` that `Cache-Group-Invalidation` named.";
    TAGS_OVERFLOWED: Counter, "selvedge_tags_overflowed_total", "responses", [],
        "Responses with more tags (128) or longer ones (1024 bytes) than are kept: any purge by tag selects them.";
    PURGE_POSITION: Gauge, "selvedge_purge_position", "position", [],
        "Position of the last purge that is in force on this node.";
    PURGE_FLOOR: Gauge, "selvedge_purge_floor", "position", [],
        "Purges up to this position are forgotten: nothing that is stored is older.";
    LEDGER_HEALTHY: Gauge, "selvedge_purge_ledger_healthy", "0 or 1", [],
        "0 while the ledger takes no purges, because its file cannot be written.";
    LEDGER_BYTES: Gauge, "selvedge_purge_ledger_bytes", "bytes", [],
        "Length of the ledger's file.";
    LEDGER_SCOPES: Gauge, "selvedge_purge_scopes", "scopes", [],
        "Scopes that purges in force select; each takes about 64 bytes of memory.";
    LEDGER_FAILURES: Counter, "selvedge_purge_commit_failures_total", "commits", [],
        "Commits of purges that did not reach stable storage.";
    SWEPT: Counter, "selvedge_swept_total", "responses", ["reason"],
        "Stored responses taken out beside the traffic: `purged`, or `lost` because their bytes were gone.";
    PURGE_APPLY: Histogram, "selvedge_purge_apply_seconds", "seconds", [],
        "From accepting a purge to its being durable and in force on this node.";
    MEMORY_BYTES: Gauge, "selvedge_memory_bytes", "bytes", ["part"],
        "What each part of the memory budget holds.";
    MEMORY_LIMIT: Gauge, "selvedge_memory_limit_bytes", "bytes", ["part"],
        "Share of each part of the memory budget.";
    MEMORY_REFUSALS: Counter, "selvedge_memory_refusals_total", "refusals", ["part"],
        "Times a full part of the memory budget refused to keep more.";
    PLACES_TAKEN_BACK: Counter, "selvedge_origin_places_taken_back_total", "responses", [],
        "Responses broken off because their clients took nothing while other requests waited for the origin.";
    CONNECTIONS_ACCEPTED: Counter, "selvedge_connections_accepted_total", "connections", [],
        "Client connections accepted.";
    CONNECTIONS_OPEN: Gauge, "selvedge_connections_open", "connections", [],
        "Client connections open now.";
    CONNECTIONS_REFUSED: Counter, "selvedge_connections_refused_total", "connections", [],
        "Client connections closed at once because the ceiling was reached.";
    ACCEPT_ERRORS: Counter, "selvedge_accept_errors_total", "errors", [],
        "Accept calls that failed, for want of descriptors and the like.";
    HANDSHAKES_FAILED: Counter, "selvedge_tls_handshakes_failed_total", "handshakes", [],
        "TLS handshakes with clients that failed.";
    CLIENT_DEADLINES: Counter, "selvedge_client_deadlines_total", "connections", [],
        "Client connections closed because an idle, head, body or write deadline passed.";
    GATE_REFUSALS: Counter, "selvedge_gate_refusals_total", "messages", [],
        "HTTP/1 messages refused because they break the rules of framing or syntax.";
    H2_FLOODS: Counter, "selvedge_h2_floods_total", "connections", [],
        "HTTP/2 connections ended for flooding.";
    INTERIM: Counter, "selvedge_interim_responses_total", "responses", [],
        "Interim (1xx) responses relayed to clients.";
    ACCESS_LOG_DROPPED: Counter, "selvedge_access_log_dropped_total", "lines", [],
        "Lines of the access log lost because its target was too slow or failed.";
    ACCESS_LOG_ERRORS: Counter, "selvedge_access_log_errors_total", "errors", [],
        "Writes to the access log, or attempts to open it again, that failed.";
    LABELS_REFUSED: Counter, "selvedge_labels_refused_total", "names", [],
        "New label values that were counted under `other` because the bound was reached.";
    UPTIME: Gauge, "selvedge_uptime_seconds", "seconds", [],
        "Since the process began to count.";
    BUILD: Gauge, "selvedge_build_info", "always 1", ["version"],
        "The version of this program.";
}

/// `docs/metrics.md`.
pub fn document() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Made from the table in `edge/src/telemetry/metrics/table.rs`; a test compares the two.\n\
         Served in the Prometheus text format at `/metrics` of the admin address. Every label has\n\
         a bounded set of values; what exceeds it is counted under `other`, and requests that no\n\
         site answers under the site `-`. `cache` is one of `hit`, `stale`, `revalidated`, `miss`,\n\
         `collapsed`, `pass`, `synthetic`, `error`.\n\n\
         | name | kind | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for row in TABLE {
        let labels: Vec<_> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            row.name,
            row.kind.name(),
            row.unit,
            labels.join(" "),
            row.meaning,
        )
        .expect("writing to a String cannot fail");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_unique() {
        let mut seen = std::collections::HashSet::new();
        for row in TABLE {
            assert!(seen.insert(row.name), "{} stands twice", row.name);
            assert!(row.name.starts_with("selvedge_"), "{}", row.name);
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
            assert_eq!(row.name.ends_with("_seconds"), row.unit == "seconds", "{}", row.name);
            assert!(!row.meaning.contains('\n') && row.meaning.ends_with('.'), "{}", row.name);
        }
    }

    /// `SELVEDGE_BLESS=1 cargo test` writes the document anew.
    #[test]
    fn the_document_matches_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("SELVEDGE_BLESS").is_some() {
            std::fs::write(path, document()).expect("the docs folder is writable when blessing");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, document(), "run with SELVEDGE_BLESS=1 to write docs/metrics.md");
    }
}
