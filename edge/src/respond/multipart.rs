//! The framing of several parts in one content: `multipart/byteranges` (RFC 9110 §14.6).
//!
//! A head before each part and a tail after the last, made beforehand, so that the length of the
//! whole is known before the first byte is sent. Does not touch the content.

use bytes::Bytes;
use http::header::HeaderValue;
use selvedge_cache::range::{ByteRange, ContentRange};
use smallvec::SmallVec;

/// The framing of one content.
#[derive(Clone, Debug)]
pub struct Multipart {
    heads: SmallVec<[Bytes; 4]>,
    tail: Bytes,
    boundary: String,
    content_length: u64,
}

impl Multipart {
    /// `content_type` is that of the content; `unique` must not be known to whoever wrote the
    /// content (a random number), so that it cannot contain the boundary.
    pub fn new(
        parts: &[ByteRange],
        length: u64,
        content_type: Option<&HeaderValue>,
        unique: u128,
    ) -> Self {
        let boundary = format!("{unique:032x}");
        let head = |part: &ByteRange| {
            let content_range = ContentRange::Part { range: *part, length: Some(length) };
            let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
            if let Some(content_type) = content_type {
                head.extend_from_slice(b"Content-Type: ");
                head.extend_from_slice(content_type.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"Content-Range: ");
            head.extend_from_slice(content_range.to_value().as_bytes());
            head.extend_from_slice(b"\r\n\r\n");
            Bytes::from(head)
        };
        let heads: SmallVec<[Bytes; 4]> = parts.iter().map(head).collect();
        let tail = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let framing = heads.iter().map(Bytes::len).sum::<usize>() + tail.len();
        let content = parts.iter().map(ByteRange::len).sum::<u64>();
        Self { heads, tail, boundary, content_length: content + framing as u64 }
    }

    /// What is sent before part `index`.
    pub fn head(&self, index: usize) -> Option<&Bytes> {
        self.heads.get(index)
    }

    /// What is sent after the last part.
    pub const fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// `Content-Length` of the whole response.
    pub const fn content_length(&self) -> u64 {
        self.content_length
    }

    /// `Content-Type` of the whole response.
    pub fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/byteranges; boundary={}", self.boundary);
        HeaderValue::try_from(text).expect("hexadecimal digits are visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multipart_content_has_the_length_it_says() {
        let parts = [ByteRange { first: 0, last: 1 }, ByteRange { first: 7, last: 9 }];
        let plain = HeaderValue::from_static("text/plain");
        let multipart = Multipart::new(&parts, 10, Some(&plain), 7);
        let content = b"0123456789";
        let mut sent = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            sent.extend_from_slice(multipart.head(index).expect("a head for each part"));
            sent.extend_from_slice(&content[part.first as usize..=part.last as usize]);
        }
        sent.extend_from_slice(multipart.tail());
        assert_eq!(multipart.content_length(), sent.len() as u64);
        let boundary = "00000000000000000000000000000007";
        assert_eq!(
            String::from_utf8(sent).expect("text"),
            format!(
                "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
                 \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789\
                 \r\n--{boundary}--\r\n"
            )
        );
        let expected = format!("multipart/byteranges; boundary={boundary}");
        assert_eq!(multipart.content_type(), expected);
    }
}
