//! From an origin's address to a stream of bytes.
//!
//! Resolve, connect, shake hands: three waits with a deadline each. The addresses of a name are
//! raced in a simple form of RFC 8305: the next one starts when the one before has failed or has
//! been silent for a moment, and the first that answers wins.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Origin, Pool, tls};
use crate::error::{Cause, Error};
use crate::origin::address::{OriginAddress, OriginHost};
use crate::origin::config::wait;

/// Head start of an address over the next one (RFC 8305 §8, Connection Attempt Delay).
const HEAD_START: Duration = Duration::from_millis(250);
/// Silence on a connection after which the kernel asks whether the peer still lives.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A connected stream.
#[derive(Debug)]
pub enum Transport {
    /// `http://`.
    Tcp(TcpStream),
    /// `https://`.
    Tls(Box<TlsStream<TcpStream>>),
    /// `unix:`.
    Unix(UnixStream),
}

/// Connects to an origin of this pool.
pub async fn connect(pool: &Pool, origin: &Origin) -> Result<Transport, Error> {
    let deadlines = &pool.config().deadlines;
    let patience = wait(deadlines.connect_ms);
    let (host, port) = match &origin.config.address {
        OriginAddress::Unix(path) => return connect_socket(path, patience).await,
        OriginAddress::Net { host, port, .. } => (host, *port),
    };
    let stream = match (host, &origin.resolver) {
        (OriginHost::Name(_), Some(resolver)) => {
            let addresses = resolver.addresses().await?;
            within(patience, race(&addresses)).await?
        }
        (OriginHost::Ip(ip), _) => within(patience, dial((*ip, port).into())).await?,
        (OriginHost::Name(_), None) => return Err(Cause::Internal.into()),
    };
    let Some((config, name)) = pool.tls().zip(origin.server_name.clone()) else {
        return Ok(Transport::Tcp(stream));
    };
    let handshake = TlsConnector::from(config).connect(name, stream);
    match timeout(wait(deadlines.tls_ms), handshake).await {
        Ok(Ok(stream)) => Ok(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(tls::handshake_error(error)),
        Err(_) => Err(Error::with(
            Cause::OriginTlsTimeout,
            format!("no TLS handshake within {} ms", deadlines.tls_ms),
        )),
    }
}

async fn connect_socket(path: &Path, patience: Duration) -> Result<Transport, Error> {
    within(patience, UnixStream::connect(path)).await.map(Transport::Unix)
}

async fn within<T>(
    patience: Duration,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T, Error> {
    match timeout(patience, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Error::with(cause_of(&error), error)),
        Err(_) => Err(Error::with(
            Cause::OriginConnectTimeout,
            format!("no connection within {} ms", patience.as_millis()),
        )),
    }
}

/// The first address that answers; when none does, the error that tells most.
async fn race(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed: Option<io::Error> = None;
    let mut under_way = FuturesUnordered::new();
    let mut rest = addresses.iter().copied();
    loop {
        if let Some(address) = rest.next() {
            under_way.push(dial(address));
        }
        let more = rest.len() > 0;
        tokio::select! {
            biased;
            ended = under_way.next() => match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => {
                    // "Refused" says more of the origin than "this family has no route".
                    let tells_more = error.kind() == io::ErrorKind::ConnectionRefused;
                    if failed.is_none() || tells_more {
                        failed = Some(error);
                    }
                }
                None => return Err(failed.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(stream)
}

/// Running out of descriptors or ports is our trouble and no mark against the origin.
fn cause_of(error: &io::Error) -> Cause {
    use rustix::io::Errno;
    let ours = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    if let Some(number) = error.raw_os_error()
        && ours.iter().any(|errno| errno.raw_os_error() == number)
    {
        return Cause::Overloaded;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::OriginRefused,
        io::ErrorKind::TimedOut => Cause::OriginConnectTimeout,
        _ => Cause::OriginUnreachable,
    }
}

// === impl Transport ===

macro_rules! delegate {
    ($transport:expr, $stream:ident => $call:expr) => {
        match $transport {
            Transport::Tcp($stream) => $call,
            Transport::Tls($stream) => $call,
            Transport::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        delegate!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let good = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        // Bound and not listening: refuses, and nobody else gets the port meanwhile.
        let deaf = tokio::net::TcpSocket::new_v4().expect("a socket");
        deaf.bind("127.0.0.1:0".parse().expect("loopback")).expect("bound");
        let refusing = deaf.local_addr().expect("bound");
        let there = good.local_addr().expect("bound");
        let stream = race(&[refusing, there]).await.expect("the second");
        assert_eq!(stream.peer_addr().expect("connected"), there);
        let error = race(&[refusing, refusing]).await.expect_err("nobody listens");
        assert_eq!(cause_of(&error), Cause::OriginRefused);
        let error = race(&[]).await.expect_err("no address");
        assert_eq!(cause_of(&error), Cause::OriginUnreachable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_has_a_deadline() {
        let silent = std::future::pending::<io::Result<()>>();
        let error = within(Duration::from_millis(50), silent).await.expect_err("silence");
        assert_eq!(error.cause, Cause::OriginConnectTimeout);
    }

    #[test]
    fn our_own_shortages_are_not_the_origins_fault() {
        let full = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        assert_eq!(cause_of(&full), Cause::Overloaded);
    }
}
