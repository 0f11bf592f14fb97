//! What a successful unsafe request makes unusable (RFC 9111 §4.4).
//!
//! Its own target always; the URLs in `Location` and `Content-Location` when they are on the same
//! host. Schemes are not compared: invalidation selects `http` and `https` alike, and an origin
//! behind an edge that ends TLS writes either. Targets come back as resolved path and query; the
//! caller normalises them as it normalises requests.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, StatusCode, Uri};
use smallvec::SmallVec;

use super::MethodClass;
use super::tags;
use crate::invalidate::TargetScopes;
use crate::invalidate::scope::tag_hash;

/// Path and query of a URL on the request's own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Path, beginning with `/`, dot segments removed.
    pub path: String,
    /// Query without `?`.
    pub query: Option<String>,
}

/// Groups taken from one response: bounds what one answer to an unsafe method can cost. More
/// invalidate every group of the origin.
pub const GROUPS_MAX: usize = 128;

/// What a response invalidates by groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Tag hashes.
    pub tags: Vec<u64>,
    /// More than [`GROUPS_MAX`] were named: every group of the origin is meant.
    pub all: bool,
}

/// Whether an exchange invalidates. `status` is `None` when the request was sent and the answer
/// never came: the origin may have acted, so it counts as a success.
pub fn invalidates(method: MethodClass, status: Option<StatusCode>) -> bool {
    method == MethodClass::Unsafe
        && status.is_none_or(|status| status.is_success() || status.is_redirection())
}

/// Path and query of the further URLs that a response invalidates, besides the request's own
/// target. The host of `target` carries its port unless it is the default; relative references
/// count from its path. The caller normalises them as it normalises requests.
pub fn same_host_targets(
    target: &TargetScopes<'_>,
    headers: &HeaderMap,
) -> impl Iterator<Item = (String, Option<String>)> {
    let found: SmallVec<[Target; 2]> = [LOCATION, CONTENT_LOCATION]
        .iter()
        .filter_map(|name| resolve(target.host, target.path, headers.get(name)?.to_str().ok()?))
        .collect();
    found.into_iter().map(|target| (target.path, target.query))
}

/// Whether `Content-Location` names the request's own target: such a response to POST may stand
/// for a later GET (RFC 9110 §9.3.3). Compared as resolved text; what differs only in a way that
/// the site would normalise counts as different.
pub fn is_own_target(host: &str, own: &Target, headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_LOCATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let named = line.to_str().ok().filter(|reference| !reference.is_empty());
    named.and_then(|reference| resolve(host, &own.path, reference)).as_ref() == Some(own)
}

/// `Cache-Group-Invalidation` (RFC 9875 §3), which counts in answers to unsafe methods only.
pub fn invalidated_groups(headers: &HeaderMap) -> Groups {
    let groups = tags::groups(headers, "cache-group-invalidation");
    if groups.len() > GROUPS_MAX {
        return Groups { tags: Vec::new(), all: true };
    }
    Groups { tags: groups.iter().map(|group| tag_hash(group)).collect(), all: false }
}

/// RFC 3986 §5.2 for references to the same host; `None` for another host or another scheme than
/// HTTP.
fn resolve(host: &str, path: &str, reference: &str) -> Option<Target> {
    let reference = reference.split('#').next().unwrap_or_default().trim();
    if let Some((scheme, rest)) = absolute(reference) {
        return on_host(host, scheme, rest);
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return on_host(host, "", rest);
    }
    let (reference, query) = split_query(reference);
    let joined = match reference {
        "" => path.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => {
            let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
            format!("{folder}{relative}")
        }
    };
    Some(Target { path: without_dots(&joined), query })
}

/// Scheme and the part behind `://`; `None` for relative references.
fn absolute(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then(|| (scheme, rest.strip_prefix("//").unwrap_or_default()))
}

fn on_host(host: &str, scheme: &str, rest: &str) -> Option<Target> {
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "" => None,
        "http" => Some(80),
        "https" => Some(443),
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority: http::uri::Authority = rest[..end].parse().ok()?;
    let port = authority.port_u16().filter(|port| Some(*port) != default_port);
    let same = match port {
        Some(port) => host.eq_ignore_ascii_case(&format!("{}:{port}", authority.host())),
        None => host.eq_ignore_ascii_case(authority.host()),
    };
    if !same || authority.as_str().contains('@') {
        return None;
    }
    let (path, query) = split_query(&rest[end..]);
    let path = if path.is_empty() { "/" } else { path };
    Some(Target { path: without_dots(path), query })
}

fn split_query(reference: &str) -> (&str, Option<String>) {
    match reference.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (reference, None),
    }
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Path and query of a request's own target.
impl From<&Uri> for Target {
    fn from(uri: &Uri) -> Self {
        Self { path: uri.path().to_owned(), query: uri.query().map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn target<'a>(host: &'a str, path: &'a str) -> TargetScopes<'a> {
        TargetScopes { site: "s", host, path, query: None }
    }

    fn further(reference: &str) -> Option<(String, Option<String>)> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, HeaderValue::from_str(reference).expect("test value"));
        same_host_targets(&target("h.example", "/a/b"), &headers).next()
    }

    #[test]
    fn s4_4_unsafe_methods_invalidate_when_they_succeed_or_may_have() {
        let code = |n| Some(StatusCode::from_u16(n).expect("a code"));
        assert!(invalidates(MethodClass::Unsafe, code(200)));
        assert!(invalidates(MethodClass::Unsafe, code(303)));
        assert!(invalidates(MethodClass::Unsafe, None));
        assert!(!invalidates(MethodClass::Unsafe, code(404)));
        assert!(!invalidates(MethodClass::Unsafe, code(500)));
        assert!(!invalidates(MethodClass::Get, code(200)));
        assert!(!invalidates(MethodClass::OtherSafe, None));
        let odd = http::Method::from_bytes(b"M-SEARCH").expect("a token");
        assert_eq!(MethodClass::of(&odd), MethodClass::Unsafe);
    }

    #[test]
    fn s4_4_references_are_resolved_on_the_same_host() {
        type Row = (&'static str, Option<(&'static str, Option<&'static str>)>);
        let table: &[Row] = &[
            ("/x", Some(("/x", None))),
            ("/x?y=1#z", Some(("/x", Some("y=1")))),
            ("c", Some(("/a/c", None))),
            ("../c/./d/..", Some(("/c/", None))),
            ("../../../c", Some(("/c", None))),
            ("?q", Some(("/a/b", Some("q")))),
            ("", Some(("/a/b", None))),
            ("c:d/e", None),
            ("http://h.example/x", Some(("/x", None))),
            ("https://H.example:443", Some(("/", None))),
            ("http://h.example?q", Some(("/", Some("q")))),
            ("//h.example/x", Some(("/x", None))),
            ("http://h.example:81/x", None),
            ("http://other.example/x", None),
            ("http://h.example@other/x", None),
            ("http://u@h.example/x", None),
            ("ftp://h.example/x", None),
            ("http:/x", None),
            ("//", None),
        ];
        for (reference, want) in table {
            let want = want.map(|(path, query)| (path.to_owned(), query.map(str::to_owned)));
            assert_eq!(further(reference), want, "{reference}");
        }
    }

    #[test]
    fn s4_4_a_host_with_port_is_compared_with_it() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LOCATION, HeaderValue::from_static("http://h:81/x"));
        assert_eq!(same_host_targets(&target("h:81", "/"), &headers).count(), 1);
        assert_eq!(same_host_targets(&target("h", "/"), &headers).count(), 0);
    }

    #[test]
    fn r9110_9_3_3_content_location_of_the_own_target() {
        let own = Target { path: "/a/b".into(), query: Some("q".into()) };
        let is_own = |reference: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LOCATION, HeaderValue::from_static(reference));
            is_own_target("h", &own, &headers)
        };
        assert!(is_own("/a/b?q") && is_own("b?q") && is_own("https://h/a/b?q"));
        assert!(!is_own("/a/b") && !is_own("//i/a/b?q") && !is_own(""));
        assert!(!is_own_target("h", &own, &HeaderMap::new()));
    }

    #[test]
    fn r9875_3_group_invalidation() {
        let mut headers = HeaderMap::new();
        headers.insert("cache-group-invalidation", HeaderValue::from_static("\"a\", b, \"c\""));
        let tags = vec![tag_hash("a"), tag_hash("c")];
        assert_eq!(invalidated_groups(&headers), Groups { tags, all: false });
        let many: Vec<String> = (0..=GROUPS_MAX).map(|n| format!("\"g{n}\"")).collect();
        let many = many.join(", ").parse().expect("a value");
        headers.insert("cache-group-invalidation", many);
        assert_eq!(invalidated_groups(&headers), Groups { tags: Vec::new(), all: true });
    }

    proptest::proptest! {
        #[test]
        fn references_never_panic(reference in "[ -~]{0,60}") {
            if let Ok(value) = HeaderValue::from_str(&reference) {
                let mut headers = HeaderMap::new();
                headers.insert(LOCATION, value);
                for (path, _) in same_host_targets(&target("h", "/a"), &headers) {
                    proptest::prop_assert!(path.starts_with('/'));
                }
            }
        }
    }
}
