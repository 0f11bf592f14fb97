//! Where the admin plane listens, and how its connections are kept in bounds.
//!
//! hyper reads and writes; its limits and timer are ours. Clients that connect and say nothing
//! must not lock the operator out: when the last of [`CONNECTIONS_MAX`] places is taken, the connection
//! that has been there longest without a request under way makes room. Stuck ones that are not
//! idle live for two minutes at most.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use selvedge_purge_api::auth::Tokens;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;

use super::{AdminSources, check_exposure, routes};
use crate::accept::listener::ListenAddress;

/// Most connections at a time; a further one takes the place of the oldest idle one, or waits in
/// the kernel's backlog.
pub const CONNECTIONS_MAX: u16 = 64;
/// Longest head, in bytes (431 beyond).
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most fields of a head (431 beyond).
const FIELDS_MAX: usize = 64;
/// From the first byte of a head to its last; an idle connection ends after it, too.
const HEAD_WAIT: Duration = Duration::from_secs(30);
/// Longest life of a connection; a request that is being answered then may end.
const LIFE: Duration = Duration::from_mins(2);
/// What a connection that shall end gets to finish its response.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after an accept call that failed (EMFILE and the like).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bound listener of the admin plane.
#[derive(Debug)]
pub struct AdminListener {
    bound: Bound,
    addr: ListenAddress,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix { listener: UnixListener, file: RemovedAtEnd },
}

/// The file of a socket; it goes when the listener goes.
#[derive(Debug)]
struct RemovedAtEnd(PathBuf);

impl Drop for RemovedAtEnd {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl AdminListener {
    /// Binds, unless the address would expose the plane without a token.
    pub async fn bind(addr: &ListenAddress, tokens: &Tokens) -> io::Result<Self> {
        match addr {
            ListenAddress::Tcp { host, port } => {
                let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for socket in tokio::net::lookup_host((host.as_str(), *port)).await? {
                    check_exposure(socket, tokens)
                        .map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why))?;
                    match TcpListener::bind(socket).await {
                        Ok(listener) => {
                            let addr = listener.local_addr()?.into();
                            return Ok(Self { bound: Bound::Tcp(listener), addr });
                        }
                        Err(why) => last = why,
                    }
                }
                Err(last)
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = bind_unix(path).await?;
                Ok(Self { bound: Bound::Unix { listener, file }, addr: addr.clone() })
            }
        }
    }

    /// Where it listens, with the port that the kernel chose.
    pub fn addr(&self) -> &ListenAddress {
        &self.addr
    }

    /// Serves until `stop` resolves, then lets open requests finish for a few seconds. Runs on
    /// the runtime it is called on.
    pub async fn serve(self, sources: Arc<AdminSources>, stop: impl Future<Output = ()>) {
        let router = routes::router(Arc::clone(&sources));
        let permits = Arc::new(Semaphore::new(usize::from(CONNECTIONS_MAX)));
        let (ending, ended) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut places: VecDeque<Weak<Place>> = VecDeque::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            places.retain(|place| place.strong_count() > 0);
            if permits.available_permits() == 0 {
                let mut open = places.iter().filter_map(Weak::upgrade);
                if let Some(idle) = open.find(|place| !place.busy.load(Ordering::Relaxed)) {
                    idle.leave.notify_one();
                }
            }
            let permit = tokio::select! {
                () = &mut stop => break,
                permit = Arc::clone(&permits).acquire_owned() => permit.expect("never closed"),
            };
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.bound.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    let place = Arc::new(Place::default());
                    places.push_back(Arc::downgrade(&place));
                    let serving = connection(stream, router.clone(), peer, place, ended.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(why) => {
                    tracing::warn!(%why, "the admin plane cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        ending.send_replace(true);
        self.bound.close();
        while connections.join_next().await.is_some() {}
    }
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection, as the accept loop knows it.
#[derive(Debug, Default)]
struct Place {
    /// A request is being answered.
    busy: AtomicBool,
    /// Another connection wants the place.
    leave: Notify,
}

/// Who connected.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Address, or `unix`.
    pub name: String,
    pub is_unix: bool,
}

impl Bound {
    /// Refuses new connections, and takes the name out of the file system.
    fn close(self) {
        match self {
            Self::Tcp(listener) => drop(listener),
            Self::Unix { listener, file } => {
                drop(file);
                drop(listener);
            }
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn Stream>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, addr) = listener.accept().await?;
                let name = addr.ip().to_canonical().to_string();
                Ok((Box::new(stream), Peer { name, is_unix: false }))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let user =
                    stream.peer_cred().map_or(String::new(), |by| format!(" uid {}", by.uid()));
                Ok((Box::new(stream), Peer { name: format!("unix{user}"), is_unix: true }))
            }
        }
    }
}

async fn connection(
    stream: Box<dyn Stream>,
    router: Router,
    peer: Peer,
    place: Arc<Place>,
    mut ended: watch::Receiver<bool>,
) {
    let answering = Arc::clone(&place);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer.clone());
        answering.busy.store(true, Ordering::Relaxed);
        let (answer, answering) =
            (TowerToHyperService::new(router.clone()).call(request), Arc::clone(&answering));
        async move {
            let answer = answer.await;
            answering.busy.store(false, Ordering::Relaxed);
            answer
        }
    });
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WAIT)
            .max_headers(FIELDS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
    );
    let done = tokio::select! {
        done = serving.as_mut() => Some(done),
        () = tokio::time::sleep(LIFE) => None,
        () = place.leave.notified() => None,
        _ = ended.wait_for(|ended| *ended) => None,
    };
    let done = if let Some(done) = done {
        done
    } else {
        serving.as_mut().graceful_shutdown();
        let Ok(done) = tokio::time::timeout(GRACE, serving).await else {
            return tracing::debug!("an admin connection was cut at its deadline");
        };
        done
    };
    if let Err(why) = done {
        tracing::debug!(%why, "an admin connection failed");
    }
}

/// Binds a socket that only its owner may use: the mode is set before anyone can connect. A file
/// that a dead process left is replaced, one that answers is not.
async fn bind_unix(path: &Path) -> io::Result<(UnixListener, RemovedAtEnd)> {
    match UnixStream::connect(path).await {
        Ok(_) => {
            let why = format!("another process answers on unix:{}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
        }
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = RemovedAtEnd(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    socket.listen(i32::from(CONNECTIONS_MAX))?;
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(
        std::os::fd::OwnedFd::from(socket),
    ))?;
    Ok((listener, file))
}
