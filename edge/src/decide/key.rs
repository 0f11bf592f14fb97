//! How a site builds its cache key: what it does with the query.
//!
//! What is folded in the key is folded in the request to the origin too: otherwise a part that
//! the key does not see could change the answer that everybody gets.

use std::fmt;

use http::uri::PathAndQuery;

/// A query parameter name, or a prefix of names (`utm_*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    stem: String,
    prefix: bool,
}

impl NamePattern {
    /// The parameter `name`, or all whose names begin with it.
    pub fn new(name: &str, prefix: bool) -> Self {
        Self { stem: name.to_owned(), prefix }
    }

    /// Whether a parameter's name fits.
    pub fn matches(&self, name: &str) -> bool {
        if self.prefix { name.starts_with(&self.stem) } else { name == self.stem }
    }
}

/// As it is configured: `utm_*`.
impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.stem, if self.prefix { "*" } else { "" })
    }
}

/// What happens to the query.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeyRules {
    /// Kept byte for byte.
    #[default]
    Exact,
    /// Parameters sorted by name; equal names keep their order.
    Sort,
    /// Dropped altogether.
    DropAll,
    /// Only these parameters are kept.
    Keep(Vec<NamePattern>),
    /// These parameters are dropped.
    Drop(Vec<NamePattern>),
}

/// As it is configured: a word, or a table of names.
impl fmt::Display for KeyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |list: &[NamePattern]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Exact => f.write_str("keep"),
            Self::Sort => f.write_str("sort"),
            Self::DropAll => f.write_str("drop"),
            Self::Keep(list) => write!(f, "{{ keep = [{}] }}", names(list)),
            Self::Drop(list) => write!(f, "{{ drop = [{}] }}", names(list)),
        }
    }
}

impl KeyRules {
    /// Folds the query of a target. An empty rest is no query.
    pub fn fold(&self, target: &PathAndQuery) -> PathAndQuery {
        match target.query() {
            Some(query) if *self != Self::Exact => with_query(target, self.fold_query(query)),
            _ => target.clone(),
        }
    }

    /// Folds a query (without `?`).
    pub fn fold_query(&self, query: &str) -> Option<String> {
        match self {
            Self::Exact => Some(query.to_owned()),
            Self::DropAll => None,
            Self::Sort => {
                let mut parameters: Vec<&str> = query.split('&').collect();
                parameters.sort_by_key(|parameter| name_of(parameter));
                Some(parameters.join("&"))
            }
            Self::Keep(names) => keep(query, |name| names.iter().any(|p| p.matches(name))),
            Self::Drop(names) => keep(query, |name| !names.iter().any(|p| p.matches(name))),
        }
    }
}

fn with_query(target: &PathAndQuery, query: Option<String>) -> PathAndQuery {
    let text = match query {
        Some(query) => format!("{}?{query}", target.path()),
        None => target.path().to_owned(),
    };
    text.try_into().expect("parts of a valid target make a valid target")
}

fn name_of(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

fn keep(query: &str, wanted: impl Fn(&str) -> bool) -> Option<String> {
    let kept: Vec<&str> = query.split('&').filter(|p| wanted(name_of(p))).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(rules: &KeyRules, query: &str) -> Option<String> {
        rules.fold_query(query)
    }

    #[test]
    fn each_rule_folds_as_it_says() {
        let names = |list: &[&str]| {
            let pattern = |name: &&str| {
                let stem = name.strip_suffix('*');
                NamePattern::new(stem.unwrap_or(name), stem.is_some())
            };
            list.iter().map(pattern).collect()
        };
        assert_eq!(fold(&KeyRules::Exact, "b=2&a=1&"), Some("b=2&a=1&".into()));
        assert_eq!(fold(&KeyRules::Sort, "b=2&a=1&b=1"), Some("a=1&b=2&b=1".into()));
        assert_eq!(fold(&KeyRules::DropAll, "a=1"), None);
        let drop = KeyRules::Drop(names(&["utm_*", "fbclid"]));
        assert_eq!(fold(&drop, "utm_source=x&id=7&fbclid=y"), Some("id=7".into()));
        assert_eq!(fold(&drop, "utm_source=x"), None);
        let target = PathAndQuery::from_static("/a?utm_source=x");
        assert_eq!(drop.fold(&target), "/a");
        let keep = KeyRules::Keep(names(&["id"]));
        assert_eq!(fold(&keep, "idx=1&id=7"), Some("id=7".into()));
    }
}
