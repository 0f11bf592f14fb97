//! Sockets for an address: one per worker.
//!
//! TCP: each worker has a socket of its own with `SO_REUSEPORT`, and the kernel spreads the
//! connections. But `SO_REUSEPORT` also lets a second process of the same user listen in
//! silence and take half the traffic; so a probe without it binds first, and a double start is
//! told. Unix sockets have no such thing: one worker accepts and hands on in turn. A socket
//! file that is left over is removed only when nothing answers on it.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::address::ListenAddress;
use super::socket::Socket;
use crate::accept::connection::Peer;

/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 4_096;
/// Unix connections handed to a worker that it has not taken yet; more go to another worker.
const HANDED_MAX: usize = 128;
/// How often a system-chosen port is tried again when another process took it in between.
const PORT_TRIES_MAX: usize = 8;
/// Quiet time before the kernel asks whether a peer is still there, and between questions.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Why an address cannot be listened on. The message names the address and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Someone else listens there.
    #[error(
        "cannot listen on {address}: it is in use by another process; stop that process or choose another address with {option}"
    )]
    InUse {
        /// The address.
        address: String,
        /// The option to change.
        option: &'static str,
    },
    /// The system does not allow it.
    #[error(
        "cannot listen on {address}: permission denied; ports below 1024 and protected folders need privileges, or choose another address with {option}"
    )]
    Denied {
        /// The address.
        address: String,
        /// The option to change.
        option: &'static str,
    },
    /// The host is not an address of this machine, or has none.
    #[error(
        "cannot listen on {address}: the host is no address of this machine ({source}); change {option}"
    )]
    NoSuchHost {
        /// The address.
        address: String,
        /// The option to change.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is a file in the way that is not a socket.
    #[error(
        "cannot listen on {address}: a file that is not a socket is there; remove it or change {option}"
    )]
    NotASocket {
        /// The address.
        address: String,
        /// The option to change.
        option: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address} (option {option}): {source}")]
    Io {
        /// The address.
        address: String,
        /// The option to change.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Sockets that are bound and listen, not yet given to workers.
#[derive(Debug)]
pub struct Bound {
    local: String,
    sockets: Sockets,
    workers: usize,
}

#[derive(Debug)]
enum Sockets {
    Tcp(Vec<StdTcpListener>),
    Unix(StdUnixListener),
}

/// Binds `address` for `workers` workers. A name with several addresses yields a [`Bound`] for
/// each. `option` is what a message tells the operator to change, for example `--listen`.
pub fn bind(
    address: &ListenAddress,
    workers: usize,
    option: &'static str,
) -> Result<Vec<Bound>, ListenError> {
    let workers = workers.max(1);
    let explain = |local: String| move |source: io::Error| explained(local, option, source);
    match address {
        ListenAddress::Unix(path) => {
            let listener = bind_unix(path, &address.to_string(), option)?;
            Ok(vec![Bound {
                local: address.to_string(),
                sockets: Sockets::Unix(listener),
                workers,
            }])
        }
        ListenAddress::Tcp { host, port } => {
            let resolved = (host.as_str(), *port).to_socket_addrs();
            let resolved = resolved.map_err(|source| ListenError::NoSuchHost {
                address: address.to_string(),
                option,
                source,
            })?;
            let mut all: Vec<Bound> = Vec::new();
            let mut chosen_port = *port;
            for mut socket_address in resolved {
                // A name with two addresses and port 0 means one port, not two.
                socket_address.set_port(chosen_port);
                if all.iter().any(|bound| bound.local == socket_address.to_string()) {
                    continue;
                }
                let (local, sockets) = bind_tcp(socket_address, workers)
                    .map_err(explain(socket_address.to_string()))?;
                chosen_port = local.port();
                all.push(Bound {
                    local: local.to_string(),
                    sockets: Sockets::Tcp(sockets),
                    workers,
                });
            }
            Ok(all)
        }
    }
}

impl Bound {
    /// Where it listens, with the real port: `127.0.0.1:8080`, `unix:/run/x.sock`.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// One listener per worker, each to be opened on its worker's runtime.
    pub fn split(self) -> Vec<WorkerListener> {
        let local = self.local;
        match self.sockets {
            Sockets::Tcp(sockets) => sockets
                .into_iter()
                .map(|socket| WorkerListener { local: local.clone(), kind: Kind::Tcp(socket) })
                .collect(),
            Sockets::Unix(socket) => {
                let (others, receivers): (Vec<_>, Vec<_>) =
                    (1..self.workers).map(|_| mpsc::channel(HANDED_MAX)).unzip();
                let first = Kind::Unix { socket, others };
                std::iter::once(first)
                    .chain(receivers.into_iter().map(Kind::Handed))
                    .map(|kind| WorkerListener { local: local.clone(), kind })
                    .collect()
            }
        }
    }
}

/// A worker's share of a [`Bound`]; may be sent to the worker's thread.
#[derive(Debug)]
pub struct WorkerListener {
    local: String,
    kind: Kind<StdTcpListener, StdUnixListener>,
}

#[derive(Debug)]
enum Kind<Tcp, Unix> {
    Tcp(Tcp),
    Unix { socket: Unix, others: Vec<mpsc::Sender<StdUnixStream>> },
    Handed(mpsc::Receiver<StdUnixStream>),
}

impl WorkerListener {
    /// Registers with the runtime that this is called on.
    pub fn open(self) -> io::Result<Listener> {
        let kind = match self.kind {
            Kind::Tcp(socket) => Kind::Tcp(TcpListener::from_std(socket)?),
            Kind::Unix { socket, others } => {
                Kind::Unix { socket: UnixListener::from_std(socket)?, others }
            }
            Kind::Handed(receiver) => Kind::Handed(receiver),
        };
        Ok(Listener { local: self.local, kind, turn: 0 })
    }
}

/// A listener on its worker's runtime.
#[derive(Debug)]
pub struct Listener {
    local: String,
    kind: Kind<TcpListener, UnixListener>,
    /// Whose turn it is to be handed a Unix connection; 0 is this worker.
    turn: usize,
}

impl Listener {
    /// Where it listens.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The next connection; `None` when there will be no more (the accepting worker is gone).
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(Socket, Peer)>>> {
        match &mut self.kind {
            Kind::Tcp(socket) => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                Poll::Ready(Ok(Some((Socket::Tcp(stream), Peer::Ip(peer)))))
            }
            Kind::Handed(receiver) => Poll::Ready(match ready!(receiver.poll_recv(cx)) {
                Some(stream) => {
                    UnixStream::from_std(stream).map(|it| Some((Socket::Unix(it), Peer::Unix)))
                }
                None => Ok(None),
            }),
            Kind::Unix { socket, others } => loop {
                let (stream, _) = ready!(socket.poll_accept(cx))?;
                let turn = self.turn;
                self.turn = (turn + 1) % (others.len() + 1);
                let Some(other) = turn.checked_sub(1).and_then(|n| others.get(n)) else {
                    return Poll::Ready(Ok(Some((Socket::Unix(stream), Peer::Unix))));
                };
                // A worker that is full or gone: the connection stays here.
                let stream = match other.try_send(stream.into_std()?) {
                    Ok(()) => continue,
                    Err(refused) => refused.into_inner(),
                };
                let stream = UnixStream::from_std(stream)?;
                return Poll::Ready(Ok(Some((Socket::Unix(stream), Peer::Unix))));
            },
        }
    }

    /// A connection that is already in the queue; `None` when it is empty. Asks the kernel:
    /// what the reactor knows of the queue may be older than the queue.
    pub(super) fn accept_queued(&mut self) -> io::Result<Option<(Socket, Peer)>> {
        let accepted = match &mut self.kind {
            Kind::Handed(receiver) => {
                receiver.close(); // from now on the handing worker keeps what it accepts
                return match receiver.try_recv() {
                    Ok(stream) => {
                        UnixStream::from_std(stream).map(|it| Some((Socket::Unix(it), Peer::Unix)))
                    }
                    Err(_) => Ok(None),
                };
            }
            Kind::Tcp(socket) => SockRef::from(&*socket).accept(),
            // No worker takes turns any more.
            Kind::Unix { socket, .. } => SockRef::from(&*socket).accept(),
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        Ok(Some(match address.as_socket() {
            Some(peer) => (Socket::Tcp(TcpStream::from_std(socket.into())?), Peer::Ip(peer)),
            None => (Socket::Unix(UnixStream::from_std(socket.into())?), Peer::Unix),
        }))
    }
}

fn explained(address: String, option: &'static str, source: io::Error) -> ListenError {
    match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address, option },
        io::ErrorKind::PermissionDenied => ListenError::Denied { address, option },
        io::ErrorKind::AddrNotAvailable => ListenError::NoSuchHost { address, option, source },
        _ => ListenError::Io { address, option, source },
    }
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<StdTcpListener>)> {
    if address.port() != 0 {
        tcp_socket(address, false)?; // the probe: told if someone listens, closed again
        return share_port(address, workers);
    }
    let mut tries = 0;
    loop {
        // The kernel chooses no port that anyone has, even with SO_REUSEPORT.
        let first = listening(tcp_socket(address, true)?)?;
        let chosen = first.local_addr()?;
        tries += 1;
        match share_port(chosen, workers - 1) {
            Ok((local, mut sockets)) => {
                sockets.insert(0, first);
                return Ok((local, sockets));
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < PORT_TRIES_MAX => {}
            Err(error) => return Err(error),
        }
    }
}

fn share_port(
    address: SocketAddr,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<StdTcpListener>)> {
    let sockets = (0..workers).map(|_| listening(tcp_socket(address, true)?));
    Ok((address, sockets.collect::<io::Result<_>>()?))
}

fn tcp_socket(address: SocketAddr, is_shared: bool) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?; // connections of the last run in TIME_WAIT are no obstacle
    socket.set_reuse_port(is_shared)?;
    if address.is_ipv6() {
        // `[::]` means both families, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Starts to listen. Accepted sockets inherit the options from here, which spares system calls
/// per connection.
fn listening(socket: RawSocket) -> io::Result<StdTcpListener> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(
    path: &Path,
    address: &str,
    option: &'static str,
) -> Result<StdUnixListener, ListenError> {
    let explain = |source| explained(address.to_owned(), option, source);
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(ListenError::NotASocket { address: address.to_owned(), option });
        }
        match StdUnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(explain)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It answers, or its queue is full (WouldBlock): someone is there.
            Ok(_) => return Err(explain(io::ErrorKind::AddrInUse.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(explain(io::ErrorKind::AddrInUse.into()));
            }
            Err(error) => return Err(explain(error)),
        }
    }
    let listener = StdUnixListener::bind(path).map_err(explain)?;
    listener.set_nonblocking(true).map_err(explain)?;
    Ok(listener)
}
