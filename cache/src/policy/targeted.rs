//! Which field speaks to us: targeted fields first, then `Cache-Control` (RFC 9213).
//!
//! The first field of the site's list that is present, valid and not empty replaces
//! `Cache-Control` and `Expires` altogether; an invalid or empty one is as if it were absent.
//! Targeted fields are structured dictionaries. `Surrogate-Control` is older (W3C Edge
//! Architecture 1.0): `Cache-Control` syntax with `;target` behind a directive, which then speaks
//! only to the surrogate of that name, and `max-age=600+300` for a stale-while-revalidate window.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::Options;
use super::cache_control::Directives;
use super::directive::{Member, Value, closing_quote, members};

/// The directives in force, and where they came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// What the field says.
    pub directives: Directives,
    /// A targeted field spoke: `Expires` must not be looked at (RFC 9213 §2.2).
    pub targeted: bool,
    /// Name of the field that spoke: a targeted one, or `cache-control`.
    pub field: HeaderName,
}

impl Effective {
    /// Finds the field that speaks to us.
    pub fn of(headers: &HeaderMap, options: &Options) -> Self {
        let spoken = options
            .targeted_fields
            .iter()
            .find_map(|name| Some((read(headers, name, options)?, name.clone())));
        match spoken {
            Some((directives, field)) => Self { directives, targeted: true, field },
            None => Self {
                directives: Directives::of(headers),
                targeted: false,
                field: http::header::CACHE_CONTROL,
            },
        }
    }
}

fn read(headers: &HeaderMap, name: &HeaderName, options: &Options) -> Option<Directives> {
    if !headers.contains_key(name) {
        return None;
    }
    if name == "surrogate-control" {
        surrogate_control(headers, name, &options.surrogate_name)
    } else {
        dictionary(headers, name)
    }
}

// === RFC 9213 ===

/// The directives whose argument is a number of seconds.
const LIFETIMES: [&str; 4] = ["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"];

fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Directives> {
    let joined = joined(headers, name);
    let dictionary: Dictionary = Parser::new(&joined).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut directives = Directives::default();
    for (key, entry) in &dictionary {
        let value = match Argument::of(entry) {
            // A lifetime is an Integer; a String of digits is none (§2.1), as it would be in
            // Cache-Control.
            Argument::Names(_) if LIFETIMES.contains(&key.as_str()) => Argument::Other,
            argument => argument,
        };
        let value = value.value();
        directives.add(&Member { name: key.as_str().as_bytes(), value, rest: b"" });
    }
    Some(directives)
}

/// All lines as one list (RFC 9651 §4.2).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    lines.join(&b", "[..])
}

/// A structured value in the shape that directives are read from. A type that does not belong
/// there becomes an empty argument, which is invalid wherever an argument is needed.
enum Argument {
    None,
    Number(String),
    Names(String),
    Other,
}

impl Argument {
    fn of(entry: &ListEntry) -> Self {
        match entry {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::Boolean(_) => Self::None,
                BareItem::Integer(number) => Self::Number(number.to_string()),
                BareItem::String(names) => Self::Names(names.as_str().to_owned()),
                _ => Self::Other,
            },
            ListEntry::InnerList(list) => {
                let names = list.items.iter().map(|item| match &item.bare_item {
                    BareItem::String(name) => Some(name.as_str()),
                    BareItem::Token(name) => Some(name.as_str()),
                    _ => None,
                });
                names.collect::<Option<Vec<_>>>().map_or(Self::Other, |n| Self::Names(n.join(",")))
            }
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::None => Value::None,
            Self::Number(digits) => Value::Plain(digits.as_bytes()),
            Self::Names(names) => Value::Quoted(names.as_bytes()),
            Self::Other => Value::Plain(b""),
        }
    }
}

// === Surrogate-Control ===

fn surrogate_control(headers: &HeaderMap, name: &HeaderName, us: &str) -> Option<Directives> {
    let mut directives = Directives::default();
    let mut spoken = false;
    for line in headers.get_all(name) {
        for part in split(line.as_bytes(), b',') {
            let mut pieces = split(part, b';').map(<[u8]>::trim_ascii);
            let directive = pieces.next().unwrap_or_default();
            let mut targets = pieces.peekable();
            let ours = targets.peek().is_none()
                || targets.any(|target| target.eq_ignore_ascii_case(us.as_bytes()));
            if ours && !directive.is_empty() {
                spoken = true;
                add_surrogate(&mut directives, directive);
            }
        }
    }
    spoken.then_some(directives)
}

fn add_surrogate(directives: &mut Directives, directive: &[u8]) {
    for member in members(directive) {
        match member {
            Member { name, value: Value::Plain(value), rest: b"" }
                if name.eq_ignore_ascii_case(b"max-age") && value.contains(&b'+') =>
            {
                let (fresh, window) = value.split_at(
                    value.iter().position(|b| *b == b'+').expect("the guard saw a plus sign"),
                );
                directives.add(&Member { name, value: Value::Plain(fresh), rest: b"" });
                let window = Value::Plain(&window[1..]);
                let name = b"stale-while-revalidate";
                directives.add(&Member { name, value: window, rest: b"" });
            }
            // "Remote" surrogates are those away from the origin's own site: an edge node is one.
            Member { name, .. } if name.eq_ignore_ascii_case(b"no-store-remote") => {
                directives.no_store = true;
            }
            member => directives.add(&member),
        }
    }
}

/// Pieces between separators that stand outside quotes. An unclosed quote protects nothing.
fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(bytes);
    std::iter::from_fn(move || {
        let input = left?;
        let mut at = 0;
        while at < input.len() {
            match input[at] {
                b'"' => at += closing_quote(&input[at + 1..]).map_or(1, |end| end + 2),
                byte if byte == separator => {
                    left = Some(&input[at + 1..]);
                    return Some(&input[..at]);
                }
                _ => at += 1,
            }
        }
        left = None;
        Some(input)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &str)]) -> Effective {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("test value"));
        }
        Effective::of(&headers, &Options::default())
    }

    #[test]
    fn r9213_2_2_the_first_valid_field_of_the_list_replaces_cache_control() {
        let got = read(&[
            ("cache-control", "no-store"),
            ("cdn-cache-control", "max-age=60, stale-while-revalidate=30"),
            ("selvedge-cache-control", "max-age=5"),
        ]);
        assert!(got.targeted && !got.directives.no_store);
        assert_eq!(got.directives.max_age_s, Some(5));
        let got = read(&[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60")]);
        assert_eq!((got.directives.max_age_s, got.directives.no_store), (Some(60), false));
    }

    #[test]
    fn r9213_2_1_invalid_or_empty_fields_are_absent() {
        for bad in ["", "max-age=60, &", "MAX-AGE=60", "max-age = 60", "max-age=60,", "ü"] {
            let got = read(&[("cache-control", "max-age=7"), ("cdn-cache-control", bad)]);
            assert!(!got.targeted, "{bad}");
            assert_eq!(got.directives.max_age_s, Some(7), "{bad}");
        }
    }

    #[test]
    fn r9213_2_1_types_are_checked_and_parameters_ignored() {
        let got = |value| read(&[("cdn-cache-control", value)]).directives;
        assert_eq!(got("max-age=60;x=1").max_age_s, Some(60));
        assert_eq!(got("max-age=-1").max_age_s, Some(0));
        assert_eq!(got("max-age=1.5").max_age_s, Some(0));
        assert_eq!(got("max-age").max_age_s, Some(0));
        assert_eq!(got(r#"max-age="60""#).max_age_s, Some(0));
        assert_eq!(got(r#"stale-if-error="60""#).sie_s.unwrap_or(0), 0);
        assert_eq!(got("max-age=99999999999").max_age_s, Some(u32::MAX));
        assert!(got("private").private);
        let listed = got(r#"private=("a" b), max-age=9"#);
        assert!(!listed.private && listed.omitted_fields.len() == 2);
        assert!(got("private=1").private && got("no-cache=()").no_cache);
    }

    #[test]
    fn r9213_2_1_lines_are_joined() {
        let got = read(&[("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "no-cache")]);
        assert_eq!(got.directives.max_age_s, Some(60));
        assert!(got.directives.no_cache);
    }

    #[test]
    fn surrogate_control_speaks_to_its_target_only() {
        let got = |value| read(&[("cache-control", "max-age=1"), ("surrogate-control", value)]);
        assert_eq!(got("MaX-aGe=3600").directives.max_age_s, Some(3600));
        assert_eq!(got("foobar, max-age=3600").directives.max_age_s, Some(3600));
        assert_eq!(got("max-age=3600;Selvedge").directives.max_age_s, Some(3600));
        assert_eq!(got("max-age=3600;other").directives.max_age_s, Some(1));
        let both = got("max-age=9;other, max-age=8;selvedge, no-store;other").directives;
        assert_eq!((both.max_age_s, both.no_store), (Some(8), false));
        assert!(got("no-store").directives.no_store);
        assert!(got("no-store-remote").directives.no_store);
        assert!(!got("").targeted);
    }

    #[test]
    fn surrogate_control_freshness_extension() {
        let got = read(&[("surrogate-control", r#"content="a;b, no-store", max-age=600+300"#)]);
        assert_eq!(got.directives.max_age_s, Some(600));
        assert_eq!(got.directives.swr_s, Some(300));
        assert!(!got.directives.no_store);
    }

    proptest::proptest! {
        #[test]
        fn the_reader_never_panics(
            bytes in proptest::collection::vec(0u8.., 0..100),
            at in 0usize..3,
        ) {
            let options = Options::default();
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.insert(options.targeted_fields[at].clone(), value);
                Effective::of(&headers, &options);
            }
        }
    }
}
