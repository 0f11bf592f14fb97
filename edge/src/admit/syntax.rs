//! Which bytes may stand where (RFC 9110 §5.6.2, §5.5; RFC 3986 §3.3).
//!
//! One table of bits per byte instead of chains of comparisons: the gate asks for every byte of
//! every head. The target's rules are those that the `http` crate's `Uri` will apply after us,
//! minus the fragment: what passes here must not fail there.

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const PATH: u8 = 4;
const QUERY: u8 = 8;
const HOST: u8 = 16;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let b = byte as u8;
        let alphanumeric = b.is_ascii_alphanumeric();
        let mut class = 0;
        if alphanumeric
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.')
            || matches!(b, b'^' | b'_' | b'`' | b'|' | b'~')
        {
            class |= TOKEN;
        }
        if matches!(b, b'\t' | b' '..=0x7e | 0x80..=0xff) {
            class |= VALUE;
        }
        if matches!(b, 0x21..=0x7e | 0x80..=0xff) && !matches!(b, b'#' | b'<' | b'>' | b'`') {
            class |= PATH;
        }
        if matches!(b, 0x21..=0x7e | 0x80..=0xff) && !matches!(b, b'#' | b'<' | b'>' | b'"') {
            class |= QUERY;
        }
        if alphanumeric
            || matches!(b, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
            || matches!(b, b'*' | b'+' | b',' | b';' | b'=')
        {
            class |= HOST;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

#[inline]
fn all(bytes: &[u8], class: u8) -> bool {
    // No early exit: the common case is that every byte is fine, and this way it vectorises.
    bytes.iter().fold(class, |seen, &byte| seen & CLASSES[usize::from(byte)]) == class
}

/// A token (RFC 9110 §5.6.2): methods and field names.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// A field value: visible characters, spaces, tabs and `obs-text`; no other control bytes.
pub(super) fn is_field_value(bytes: &[u8]) -> bool {
    all(bytes, VALUE)
}

/// A registered name or IPv4 address as a host. Percent-encoding is refused although RFC 3986
/// §3.2.2 has it: no host name needs it, and decoders disagree about it.
pub(super) fn is_registered_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, HOST)
}

/// Path and query without a fragment: begins with `/`, or with `?` where an authority precedes.
pub(super) fn is_path_and_query(bytes: &[u8]) -> bool {
    let (path, query) = match memchr::memchr(b'?', bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    all(path, PATH) && all(query, QUERY) && (bytes.is_ascii() || std::str::from_utf8(bytes).is_ok())
}

/// Without the optional white space around it (RFC 9110 §5.6.3).
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_here_is_a_uri_for_the_http_crate() {
        for byte in 0..=0x7f_u8 {
            for target in [vec![b'/', b'a', byte], vec![b'/', b'?', byte, b'a']] {
                if is_path_and_query(&target) {
                    let uri = http::Uri::try_from(target.as_slice());
                    let whole = uri.as_ref().is_ok_and(|uri| uri.to_string().as_bytes() == target);
                    assert!(whole, "{:?} gives {uri:?}", String::from_utf8_lossy(&target));
                }
            }
        }
        assert!(is_path_and_query("/ä?ö".as_bytes()));
        assert!(!is_path_and_query(b"/\xff"));
        assert!(!is_path_and_query(b"/a#b"));
        assert!(!is_path_and_query(b"/a?b c"));
    }

    #[test]
    fn field_names_and_values_agree_with_the_http_crate() {
        for byte in 0..=0xff_u8 {
            let name = http::HeaderName::from_bytes(&[b'a', byte]).is_ok();
            assert!(!is_token(&[byte]) || name, "name {byte:#x}");
            let value = http::HeaderValue::from_bytes(&[byte]).is_ok();
            assert_eq!(is_field_value(&[byte]), value, "value {byte:#x}");
        }
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b"\r"), b"\r");
        assert_eq!(trim(b"  "), b"");
    }
}
