//! Every option of the node, one card each, in the order of the manual.
//!
//! To add an option: write its card here and read it in `compile`; flags, variables, manual and
//! schema follow. A test compares the manual, so `docs/configuration.md` must be made anew.

use super::card::{Card, Kind};

const DAY_MS: u64 = 24 * 3600 * 1000;
const YEAR_S: u64 = 365 * 24 * 3600;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

const fn wait(min_ms: u64) -> Kind {
    Kind::Wait { min_ms, max_ms: DAY_MS }
}

const LIFETIME: Kind = Kind::Lifetime { max_s: 10 * YEAR_S };

macro_rules! cards {
    ($($(#[doc = $text:literal])+ $name:ident = $card:expr;)*) => {
        $($(#[doc = $text])+ pub static $name: Card = $card.text(concat!($($text),+));)*
        /// Every card.
        pub static ALL: &[&Card] = &[$(&$name,)*];
    };
}

cards! {
    /// Where plain HTTP/1.1 and HTTP/2 (prior knowledge) is accepted. Port 0 lets the system choose.
    NODE_LISTEN = Card::new("node.listen", Kind::Address)
        .many().or("[\"127.0.0.1:8080\"]").flag("listen").restart();
    /// Where HTTPS (HTTP/1.1 and HTTP/2) is accepted; needs a certificate in `[[tls]]`.
    NODE_TLS_LISTEN = Card::new("node.tls_listen", Kind::Address)
        .many().or("[]").flag("tls-listen").restart();
    /// Where the admin plane answers: purges, status, metrics. An address that others can reach
    /// needs a token in `[[admin.tokens]]`.
    NODE_ADMIN = Card::new("node.admin", Kind::Address)
        .or("\"127.0.0.1:9901\"").flag("admin").restart();
    /// Memory for everything kept because of traffic: directory, heads, bodies, fills, windows and
    /// queues together.
    NODE_MEMORY = Card::new("node.memory", Kind::Size { min: 16 * MIB, max: 16 * TIB })
        .or("\"256MiB\"").flag("memory").restart();
    /// Data threads; each has its own listener socket and event loop.
    NODE_WORKERS = Card::new("node.workers", Kind::Count { min: 1, max: 1024 })
        .or_computed("one per core").flag("workers").restart();
    /// One line per exchange: to nowhere, to standard output, or to a file that is opened for
    /// appending. A file's name contains a slash, so that a misspelt word is no file.
    NODE_ACCESS_LOG = Card::new("node.access_log", Kind::AccessLog)
        .or("\"off\"").flag("access-log").restart();
    /// Client connections open at the same time, over all listeners; more are refused and counted.
    NODE_CONNECTIONS_MAX = Card::new("node.connections_max", Kind::Count { min: 1, max: 10_000_000 })
        .or("100000").restart();
    /// How long open exchanges may finish after SIGTERM or SIGINT before they are cut.
    NODE_DRAIN_DEADLINE = Card::new("node.drain_deadline", Kind::Wait { min_ms: 0, max_ms: DAY_MS })
        .or("\"30s\"");
    /// Proxies in front of this node whose `Forwarded` and `X-Forwarded-*` fields are believed;
    /// from everyone else they are overwritten.
    NODE_TRUSTED_PROXIES = Card::new("node.trusted_proxies", Kind::Peer).many().or("[]");

    /// Directory of the disk tier, used by one process at a time.
    DISK_PATH = Card::new("disk.path", Kind::Path).or_absent("no disk tier").flag("disk").restart();
    /// Space of the disk tier; at most 80 % of what is free is taken.
    DISK_SIZE = Card::new("disk.size", Kind::Size { min: 64 * MIB, max: 1024 * TIB })
        .or("\"10GiB\"").flag("disk-size").restart();

    /// Certificate chain in PEM, the server's own first. The name a client asks for chooses among
    /// the chains; the first is used when none fits.
    TLS_CERT = Card::new("tls[].cert", Kind::Pem).flag("cert");
    /// The chain's private key in PEM, not encrypted.
    TLS_KEY = Card::new("tls[].key", Kind::Pem).flag("key");

    /// A request head with all its fields; beyond: 431.
    LIMITS_HEAD_BYTES = Card::new("limits.head_bytes", Kind::Size { min: KIB, max: MIB })
        .or("\"32KiB\"");
    /// Fields of a request head, cookie crumbs included; beyond: 431.
    LIMITS_FIELDS = Card::new("limits.fields", Kind::Count { min: 8, max: 10_000 }).or("100");
    /// A request target; beyond: 414.
    LIMITS_TARGET_BYTES = Card::new("limits.target_bytes", Kind::Size { min: 64, max: MIB })
        .or("\"8KiB\"");
    /// A request body; beyond: 413.
    LIMITS_BODY_BYTES = Card::new("limits.body_bytes", Kind::Size { min: 0, max: 16 * TIB })
        .or("\"1GiB\"");

    /// A TLS handshake, from accept to the last message.
    DEADLINES_HANDSHAKE = Card::new("deadlines.handshake", wait(100)).or("\"10s\"");
    /// A request head, from its first byte to its last.
    DEADLINES_HEAD = Card::new("deadlines.head", wait(100)).or("\"10s\"");
    /// Between two pieces of a request body.
    DEADLINES_BODY = Card::new("deadlines.body", wait(100)).or("\"30s\"");
    /// A keep-alive connection between two requests.
    DEADLINES_IDLE = Card::new("deadlines.idle", wait(100)).or("\"75s\"");
    /// Without any progress while a response is being written.
    DEADLINES_WRITE = Card::new("deadlines.write", wait(100)).or("\"60s\"");
    /// After the last response, until the client closes too.
    DEADLINES_LINGER = Card::new("deadlines.linger", wait(0)).or("\"2s\"");

    /// Further names under which the admin plane may be called; loopback names and the configured
    /// address are always known. Others are refused, against browsers that are led astray.
    ADMIN_HOSTS = Card::new("admin.hosts", Kind::Authority).many().or("[]");
    /// Purges and dry runs that one token may ask for per second (without tokens: one address), and
    /// twice as many in a burst; more are answered 429.
    ADMIN_PURGES_PER_SECOND = Card::new("admin.purges_per_second", Kind::Count { min: 1, max: 1_000_000 })
        .or("1000");
    /// Who holds the token; shown in the audit trail of purges.
    TOKEN_NAME = Card::new("admin.tokens[].name", Kind::Name);
    /// SHA-256 of the token (`printf %s "$TOKEN" | sha256sum`). Either this or `env`.
    TOKEN_SHA256 = Card::new("admin.tokens[].sha256", Kind::Sha256)
        .or_absent("`env` names the token");
    /// Environment variable that holds the token itself. Either this or `sha256`.
    TOKEN_ENV = Card::new("admin.tokens[].env", Kind::Variable)
        .or_absent("`sha256` names the token");
    /// What the token allows: `read`, `purge`, or `purge:SITE`.
    TOKEN_SCOPES = Card::new("admin.tokens[].scopes", Kind::Scope).many();

    /// Identity of the site: part of every cache key, of metrics and of purges. A site that is
    /// renamed starts with an empty cache.
    SITE_NAME = Card::new("site[].name", Kind::Name);
    /// Hosts the site answers for: exact, `*.suffix`, or `*` for every host that no other site
    /// names. The most exact wins; no match is answered 421.
    SITE_HOSTS = Card::new("site[].hosts", Kind::HostPattern).many();
    /// Where the responses come from: one origin, or several that share the load.
    SITE_ORIGINS = Card::new("site[].origins", Kind::OriginUrl).many().flag("origin");
    /// `Host` that the origin is sent.
    SITE_ORIGIN_HOST = Card::new("site[].origin_host", Kind::Authority)
        .or_absent("the client's `Host`; for an `https://` origin given by name, that name");
    /// Whether `Cache-Control` of requests counts, as RFC 9111 says, or not, as CDNs do.
    SITE_REQUEST_CACHE_CONTROL = Card::new("site[].request_cache_control", Kind::Choice(&["honour", "ignore"]))
        .or("\"honour\"");
    /// Who may send the `PURGE` method. A request that carries `Forwarded` or `X-Forwarded-For`
    /// never counts.
    SITE_PURGE_FROM = Card::new("site[].purge_from", Kind::Peer).many().or("[]");
    /// Leaves `Surrogate-Key`, `Cache-Tag`, `Cache-Groups`, `Surrogate-Control` and
    /// `Selvedge-Cache-Control` in responses to clients.
    SITE_KEEP_TAGS = Card::new("site[].keep_tags", Kind::Switch).or("false");

    /// How the query enters the key: as it is, sorted by name, not at all, only the named
    /// parameters, or all but the named. A name may end in `*`.
    KEY_QUERY = Card::new("site[].key.query", Kind::Query).or("\"keep\"");

    /// Lifetime of responses that state none and whose age tells none. A changed lifetime counts
    /// for responses stored afterwards.
    TTL_DEFAULT = Card::new("site[].ttl.default", LIFETIME).or("\"0s\"");
    /// Shorter stated lifetimes are raised to this; what must not be stored stays unstored.
    TTL_MIN = Card::new("site[].ttl.min", LIFETIME).or_absent("no lower bound");
    /// Longer stated lifetimes are cut to this.
    TTL_MAX = Card::new("site[].ttl.max", LIFETIME).or_absent("no upper bound");
    /// Longest lifetime guessed from `Last-Modified` (RFC 9111 §4.2.2); `0s` guesses none.
    TTL_HEURISTIC_MAX = Card::new("site[].ttl.heuristic_max", LIFETIME).or("\"1d\"");

    /// `stale-while-revalidate` of responses that state none (RFC 5861 §3).
    STALE_WHILE_REVALIDATE = Card::new("site[].stale.while_revalidate", LIFETIME).or("\"0s\"");
    /// `stale-if-error` of responses that state none (RFC 5861 §4).
    STALE_IF_ERROR = Card::new("site[].stale.if_error", LIFETIME).or("\"0s\"");

    /// Stale responses that are refreshed per second while their readers are answered, over all
    /// workers; the rest stay stale until their next reader. Keeps a soft purge of everything from
    /// reaching the origin at once.
    STALE_REFRESHES_PER_SECOND = Card::new("site[].stale.refreshes_per_second", Kind::Count { min: 1, max: 1_000_000 })
        .or("500");

    /// Waiting for a place when `connections_max` is reached.
    ORIGIN_QUEUE = Card::new("site[].origin.queue", wait(0)).or("\"5s\"");
    /// Finding the origin's addresses.
    ORIGIN_RESOLVE = Card::new("site[].origin.resolve", wait(10)).or("\"5s\"");
    /// Establishing a connection, over all addresses of the origin.
    ORIGIN_CONNECT = Card::new("site[].origin.connect", wait(10)).or("\"5s\"");
    /// The TLS handshake with the origin.
    ORIGIN_TLS = Card::new("site[].origin.tls", wait(10)).or("\"5s\"");
    /// From the request's last byte to the whole response head.
    ORIGIN_RESPONSE = Card::new("site[].origin.response", wait(10)).or("\"60s\"");
    /// Between two pieces of a response body.
    ORIGIN_BODY = Card::new("site[].origin.body", wait(10)).or("\"30s\"");
    /// From the request to the last byte of its response.
    ORIGIN_WHOLE = Card::new("site[].origin.whole", wait(10)).or("\"1h\"");
    /// How long after the first attempt a further one may begin.
    ORIGIN_TOTAL = Card::new("site[].origin.total", wait(10)).or("\"2m\"");
    /// How long an unused connection is kept.
    ORIGIN_IDLE = Card::new("site[].origin.idle", wait(0)).or("\"60s\"");
    /// Age at which a connection is not used again.
    ORIGIN_LIFETIME = Card::new("site[].origin.lifetime", wait(1000)).or("\"1h\"");
    /// Connections in use to one origin at once, over all workers; more requests wait.
    ORIGIN_CONNECTIONS_MAX = Card::new("site[].origin.connections_max", Kind::Count { min: 1, max: 100_000 })
        .or("1024");
    /// Requests that may wait for a place; more are answered 503, or stale.
    ORIGIN_QUEUE_MAX = Card::new("site[].origin.queue_max", Kind::Count { min: 0, max: 1_000_000 })
        .or("4096");
    /// Unused connections kept to one origin, per worker.
    ORIGIN_IDLE_MAX = Card::new("site[].origin.idle_max", Kind::Count { min: 0, max: 10_000 })
        .or("256");
    /// Attempts of a request in all, the first included, each at another origin.
    ORIGIN_ATTEMPTS_MAX = Card::new("site[].origin.attempts_max", Kind::Count { min: 1, max: 10 })
        .or("3");
    /// Certificates in PEM that `https://` origins are checked against, instead of the system's.
    ORIGIN_CA = Card::new("site[].origin.ca", Kind::Pem)
        .or_absent("the certificates of the system");
}

/// A table of the file: its path as cards write it, and what it is for.
pub struct Table {
    /// `node`, `site[].ttl`.
    pub path: &'static str,
    /// Meaning, in a sentence.
    pub text: &'static str,
}

/// Every table, in the order of the manual.
pub static TABLES: &[Table] = &[
    Table { path: "node", text: "The process: where it listens, how much it may use." },
    Table { path: "disk", text: "The disk tier; leave the table out for none." },
    Table { path: "tls[]", text: "A certificate and its key; one table for each." },
    Table { path: "limits", text: "Sizes of what clients send." },
    Table { path: "deadlines", text: "Waits on the client's side; each guards one." },
    Table { path: "admin", text: "The admin plane." },
    Table {
        path: "admin.tokens[]",
        text: "A bearer token of the admin plane; one table for each.",
    },
    Table { path: "site[]", text: "A site: hosts, origins and rules; one table for each." },
    Table { path: "site[].key", text: "Which requests may share a stored response." },
    Table { path: "site[].ttl", text: "Lifetimes where the origin leaves them open." },
    Table { path: "site[].stale", text: "When a stale response is better than none." },
    Table { path: "site[].origin", text: "Waits and bounds towards the site's origins." },
];

/// The card of a path.
pub fn find(path: &str) -> Option<&'static Card> {
    ALL.iter().copied().find(|card| card.path == path)
}

/// The cards of one table, in their order.
pub fn in_table(table: &str) -> impl Iterator<Item = &'static Card> {
    ALL.iter().copied().filter(move |card| card.table() == table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn paths_flags_and_variables_are_unique_and_every_table_is_described() {
        let (mut paths, mut names) = (HashSet::new(), HashSet::new());
        for card in ALL {
            assert!(paths.insert(card.path), "{} stands twice", card.path);
            if let Some(name) = card.variable() {
                assert!(names.insert(name), "{} shares its variable", card.path);
            }
            assert!(TABLES.iter().any(|table| table.path == card.table()), "{}", card.path);
            assert!(!card.text.is_empty());
        }
        assert!(TABLES.iter().all(|table| in_table(table.path).next().is_some()));
    }
}
