//! A page of metrics, taken apart.

use std::collections::BTreeMap;

/// Samples of one scrape, by their text up to the value.
#[derive(Clone, Debug, Default)]
pub struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads the text format.
    pub fn parse(page: &str) -> Self {
        let samples = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)));
        Self(samples.collect())
    }

    /// The sum of all series of `name` that carry every one of `labels` (`cache="hit"`).
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name)
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value)
            .sum()
    }

    /// The same sum of whole numbers: counters, and gauges that count.
    ///
    /// # Panics
    /// When it is no whole number.
    pub fn count(&self, name: &str, labels: &[&str]) -> usize {
        let sum = self.sum(name, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{name} {labels:?}: {sum}");
        sum as usize
    }

    /// Whether any series has this name.
    pub fn has(&self, name: &str) -> bool {
        self.series(name).next().is_some()
    }

    /// Series of one name.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0
            .iter()
            .filter(move |(series, _)| {
                series
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
            })
            .map(|(series, value)| (series.as_str(), *value))
    }
}
