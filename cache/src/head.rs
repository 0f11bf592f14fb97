//! A stored head as one exactly sized encoded block, with the inline body behind it.
//!
//! Many heads rest in memory and few are in use, so at rest a head is one allocation: common
//! field names are a byte, values stand as they came. At answer time the values become slices of
//! that block; nothing is copied.
//!
//! ```text
//! version u8 | status u16 | fields u16 | head length u32 |
//! fields × ( name code u8 [ name length u8, name ] | value length u16 | value ) | inline body
//! ```
//!
//! All numbers are little-endian. Name code 0 means: the name follows.

use std::cell::RefCell;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

const VERSION: u8 = 1;
const PREAMBLE: usize = 9;

/// Longest stored head, in bytes; a response with a longer one is not stored.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Most fields of a stored head; a response with more is not stored.
pub const FIELDS_MAX: usize = 256;

/// Names with a code of their own: code = index + 1, sorted. Blocks on disk hold codes: whoever
/// changes this table raises [`VERSION`].
static NAMES: [HeaderName; 48] = [
    HeaderName::from_static("accept-ranges"),
    HeaderName::from_static("access-control-allow-credentials"),
    HeaderName::from_static("access-control-allow-headers"),
    HeaderName::from_static("access-control-allow-methods"),
    HeaderName::from_static("access-control-allow-origin"),
    HeaderName::from_static("access-control-expose-headers"),
    HeaderName::from_static("access-control-max-age"),
    HeaderName::from_static("age"),
    HeaderName::from_static("allow"),
    HeaderName::from_static("alt-svc"),
    HeaderName::from_static("cache-control"),
    HeaderName::from_static("cache-status"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("content-disposition"),
    HeaderName::from_static("content-encoding"),
    HeaderName::from_static("content-language"),
    HeaderName::from_static("content-length"),
    HeaderName::from_static("content-location"),
    HeaderName::from_static("content-range"),
    HeaderName::from_static("content-security-policy"),
    HeaderName::from_static("content-type"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
    HeaderName::from_static("date"),
    HeaderName::from_static("etag"),
    HeaderName::from_static("expires"),
    HeaderName::from_static("last-modified"),
    HeaderName::from_static("link"),
    HeaderName::from_static("location"),
    HeaderName::from_static("permissions-policy"),
    HeaderName::from_static("pragma"),
    HeaderName::from_static("referrer-policy"),
    HeaderName::from_static("server"),
    HeaderName::from_static("server-timing"),
    HeaderName::from_static("set-cookie"),
    HeaderName::from_static("strict-transport-security"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("vary"),
    HeaderName::from_static("via"),
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("x-content-type-options"),
    HeaderName::from_static("x-frame-options"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-xss-protection"),
];

/// A head taken apart: its values are slices of the stored block.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredHead {
    /// Final status of the stored response.
    pub status: StatusCode,
    /// Fields as they were stored.
    pub headers: HeaderMap,
}

/// Encodes a head and puts `body` (the pieces of an inline body) behind it. `None` if the head is
/// longer than [`HEAD_BYTES_MAX`]. The second value is the length of the head alone.
pub fn encode(status: StatusCode, headers: &HeaderMap, body: &[Bytes]) -> Option<(Bytes, u32)> {
    let mut head_bytes = PREAMBLE;
    for (name, value) in headers {
        head_bytes += 3 + value.len();
        if code_of(name) == 0 {
            head_bytes += 1 + name.as_str().len();
        }
        if name.as_str().len() > usize::from(u8::MAX) || value.len() > usize::from(u16::MAX) {
            return None;
        }
    }
    if head_bytes > HEAD_BYTES_MAX || headers.len() > FIELDS_MAX {
        return None;
    }
    let body_bytes: usize = body.iter().map(Bytes::len).sum();
    let mut block = BytesMut::with_capacity(head_bytes + body_bytes);
    block.put_u8(VERSION);
    block.put_u16_le(status.as_u16());
    block.put_u16_le(headers.len() as u16);
    block.put_u32_le(head_bytes as u32);
    for (name, value) in headers {
        let code = code_of(name);
        block.put_u8(code);
        if code == 0 {
            block.put_u8(name.as_str().len() as u8);
            block.put_slice(name.as_str().as_bytes());
        }
        block.put_u16_le(value.len() as u16);
        block.put_slice(value.as_bytes());
    }
    debug_assert_eq!(block.len(), head_bytes);
    for piece in body {
        block.put_slice(piece);
    }
    // A vector of exactly this length: nothing rests beside the block.
    Some((Bytes::from(Vec::from(block).into_boxed_slice()), head_bytes as u32))
}

/// Takes a block apart into its head and the inline body behind it (empty if there is none).
/// `None` if it is not a block of ours.
pub fn decode(block: &Bytes) -> Option<(StoredHead, Bytes)> {
    let preamble = block.get(..PREAMBLE)?;
    if preamble[0] != VERSION {
        return None;
    }
    let status = StatusCode::from_u16(u16::from_le_bytes([preamble[1], preamble[2]])).ok()?;
    let fields = usize::from(u16::from_le_bytes([preamble[3], preamble[4]]));
    let head_bytes = u32::from_le_bytes(preamble[5..9].try_into().ok()?) as usize;
    if head_bytes > block.len() {
        return None;
    }
    let mut headers = HeaderMap::try_with_capacity(fields.min(FIELDS_MAX)).ok()?;
    let mut at = PREAMBLE;
    for _ in 0..fields {
        let name = match *block.get(at)? {
            0 => {
                let length = usize::from(*block.get(at + 1)?);
                let name = HeaderName::from_bytes(block.get(at + 2..at + 2 + length)?).ok()?;
                at += 2 + length;
                name
            }
            code => {
                at += 1;
                NAMES.get(usize::from(code) - 1)?.clone()
            }
        };
        let length = usize::from(u16::from_le_bytes(block.get(at..at + 2)?.try_into().ok()?));
        at += 2;
        if at + length > head_bytes {
            return None;
        }
        let value = HeaderValue::from_maybe_shared(block.slice(at..at + length)).ok()?;
        at += length;
        headers.try_append(name, value).ok()?;
    }
    (at == head_bytes).then(|| (StoredHead { status, headers }, block.slice(head_bytes..)))
}

/// Blocks that a thread remembers taken apart, and their greatest length in bytes: at most half a
/// mebibyte per thread is kept longer than the store keeps it.
const KNOWN_MAX: usize = 64;
const KNOWN_BYTES_MAX: usize = 8 * 1024;

/// A block that was decoded before. It is told from others by where it lies in memory, which is
/// safe while `decoded` keeps it there: its values are slices of it.
#[derive(Default)]
struct Known {
    at: usize,
    bytes: usize,
    decoded: Option<(StoredHead, Bytes)>,
}

thread_local! {
    static KNOWN: RefCell<[Known; KNOWN_MAX]> = RefCell::new(std::array::from_fn(|_| Known::default()));
}

/// [`decode`], and the next time only a copy: objects that are asked for again and again need not
/// be parsed again and again. A block is remembered when it is met twice in a row in its place,
/// so what is asked for once costs nothing here.
pub fn decode_again(block: &Bytes) -> Option<(StoredHead, Bytes)> {
    if block.len() > KNOWN_BYTES_MAX {
        return decode(block);
    }
    let (at, bytes) = (block.as_ptr() as usize, block.len());
    // Neighbours in memory lie some hundred bytes apart; the multiplication spreads them.
    let place = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % KNOWN_MAX;
    KNOWN.with_borrow_mut(|known| {
        let known = &mut known[place];
        let is_met = known.at == at && known.bytes == bytes;
        if let Some(decoded) = known.decoded.as_ref().filter(|_| is_met) {
            return Some(decoded.clone());
        }
        let decoded = decode(block)?;
        // An inline body may be empty, and a head without fields has no slices either: then
        // nothing would keep the block where it is.
        let is_kept = is_met && !decoded.1.is_empty();
        *known = Known { at, bytes, decoded: is_kept.then(|| decoded.clone()) };
        Some(decoded)
    })
}

fn code_of(name: &HeaderName) -> u8 {
    NAMES
        .binary_search_by(|known| known.as_str().cmp(name.as_str()))
        .map_or(0, |index| index as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_codes_can_be_searched() {
        assert!(NAMES.is_sorted_by_key(HeaderName::as_str));
        assert!(NAMES.len() < 255);
    }

    #[test]
    fn a_head_comes_back_with_its_body_and_repeated_fields() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        headers.append("x-odd", HeaderValue::from_bytes(b"\xff \t!").expect("obs-text is allowed"));
        headers.append("link", HeaderValue::from_static("<a>"));
        headers.append("link", HeaderValue::from_static("<b>"));
        let body = [Bytes::from_static(b"hel"), Bytes::from_static(b"lo")];
        let (block, head_bytes) = encode(StatusCode::OK, &headers, &body).expect("small");
        assert_eq!(block.len(), head_bytes as usize + 5);
        let (head, rest) = decode(&block).expect("a block of ours");
        assert_eq!(head, StoredHead { status: StatusCode::OK, headers });
        assert_eq!(rest, "hello");
    }

    #[test]
    fn a_block_that_is_met_again_is_the_same_and_another_in_its_place_is_not_mistaken_for_it() {
        let encoded = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.append("etag", HeaderValue::from_str(value).expect("visible"));
            encode(StatusCode::OK, &headers, &[Bytes::from_static(b"body")]).expect("small").0
        };
        // Freed and made again, so that addresses come again.
        for round in 0..1000 {
            let block = encoded(&format!("\"{:04}\"", round % 7));
            for _ in 0..1 + round % 4 {
                assert_eq!(decode_again(&block), decode(&block), "round {round}");
            }
        }
    }

    #[test]
    fn a_damaged_block_is_no_head_and_no_panic() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        headers.append("x-custom", HeaderValue::from_static("1"));
        let (block, _) = encode(StatusCode::OK, &headers, &[]).expect("small");
        for length in 0..block.len() {
            assert!(decode(&block.slice(..length)).is_none());
        }
        for at in 0..block.len() {
            let mut bytes = block.to_vec();
            bytes[at] ^= 0xff;
            let _ = decode(&Bytes::from(bytes));
        }
    }
}
