//! Scopes: what a purge can select, as 64-bit hashes.
//!
//! A collision selects more than asked, never less; that costs a fetch, not a promise.
//! The scheme is no part of a scope: a purge of a URL selects `http` and `https` alike.

/// Path segments beyond this depth are not probed; a deeper prefix purge is cut to this depth
/// (it selects more). Bounds what one request can cost.
pub const PREFIX_DEPTH_MAX: usize = 32;

/// A selected scope.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ScopeHash(pub u64);

/// What a purge can select, in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope<'a> {
    /// All stored responses.
    Everything,
    /// One site by its configured name.
    Site,
    /// A host, with port when it is not the default.
    Host(&'a str),
    /// Host and path prefix, by whole segments: `/a` selects `/a`, `/a/`, `/a/b`, not `/ab`.
    Prefix(&'a str, &'a str),
    /// Host, path and query: every variant of one URL.
    Url(&'a str, &'a str, Option<&'a str>),
    /// A tag given by the origin.
    Tag(&'a str),
}

impl ScopeHash {
    /// The scope, narrowed to a site (by name) or for all sites.
    pub fn of(scope: &Scope<'_>, site: Option<&str>) -> Self {
        let raw = match scope {
            Scope::Everything | Scope::Site => RawScope::whole(),
            Scope::Host(host) => RawScope::host(host),
            Scope::Prefix(host, path) => RawScope::prefix(host, path),
            Scope::Url(host, path, query) => RawScope::url(host, path, *query),
            Scope::Tag(tag) => RawScope::tag(tag),
        };
        raw.at(site.map_or(0, site_hash))
    }
}

impl ScopeHash {
    /// The scope of a tag, for all sites, from the hash that records keep.
    pub fn of_tag(tag: u64) -> Self {
        RawScope(tag).at(0)
    }

    /// The same, narrowed to the site with this hash.
    pub(super) fn of_tag_at(tag: u64, site: u64) -> Self {
        RawScope(tag).at(site)
    }
}

/// Hash of a site's name.
pub fn site_hash(site: &str) -> u64 {
    hash64(0x51, &[site.as_bytes()])
}

/// Hash of a tag, as records keep it.
pub fn tag_hash(tag: &str) -> u64 {
    RawScope::tag(tag).0
}

/// A scope before it is narrowed to a site.
#[derive(Clone, Copy)]
struct RawScope(u64);

impl RawScope {
    fn whole() -> Self {
        Self(1)
    }
    fn host(host: &str) -> Self {
        Self(hash64(2, &[host.as_bytes()]))
    }
    fn prefix(host: &str, path: &str) -> Self {
        let cut = prefixes(path).last().unwrap_or("");
        Self(hash64(3, &[host.as_bytes(), cut.as_bytes()]))
    }
    fn url(host: &str, path: &str, query: Option<&str>) -> Self {
        let kind = if query.is_some() { 5 } else { 4 };
        Self(hash64(kind, &[host.as_bytes(), path.as_bytes(), query.unwrap_or("").as_bytes()]))
    }
    fn tag(tag: &str) -> Self {
        Self(hash64(6, &[tag.as_bytes()]))
    }
    /// Narrowed to a site; `0` is every site.
    fn at(self, site: u64) -> ScopeHash {
        ScopeHash(mix(self.0 ^ site.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// The prefixes of a path by whole segments, without a final `/`: `/a/b/` gives ``, `/a`, `/a/b`.
pub fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let trimmed = path.trim_end_matches('/');
    std::iter::once("").chain(
        trimmed
            .char_indices()
            .skip(1)
            .filter(|(_, c)| *c == '/')
            .map(|(at, _)| &trimmed[..at])
            .chain((!trimmed.is_empty()).then_some(trimmed))
            .take(PREFIX_DEPTH_MAX),
    )
}

fn hash64(kind: u8, parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind]);
    for part in parts {
        hasher.update(&(part.len() as u32).to_le_bytes());
        hasher.update(part);
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("32 bytes"))
}

/// Finaliser of splitmix64: spreads a combined value over all bits.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The scopes of a request target, worked out only when a purge is newer than the record.
#[derive(Clone, Copy, Debug)]
pub struct TargetScopes<'a> {
    /// Configured name of the site.
    pub site: &'a str,
    /// Normalised host.
    pub host: &'a str,
    /// Normalised path.
    pub path: &'a str,
    /// Query as the site folds it.
    pub query: Option<&'a str>,
}

/// What a probed scope stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probed<'a> {
    /// All stored responses; for this site alone: the site.
    Everything,
    /// The target's host.
    Host,
    /// The target itself.
    Url,
    /// A path prefix of the target, by whole segments; empty for the whole host.
    Prefix(&'a str),
    /// A tag, by the hash that records keep.
    Tag(u64),
}

impl TargetScopes<'_> {
    /// The URL's own scope for all sites: also the key of local invalidation.
    pub fn url(&self) -> ScopeHash {
        RawScope::url(self.host, self.path, self.query).at(site_hash(self.site))
    }

    /// A tag on this host of this site: the key of the local invalidation of a group (RFC 9875
    /// §3, whose groups belong to one origin).
    pub fn group(&self, tag: u64) -> ScopeHash {
        RawScope(tag ^ hash64(7, &[self.host.as_bytes()])).at(site_hash(self.site))
    }

    /// Whatever carries any tag on this host of this site.
    pub fn all_groups(&self) -> ScopeHash {
        RawScope(hash64(8, &[self.host.as_bytes()])).at(site_hash(self.site))
    }

    /// Calls `probe` with every scope that selects this target or one of `tags`.
    pub fn each(&self, tags: &[u64], mut probe: impl FnMut(ScopeHash)) {
        self.each_named(tags, |_, all_sites, own_site| {
            probe(all_sites);
            probe(own_site);
        });
    }

    /// The same with what each scope stands for: its hash for all sites, and for this site alone.
    pub fn each_named(
        &self,
        tags: &[u64],
        mut probe: impl FnMut(Probed<'_>, ScopeHash, ScopeHash),
    ) {
        let site = site_hash(self.site);
        let mut both = |what: Probed<'_>, raw: RawScope| probe(what, raw.at(0), raw.at(site));
        both(Probed::Everything, RawScope::whole());
        both(Probed::Host, RawScope::host(self.host));
        both(Probed::Url, RawScope::url(self.host, self.path, self.query));
        for prefix in prefixes(self.path) {
            let raw = RawScope(hash64(3, &[self.host.as_bytes(), prefix.as_bytes()]));
            both(Probed::Prefix(prefix), raw);
        }
        for tag in tags {
            both(Probed::Tag(*tag), RawScope(*tag));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_whole_segments_and_bounded() {
        assert_eq!(prefixes("/a/b/").collect::<Vec<_>>(), ["", "/a", "/a/b"]);
        assert_eq!(prefixes("/").collect::<Vec<_>>(), [""]);
        let deep = "/x".repeat(4000);
        assert_eq!(prefixes(&deep).count(), PREFIX_DEPTH_MAX + 1);
    }

    #[test]
    fn a_prefix_selects_its_segment_and_below_but_no_sibling() {
        let selects = |prefix: &str, path: &str| {
            let wanted = ScopeHash::of(&Scope::Prefix("h", prefix), None);
            let mut found = false;
            TargetScopes { site: "s", host: "h", path, query: None }
                .each(&[], |scope| found |= scope == wanted);
            found
        };
        assert!(selects("/a", "/a") && selects("/a", "/a/") && selects("/a/", "/a/b"));
        assert!(!selects("/a", "/ab") && !selects("/a/b", "/a"));
        assert!(selects(&"/x".repeat(40), &"/x".repeat(50)), "deeper than the bound selects more");
    }

    #[test]
    fn a_site_narrows_a_scope() {
        let shop = ScopeHash::of(&Scope::Tag("t"), Some("shop"));
        let mut hits = 0;
        let target = TargetScopes { site: "blog", host: "h", path: "/", query: None };
        target.each(&[tag_hash("t")], |scope| hits += usize::from(scope == shop));
        assert_eq!(hits, 0);
        let all = ScopeHash::of(&Scope::Tag("t"), None);
        target.each(&[tag_hash("t")], |scope| hits += usize::from(scope == all));
        assert_eq!(hits, 1);
    }
}
