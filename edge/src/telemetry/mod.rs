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
        // Both forms of the log escape strings: what a client put into host and target is safe.
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    cause = cause.label(),
                    site = &**site.name(),
                    host = clipped(&journal.host),
                    target = clipped(&journal.target),
                    status = journal.status.as_u16(),
                    origin = journal.origin.as_deref(),
                    chain = journal.error_chain.as_deref().map(clipped),
                    suppressed,
                    "{}",
                    cause.title()
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

    /// What was logged while `act` ran, one JSON event per line.
    fn logged(act: impl FnOnce()) -> Vec<serde_json::Value> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("events");
        let file = std::fs::File::create(&path).expect("a new file");
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("info")
            .json()
            .flatten_event(true)
            .with_writer(std::sync::Mutex::new(file))
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        let text = std::fs::read_to_string(path).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn failures_that_an_operator_can_act_on_are_told_within_a_bound() {
        let telemetry = Telemetry::new(Metrics::new(1));
        let failure = |cause| Journal {
            cache: CacheOutcome::Error,
            error: Some(cause),
            error_chain: Some("no route: \u{1b}[31m\nforged".into()),
            ..journal()
        };
        let events = logged(|| {
            for _ in 0..1000 {
                telemetry.finish(&failure(Cause::ClientGone));
            }
            for _ in 0..1000 {
                telemetry.finish(&failure(Cause::OriginRefused));
            }
        });
        // The thousand may run over the end of a second, hardly of two.
        let bound = EVENTS_PER_SECOND_MAX as usize;
        assert!((bound..=3 * bound).contains(&events.len()), "{}", events.len());
        for event in events {
            assert_eq!(event["level"], "WARN");
            assert_eq!(event["cause"], "origin_refused");
            assert_eq!(event["message"], Cause::OriginRefused.title());
            assert_eq!(event["chain"], "no route: \u{1b}[31m\nforged");
        }
        assert!(telemetry.metrics().render().contains("{cause=\"client_gone\"} 1000\n"));
    }
}
