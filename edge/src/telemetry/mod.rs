//! 7 · Say what happened.
//!
//! Each phase adds typed facts to the [`Journal`]; only this folder turns facts into numbers and
//! lines. [`Telemetry::finish`] is called once per exchange, when it is over, also when the
//! client left.
//!
//! In reading order: [`metrics`] (the table, the cells, the page), [`ratio`] (hit ratios),
//! [`access_log`] (a line per exchange), [`log`] (what the process says of itself), [`labels`]
//! (bounds on names), [`throttle`] (bounds on log events).
//!
//! Knows nothing of sockets, rules or the cache's contents; decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::error::{Cause, Fault};
use crate::journal::Journal;

pub mod access_log;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod ratio;
pub mod throttle;

use access_log::{AccessLog, format};
use metrics::{Metrics, SiteMetrics};
use throttle::Throttle;

/// Failures of exchanges that are logged per second; more are counted and told in the next event.
pub const EVENTS_PER_SECOND_MAX: u32 = 20;

/// Where exchanges report; one per process, shared by all cores.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    access_log: ArcSwapOption<AccessLog>,
    throttle: Throttle,
    started: Instant,
}

impl Telemetry {
    /// Reports to `metrics`; no access log yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            access_log: ArcSwapOption::empty(),
            throttle: Throttle::new(EVENTS_PER_SECOND_MAX),
            started: Instant::now(),
        }
    }

    /// The numbers.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Turns the access log on, off, or to another target; gives back the one before, so that the
    /// caller can [`AccessLog::shutdown`] it.
    pub fn set_access_log(&self, log: Option<Arc<AccessLog>>) -> Option<Arc<AccessLog>> {
        self.access_log.swap(log)
    }

    /// Whether exchanges should keep what only the access log prints (`User-Agent`, `Referer`).
    pub fn wants_lines(&self) -> bool {
        self.access_log.load().is_some()
    }

    /// Opens the access log's target anew, after a rotation.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &*self.access_log.load() {
            log.reopen();
        }
    }

    /// Takes in an exchange that is over.
    pub fn finish(&self, journal: &Journal) {
        self.finish_after(journal, journal.started.elapsed());
    }

    fn finish_after(&self, journal: &Journal, duration: Duration) {
        let site = self.metrics.site_at(journal.site);
        site.record(journal.cache, journal.body_bytes, journal.ttfb, duration);
        if let Some(cause) = journal.error {
            self.metrics.error(cause);
            self.tell(journal, cause, site);
        }
        if let Some(log) = &*self.access_log.load() {
            log.line(|out| format::line(out, journal, site.name(), duration));
        }
    }

    /// Logs a failure that an operator may want to act on. Strange bytes and leaving clients are
    /// an ordinary day: they are counted, and told only at level `debug`.
    fn tell(&self, journal: &Journal, cause: Cause, site: &SiteMetrics) {
        if cause.fault() == Fault::Client && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let Some(suppressed) = self.throttle.admit(self.started.elapsed().as_secs()) else {
            return;
        };
        // `?` (Debug) escapes what a client may have put into host and target.
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    cause = cause.label(),
                    site = &**site.name(),
                    host = ?clipped(&journal.host),
                    target = ?clipped(&journal.target),
                    status = journal.status.as_u16(),
                    origin = journal.origin.as_deref(),
                    chain = ?journal.error_chain.as_deref().map(clipped),
                    suppressed,
                    "{}", cause.title()
                )
            };
        }
        match cause.fault() {
            Fault::Client => event!(debug),
            Fault::Edge => event!(error),
            Fault::Origin => event!(warn),
        }
    }
}

/// Longest text from outside in a log event, in bytes.
const EVENT_TEXT_BYTES_MAX: usize = 512;

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(EVENT_TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{CacheOutcome, SiteIndex};
    use access_log::format::tests::journal;
    use access_log::{Losses, Target};

    #[test]
    fn an_exchange_is_counted_and_written_once() {
        let telemetry = Telemetry::new(Metrics::new(1));
        let shop = telemetry.metrics().site("shop");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("access.log");
        let losses = Arc::<Losses>::clone(telemetry.metrics().losses());
        let log = AccessLog::start(Target::File(path.clone()), 1, losses).expect("a new file");
        assert!(!telemetry.wants_lines());
        telemetry.set_access_log(Some(Arc::new(log)));
        assert!(telemetry.wants_lines());

        telemetry.finish(&Journal { site: shop.index(), ..journal() });
        telemetry.finish(&Journal {
            site: SiteIndex::default(),
            cache: CacheOutcome::Error,
            error: Some(Cause::UnknownHost),
            ..journal()
        });

        let log = telemetry.set_access_log(None).expect("it was on");
        assert!(log.shutdown(Duration::from_secs(20)));
        let text = std::fs::read_to_string(path).expect("the lines are written");
        let sites: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .map(|line: serde_json::Value| line["site"].to_string())
            .collect();
        assert_eq!(sites, ["\"shop\"", "\"-\""]);
        assert_eq!(shop.requests(CacheOutcome::Hit), 1);
        assert_eq!(shop.bytes(CacheOutcome::Hit), 1024);
        assert!(telemetry.metrics().render().contains("{cause=\"unknown_host\"} 1\n"));
    }
}
