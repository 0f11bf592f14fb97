//! The transports that connections run over, as one type.
//!
//! Codecs are generic, and each instance of one is much code; so TCP and Unix sockets are one
//! enum, and clear and TLS another, and the branch costs less than a cache miss.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::accept::detect::Rewind;

/// An accepted socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// What a codec reads and writes.
#[derive(Debug)]
pub enum Wire {
    /// In the clear; what detection read comes again.
    Clear(Rewind<Socket>),
    /// Inside TLS.
    Tls(Box<TlsStream<Socket>>),
}

impl Socket {
    /// Makes the close that follows a reset. What the kernel has not sent yet is lost.
    fn reset_on_close(&self) {
        // A Unix socket has no reset; its peer sees an end.
        if let Self::Tcp(stream) = self
            && let Err(error) = stream.set_zero_linger()
        {
            tracing::debug!(%error, "a connection ends in order that should be reset");
        }
    }
}

impl Wire {
    /// Ends the connection so that the peer sees a reset and not an end.
    pub fn reset(self) {
        match self {
            Self::Clear(rewind) => rewind.get_ref().reset_on_close(),
            Self::Tls(stream) => stream.get_ref().0.reset_on_close(),
        }
    }
}

macro_rules! delegate {
    ($kind:ident: $($variant:ident),*) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_read(cx, buf),)* }
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_write(cx, bytes),)* }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    $(Self::$variant(io) => Pin::new(io).poll_write_vectored(cx, slices),)*
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self { $(Self::$variant(io) => io.is_write_vectored(),)* }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_flush(cx),)* }
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() { $(Self::$variant(io) => Pin::new(io).poll_shutdown(cx),)* }
            }
        }
    };
}

delegate!(Socket: Tcp, Unix);
delegate!(Wire: Clear, Tls);
