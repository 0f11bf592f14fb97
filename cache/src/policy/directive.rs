//! Splitting `Cache-Control` into members: strict about what is meant, forgiving about nothing
//! that could make a response look freer than its origin wanted.
//!
//! `Cache-Control = #( token [ "=" ( token / quoted-string ) ] )` (RFC 9111 §5.2). Real fields
//! are often broken: `max-age = 60`, `no-cache no-store`, an unclosed quote. Each member therefore
//! carries what was left over in it, [`Member::rest`]. Readers take a *permission* only from a
//! member without rest, and a *restriction* also from the rest.
//!
//! Works on bytes, allocates nothing, never fails; knows no directive by name.

/// One comma-separated member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The directive's name as written; empty when the member begins with something else.
    pub name: &'a [u8],
    /// Its argument.
    pub value: Value<'a>,
    /// Whatever followed and is not allowed by the grammar; empty in a well-formed member.
    pub rest: &'a [u8],
}

/// Argument of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// No `=`.
    None,
    /// The token after `=`; empty when none follows.
    Plain(&'a [u8]),
    /// Between double quotes, escapes not removed.
    Quoted(&'a [u8]),
}

impl Member<'_> {
    /// Whether the grammar allows the member as it stands.
    pub const fn well_formed(&self) -> bool {
        self.rest.is_empty() && !self.name.is_empty()
    }
}

/// The members of one field line, in order. Empty members (`, ,`) are skipped.
pub fn members(line: &[u8]) -> impl Iterator<Item = Member<'_>> {
    let mut left = line;
    std::iter::from_fn(move || {
        left = skip(left, |b| matches!(b, b' ' | b'\t' | b','));
        if left.is_empty() {
            return None;
        }
        let (member, after) = one_member(left);
        left = after;
        Some(member)
    })
}

fn one_member(input: &[u8]) -> (Member<'_>, &[u8]) {
    let (name, after) = take(input, is_token);
    let (value, after) = match after {
        [b'=', b'"', quoted @ ..] => match closing_quote(quoted) {
            Some(end) => (Value::Quoted(&quoted[..end]), &quoted[end + 1..]),
            // Unclosed: the commas behind it split again, so that a restriction is still seen.
            None => (Value::Plain(b""), &after[1..]),
        },
        [b'=', plain @ ..] => {
            let (value, after) = take(plain, is_token);
            (Value::Plain(value), after)
        }
        _ => (Value::None, after),
    };
    let (rest, after) = take(after, |b| b != b',');
    (Member { name, value, rest: rest.trim_ascii() }, after)
}

/// Index of the quote that closes a quoted string whose opening quote is already read.
pub(super) fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// `delta-seconds` (RFC 9111 §1.2.2): digits only; what does not fit saturates.
/// `None` when it is anything else, a sign or a fraction included.
pub fn delta_seconds(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        bytes.iter().fold(0u32, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
        }),
    )
}

/// Runs of token bytes in `rest`: where a forgotten comma hides a directive.
pub(super) fn tokens(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|b| !is_token(*b)).filter(|token| !token.is_empty())
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn skip(bytes: &[u8], unwanted: impl Fn(u8) -> bool) -> &[u8] {
    take(bytes, unwanted).1
}

fn take(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !wanted(*b)).unwrap_or(bytes.len());
    bytes.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, Value<'_>, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        members(line.as_bytes()).map(|m| (text(m.name), m.value, text(m.rest))).collect()
    }

    #[test]
    fn s5_2_members_are_split_at_commas_outside_quotes() {
        let got = read(r#" a , b=1,, ext="x, \", no-store" ,c="#);
        assert_eq!(got[0], ("a".into(), Value::None, String::new()));
        assert_eq!(got[1], ("b".into(), Value::Plain(b"1"), String::new()));
        assert_eq!(got[2], ("ext".into(), Value::Quoted(br#"x, \", no-store"#), String::new()));
        assert_eq!(got[3], ("c".into(), Value::Plain(b""), String::new()));
        assert_eq!(got.len(), 4);
    }

    #[test]
    fn s5_2_leftovers_are_kept_apart() {
        assert_eq!(read("max-age =60")[0], ("max-age".into(), Value::None, "=60".into()));
        assert_eq!(read("max-age= 60")[0], ("max-age".into(), Value::Plain(b""), "60".into()));
        assert_eq!(
            read("no-cache no-store")[0],
            ("no-cache".into(), Value::None, "no-store".into())
        );
        assert_eq!(read("\"x\"")[0].0, "");
    }

    #[test]
    fn s5_2_an_unclosed_quote_hides_no_later_member() {
        let got = read("ext=\"abc, no-store");
        assert_eq!(got[1], ("no-store".into(), Value::None, String::new()));
    }

    #[test]
    fn s1_2_2_delta_seconds_saturate_and_refuse_what_is_no_number() {
        assert_eq!(delta_seconds(b"003600"), Some(3600));
        assert_eq!(delta_seconds(b"99999999999999999999999"), Some(u32::MAX));
        for bad in ["", "-1", "+1", "1.0", "a1", "1a", " 1", "'1'"] {
            assert_eq!(delta_seconds(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
