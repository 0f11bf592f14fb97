//! `No-Vary-Search`: which query parameters a response does not depend on.
//!
//! An origin says in a structured dictionary that the order of parameters carries no meaning
//! (`key-order`), that some parameters do not (`params=("utm_source")`), or that none but some do
//! (`params, except=("id")`). Queries that then mean the same fold into one text. The reading is
//! that of the specification: whatever is malformed says nothing at all, names and values are
//! compared after form decoding, and a query is a list of pairs, so `a` is `a=`.
//!
//! Knows no cache: a field and a query in, a folded query out.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

/// The field.
pub const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// A longer field says nothing, in bytes.
const FIELD_BYTES_MAX: usize = 4096;
/// A field that names more parameters says nothing.
const NAMES_MAX: usize = 64;
/// A query with more parameters is not folded.
const PARAMETERS_MAX: usize = 256;

/// What of a query a response depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchVariance {
    /// The order of parameters counts.
    by_order: bool,
    /// Only these parameters count, or all but these; decoded names, sorted.
    names: Vec<Vec<u8>>,
    only: bool,
}

impl SearchVariance {
    /// Reads the field; `None` when it is absent, malformed or says what holds anyway.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(NO_VARY_SEARCH).iter().peekable();
        lines.peek()?;
        let lines: Vec<&[u8]> = lines.map(http::HeaderValue::as_bytes).collect();
        let joined = lines.join(&b", "[..]);
        if joined.len() > FIELD_BYTES_MAX {
            return None;
        }
        let said: Dictionary = Parser::new(&joined).parse().ok()?;
        let by_order = match said.get("key-order") {
            None => true,
            Some(entry) => !boolean(entry)?,
        };
        let (mut names, only) = match said.get("params") {
            None => (Vec::new(), false),
            Some(ListEntry::InnerList(list)) => (strings(&list.items)?, false),
            Some(entry) => (Vec::new(), boolean(entry)?),
        };
        if let Some(except) = said.get("except") {
            let ListEntry::InnerList(list) = except else { return None };
            if !only {
                return None;
            }
            names = strings(&list.items)?;
        }
        names.sort_unstable();
        names.dedup();
        let says_nothing = by_order && names.is_empty() && !only;
        let fits = names.len() <= NAMES_MAX && !says_nothing;
        fits.then_some(Self { by_order, names, only })
    }

    /// The one text of all queries that mean the same as this one; `None` inside when nothing of it
    /// counts, and outside when it is too long to be folded.
    pub fn fold(&self, query: Option<&str>) -> Option<Option<String>> {
        let segments = query.unwrap_or("").split('&').filter(|segment| !segment.is_empty());
        let mut pairs = Vec::new();
        for segment in segments {
            if pairs.len() == PARAMETERS_MAX {
                return None;
            }
            let (name, value) = segment.split_once('=').unwrap_or((segment, ""));
            let name = decoded(name.as_bytes());
            let named = self.names.binary_search(&name).is_ok();
            if named == self.only {
                pairs.push((name, decoded(value.as_bytes())));
            }
        }
        if !self.by_order {
            // Equal names keep their order: it may carry meaning.
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        if pairs.is_empty() {
            return Some(None);
        }
        let mut folded = String::with_capacity(query.map_or(0, str::len));
        for (name, value) in &pairs {
            if !folded.is_empty() {
                folded.push('&');
            }
            encode(name, &mut folded);
            folded.push('=');
            encode(value, &mut folded);
        }
        Some(Some(folded))
    }
}

fn boolean(entry: &ListEntry) -> Option<bool> {
    match entry {
        ListEntry::Item(Item { bare_item: BareItem::Boolean(is), .. }) => Some(*is),
        _ => None,
    }
}

/// The parameters' names in an inner list of strings.
fn strings(items: &[Item]) -> Option<Vec<Vec<u8>>> {
    let name = |item: &Item| match &item.bare_item {
        BareItem::String(name) => Some(decoded(name.as_str().as_bytes())),
        _ => None,
    };
    items.iter().map(name).collect()
}

/// `application/x-www-form-urlencoded`, one name or value: bytes, which need not be text.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut left = text;
    while let [byte, rest @ ..] = left {
        left = rest;
        match (*byte, rest) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    left = after;
                }
                _ => out.push(b'%'),
            },
            (byte, _) => out.push(byte),
        }
    }
    out
}

fn encode(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(field: &str) -> Option<SearchVariance> {
        let mut headers = HeaderMap::new();
        headers.insert(NO_VARY_SEARCH, HeaderValue::from_bytes(field.as_bytes()).ok()?);
        SearchVariance::of(&headers)
    }

    fn fold(field: &str, query: &str) -> Option<String> {
        of(field).expect("a variance").fold(Some(query)).expect("short enough")
    }

    #[test]
    fn what_is_malformed_or_says_nothing_new_is_no_variance() {
        for field in [
            "",
            "key-order=1",
            "key-order=?0",
            "params=?0",
            "params=()",
            "params=\"a\"",
            "params=(a)",
            "params=(\"a\" 1)",
            "except=(\"a\")",
            "params=(\"a\"), except=(\"b\")",
            "params, except=\"a\"",
            "params, except=(a)",
            "params, except",
            "other",
            "key-order, !",
            "\u{e9}",
        ] {
            assert_eq!(of(field), None, "{field}");
        }
        let names: Vec<String> = (0..=NAMES_MAX).map(|n| format!("\"p{n}\"")).collect();
        assert_eq!(of(&format!("params=({})", names.join(" "))), None);
        assert_eq!(of(&format!("params=(\"{}\")", "x".repeat(FIELD_BYTES_MAX))), None);
    }

    #[test]
    fn queries_that_mean_the_same_fold_into_one_text() {
        for (field, query, folded) in [
            ("key-order", "b=2&a=1&b=1", Some("a=1&b=2&b=1")),
            ("key-order=?1", "a=1&&b", Some("a=1&b=")),
            ("params=(\"utm\")", "utm=1&b=2&a=1&utm", Some("b=2&a=1")),
            ("params=(\"a b\")", "a+b=1&a%20b=2&c=3", Some("c=3")),
            ("params=(\"a%20b\" \"c+d\")", "a+b=1&c%20d=2&e=3", Some("e=3")),
            ("params=(\"%c3%a9\")", "%C3%A9=1&x=2", Some("x=2")),
            ("params", "a=1&b=2", None),
            ("params", "", None),
            ("params, except=(\"id\")", "utm=1&id=7&x", Some("id=7")),
            ("params, except=(\"id\"), key-order", "id=7&id=3", Some("id=7&id=3")),
            ("params=?1, except=()", "a=1", None),
            ("params=(\"a\"), key-order", "%62=%41&A=1&a=1", Some("A=1&b=A")),
            ("params=(\"a\")", "b=%zz%4&c=%ff", Some("b=%25zz%254&c=%FF")),
        ] {
            assert_eq!(fold(field, query).as_deref(), folded, "{field}: {query}");
        }
        assert_eq!(of("params").expect("a variance").fold(None), Some(None));
    }

    #[test]
    fn a_query_of_very_many_parameters_is_not_folded() {
        let query = vec!["a=1"; PARAMETERS_MAX + 1].join("&");
        assert_eq!(of("key-order").expect("a variance").fold(Some(&query)), None);
    }

    proptest::proptest! {
        #[test]
        fn any_field_and_any_query_are_read_or_refused(
            field in "(key-order|params|except|[a-z\"()=?01, ;%]){0,8}",
            query in "[a-c=&%+0-9]{0,40}",
        ) {
            if let Some(variance) = of(&field)
                && let Some(folded) = variance.fold(Some(&query))
            {
                // What is folded folds into itself.
                proptest::prop_assert_eq!(variance.fold(folded.as_deref()), Some(folded));
            }
        }
    }
}
