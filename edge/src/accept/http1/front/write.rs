//! A response head on the wire, as hyper would write it.

use http::{StatusCode, header};

use crate::accept::http1::reply::Framed;

/// Appends the head, if this response can leave without hyper: its content is in hand, it speaks
/// of nothing but itself, and it carries a date. Otherwise `out` stays as it is.
pub(super) fn head<B>(framed: &Framed<B>, is_head: bool, out: &mut Vec<u8>) -> bool {
    let head = &framed.head;
    let (Some(length), Some(reason)) = (framed.whole(), head.status.canonical_reason()) else {
        return false;
    };
    if !head.headers.contains_key(header::DATE) || head.headers.contains_key(header::CONNECTION) {
        return false;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut has_length = false;
    for (name, value) in &head.headers {
        has_length |= *name == header::CONTENT_LENGTH;
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    let bodiless =
        is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !has_length && !bodiless {
        field(out, b"content-length", length.to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    true
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
