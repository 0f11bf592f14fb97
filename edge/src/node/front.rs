//! The data threads: listeners, codecs, and the exchanger of each core.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::run::StartError;
use super::{Shared, Worker};
use crate::accept::drain::Drain;
use crate::accept::http1::{self, Http1Config};
use crate::accept::http2::Http2Config;
use crate::accept::listener::{
    Bound, Ceiling, ConnectionSettings, WorkerListener, accept_loop, serve_connection,
};
use crate::accept::tls::{Acceptor, CertificateError, CertificateStore};
use crate::admit::Gate;
use crate::exchange::Exchanger;
use crate::origin::Connections;
use crate::upkeep::config::Config;
use crate::upkeep::runtime::DataThreads;

/// What every connection is served with; swapped by reload.
pub(super) struct Front {
    settings: ArcSwap<Settings>,
    acceptor: Option<Acceptor>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    http1: Http1Config,
    http2: Http2Config,
}

impl Front {
    pub(super) fn new(config: &Config) -> Result<Arc<Self>, StartError> {
        let acceptor = match certificates(config)? {
            Some(store) => Some(Acceptor::new(store, config.deadlines.handshake_ms)?),
            None => None,
        };
        Ok(Arc::new(Self { settings: ArcSwap::from_pointee(settings(config)), acceptor }))
    }

    /// Puts other limits, deadlines and certificates in force for connections to come.
    pub(super) fn replace(&self, config: &Config, certificates: Option<CertificateStore>) {
        if let (Some(acceptor), Some(certificates)) = (&self.acceptor, certificates) {
            acceptor.replace(certificates);
        }
        self.settings.store(Arc::new(settings(config)));
    }
}

fn settings(config: &Config) -> Settings {
    let (limits, deadlines) = (config.limits.head, config.deadlines);
    Settings {
        http1: Http1Config { limits, deadlines, ..Http1Config::default() },
        http2: Http2Config {
            header_list_bytes_max: limits.head_bytes_max as u32,
            deadlines,
            ..Http2Config::default()
        },
    }
}

/// The configured certificates; `None` when TLS is not configured.
pub(super) fn certificates(config: &Config) -> Result<Option<CertificateStore>, CertificateError> {
    if config.tls.is_empty() {
        return Ok(None);
    }
    let pairs: Vec<_> = config.tls.iter().map(|pair| (&pair.cert, &pair.key)).collect();
    CertificateStore::load(&pairs).map(Some)
}

/// Starts the data threads, each with its share of the listeners.
pub(super) fn start_workers(
    config: &Config,
    shared: &Arc<Shared>,
    front: &Arc<Front>,
    drain: &Drain,
    plain: Vec<Bound>,
    tls: Vec<Bound>,
) -> Result<DataThreads, StartError> {
    let workers = config.node.workers;
    let mut shares: Vec<Vec<(WorkerListener, bool)>> =
        (0..workers.get()).map(|_| Vec::new()).collect();
    let all = plain.into_iter().map(|bound| (bound, false));
    for (bound, is_tls) in all.chain(tls.into_iter().map(|bound| (bound, true))) {
        for (share, listener) in shares.iter_mut().zip(bound.split()) {
            share.push((listener, is_tls));
        }
    }
    let shares: Vec<_> = shares.into_iter().map(|share| Mutex::new(Some(share))).collect();
    let ceiling = Ceiling::new(config.node.connections_max);
    let (shared, front, drain) = (Arc::clone(shared), Arc::clone(front), drain.clone());
    DataThreads::start(workers, move |number| {
        let share = shares[number].lock().take().unwrap_or_default();
        let life = Life {
            exchanger: Exchanger {
                shared: Arc::clone(&shared),
                worker: Rc::new(Worker {
                    connections: Connections::within(shared.cache.budget.clone()),
                }),
            },
            front: Arc::clone(&front),
            ceiling: Arc::clone(&ceiling),
            drain: drain.clone(),
        };
        life.run(share)
    })
    .map_err(|source| StartError::System { what: "data threads cannot be started", source })
}

/// The life of one data thread.
struct Life {
    exchanger: Exchanger,
    front: Arc<Front>,
    ceiling: Arc<Ceiling>,
    drain: Drain,
}

impl Life {
    async fn run(self, share: Vec<(WorkerListener, bool)>) {
        let mut loops = tokio::task::JoinSet::new();
        for (listener, is_tls) in share {
            let listener = match listener.open() {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "a listener cannot be registered");
                    return;
                }
            };
            let (exchanger, front) = (self.exchanger.clone(), Arc::clone(&self.front));
            let drain = self.drain.clone();
            let serve = move |accepted| {
                let settings = **front.settings.load();
                let handshake_ms = settings.http1.deadlines.handshake_ms;
                let tls = front.acceptor.clone().filter(|_| is_tls);
                let tls = tls.map(|acceptor| acceptor.within(handshake_ms));
                let connection = ConnectionSettings { tls, http2: settings.http2 };
                serve_connection(
                    accepted,
                    connection,
                    exchanger.clone(),
                    drain.subscribe(),
                    move |wire, connection, handler, drain| async move {
                        let config = settings.http1;
                        let ending =
                            http1::serve::<Gate, _, _>(wire, connection, handler, config, drain);
                        if let http1::Ending::Cut { io, open_ended: true } = ending.await {
                            io.reset();
                        }
                    },
                )
            };
            loops.spawn_local(accept_loop(
                listener,
                Arc::clone(&self.ceiling),
                self.drain.clone(),
                serve,
            ));
        }
        while loops.join_next().await.is_some() {}
        // Open connections and fills of this core live on until the drain is over.
        self.drain.wait(Duration::from_hours(1)).await;
        self.exchanger.worker.connections.close_idle();
    }
}
