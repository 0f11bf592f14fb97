//! The Prometheus text format, for gauges and histograms that are read when they are asked for.
//!
//! Counters are written by the exporter. A gauge of an exporter would stay for ever at its last
//! value when its origin or tier is gone; here a series exists exactly while its source does.

use std::fmt::Write as _;

use super::histogram::Distribution;
use super::table::{Kind, Metric};

/// A page that grows family by family.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A family of gauges: each item is the label values and the value. Nothing is written for an
    /// empty family.
    pub fn gauges<'a, L>(&mut self, metric: Metric, series: impl IntoIterator<Item = (L, f64)>)
    where
        L: AsRef<[&'a str]>,
    {
        debug_assert_eq!(metric.kind, Kind::Gauge);
        let mut begun = false;
        for (values, value) in series {
            self.begin(metric, &mut begun);
            self.line(metric, "", values.as_ref(), None, value);
        }
    }

    /// A family of histograms; series without observations are left out.
    pub fn histograms<'a, L>(
        &mut self,
        metric: Metric,
        series: impl IntoIterator<Item = (L, Distribution)>,
    ) where
        L: AsRef<[&'a str]>,
    {
        debug_assert_eq!(metric.kind, Kind::Histogram);
        let mut begun = false;
        for (values, distribution) in series {
            if distribution.count() == 0 {
                continue;
            }
            self.begin(metric, &mut begun);
            let values = values.as_ref();
            for (le, count) in distribution.cumulative() {
                self.line(metric, "_bucket", values, Some(le), count as f64);
            }
            self.line(metric, "_sum", values, None, distribution.sum_s());
            self.line(metric, "_count", values, None, distribution.count() as f64);
        }
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.0
    }

    fn begin(&mut self, metric: Metric, begun: &mut bool) {
        if !std::mem::replace(begun, true) {
            let Metric { name, meaning, kind, .. } = metric;
            self.push(format_args!("# HELP {name} {meaning}\n# TYPE {name} {}\n", kind.name()));
        }
    }

    fn line(
        &mut self,
        metric: Metric,
        suffix: &str,
        values: &[&str],
        le: Option<&str>,
        value: f64,
    ) {
        debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
        self.0.push_str(metric.name);
        self.0.push_str(suffix);
        let le = le.map(|le| ("le", le));
        let labels = metric.labels.iter().copied().zip(values.iter().copied()).chain(le);
        let mut separator = '{';
        for (label, value) in labels {
            self.0.push(separator);
            self.push(format_args!("{label}=\""));
            self.escaped(value);
            self.0.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.0.push('}');
        }
        self.push(format_args!(" {value}\n"));
    }

    fn escaped(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::histogram::Histogram;
    use crate::telemetry::metrics::table;

    #[test]
    fn gauges_escape_their_labels_and_an_empty_family_leaves_no_trace() {
        let mut page = Page::default();
        page.gauges(table::HIT_RATIO, [(["a\"b\\c\n"], f64::NAN), (["shop"], 0.5)]);
        page.gauges(table::ORIGIN_HEALTHY, std::iter::empty::<([&str; 2], f64)>());
        page.gauges(table::FILLS_IN_FLIGHT, [([], 3.0)]);
        let text = page.finish();
        assert!(text.contains("selvedge_hit_ratio{site=\"a\\\"b\\\\c\\n\"} NaN\n"), "{text}");
        assert!(text.contains("selvedge_hit_ratio{site=\"shop\"} 0.5\n"), "{text}");
        assert!(text.contains("\nselvedge_fills_in_flight 3\n"), "{text}");
        assert!(!text.contains("selvedge_origin_healthy"), "{text}");
        assert_eq!(text.matches("# TYPE selvedge_hit_ratio gauge\n").count(), 1);
    }

    #[test]
    fn a_histogram_ends_with_inf_sum_and_count() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(3));
        let mut seen = Distribution::default();
        histogram.add_to(&mut seen);
        let mut page = Page::default();
        page.histograms(table::PURGE_APPLY, [([], seen)]);
        let text = page.finish();
        assert!(text.contains("selvedge_purge_apply_seconds_bucket{le=\"0.0025\"} 0\n"), "{text}");
        assert!(text.contains("selvedge_purge_apply_seconds_bucket{le=\"+Inf\"} 1\n"), "{text}");
        assert!(text.ends_with(
            "selvedge_purge_apply_seconds_sum 0.003\nselvedge_purge_apply_seconds_count 1\n"
        ));
    }
}
