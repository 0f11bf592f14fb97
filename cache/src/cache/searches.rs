//! What origins said about the queries of their paths (`No-Vary-Search`), and the keys that follow.
//!
//! A response that does not depend on all of its query is kept under a *folded key*: its path, the
//! query folded by what the response said, and the number of that saying. A later request for the
//! path is looked up under the folded key first and under its own second. One saying is known per
//! path, the latest that was not contradicted for a while; what comes with another one is kept
//! under its own key alone.
//!
//! Purges see folded responses through the same table: a purge of a URL also selects the folded
//! URL, as long as the saying is known. Therefore the number: when a saying is forgotten, nothing
//! kept under it is ever found again. And therefore a saying counts only for what was fetched
//! after it was learned with nothing purged in between, and is not learned right after a purge of
//! its path that could not know it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::invalidate::Watermark;
use crate::key::KeyParts;
use crate::variant::search::SearchVariance;
use crate::{CacheKey, Millis};

/// Paths whose saying is known at once; the oldest is forgotten for a new one.
pub const PATHS_MAX: usize = 4096;

/// Paths purged lately without a saying; beyond, nothing new is learned for [`PURGED_MS`].
const PURGED_PATHS_MAX: usize = 1024;

/// How long after a purge of a path no saying is learned for it: longer than a purge takes from
/// being read to being in force.
const PURGED_MS: u64 = 10_000;

/// A saying that was not confirmed for so long gives way to another one.
const CONTRADICTED_MS: u64 = 60_000;

/// Where a request is looked up whose path has a saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The folded key.
    pub key: CacheKey,
    /// The folded query: what purges and invalidations select.
    pub query: Option<String>,
}

/// One saying.
#[derive(Clone, Debug)]
struct Saying {
    variance: Arc<SearchVariance>,
    number: u64,
    /// Nothing fetched before this counts.
    since: Watermark,
    confirmed: Millis,
}

/// The table.
#[derive(Debug)]
pub struct Searches {
    /// Mirrors the table's size: most nodes never need the lock.
    known: AtomicUsize,
    table: RwLock<Table>,
}

#[derive(Debug)]
struct Table {
    by_path: HashMap<CacheKey, Saying>,
    order: VecDeque<CacheKey>,
    purged: HashMap<CacheKey, Millis>,
    nothing_until: Millis,
    next: u64,
}

impl Default for Searches {
    fn default() -> Self {
        // Numbers of an earlier process must not come again: what it kept is still on disk.
        let next = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        let table = Table {
            by_path: HashMap::new(),
            order: VecDeque::new(),
            purged: HashMap::new(),
            nothing_until: Millis(0),
            next,
        };
        Self { known: AtomicUsize::new(0), table: RwLock::new(table) }
    }
}

impl Searches {
    /// Where to look a request up; `None` if nothing is known of its path.
    pub fn folded(&self, parts: &KeyParts<'_>) -> Option<Folded> {
        if self.known.load(Ordering::Acquire) == 0 {
            return None;
        }
        let saying = self.table.read().by_path.get(&path_key(parts)).cloned()?;
        saying.fold(parts)
    }

    /// What a purge of a URL has to select besides the URL itself.
    pub fn folded_for_purge(&self, parts: &KeyParts<'_>, now: Millis) -> Option<Folded> {
        let path = path_key(parts);
        let mut table = self.table.write();
        if let Some(saying) = table.by_path.get(&path).cloned() {
            return saying.fold(parts);
        }
        if table.purged.len() >= PURGED_PATHS_MAX {
            table.purged.clear();
            table.nothing_until = now.plus_ms(PURGED_MS);
        }
        table.purged.insert(path, now);
        None
    }

    /// Takes in what a response says that was fetched under `sent`; gives the key to keep it under,
    /// `None` for its own.
    pub fn learn(
        &self,
        parts: &KeyParts<'_>,
        variance: SearchVariance,
        sent: Watermark,
        in_force: Watermark,
        now: Millis,
    ) -> Option<Folded> {
        let path = path_key(parts);
        let mut table = self.table.write();
        if let Some(saying) = table.by_path.get_mut(&path) {
            if *saying.variance == variance {
                saying.confirmed = now;
                return saying.counts_for(sent).then(|| saying.fold(parts)).flatten();
            }
            if now.since_ms(saying.confirmed) < CONTRADICTED_MS {
                return None;
            }
        }
        let lately = |at: &Millis| now.since_ms(*at) < PURGED_MS;
        if now < table.nothing_until || table.purged.get(&path).is_some_and(lately) {
            return None;
        }
        let saying = Saying {
            variance: Arc::new(variance),
            number: table.next,
            since: in_force,
            confirmed: now,
        };
        table.next = table.next.wrapping_add(1);
        table.purged.retain(|_, at| lately(at));
        if table.by_path.insert(path, saying.clone()).is_none() {
            table.order.push_back(path);
        }
        if table.order.len() > PATHS_MAX
            && let Some(oldest) = table.order.pop_front()
        {
            table.by_path.remove(&oldest);
        }
        self.known.store(table.by_path.len(), Ordering::Release);
        drop(table);
        saying.counts_for(sent).then(|| saying.fold(parts)).flatten()
    }
}

impl Saying {
    /// Whether nothing was purged or invalidated between the fetch and the learning.
    const fn counts_for(&self, sent: Watermark) -> bool {
        sent.position.0 >= self.since.position.0 && sent.local >= self.since.local
    }

    fn fold(&self, parts: &KeyParts<'_>) -> Option<Folded> {
        let query = self.variance.fold(parts.query)?;
        let exact = CacheKey::of(&KeyParts { query: query.as_deref(), ..*parts });
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"no-vary-search");
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&exact.0);
        Some(Folded { key: CacheKey(*hasher.finalize().as_bytes()), query })
    }
}

/// The path, whatever the query and the scheme: purges do not tell schemes apart either.
fn path_key(parts: &KeyParts<'_>) -> CacheKey {
    CacheKey::of(&KeyParts { scheme: "", query: None, ..*parts })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::invalidate::Position;

    fn parts<'a>(path: &'a str, query: &'a str) -> KeyParts<'a> {
        KeyParts { site: "s", scheme: "http", host: "h", path, query: Some(query) }
    }

    fn says(field: &'static str) -> SearchVariance {
        let mut headers = HeaderMap::new();
        headers.insert("no-vary-search", HeaderValue::from_static(field));
        SearchVariance::of(&headers).expect("a variance")
    }

    fn at(position: u64) -> Watermark {
        Watermark { position: Position(position), ..Watermark::default() }
    }

    const NOW: Millis = Millis(1_000_000);

    #[test]
    fn what_means_the_same_has_one_key_and_paths_do_not_mix() {
        let searches = Searches::default();
        assert_eq!(searches.folded(&parts("/a", "x=1&u=1")), None);
        let kept =
            searches.learn(&parts("/a", "x=1&u=1"), says("params=(\"u\")"), at(5), at(5), NOW);
        let kept = kept.expect("folded");
        assert_eq!(kept.query.as_deref(), Some("x=1"));
        assert_eq!(searches.folded(&parts("/a", "u=2&x=1")).as_ref(), Some(&kept));
        assert_ne!(searches.folded(&parts("/a", "x=2")).expect("folded").key, kept.key);
        assert_eq!(searches.folded(&parts("/b", "x=1")), None);
        let purge = searches.folded_for_purge(&parts("/a", "u=3&x=1"), NOW).expect("folded");
        assert_eq!(purge.query, kept.query);
    }

    #[test]
    fn what_was_fetched_before_a_purge_that_could_not_know_is_not_folded() {
        let searches = Searches::default();
        let learn = |sent, in_force, now| {
            searches.learn(&parts("/a", "x=1"), says("params=(\"u\")"), sent, in_force, now)
        };
        assert_eq!(searches.folded_for_purge(&parts("/a", "u=1"), NOW), None);
        assert_eq!(learn(at(5), at(5), NOW), None, "right after the purge");
        let later = NOW.plus_ms(PURGED_MS);
        assert_eq!(learn(at(5), at(6), later), None, "something was purged since it was sent");
        assert!(learn(at(6), at(6), later).is_some());
    }

    #[test]
    fn another_saying_waits_until_the_first_is_old_and_has_keys_of_its_own() {
        let searches = Searches::default();
        let learn =
            |field, now| searches.learn(&parts("/a", "x=1"), says(field), at(0), at(0), now);
        let first = learn("params=(\"u\")", NOW).expect("folded");
        assert_eq!(learn("params=(\"v\")", NOW), None);
        let later = NOW.plus_ms(CONTRADICTED_MS);
        let second = learn("params=(\"v\")", later).expect("folded");
        assert_eq!(second.query, first.query);
        assert_ne!(second.key, first.key);
    }

    #[test]
    fn the_table_is_bounded() {
        let searches = Searches::default();
        for n in 0..=PATHS_MAX {
            let path = format!("/{n}");
            searches.learn(&parts(&path, "x"), says("key-order"), at(0), at(0), NOW);
        }
        assert_eq!(searches.table.read().by_path.len(), PATHS_MAX);
        assert_eq!(searches.folded(&parts("/0", "x")), None);
        for n in 0..=PURGED_PATHS_MAX {
            searches.folded_for_purge(&parts(&format!("/p{n}"), "x"), NOW);
        }
        assert!(searches.table.read().purged.len() <= PURGED_PATHS_MAX);
    }
}
