//! What the configuration means: values that cannot be invalid.
//!
//! Only [`compile`](super::compile::compile) makes a [`Config`]. Parts of the node are given the
//! piece that is theirs and never see the file again.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use selvedge_cache::range::Trust;

use crate::accept::listener::ListenAddress;
use crate::accept::{ClientDeadlines, HeadLimits};
use crate::decide::{Affinity, KeyRules};
use crate::origin::{
    BalanceConfig, CheckConfig, OriginConfig, OriginDeadlines, OriginLimits, PassiveConfig,
};
use selvedge_cache::policy::CookieRule;
use selvedge_cache::policy::rules::Rule;

use super::reader::Settings;
use super::value::{HostPattern, PeerSet, Scope};

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The process.
    pub node: Node,
    /// The disk tier, if there is one.
    pub disk: Option<Disk>,
    /// Certificates; the first is used when none fits. Not empty if `node.tls_listen` is not.
    pub tls: Vec<TlsPair>,
    /// Sizes of what clients send.
    pub limits: Limits,
    /// Waits on the client's side.
    pub deadlines: ClientDeadlines,
    /// The admin plane.
    pub admin: Admin,
    /// The sites, in the order of the file; at least one. No host and no name occurs twice.
    pub sites: Vec<Site>,
    /// Every value in force in normal form, by path: what [`diff`](super::diff()) compares and the
    /// admin view shows. Secrets are not in it.
    pub settings: Settings,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Plain listeners; may be empty when there are TLS listeners.
    pub listen: Vec<ListenAddress>,
    /// TLS listeners.
    pub tls_listen: Vec<ListenAddress>,
    /// The admin listener.
    pub admin: ListenAddress,
    /// Bound of everything kept because of traffic, in bytes.
    pub memory_bytes: u64,
    /// Data threads.
    pub workers: NonZeroUsize,
    /// Where exchanges are logged.
    pub access_log: AccessLog,
    /// Client connections open at once.
    pub connections_max: usize,
    /// How long open exchanges may finish, in milliseconds.
    pub drain_ms: u64,
    /// Proxies in front that are believed.
    pub trusted_proxies: PeerSet,
}

/// Where exchanges are logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, opened for appending.
    File(PathBuf),
}

impl fmt::Display for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The disk tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its directory.
    pub path: PathBuf,
    /// Space, in bytes, before it is cut to 80 % of what is free.
    pub size_bytes: u64,
}

/// A certificate and its key; both were readable and fit when the configuration was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPair {
    /// Chain in PEM.
    pub cert: PathBuf,
    /// Key in PEM.
    pub key: PathBuf,
}

/// Sizes of what clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of heads.
    pub head: HeadLimits,
    /// Of bodies, in bytes.
    pub body_bytes_max: u64,
}

/// The admin plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Further names under which it may be called, in lower case.
    pub hosts: Vec<String>,
    /// Who may do what; not empty if others can reach `node.admin`.
    pub tokens: Vec<Token>,
    /// Purges that one of them may ask for per second.
    pub purges_per_second: u32,
}

/// A bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who holds it.
    pub name: String,
    /// How it is recognised.
    pub secret: TokenSecret,
    /// What it allows; at least one.
    pub scopes: Vec<Scope>,
}

/// How a token is recognised.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSecret {
    /// By its SHA-256.
    Sha256([u8; 32]),
    /// By itself, taken from the environment.
    Plain(String),
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "Sha256(…)",
            Self::Plain(_) => "Plain(…)",
        })
    }
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Identity.
    pub name: String,
    /// Hosts it answers for; at least one.
    pub hosts: Vec<HostPattern>,
    /// Origins; at least one, no address twice.
    pub origins: Vec<OriginConfig>,
    /// `origin_host` as it was said, for pools that send one host to all.
    pub origin_host: Option<String>,
    /// How the query enters the key.
    pub query: KeyRules,
    /// Responses may fold the query.
    pub no_vary_search: bool,
    /// A stored language answers who prefers it alone.
    pub select_by_language: bool,
    /// Fields that speak to this node, in order.
    pub targeted_fields: Vec<http::HeaderName>,
    /// What becomes of `Set-Cookie`.
    pub cookies: CookieRule,
    /// Lifetimes.
    pub ttl: TtlOptions,
    /// Lifetimes by path, status and type.
    pub rules: Vec<Rule>,
    /// Stale responses.
    pub stale: StaleOptions,
    /// `Cache-Control` of requests does not count.
    pub ignore_request_cache_control: bool,
    /// Who may send `PURGE`.
    pub purge_from: PeerSet,
    /// Tag fields stay in responses to clients.
    pub keep_tags: bool,
    /// Parts of bodies.
    pub ranges: RangeOptions,
    /// Towards the origins.
    pub origin: OriginOptions,
}

/// Parts of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeOptions {
    /// The origin is asked for the range that a client asks for.
    pub forward: bool,
    /// What to believe of a 206 that contradicts itself.
    pub trust: Trust,
}

/// Lifetimes of a site, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlOptions {
    /// Of responses that state none.
    pub default_s: u32,
    /// Stated lifetimes are at least this.
    pub min_s: Option<u32>,
    /// Stated lifetimes are at most this; not below `min_s`.
    pub max_s: Option<u32>,
    /// Guessed lifetimes are at most this.
    pub heuristic_max_s: u32,
}

/// Stale responses of a site, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleOptions {
    /// Used while a validation runs.
    pub while_revalidate_s: u32,
    /// Used when the origin fails.
    pub if_error_s: u32,
    /// Started per second behind readers' backs.
    pub refreshes_per_second: u32,
    /// Both count beside `s-maxage`, too.
    pub beside_s_maxage: bool,
}

/// Waits and bounds towards the origins of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginOptions {
    /// Waits.
    pub deadlines: OriginDeadlines,
    /// Numbers.
    pub limits: OriginLimits,
    /// Attempts in all.
    pub attempts_max: u32,
    /// Roots for `https://` origins; the system's without one.
    pub ca: Option<PathBuf>,
    /// Requests that may go out once more, in percent of the live ones.
    pub retry_share_percent: u32,
    /// Late requests go to a second origin.
    pub hedge: bool,
    /// The number of requests at once is found out.
    pub adaptive: bool,
    /// How an origin is chosen.
    pub balance: BalanceConfig,
    /// What requests are told apart by when it is chosen by hash.
    pub hash_by: Affinity,
    /// The cookie that binds a client to an origin.
    pub sticky: Option<String>,
    /// When outcomes speak against an origin.
    pub health: PassiveConfig,
    /// How origins are asked whether they are well.
    pub check: Option<CheckConfig>,
}
