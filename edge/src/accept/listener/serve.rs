//! One accepted connection to its codec.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::accept::Accepted;
use super::socket::{Socket, Wire};
use crate::accept::connection::{Protocol, TlsFacts};
use crate::accept::detect::detect;
use crate::accept::http2::{self, Http2Config};
use crate::accept::tls::Acceptor;
use crate::accept::{Connection, Handler};

/// What the connections of a listener have in common.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSettings {
    /// Set on TLS listeners.
    pub tls: Option<Acceptor>,
    /// Limits of H2; its deadlines also bound detection.
    pub http2: Http2Config,
}

/// Serves a connection until it ends. `http1` is the H1 codec:
/// `|wire, connection, handler, drain| http1::serve::<Gate, _, _>(wire, connection, handler, config, drain)`.
pub async fn serve_connection<H, Http1, Serving>(
    accepted: Accepted,
    settings: ConnectionSettings,
    handler: H,
    drain: watch::Receiver<bool>,
    http1: Http1,
) where
    H: Handler,
    Http1: FnOnce(Wire, Arc<Connection>, H, watch::Receiver<bool>) -> Serving,
    Serving: Future<Output = ()>,
{
    let Accepted { socket, peer, local, at } = accepted;
    let opened = tokio::select! {
        opened = open(socket, &settings) => opened,
        // A peer that has said nothing when the drain begins may have a request on its way.
        () = begun_and_over(drain.clone(), settings.http2.deadlines.linger_ms) => return,
    };
    let (wire, protocol, tls) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::debug!(%error, ?peer, local, "connection not opened");
            return;
        }
    };
    let id = Connection::next_id();
    let connection = Arc::new(Connection { id, peer, local, protocol, tls, accepted: at });
    // Boxed: a connection keeps room for the protocol that it speaks, and only once it does.
    match protocol {
        Protocol::Http1 => Box::pin(http1(wire, connection, handler, drain)).await,
        Protocol::Http2 => {
            Box::pin(http2::serve(wire, connection, handler, settings.http2, drain)).await;
        }
    }
}

async fn open(
    socket: Socket,
    settings: &ConnectionSettings,
) -> io::Result<(Wire, Protocol, Option<TlsFacts>)> {
    if let Some(acceptor) = &settings.tls {
        let (stream, facts, protocol) = acceptor.accept(socket).await?;
        return Ok((Wire::Tls(Box::new(stream)), protocol, Some(facts)));
    }
    let (protocol, rewind) = detect(socket, settings.http2.deadlines.head_ms).await?;
    Ok((Wire::Clear(rewind), protocol, None))
}

/// Ends `patience_ms` after the drain began.
async fn begun_and_over(mut drain: watch::Receiver<bool>, patience_ms: u64) {
    if drain.wait_for(|is_draining| *is_draining).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_millis(patience_ms)).await;
}
