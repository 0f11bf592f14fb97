//! First bytes in the clear: HTTP/2 with prior knowledge, or HTTP/1.
//!
//! The client's preface (RFC 9113 §3.4) begins like no HTTP/1 request that we would answer
//! (method `PRI`). Bytes are read until they tell, and given back by [`Rewind`]. On TLS
//! connections ALPN decides instead.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::connection::Protocol;
use crate::journal::{COUNTERS, Counters};

/// What tells: the request line of the preface.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";

/// Read at once while looking: most request heads fit, so that detection costs no extra read.
const PEEK_BYTES: usize = 2 * 1024;

/// What the first bytes say; `None`: more are needed.
pub fn decide(bytes: &[u8]) -> Option<Protocol> {
    let common = bytes.len().min(PREFACE_LINE.len());
    if bytes[..common] != PREFACE_LINE[..common] {
        Some(Protocol::Http1)
    } else if common == PREFACE_LINE.len() {
        Some(Protocol::Http2)
    } else {
        None
    }
}

/// Reads until the protocol is known, no longer than `head_ms`. `UnexpectedEof` is a peer that
/// left without a word, `TimedOut` one that said nothing (counted).
pub async fn detect<IO>(mut io: IO, head_ms: u64) -> io::Result<(Protocol, Rewind<IO>)>
where
    IO: AsyncRead + Unpin,
{
    let mut bytes = Vec::with_capacity(PEEK_BYTES);
    let looking = async {
        loop {
            if io.read_buf(&mut bytes).await? == 0 {
                // A half-sent preface is nobody's request.
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if let Some(protocol) = decide(&bytes) {
                return Ok(protocol);
            }
        }
    };
    let Ok(protocol) = tokio::time::timeout(Duration::from_millis(head_ms), looking).await else {
        Counters::bump(&COUNTERS.client_deadlines);
        return Err(io::ErrorKind::TimedOut.into());
    };
    Ok((protocol?, Rewind { bytes, taken: 0, io }))
}

/// A transport that first yields bytes which were read before.
#[derive(Debug)]
pub struct Rewind<IO> {
    bytes: Vec<u8>,
    taken: usize,
    io: IO,
}

impl<IO> Rewind<IO> {
    /// The transport itself.
    pub const fn get_ref(&self) -> &IO {
        &self.io
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewind<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.bytes.len() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let left = &this.bytes[this.taken..];
        let n = left.len().min(buf.remaining());
        buf.put_slice(&left[..n]);
        this.taken += n;
        if this.taken == this.bytes.len() {
            this.bytes = Vec::new(); // an idle connection keeps nothing
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewind<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        assert_eq!(decide(b""), None);
        assert_eq!(decide(b"PRI"), None);
        assert_eq!(decide(b"PRI * HTTP/2.0"), Some(Protocol::Http2));
        assert_eq!(decide(b"PRI * HTTP/2.0\r\n\r\nSM"), Some(Protocol::Http2));
        assert_eq!(decide(b"PRI * HTTP/1.1"), Some(Protocol::Http1));
        assert_eq!(decide(b"PRIVATE / HTTP/1.1"), Some(Protocol::Http1));
        assert_eq!(decide(b"G"), Some(Protocol::Http1));
        assert_eq!(decide(b"\r\nPRI"), Some(Protocol::Http1));
    }

    #[tokio::test]
    async fn what_was_read_is_given_back() {
        let (mut client, server) = tokio::io::duplex(3);
        let sent: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and more";
        let writing = async {
            client.write_all(sent).await.expect("written");
            drop(client);
        };
        let reading = async {
            let (protocol, mut io) = detect(server, 1_000).await.expect("detected");
            let mut all = Vec::new();
            io.read_to_end(&mut all).await.expect("read");
            (protocol, all)
        };
        let ((), (protocol, all)) = tokio::join!(writing, reading);
        assert_eq!(protocol, Protocol::Http2);
        assert_eq!(all, sent);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_leaving_are_errors() {
        let (_client, server) = tokio::io::duplex(64);
        let error = detect(server, 1_000).await.expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"PRI * HT").await.expect("written");
        drop(client);
        let error = detect(server, 1_000).await.expect_err("half a preface");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
