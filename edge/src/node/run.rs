//! Starting, serving, reloading, draining.
//!
//! The order of a start: what can be refused first (addresses, directory lock), then what was
//! stored, then the threads, and the ready line last. The order of an end: no new connections,
//! open exchanges, disk writer, journal, ledger.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use selvedge_cache::Clock;
use selvedge_cache::cache::Searches;
use selvedge_cache::clock::SystemClock;
use selvedge_purge_api::PurgeApi;
use selvedge_purge_api::auth::{Token, TokenScope, Tokens};
use selvedge_purge_api::hosts::KnownHosts;

use super::Shared;
use super::build::{self, BuildError, SiteFilters};
use super::explain::Explaining;
use super::front::{Front, start_workers};
use super::gauges::NodeGauges;
use super::reload::Running;
use super::rules::WorldRules;
use super::status::{NodeStatus, Phase};
use super::storage::{self, Storage};
use super::upkeep::{self, Counting, Operated, Watch};
use crate::accept::drain::Drain;
use crate::accept::listener::{self, Bound, ListenAddress, ListenError};
use crate::accept::tls::CertificateError;
use crate::filter::Filter;
use crate::journal::COUNTERS;
use crate::telemetry::access_log::{AccessLog, Target};
use crate::telemetry::metrics::{self, Metrics};
use crate::telemetry::{Telemetry, log};
use crate::upkeep::admin::{AdminListener, AdminSources, Readiness};
use crate::upkeep::config::{self, Config, TokenSecret};
use crate::upkeep::runtime::{DiskRuntime, control, raise_descriptor_limit};
use crate::upkeep::signals::{Signal, Signals};

/// How long the disk tier may take to write what waits at the end.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// Why a node does not start: a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin plane cannot listen.
    #[error("--admin {address}: {source}")]
    Admin {
        /// As configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A site cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the configuration again, for a reload; the error is a message for people.
pub type Reread = Box<dyn Fn() -> Result<Config, String> + Send>;

/// What is told where a node listens.
type Tell = Box<dyn FnOnce(&Addresses) + Send>;

/// A node that is about to run. About thirty lines embed it:
///
/// ```no_run
/// use selvedge::node::Node;
/// use selvedge::upkeep::config::{Flags, Process, load};
///
/// let flags = Flags::default().with("origin", &["http://127.0.0.1:8000"]);
/// let loaded = load(None, &flags, &Process).expect("a valid configuration");
/// Node::new(loaded.config).run().expect("the node runs until it is told to stop");
/// ```
pub struct Node {
    config: Config,
    filters: SiteFilters,
    reread: Option<Reread>,
    on_ready: Option<Tell>,
    until: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Where a running node listens.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Plain listeners.
    pub listen: Vec<String>,
    /// TLS listeners.
    pub tls: Vec<String>,
    /// The admin plane.
    pub admin: String,
}

impl Node {
    /// A node with this configuration and no filters.
    pub fn new(config: Config) -> Self {
        let until = Box::pin(std::future::pending());
        Self { config, filters: HashMap::new(), reread: None, on_ready: None, until }
    }

    /// Adds a filter to a site.
    #[must_use]
    pub fn filter(mut self, site: &str, filter: Arc<dyn Filter>) -> Self {
        self.filters.entry(site.to_owned()).or_default().push(filter);
        self
    }

    /// How SIGHUP reads the configuration again; without it SIGHUP changes nothing.
    #[must_use]
    pub fn reread(mut self, reread: Reread) -> Self {
        self.reread = Some(reread);
        self
    }

    /// Called once, when connections are accepted.
    #[must_use]
    pub fn on_ready(mut self, tell: impl FnOnce(&Addresses) + Send + 'static) -> Self {
        self.on_ready = Some(Box::new(tell));
        self
    }

    /// Drains when `over` comes true, as on SIGTERM, which still ends the node, too.
    #[must_use]
    pub fn until(mut self, over: impl Future<Output = ()> + Send + 'static) -> Self {
        self.until = Box::pin(over);
        self
    }

    /// Runs until a signal or [`Self::until`] ends it, on this thread and those that it starts.
    pub fn run(self) -> Result<(), StartError> {
        let system = |what| move |source| StartError::System { what, source };
        raise_descriptor_limit();
        let runtime = control().map_err(system("the control runtime cannot be started"))?;
        let disk = DiskRuntime::start().map_err(system("the disk runtime cannot be started"))?;
        let result = runtime.block_on(self.live(&disk));
        runtime.shutdown_background();
        disk.end(Duration::from_secs(1));
        result
    }

    async fn live(self, disk: &DiskRuntime) -> Result<(), StartError> {
        let Self { config, filters, reread, on_ready, mut until } = self;
        let system = |what| move |source| StartError::System { what, source };
        let mut signals = Signals::listen().map_err(system("signals cannot be taken over"))?;
        let workers = config.node.workers;
        let telemetry = Arc::new(Telemetry::new(Metrics::new(workers.get())));
        telemetry.metrics().install();
        start_access_log(&config, &telemetry, workers.get())?;

        let plain = bind_all(&config.node.listen, workers.get(), "--listen")?;
        let tls = bind_all(&config.node.tls_listen, workers.get(), "--tls-listen")?;
        let tokens = tokens(&config);
        let admin = bind_admin(&config, &tokens).await?;
        let addresses = Addresses {
            listen: plain.iter().map(|bound| bound.local().to_owned()).collect(),
            tls: tls.iter().map(|bound| bound.local().to_owned()).collect(),
            admin: admin.addr().to_string(),
        };

        let world = Arc::new(build::world(&config, None, &filters, &telemetry)?);
        world.watch();
        let searches = Arc::<Searches>::default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let rules = Arc::new(WorldRules {
            world: Arc::clone(&world),
            searches: Arc::clone(&searches),
            clock: Arc::clone(&clock),
        });
        let Storage { cache, ledger, tiered } =
            storage::open(&config, disk.handle(), rules.clone(), (clock, searches))
                .await
                .map_err(system("the purge ledger cannot be started"))?;
        let shared = Arc::new(Shared {
            world: ArcSwap::new(world),
            cache: Arc::clone(&cache),
            ledger: Arc::clone(&ledger),
            telemetry: Arc::clone(&telemetry),
        });
        telemetry.metrics().attach(Arc::new(NodeGauges(Arc::clone(&shared))));

        let front = Front::new(&config)?;
        let drain = Drain::new();
        let threads = start_workers(&config, &shared, &front, &drain, plain, tls)?;

        let phase = Arc::new(Phase::default());
        let purges = PurgeApi::new(
            Arc::clone(&ledger),
            rules,
            (tokens, KnownHosts::new(config.admin.hosts.iter().cloned())),
            Arc::new(Counting(Arc::clone(&shared))),
            Arc::new(Watch(Arc::clone(&telemetry))),
            node_name(),
        );
        purges.change_rate(config.admin.purges_per_second);
        let page = Arc::clone(telemetry.metrics());
        let status = NodeStatus { shared: Arc::clone(&shared), phase: Arc::clone(&phase) };
        let sources = Arc::new(AdminSources {
            purges,
            metrics: Box::new(move || page.render()),
            status: Box::new(status),
            origins: Box::new(Operated(Arc::clone(&shared))),
            explain: Box::new(Explaining(Arc::clone(&shared))),
            clock: Arc::clone(&cache.clock),
        });
        let (stop_admin, admin_stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = admin.serve(Arc::clone(&sources), async {
            let _sender_gone = admin_stopped.await;
        });
        let admin_task = tokio::spawn(serving);
        tokio::spawn(metrics::upkeep(Arc::clone(telemetry.metrics())));
        tokio::spawn(upkeep::sweep(Arc::clone(&shared)));

        phase.set(Readiness::Ready);
        if let Err(error) =
            log::ready_line(&addresses.listen, &addresses.tls, Some(&addresses.admin))
        {
            tracing::warn!(%error, "the ready line could not be written");
        }
        if let Some(tell) = on_ready {
            tell(&addresses);
        }

        let mut running = Running { config, filters, shared, front, sources };
        loop {
            let wished = tokio::select! {
                wished = signals.wished() => wished,
                () = &mut until => Signal::Drain,
            };
            match wished {
                Signal::Reload => running.reload(reread.as_deref()).await,
                Signal::Stop => return Ok(()),
                Signal::Drain => break,
            }
        }

        phase.set(Readiness::Draining);
        let open = COUNTERS.connections_open.load(Ordering::Relaxed);
        tracing::info!(open, "draining");
        threads.let_end();
        drain.begin();
        let patience = Duration::from_millis(running.config.node.drain_ms);
        tokio::select! {
            left = drain.wait(patience) => if left > 0 {
                tracing::warn!(left, "the drain deadline passed; connections are closed");
            },
            _ = signals.wished() => tracing::warn!("stopped before the drain was over"),
        }
        if let Some(log) = telemetry.set_access_log(None) {
            log.shutdown(Duration::from_secs(2));
        }
        let close = async {
            // The journal first: the store's lock covers both.
            let directory = Arc::clone(&cache.directory);
            let _ended = tokio::task::spawn_blocking(move || directory.close()).await;
            tiered.close().await;
        };
        if tokio::time::timeout(FLUSH_WAIT, close).await.is_err() {
            tracing::warn!("the disk did not take everything in time");
        }
        let closing = Arc::clone(&ledger);
        let _ended = tokio::task::spawn_blocking(move || closing.close()).await;
        drop(stop_admin);
        let _ended = tokio::time::timeout(Duration::from_secs(1), admin_task).await;
        tracing::info!("stopped");
        Ok(())
    }
}

fn bind_all(
    addresses: &[ListenAddress],
    workers: usize,
    option: &'static str,
) -> Result<Vec<Bound>, StartError> {
    let mut all = Vec::new();
    for address in addresses {
        all.extend(listener::bind(address, workers, option)?);
    }
    Ok(all)
}

async fn bind_admin(config: &Config, tokens: &Tokens) -> Result<AdminListener, StartError> {
    let address = &config.node.admin;
    let failed = |source| StartError::Admin { address: address.to_string(), source };
    AdminListener::bind(address, tokens).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => failed(io::Error::new(
            io::ErrorKind::AddrInUse,
            "the address is in use, perhaps by another node: choose another with --admin",
        )),
        _ => failed(source),
    })
}

pub(super) fn tokens(config: &Config) -> Tokens {
    let scope = |scope: &config::Scope| match scope {
        config::Scope::Purge => TokenScope::Purge,
        config::Scope::PurgeSite(site) => TokenScope::PurgeSite(site.clone()),
        config::Scope::Read => TokenScope::Read,
        config::Scope::Operate => TokenScope::Operate,
    };
    let token = |token: &config::Token| {
        let scopes: Vec<_> = token.scopes.iter().map(scope).collect();
        match &token.secret {
            TokenSecret::Sha256(sha256) => Some(Token::from_sha256(&token.name, *sha256, scopes)),
            TokenSecret::Plain(secret) => Token::from_secret(&token.name, secret, scopes)
                .inspect_err(|why| tracing::error!(%why, "the token is not used"))
                .ok(),
        }
    };
    Tokens::new(config.admin.tokens.iter().filter_map(token).collect())
}

fn start_access_log(
    config: &Config,
    telemetry: &Telemetry,
    threads: usize,
) -> Result<(), StartError> {
    let target = match &config.node.access_log {
        config::AccessLog::Off => return Ok(()),
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::File(path) => Target::File(path.clone()),
    };
    let losses = Arc::clone(telemetry.metrics().losses());
    let log = AccessLog::start(target, threads, losses)
        .map_err(|source| StartError::System { what: "the access log cannot be opened", source })?;
    telemetry.set_access_log(Some(Arc::new(log)));
    Ok(())
}

/// Name of this node in answers to purges.
fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
