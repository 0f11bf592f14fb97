//! Values of selecting fields, brought into one form per meaning (RFC 9111 §4.1).
//!
//! What is safe differs by field. For every list: lines joined, white space around commas outside
//! quotes dropped. `Accept-Encoding` (RFC 9110 §12.5.3): order and case carry no meaning, equal
//! weights have equal text, `x-gzip` is `gzip`, and a coding that is refused need not be named
//! unless `*` would let it in. `Accept-Language` (§12.5.4): case carries no meaning, order only
//! through weights. `Cookie` is no list: its lines join with `; ` and are otherwise untouched.
//! A value that cannot be read as its field's grammar is treated as an unknown list.
//!
//! Each form starts with a byte of its own (`PLAIN`, `WEIGHTED`), so that a value that failed
//! to parse can never look like one that did.

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, COOKIE};
use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Scratch space for one value; values of ordinary length stay on the stack.
pub type Buffer = SmallVec<[u8; 256]>;

const PLAIN: u8 = b'p';
const WEIGHTED: u8 = b'w';

/// More members than this are not understood, only compared.
const MEMBERS_MAX: usize = 64;

/// Appends the normalised value of a selecting field; `false` when the field is absent.
pub fn selecting_value(name: &HeaderName, request: &HeaderMap, out: &mut Buffer) -> bool {
    if !request.contains_key(name) {
        return false;
    }
    let mut joined = Buffer::new();
    join_lines(name, request, &mut joined);
    let weighed = (*name == ACCEPT_ENCODING && encoding(&joined, out))
        || (*name == ACCEPT_LANGUAGE && language(&joined, out));
    if !weighed {
        out.push(PLAIN);
        if *name == COOKIE { out.extend_from_slice(&joined) } else { list(&joined, out) }
    }
    true
}

/// Joins the lines of a field as one value (RFC 9110 §5.3; RFC 9113 §8.2.3 for `Cookie`).
pub(crate) fn join_lines(name: &HeaderName, request: &HeaderMap, out: &mut Buffer) {
    let between: &[u8] = if *name == COOKIE { b"; " } else { b"," };
    for (at, line) in request.get_all(name).iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(line.as_bytes());
    }
}

/// Drops white space around commas and at both ends, outside quoted strings.
fn list(value: &[u8], out: &mut Buffer) {
    let start = out.len();
    let mut quoted = false;
    let mut escaped = false;
    let mut after_comma = true;
    for &byte in value {
        let blank = matches!(byte, b' ' | b'\t');
        if !quoted && blank && after_comma {
            continue;
        }
        if !quoted && byte == b',' {
            trim_end(out, start);
        }
        after_comma = !quoted && byte == b',';
        if byte == b'"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && byte == b'\\' && !escaped;
        out.push(byte);
    }
    if !quoted {
        trim_end(out, start);
    }
}

fn trim_end(out: &mut Buffer, start: usize) {
    while out.len() > start && matches!(out.last(), Some(b' ' | b'\t')) {
        out.pop();
    }
}

/// A member of a weighted list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Weighted<'a> {
    /// Its name, case as written.
    pub name: &'a [u8],
    /// Its weight in thousandths.
    pub q: u16,
}

/// Reads `name [ OWS ";" OWS "q=" qvalue ]` members (RFC 9110 §12.4.2); `None` when any member is
/// something else or there are too many.
pub(crate) fn weighted(value: &[u8]) -> Option<SmallVec<[Weighted<'_>; 8]>> {
    let mut items = SmallVec::new();
    for member in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|m| !m.is_empty()) {
        let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let q = match parts.next() {
            None => 1000,
            Some([b'q' | b'Q', b'=', digits @ ..]) => qvalue(digits)?,
            Some(_) => return None,
        };
        let fine = parts.next().is_none()
            && !name.is_empty()
            && name.iter().all(|b| crate::policy::directive::is_token(*b))
            && items.len() < MEMBERS_MAX;
        if !fine {
            return None;
        }
        items.push(Weighted { name, q });
    }
    Some(items)
}

/// `0`, `0.5`, `1.000`: in thousandths (RFC 9110 §12.4.2).
fn qvalue(bytes: &[u8]) -> Option<u16> {
    let (whole, fraction) = match bytes {
        [b'0'] => (0, &b""[..]),
        [b'1'] => (1, &b""[..]),
        [b'0', b'.', fraction @ ..] => (0, fraction),
        [b'1', b'.', fraction @ ..] => (1, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |d| u16::from(d - b'0'));
    let q = whole * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (q <= 1000).then_some(q)
}

fn encoding(value: &[u8], out: &mut Buffer) -> bool {
    let Some(mut items) = weighted(value) else { return false };
    for item in &mut items {
        item.name = match item.name {
            name if name.eq_ignore_ascii_case(b"x-gzip") => b"gzip",
            name if name.eq_ignore_ascii_case(b"x-compress") => b"compress",
            name => name,
        };
    }
    if !settle(&mut items) {
        return false;
    }
    let star = items.iter().any(|item| item.name == b"*");
    // A refused coding is refused by not being named, `identity` and `*` apart.
    items.retain(|item| item.q > 0 || star || item.name.eq_ignore_ascii_case(b"identity"));
    write_weighted(&items, out);
    true
}

fn language(value: &[u8], out: &mut Buffer) -> bool {
    let Some(mut items) = weighted(value) else { return false };
    if !settle(&mut items) {
        return false;
    }
    items.sort_unstable_by(|a, b| b.q.cmp(&a.q).then(compare_names(a.name, b.name)));
    write_weighted(&items, out);
    true
}

/// Sorts by name and drops repetitions; `false` when one name has two weights: its meaning is
/// unclear.
fn settle(items: &mut SmallVec<[Weighted<'_>; 8]>) -> bool {
    items.sort_unstable_by(|a, b| compare_names(a.name, b.name).then(a.q.cmp(&b.q)));
    items.dedup_by(|a, b| a.q == b.q && a.name.eq_ignore_ascii_case(b.name));
    items.windows(2).all(|pair| !pair[0].name.eq_ignore_ascii_case(pair[1].name))
}

fn write_weighted(items: &[Weighted<'_>], out: &mut Buffer) {
    out.push(WEIGHTED);
    for item in items {
        out.extend(item.name.iter().map(u8::to_ascii_lowercase));
        out.push(b';');
        out.extend_from_slice(&item.q.to_be_bytes());
    }
}

/// A normalised value as [`selecting_value`] appends it, for people; what is not visible ASCII is
/// escaped.
pub fn readable(form: &[u8]) -> String {
    let Some((&WEIGHTED, mut rest)) = form.split_first() else {
        return form.get(1..).unwrap_or_default().escape_ascii().to_string();
    };
    let mut members = Vec::new();
    // Names are tokens: the first semicolon ends one, and its weight has two bytes.
    while let Some(end) = rest.iter().position(|byte| *byte == b';')
        && let Some(&[high, low]) = rest.get(end + 1..end + 3)
    {
        let name = rest[..end].escape_ascii();
        members.push(match u16::from_be_bytes([high, low]) {
            1000 => name.to_string(),
            q => format!("{name};q=0.{q:03}"),
        });
        rest = &rest[end + 3..];
    }
    members.join(", ")
}

fn compare_names(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::super::{Vary, selected_hash};
    use super::*;
    use crate::CacheKey;

    #[test]
    fn forms_are_shown_to_people_as_they_would_write_them() {
        for (name, value, want) in [
            ("accept-encoding", "br;q=0.5, X-GZIP", "br;q=0.500, gzip"),
            ("accept-language", "de;q=0.25,en-GB", "en-gb, de;q=0.250"),
            ("x-any", " a , b\t", "a,b"),
            ("x-any", "\"\u{e9}\"", "\\\"\\xc3\\xa9\\\""),
        ] {
            let name = HeaderName::from_static(name);
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("test value");
            let mut form = Buffer::new();
            selecting_value(&name, &HeaderMap::from_iter([(name.clone(), value)]), &mut form);
            assert_eq!(readable(&form), want);
        }
        assert_eq!(readable(b""), "");
    }

    fn hash(name: &'static str, lines: &[&str]) -> [u8; 32] {
        let mut request = HeaderMap::new();
        for line in lines {
            request.append(name, HeaderValue::from_str(line).expect("test value"));
        }
        let vary = Vary(Box::new([HeaderName::from_static(name)]));
        selected_hash(&CacheKey([0; 32]), &vary, &request)
    }

    /// Field, two requests, whether they mean the same.
    const TABLE: &[(&str, &[&str], &[&str], bool)] = &[
        ("foo", &["1, 2"], &["1", "2"], true),
        ("foo", &["1,2"], &[" 1, 2 "], true),
        ("foo", &["1"], &["2"], false),
        ("foo", &["a"], &["A"], false),
        ("foo", &["1"], &[], false),
        ("foo", &[""], &[], false),
        ("foo", &["1,2"], &["2,1"], false),
        ("foo", &["1,,2"], &["1,2"], false),
        ("foo", &["\"a, b\""], &["\"a,b\""], false),
        ("foo", &["\"a\\\", b\""], &["\"a\\\",b\""], false),
        ("foo", &["\"a\" , b"], &["\"a\",b"], true),
        ("foo", &["\"open, b"], &["\"open,b"], false),
        ("cookie", &["a=1", "b=2"], &["a=1; b=2"], true),
        ("cookie", &["a=1, b"], &["a=1,b"], false),
        ("accept-encoding", &["gzip, br"], &["br,GZIP"], true),
        ("accept-encoding", &["gzip;q=1.0"], &["gzip"], true),
        ("accept-encoding", &["gzip;q=0.50"], &["gzip ; q=0.5"], true),
        ("accept-encoding", &["x-gzip"], &["gzip"], true),
        ("accept-encoding", &["gzip, br;q=0"], &["gzip"], true),
        ("accept-encoding", &["gzip", "br"], &["gzip, br"], true),
        ("accept-encoding", &["gzip, gzip"], &["gzip"], true),
        ("accept-encoding", &["*, br;q=0"], &["*"], false),
        ("accept-encoding", &["gzip, identity;q=0"], &["gzip"], false),
        ("accept-encoding", &["gzip;q=0.5, br"], &["gzip, br;q=0.5"], false),
        ("accept-encoding", &["gzip;q=0.5, br"], &["gzip, br"], false),
        ("accept-encoding", &[""], &[], false),
        ("accept-encoding", &[""], &["gzip"], false),
        ("accept-encoding", &["gzip;q=2"], &["gzip"], false),
        ("accept-encoding", &["gzip, gzip;q=0"], &["gzip"], false),
        ("accept-language", &["en, de"], &["de, en"], true),
        ("accept-language", &["en, de"], &["eN, De"], true),
        ("accept-language", &["en, de"], &[" en ,   de"], true),
        ("accept-language", &["en, de;q=0.8"], &["de;q=0.8, en;q=1.0"], true),
        ("accept-language", &["en, de;q=0.8"], &["en;q=0.8, de"], false),
        ("accept-language", &["en-GB"], &["en"], false),
        ("accept-language", &["en, de;q=0"], &["en"], false),
    ];

    #[test]
    fn s4_1_equal_meaning_gives_equal_keys_and_never_else() {
        for (name, a, b, same) in TABLE {
            assert_eq!(hash(name, a) == hash(name, b), *same, "{name}: {a:?} and {b:?}");
        }
    }

    #[test]
    fn s4_1_field_order_and_other_fields_do_not_matter() {
        let vary = Vary(["a", "b"].map(HeaderName::from_static).into());
        let of = |fields: &[(&'static str, &'static str)]| {
            let mut request = HeaderMap::new();
            for (name, value) in fields {
                request.append(*name, HeaderValue::from_static(value));
            }
            selected_hash(&CacheKey([0; 32]), &vary, &request)
        };
        assert_eq!(of(&[("a", "1"), ("b", "2"), ("c", "3")]), of(&[("b", "2"), ("a", "1")]));
        assert_ne!(of(&[("a", "12"), ("b", "")]), of(&[("a", "1"), ("b", "2")]));
        assert_ne!(of(&[("a", "1")]), of(&[("b", "1")]));
    }

    proptest::proptest! {
        #[test]
        fn a_changed_letter_changes_the_hash(before in "[ -~]{0,30}", after in "[ -~]{0,30}") {
            let of = |letter: &str| hash("foo", &[&format!("{before}{letter}{after}")]);
            proptest::prop_assert_ne!(of("y"), of("z"));
        }

        #[test]
        fn weighted_lists_never_panic(bytes in proptest::collection::vec(0u8.., 0..80)) {
            if let Some(items) = weighted(&bytes) {
                proptest::prop_assert!(items.iter().all(|item| item.q <= 1000));
            }
        }
    }
}
