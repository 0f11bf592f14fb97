//! The HTTP surface as values: what it is given, what it answers, what it lets others count.
//!
//! | call | answer |
//! |---|---|
//! | `POST /v1/purges` | 200 `{"position":N,"ledger":…,"selector":…,"mode":…}` once in force here |
//! | `GET /v1/purges/{position}` | 200 the entry; 404 not there; 410 compacted away |
//! | `GET /v1/purges?after=N&limit=M` | 200 `{"purges":[…],"next":N,"position":P,"floor":F}` |

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::Method;
use selvedge_cache::Millis;
use selvedge_cache::invalidate::{LedgerId, Mode, Position, ScopeHash, Selection};
use serde_json::{Value, json};

use crate::ledger::Entry;
use crate::ledger::entry::Digest;
use crate::selector::{Selector, SelectorKind, mode_name};

/// Longest body of a purge, in bytes; 413 beyond.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;
/// Entries in one page of the audit trail when the caller names no `limit`.
pub const PAGE_DEFAULT: usize = 100;
/// Most entries in one page.
pub const PAGE_MAX: usize = 1000;

/// Largest number that all readers of JSON agree on; positions above are refused.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// What is known of a caller beside its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its address, or `unix`; for the audit trail.
    pub peer: String,
    /// It came through a Unix socket: no browser does, so `Host` says nothing.
    pub is_unix: bool,
    /// Now, on the internal timeline.
    pub now: Millis,
}

/// Counts what a purge would select, for `"dry_run":true`.
pub trait Estimate: Send + Sync {
    /// Counts. Runs on the caller's runtime: give way, or work elsewhere. `scopes` are those of
    /// the selector under the rules of today.
    fn estimate<'a>(
        &'a self,
        selector: &'a Selector,
        scopes: Vec<ScopeHash>,
    ) -> Pin<Box<dyn Future<Output = Selection> + Send + 'a>>;
}

/// Hears of purges; counts them.
pub trait PurgeWatch: Send + Sync {
    /// A purge is in force: kind of its selector, mode, and time since it was asked for.
    fn purged(&self, selector: SelectorKind, mode: Mode, took: Duration);
    /// A request was refused with this status.
    fn refused(&self, status: u16);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl PurgeWatch for Unwatched {
    fn purged(&self, _: SelectorKind, _: Mode, _: Duration) {}
    fn refused(&self, _: u16) {}
}

/// The calls of the surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `POST /v1/purges`.
    Purge,
    /// `GET /v1/purges`.
    List,
    /// `GET /v1/purges/{position}`.
    One(Position),
    /// `OPTIONS` of either path: these methods are there.
    Options(&'static str),
}

/// Why a request is no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCall {
    /// Nothing of ours stands under this path.
    Path,
    /// The path takes these methods only.
    Method(&'static str),
}

impl Call {
    /// Reads method and path.
    pub fn of(method: &Method, path: &str) -> Result<Self, NoCall> {
        const ALL: &str = "GET, HEAD, OPTIONS, POST";
        const ONE: &str = "GET, HEAD, OPTIONS";
        if path == "/v1/purges" {
            return match *method {
                Method::POST => Ok(Self::Purge),
                Method::GET | Method::HEAD => Ok(Self::List),
                Method::OPTIONS => Ok(Self::Options(ALL)),
                _ => Err(NoCall::Method(ALL)),
            };
        }
        let number = path.strip_prefix("/v1/purges/").ok_or(NoCall::Path)?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let position = number.parse().ok().filter(|position| is_number && *position <= INTEGER_MAX);
        let position = position.ok_or(NoCall::Path)?;
        match *method {
            Method::GET | Method::HEAD => Ok(Self::One(Position(position))),
            Method::OPTIONS => Ok(Self::Options(ONE)),
            _ => Err(NoCall::Method(ONE)),
        }
    }
}

/// `after` and `limit` of a query; the error names what is wrong.
pub fn page_query(query: Option<&str>) -> Result<(Position, usize), (String, &'static str)> {
    let (mut after, mut limit) = (0, PAGE_DEFAULT);
    for pair in query.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let number = value.parse::<u64>().ok().filter(|_| !value.starts_with('+'));
        match (name, number) {
            ("after", Some(number)) if number <= INTEGER_MAX => after = number,
            ("limit", Some(number)) if (1..=PAGE_MAX as u64).contains(&number) => {
                limit = number as usize;
            }
            ("after", _) => {
                return Err((name.to_owned(), "Must be a position: 0 to 9007199254740991."));
            }
            ("limit", _) => return Err((name.to_owned(), "Must be a number from 1 to 1000.")),
            _ => return Err((name.chars().take(64).collect(), "Unknown; known are after, limit.")),
        }
    }
    Ok((Position(after), limit))
}

/// An entry of the audit trail, as JSON.
pub fn entry_json(entry: &Entry, node: &str) -> Value {
    json!({
        "position": entry.position.0,
        "accepted_ms": entry.purge.accepted.0,
        "who": entry.purge.who,
        "from": entry.purge.from,
        "selector": entry.purge.selector.to_json(),
        "mode": mode_name(entry.purge.mode),
        "digest": digest_hex(&entry.digest),
        // Durable entries only are read, and the thread that reads put them in force.
        "applied_by": [node],
    })
}

/// A purge in force, as JSON.
pub fn purged_json(
    ledger: LedgerId,
    position: Position,
    selector: &Value,
    mode: Mode,
    repeated: bool,
    durable: bool,
) -> Value {
    let mut document = json!({
        "position": position.0,
        "ledger": ledger_hex(ledger),
        "durable": durable,
        "selector": selector,
        "mode": mode_name(mode),
    });
    if repeated {
        document["repeated"] = true.into();
    }
    document
}

/// A ledger's identity in 16 hexadecimal digits: JSON numbers lose digits above 2^53.
pub fn ledger_hex(ledger: LedgerId) -> String {
    format!("{:016x}", ledger.0)
}

fn digest_hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_method_and_path() {
        let of = |method: Method, path| Call::of(&method, path);
        assert_eq!(of(Method::POST, "/v1/purges"), Ok(Call::Purge));
        assert_eq!(of(Method::GET, "/v1/purges/7"), Ok(Call::One(Position(7))));
        assert_eq!(of(Method::DELETE, "/v1/purges/7"), Err(NoCall::Method("GET, HEAD, OPTIONS")));
        let options = "GET, HEAD, OPTIONS, POST";
        assert_eq!(of(Method::OPTIONS, "/v1/purges"), Ok(Call::Options(options)));
        for path in [
            "/v1/purges/",
            "/v1/purges/+7",
            "/v1/purges/x",
            "/v1/purges/9007199254740992",
            "/v1/purge",
            "/",
        ] {
            assert_eq!(of(Method::GET, path), Err(NoCall::Path), "{path}");
        }
    }

    #[test]
    fn a_page_is_bounded_and_unknown_words_are_refused() {
        assert_eq!(page_query(None), Ok((Position(0), PAGE_DEFAULT)));
        assert_eq!(page_query(Some("after=5&limit=2")), Ok((Position(5), 2)));
        for query in [
            "after=x",
            "limit=0",
            "limit=1001",
            "since=1",
            "after=+1",
            "after",
            "after=9007199254740992",
        ] {
            assert!(page_query(Some(query)).is_err(), "{query}");
        }
    }
}
