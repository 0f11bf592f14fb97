//! Which requests are plain, and their heads as the handler gets them.
//!
//! The gate has checked every byte, so this reader only takes apart. What it does not like goes to
//! hyper, which does the same for everything: methods with another meaning of content, HTTP/1.0
//! with its own ideas of a connection, and fields that ask something of the connection.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri, Version, header};

/// The end of the request line of HTTP/1.1.
const VERSION: &[u8] = b" HTTP/1.1";

/// The head of a request that asks nothing of the connection; `None` for any other. `bytes` is a
/// whole head that the gate has released.
pub(super) fn plain(bytes: &[u8]) -> Option<Parts> {
    let (method, skipped) = match bytes {
        [b'G', b'E', b'T', b' ', ..] => (Method::GET, 4),
        [b'H', b'E', b'A', b'D', b' ', ..] => (Method::HEAD, 5),
        _ => return None,
    };
    let line_end = memchr::memchr(b'\r', bytes)?;
    let target = bytes.get(skipped..line_end)?.strip_suffix(VERSION)?.len();
    // One copy of the head: its parts share it, and the transport's buffer is left to hyper.
    let text = Bytes::copy_from_slice(bytes);
    let uri = Uri::from_maybe_shared(text.slice(skipped..skipped + target)).ok()?;
    let headers = fields(&text, line_end + 2)?;

    let (mut head, ()) = Request::new(()).into_parts();
    head.method = method;
    head.uri = uri;
    head.version = Version::HTTP_11;
    head.headers = headers;
    Some(head)
}

/// The fields from `at` to the empty line.
fn fields(text: &Bytes, mut at: usize) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    loop {
        let line = &text[at..];
        let end = memchr::memchr(b'\r', line)?;
        if end == 0 {
            return (at + 2 == text.len()).then_some(headers);
        }
        let colon = memchr::memchr(b':', &line[..end])?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = line[colon + 1..end].trim_ascii();
        if asks_of_the_connection(&name, value) {
            return None;
        }
        let value = HeaderValue::from_maybe_shared(text.slice_ref(value)).ok()?;
        headers.try_append(name, value).ok()?;
        at += end + 2;
    }
}

/// Whether a field is about more than the answer.
fn asks_of_the_connection(name: &HeaderName, value: &[u8]) -> bool {
    match *name {
        header::UPGRADE | header::EXPECT | header::TRANSFER_ENCODING => true,
        header::CONNECTION => !value.eq_ignore_ascii_case(b"keep-alive"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_head_is_taken_apart() {
        let head = plain(
            b"GET /a?b=c HTTP/1.1\r\nHost: example\r\nX-Two:\t 1 \r\nx-two:2\r\nempty:\r\n\
              Connection: Keep-Alive\r\n\r\n",
        );
        let head = head.expect("it is plain");
        assert_eq!((head.method, head.uri.to_string().as_str()), (Method::GET, "/a?b=c"));
        assert_eq!(head.headers["host"], "example");
        assert_eq!(head.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(head.headers["empty"], "");
    }

    #[test]
    fn what_asks_something_of_the_connection_is_for_hyper() {
        for head in [
            "POST / HTTP/1.1\r\n\r\n",
            "GETS / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: keep-alive, x\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nmore",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1",
        ] {
            assert!(plain(head.as_bytes()).is_none(), "{head:?}");
        }
    }
}
