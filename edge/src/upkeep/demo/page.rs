//! One reading of `/metrics`: series by name and labels.

/// A page in the Prometheus text format.
#[derive(Debug)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The sum of the series of this name that have all of these labels; `None` when there is none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (said, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let has = |(label, wanted): &(&str, &str)| {
                said.split("\",").any(|pair| {
                    pair.split_once("=\"").is_some_and(|(name, value)| {
                        name == *label && value.trim_end_matches('"') == *wanted
                    })
                })
            };
            labels.iter().all(has).then(|| value.trim().parse::<f64>().ok())?
        });
        values.reduce(|sum, value| sum + value)
    }

    /// A counter, as the whole number that it is; 0 before it first counted.
    pub(super) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels).unwrap_or(0.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_chosen_by_whole_names_and_labels() {
        let page = Page::new(
            "# HELP a x\na{site=\"tour\",cache=\"hit\"} 2\na{site=\"tour\",cache=\"miss\"} 3\n\
             a{site=\"demo\",cache=\"hit\"} 9\nab 7\nb NaN\n",
        );
        assert_eq!(page.count("a", &[("site", "tour")]), 5);
        assert_eq!(page.count("a", &[("site", "tour"), ("cache", "hit")]), 2);
        assert_eq!(page.count("a", &[("site", "tou")]), 0);
        assert_eq!(page.sum("a", &[("site", "none")]), None);
        assert_eq!(page.count("ab", &[]), 7);
        assert!(page.sum("b", &[]).expect("it is there").is_nan());
    }
}
