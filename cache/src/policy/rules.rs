//! Lifetimes that a site's operator sets, by path, status and type of content.
//!
//! The first rule that fits a response changes the site's [`Options`] for it; the others are not
//! looked at, so that nobody has to add rules up. What the origin forbids to store stays
//! unstored, and what must be validated is: a rule speaks of lifetimes only.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::Options;

/// One rule. Empty lists fit everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Paths it speaks of, as the site normalises them.
    pub paths: Vec<Glob>,
    /// Statuses it speaks of.
    pub statuses: Vec<Statuses>,
    /// Types of content it speaks of, without parameters, in lower case.
    pub types: Vec<Glob>,
    /// What it sets.
    pub set: Lifetimes,
}

/// What a rule sets, in seconds; `None` leaves it as the site has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of responses that state none and whose age tells none, whatever their status.
    pub default_s: Option<u32>,
    /// Stated lifetimes are at least this.
    pub min_s: Option<u32>,
    /// Stated lifetimes are at most this.
    pub max_s: Option<u32>,
    /// In place of what the response states.
    pub override_s: Option<u32>,
    /// Both stale windows (RFC 5861) of responses that state none.
    pub grace_s: Option<u32>,
}

/// One status, or all that begin with a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// `404`.
    One(u16),
    /// `4xx`: the first digit.
    Class(u16),
}

impl Statuses {
    /// Whether it names a status.
    pub const fn matches(self, status: StatusCode) -> bool {
        match self {
            Self::One(code) => status.as_u16() == code,
            Self::Class(digit) => status.as_u16() / 100 == digit,
        }
    }
}

/// A text in which each `*` stands for any characters, also none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(pub String);

impl Glob {
    /// Whether a text fits; linear in its length for every `*`.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl Rule {
    /// Whether it speaks of this response.
    pub fn fits(&self, path: &str, status: StatusCode, headers: &HeaderMap) -> bool {
        let any =
            |globs: &[Glob], text: &str| globs.is_empty() || globs.iter().any(|g| g.matches(text));
        (self.statuses.is_empty() || self.statuses.iter().any(|known| known.matches(status)))
            && any(&self.paths, path)
            && (self.types.is_empty() || any(&self.types, &essence(headers)))
    }

    /// The site's options with what this rule sets.
    pub fn apply(&self, options: &Options) -> Options {
        let mut options = options.clone();
        let set = &self.set;
        if let Some(default_s) = set.default_s {
            options.default_ttl_s = default_s;
            options.default_for_any_status = true;
        }
        options.ttl_min_s = set.min_s.unwrap_or(options.ttl_min_s);
        options.ttl_max_s = set.max_s.unwrap_or(options.ttl_max_s);
        // A rule's own bound counts before the site's other one.
        if set.min_s.is_some() && set.max_s.is_none() {
            options.ttl_max_s = options.ttl_max_s.max(options.ttl_min_s);
        }
        options.ttl_override_s = set.override_s;
        if let Some(grace_s) = set.grace_s {
            (options.default_swr_s, options.default_sie_s) = (grace_s, grace_s);
        }
        options
    }
}

/// The type of content without parameters, in lower case; empty if it is not said once.
fn essence(headers: &HeaderMap) -> String {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return String::new() };
    let text = line.to_str().unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts.iter().map(|text| Glob((*text).to_owned())).collect()
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (glob, text, fits) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a/*", "/a/", true),
            ("/a/*", "/a", false),
            ("*.jpg", "/x.jpg", true),
            ("*.jpg", "/x.jpg/y", false),
            ("/*/img/*.jpg", "/a/b/img/c.jpg", true),
            ("/*/img/*.jpg", "/a/img.jpg", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
            ("**a**", "bab", true),
        ] {
            assert_eq!(Glob(glob.to_owned()).matches(text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn all_kinds_of_conditions_must_hold_and_one_of_each_kind() {
        let rule = Rule {
            paths: globs(&["/api/*", "/x"]),
            statuses: vec![Statuses::One(404), Statuses::Class(5)],
            types: globs(&["text/*"]),
            set: Lifetimes::default(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("Text/HTML; charset=utf-8"));
        let fits = |path: &str, status: u16, headers: &HeaderMap| {
            rule.fits(path, StatusCode::from_u16(status).expect("a code"), headers)
        };
        assert!(fits("/api/1", 404, &headers) && fits("/x", 503, &headers));
        assert!(!fits("/y", 404, &headers) && !fits("/x", 200, &headers));
        assert!(!fits("/x", 404, &HeaderMap::new()));
        headers.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert!(!fits("/x", 404, &headers), "two types are none");
        assert!(Rule::default().fits("/", StatusCode::OK, &HeaderMap::new()));
    }

    #[test]
    fn what_a_rule_does_not_set_stays() {
        let site =
            Options { default_ttl_s: 5, ttl_max_s: 60, default_sie_s: 7, ..Options::default() };
        let rule = |set| Rule { set, ..Rule::default() }.apply(&site);
        assert_eq!(rule(Lifetimes::default()), site);
        let raised = rule(Lifetimes { min_s: Some(100), ..Lifetimes::default() });
        assert_eq!((raised.ttl_min_s, raised.ttl_max_s), (100, 100));
        let graced = rule(Lifetimes { grace_s: Some(9), ..Lifetimes::default() });
        assert_eq!((graced.default_swr_s, graced.default_sie_s, graced.default_ttl_s), (9, 9, 5));
        let negative = rule(Lifetimes { default_s: Some(3), ..Lifetimes::default() });
        assert!(negative.default_for_any_status && negative.default_ttl_s == 3);
    }
}
