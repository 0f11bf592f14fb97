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
    /// What the token allows: `read`, `purge`, `purge:SITE`, or `operate` (origins, with `read`).
    TOKEN_SCOPES = Card::new("admin.tokens[].scopes", Kind::Scope).many();

    /// Identity of the site: part of every cache key, of metrics and of purges. A site that is
    /// renamed starts with an empty cache.
    SITE_NAME = Card::new("site[].name", Kind::Name);
    /// Hosts the site answers for: exact, `*.suffix`, or `*` for every host that no other site
    /// names. The most exact wins; no match is answered 421.
    SITE_HOSTS = Card::new("site[].hosts", Kind::HostPattern).many();
    /// Where the responses come from: one origin, or several that share the load. A table says
    /// more of one: its `weight` among the others; its `tier` (0 is asked first, the next takes
    /// what the ones before cannot carry); the name in its certificate, if that is another.
    SITE_ORIGINS = Card::new("site[].origins", Kind::OriginUrl).many().flag("origin");
    /// `Host` that the origin is sent.
    SITE_ORIGIN_HOST = Card::new("site[].origin_host", Kind::Authority)
        .or_absent("the client's `Host`; for an `https://` origin given by name, that name");
    /// Whether `Cache-Control` of requests counts, as RFC 9111 says, or not, as CDNs do.
    SITE_REQUEST_CACHE_CONTROL = Card::new("site[].request_cache_control", Kind::Choice(&["honour", "ignore"]))
        .or("\"honour\"");
    /// Fields of responses that speak to this node in place of `Cache-Control` and `Expires`
    /// (RFC 9213); the first that is there and valid counts.
    SITE_TARGETED_FIELDS = Card::new("site[].targeted_fields", Kind::FieldName).many()
        .or("[\"Selvedge-Cache-Control\", \"CDN-Cache-Control\", \"Surrogate-Control\"]");
    /// Responses with `Set-Cookie`: stored if they state their lifetime, as RFC 9111 §7.3 allows
    /// (`default`); never stored (`refuse`); or stored as if the field were not there, which
    /// then reaches nobody (`strip`).
    SITE_COOKIES = Card::new("site[].cookies", Kind::Choice(&["default", "strip", "refuse"]))
        .or("\"default\"");
    /// Who may send the `PURGE` method. A request that carries `Forwarded` or `X-Forwarded-For`
    /// never counts.
    SITE_PURGE_FROM = Card::new("site[].purge_from", Kind::Peer).many().or("[]");
    /// Leaves `Surrogate-Key`, `Cache-Tag`, `Cache-Groups`, `Surrogate-Control` and
    /// `Selvedge-Cache-Control` in responses to clients.
    SITE_KEEP_TAGS = Card::new("site[].keep_tags", Kind::Switch).or("false");

    /// How the query enters the key: as it is, sorted by name, not at all, only the named
    /// parameters, or all but the named. A name may end in `*`.
    KEY_QUERY = Card::new("site[].key.query", Kind::Query).or("\"keep\"");
    /// Whether a stored response whose `Content-Language` is the one language that a request
    /// prefers answers it (`preferred`), or only requests that accept the same languages with the
    /// same weights share a response (`exact`).
    KEY_LANGUAGE = Card::new("site[].key.language", Kind::Choice(&["preferred", "exact"]))
        .or("\"preferred\"");

    /// Whether responses may say which parameters of the query they do not depend on
    /// (`No-Vary-Search`). The origin is asked for the whole query all the same.
    KEY_NO_VARY_SEARCH = Card::new("site[].key.no_vary_search", Kind::Switch).or("true");

    /// Lifetime of responses that state none and whose age tells none. A changed lifetime counts
    /// for responses stored afterwards.
    TTL_DEFAULT = Card::new("site[].ttl.default", LIFETIME).or("\"0s\"");
    /// Shorter stated lifetimes are raised to this; what must not be stored stays unstored.
    TTL_MIN = Card::new("site[].ttl.min", LIFETIME).or_absent("no lower bound");
    /// Longer stated lifetimes are cut to this.
    TTL_MAX = Card::new("site[].ttl.max", LIFETIME).or_absent("no upper bound");
    /// Longest lifetime guessed from `Last-Modified` (RFC 9111 §4.2.2); `0s` guesses none.
    TTL_HEURISTIC_MAX = Card::new("site[].ttl.heuristic_max", LIFETIME).or("\"1d\"");

    /// Paths that the rule speaks of, without the query; each `*` stands for any characters. The
    /// first rule that fits a response counts, for all that it sets.
    RULE_PATH = Card::new("site[].rule[].path", Kind::PathGlob).many().or_absent("every path");
    /// Statuses that the rule speaks of: `404`, or `5xx` for all that begin with 5.
    RULE_STATUS = Card::new("site[].rule[].status", Kind::Status).many().or_absent("every status");
    /// Types of content that the rule speaks of, without parameters; each `*` stands for any
    /// characters.
    RULE_TYPE = Card::new("site[].rule[].type", Kind::TypeGlob).many().or_absent("every type");
    /// Lifetime of responses that state none and whose age tells none; of errors, too.
    RULE_DEFAULT = Card::new("site[].rule[].default", LIFETIME).or_absent("the site's");
    /// Shorter stated lifetimes are raised to this.
    RULE_MIN = Card::new("site[].rule[].min", LIFETIME).or_absent("the site's");
    /// Longer stated lifetimes are cut to this.
    RULE_MAX = Card::new("site[].rule[].max", LIFETIME).or_absent("the site's");
    /// Lifetime in place of the one that the response states. What it forbids to store stays
    /// unstored, and `no-cache` is still validated before each use.
    RULE_OVERRIDE = Card::new("site[].rule[].override", LIFETIME)
        .or_absent("what the response states");
    /// How long a stale response may be used while it is validated, and when the origin fails; for
    /// responses that state neither.
    RULE_GRACE = Card::new("site[].rule[].grace", LIFETIME).or_absent("the site's `stale`");

    /// `stale-while-revalidate` of responses that state none (RFC 5861 §3).
    STALE_WHILE_REVALIDATE = Card::new("site[].stale.while_revalidate", LIFETIME).or("\"0s\"");
    /// `stale-if-error` of responses that state none (RFC 5861 §4).
    STALE_IF_ERROR = Card::new("site[].stale.if_error", LIFETIME).or("\"0s\"");
    /// Obeys `stale-while-revalidate` and `stale-if-error` beside `s-maxage`, which by RFC 9111
    /// §5.2.2.10 forbids to use a stale response.
    STALE_BESIDE_S_MAXAGE = Card::new("site[].stale.beside_s_maxage", Kind::Switch).or("false");

    /// What the origin is asked for when a client wants one range of something that is not stored:
    /// everything, so that it is fetched once and later ranges are hits; or that range, for objects
    /// so large that few clients read all of them. What comes is stored either way, and combined.
    RANGES_FETCH = Card::new("site[].ranges.fetch", Kind::Choice(&["whole", "asked"]))
        .or("\"whole\"");
    /// What becomes of a 206 whose content is not as long as its `Content-Range` says: it is passed
    /// on and not stored; or its octets are stored as what follows the first position, and where
    /// the range claims to reach the end, the body ends with them.
    RANGES_MISMATCH = Card::new("site[].ranges.mismatch", Kind::Choice(&["refuse", "octets"]))
        .or("\"refuse\"");

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
    /// How the origin of a request is chosen: the quicker or the less busy of two drawn at random,
    /// each in turn, at random, or by a hash of what `hash_by` says. Weights count in all of them.
    ORIGIN_BALANCE = Card::new("site[].origin.balance", Kind::Choice(&["quickest", "least-requests", "turns", "random", "hash"]))
        .or("\"quickest\"");
    /// What `balance = "hash"` tells requests apart by: the cache key, the client's address, a
    /// field or a cookie. Requests without that field or cookie go anywhere.
    ORIGIN_HASH_BY = Card::new("site[].origin.hash_by", Kind::Affinity).or("\"key\"");
    /// With `balance = "hash"`, the most requests that an origin may have in hand, in percent of
    /// its fair share; what is beyond goes to the next origin of the same key. 0 sets no bound.
    ORIGIN_HASH_BOUND = Card::new("site[].origin.hash_bound", Kind::Count { min: 0, max: 1000 })
        .or("150");
    /// A cookie that binds a client to the origin that answered it first, where the cache does not
    /// answer. It is set on answers that are not stored.
    ORIGIN_STICKY = Card::new("site[].origin.sticky", Kind::Cookie).or_absent("nobody is bound");
    /// How long an origin that comes back takes until it has its full share again.
    ORIGIN_SLOW_START = Card::new("site[].origin.slow_start", wait(0)).or("\"0s\"");
    /// Share of a tier's origins, in percent, below which all of them are used, well or not: the
    /// whole load on a few would fell those too. 0: only when no origin at all is well.
    ORIGIN_PANIC = Card::new("site[].origin.panic", Kind::Count { min: 0, max: 100 }).or("0");
    /// Requests that may go out once more at a time (to another origin after a failure, or beside
    /// one that is late), in percent of the live ones; ten always may.
    ORIGIN_RETRY_SHARE = Card::new("site[].origin.retry_share", Kind::Count { min: 0, max: 100 })
        .or("50");
    /// Whether a request that may be sent twice goes to a second origin beside the first when it
    /// waits longer than nineteen of twenty do; the first answer counts.
    ORIGIN_HEDGE = Card::new("site[].origin.hedge", Kind::Switch).or("false");
    /// Whether the number of requests that an origin is given at once is found out by watching its
    /// latency, up to `connections_max`: an origin that slows down is given fewer.
    ORIGIN_ADAPTIVE = Card::new("site[].origin.adaptive", Kind::Switch).or("false");
    /// Certificates in PEM that `https://` origins are checked against, instead of the system's.
    ORIGIN_CA = Card::new("site[].origin.ca", Kind::Pem)
        .or_absent("the certificates of the system");

    /// Failures in a row after which an origin is left alone for a while; 0 never does.
    HEALTH_FAILURES = Card::new("site[].health.failures", Kind::Count { min: 0, max: 1000 })
        .or("3");
    /// How long it is left alone the first time; each time again twice as long.
    HEALTH_EJECT = Card::new("site[].health.eject", wait(10)).or("\"2s\"");
    /// How long it is left alone at most.
    HEALTH_EJECT_MAX = Card::new("site[].health.eject_max", wait(10)).or("\"60s\"");
    /// Whether an answer of 500 and above is a failure.
    HEALTH_SERVER_ERRORS = Card::new("site[].health.server_errors", Kind::Switch).or("false");
    /// Origins that fail far more often than the others of the site, or are far slower, are left
    /// alone too: at most this share of all, in percent. 0 compares nobody.
    HEALTH_OUTLIERS = Card::new("site[].health.outliers", Kind::Count { min: 0, max: 100 }).or("0");
    /// How often origins are compared, over the answers since the last time.
    HEALTH_INTERVAL = Card::new("site[].health.interval", wait(100)).or("\"10s\"");

    /// How the node asks origins whether they are well: not, by a connection, or by a request.
    CHECK_KIND = Card::new("site[].check.kind", Kind::Choice(&["off", "connect", "http"]))
        .or("\"off\"");
    /// What is asked for.
    CHECK_PATH = Card::new("site[].check.path", Kind::Target).or("\"/\"");
    /// `Host` of the request.
    CHECK_HOST = Card::new("site[].check.host", Kind::Authority)
        .or_absent("`origin_host`, else the origin's own name");
    /// Which statuses are right.
    CHECK_STATUS = Card::new("site[].check.status", Kind::Statuses).or("\"200-399\"");
    /// What the first 64 KiB of the content must contain.
    CHECK_BODY = Card::new("site[].check.body", Kind::Text).or_absent("the content does not count");
    /// A field that the answer must have, with its value.
    CHECK_FIELD = Card::new("site[].check.field", Kind::Field).or_absent("fields do not count");
    /// Between two checks of one origin, give or take a tenth.
    CHECK_INTERVAL = Card::new("site[].check.interval", wait(100)).or("\"5s\"");
    /// A whole check, from the name to the answer.
    CHECK_TIMEOUT = Card::new("site[].check.timeout", wait(10)).or("\"2s\"");
    /// Passed checks in a row that bring an origin back.
    CHECK_RISE = Card::new("site[].check.rise", Kind::Count { min: 1, max: 100 }).or("2");
    /// Failed checks in a row that take an origin away.
    CHECK_FALL = Card::new("site[].check.fall", Kind::Count { min: 1, max: 100 }).or("3");
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
    Table {
        path: "site[].rule[]",
        text: "Lifetimes by path, status and type; one table for each rule.",
    },
    Table { path: "site[].stale", text: "When a stale response is better than none." },
    Table { path: "site[].ranges", text: "Parts of bodies." },
    Table { path: "site[].origin", text: "Choice of the site's origins, waits and bounds." },
    Table { path: "site[].health", text: "When the outcomes of requests speak against an origin." },
    Table { path: "site[].check", text: "Health checks that the node makes by itself." },
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
