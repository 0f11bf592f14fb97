//! A response head on the wire, as hyper would write it.

use http::{StatusCode, header};

use crate::accept::http1::reply::Framed;

/// Appends the head, if this response can leave without hyper: its content is in hand, it speaks
/// of nothing but itself, and it carries a date. Otherwise what `out` holds is of no use.
pub(super) fn head<B>(framed: &Framed<B>, is_head: bool, out: &mut Vec<u8>) -> bool {
    let head = &framed.head;
    let (Some(length), Some(reason)) = (framed.whole(), head.status.canonical_reason()) else {
        return false;
    };
    out.reserve(HEAD_BYTES);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let (mut has_length, mut has_date) = (false, false);
    for (name, value) in &head.headers {
        match *name {
            header::CONTENT_LENGTH => has_length = true,
            header::DATE => has_date = true,
            header::CONNECTION => return false,
            _ => {}
        }
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    let bodiless =
        is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_length && !bodiless {
        field(out, b"content-length", length.to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    has_date
}

/// Room that is made at once for a head, in bytes; most are shorter.
const HEAD_BYTES: usize = 2 * 1024;

#[inline]
fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
