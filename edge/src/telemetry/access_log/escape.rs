//! JSON strings out of hostile bytes.
//!
//! The result is valid JSON and valid UTF-8, on one line, safe to print on a terminal: quotes,
//! backslashes and every control character (C0, DEL, C1) are escaped, bytes that are not UTF-8
//! become U+FFFD. Long values are cut between characters and end with `…`.

use std::io::Write as _;

/// Appends `value` as a JSON string of at most `bytes_max` bytes before escaping.
pub fn string(out: &mut Vec<u8>, value: &[u8], bytes_max: usize) {
    out.push(b'"');
    // Without an early exit the compiler looks at many bytes at once.
    let is_plain = value.iter().fold(true, |plain, byte| plain & is_plain(*byte));
    if value.len() <= bytes_max && is_plain {
        out.extend_from_slice(value);
        out.push(b'"');
        return;
    }
    let (kept, is_cut) = cut(value, bytes_max);
    for chunk in kept.utf8_chunks() {
        valid(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    if is_cut {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'"');
}

/// Printable ASCII that stands for itself: nearly every byte of nearly every value.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// Appends a JSON string, or `null`.
pub fn optional(out: &mut Vec<u8>, value: Option<&[u8]>, bytes_max: usize) {
    match value {
        Some(value) => string(out, value, bytes_max),
        None => out.extend_from_slice(b"null"),
    }
}

/// The first `bytes_max` bytes without a character that is cut in two.
fn cut(value: &[u8], bytes_max: usize) -> (&[u8], bool) {
    if value.len() <= bytes_max {
        return (value, false);
    }
    let mut end = bytes_max;
    let is_continuation = |at: usize| value[at] & 0b1100_0000 == 0b1000_0000;
    // A UTF-8 character has at most three continuation bytes; more are not a character.
    while end > 0 && bytes_max - end < 3 && is_continuation(end) {
        end -= 1;
    }
    (&value[..end], true)
}

fn valid(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(needs_escape) {
        let (clean, from) = rest.split_at(at);
        out.extend_from_slice(clean.as_bytes());
        let mut characters = from.chars();
        if let Some(character) = characters.next() {
            escaped(out, character);
        }
        rest = characters.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn needs_escape(character: char) -> bool {
    matches!(character, '"' | '\\') || character.is_control()
}

fn escaped(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        other => write!(out, "\\u{:04x}", u32::from(other)).expect("a Vec takes every write"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escape(value: &[u8], bytes_max: usize) -> String {
        let mut out = Vec::new();
        string(&mut out, value, bytes_max);
        String::from_utf8(out).expect("the escape yields UTF-8")
    }

    #[test]
    fn quotes_controls_and_broken_utf8_are_made_harmless() {
        assert_eq!(escape(b"/a\"b\\c", 99), r#""/a\"b\\c""#);
        assert_eq!(escape(b"a\r\nb\t\x1b[31m\x7f\0", 99), r#""a\r\nb\t\u001b[31m\u007f\u0000""#);
        assert_eq!(escape("\u{9b}31m".as_bytes(), 99), r#""\u009b31m""#);
        assert_eq!(escape(b"caf\xe9", 99), "\"caf\u{fffd}\"");
        assert_eq!(escape("né".as_bytes(), 99), "\"né\"");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(escape("abcé".as_bytes(), 4), "\"abc…\"");
        assert_eq!(escape("abcé".as_bytes(), 5), "\"abcé\"");
        assert_eq!(escape(b"abcdef", 3), "\"abc…\"");
        assert_eq!(escape(&[0x80; 10], 5).chars().count(), 2 + 2 + 1);
    }

    proptest! {
        #[test]
        fn every_value_is_one_json_string_on_one_line(
            value in proptest::collection::vec(any::<u8>(), 0..200),
            bytes_max in 0_usize..220,
        ) {
            let text = escape(&value, bytes_max);
            prop_assert!(!text.contains(char::is_control));
            let back: String = serde_json::from_str(&text).expect("valid JSON");
            if value.len() <= bytes_max {
                prop_assert_eq!(back, String::from_utf8_lossy(&value));
            }
        }
    }
}
