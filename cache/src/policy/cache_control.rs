//! `Cache-Control` as facts: directives of a response, directives of a request.
//!
//! Several lines are one list. Names are case-insensitive. When a directive is given twice the
//! smallest value counts: RFC 9111 §4.2.1 allows the first value or "stale", and the smallest
//! agrees with one of both at every moment. An invalid value counts as 0 in a response
//! (§4.2.1: treat as stale) and as absent in a request (an odd request must not force a miss).
//! A restriction is honoured wherever it can be read, a permission only where it is well formed.

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, PRAGMA};
use http::{HeaderMap, HeaderName, Method};

use super::directive::{Member, Value, delta_seconds, members, tokens};
use super::{MethodClass, Options, RequestFacts};

/// Field names kept from qualified `no-cache`/`private`; with more the directive counts as
/// unqualified.
pub const OMITTED_FIELDS_MAX: usize = 32;

/// Directives of a response that a shared cache acts on (RFC 9111 §5.2.2, 5861, 8246).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `max-age`, in seconds; 0 when invalid.
    pub max_age_s: Option<u32>,
    /// `s-maxage`, in seconds; 0 when invalid.
    pub s_maxage_s: Option<u32>,
    /// `stale-while-revalidate`, in seconds; 0 when invalid.
    pub swr_s: Option<u32>,
    /// `stale-if-error`, in seconds; 0 when invalid.
    pub sie_s: Option<u32>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache` without field names.
    pub no_cache: bool,
    /// `private` without field names.
    pub private: bool,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`.
    pub must_revalidate: bool,
    /// `proxy-revalidate`.
    pub proxy_revalidate: bool,
    /// `must-understand`.
    pub must_understand: bool,
    /// `immutable`.
    pub immutable: bool,
    /// Some member broke the grammar: permissions that undo a restriction are not believed.
    pub malformed: bool,
    /// Fields named by `no-cache="…"` and `private="…"`.
    pub omitted_fields: Vec<HeaderName>,
}

impl Directives {
    /// Reads all lines of `Cache-Control`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            directives.add_line(line.as_bytes());
        }
        directives
    }

    /// Adds the members of one line.
    pub fn add_line(&mut self, line: &[u8]) {
        members(line).for_each(|member| self.add(&member));
    }

    /// Adds one member.
    pub fn add(&mut self, member: &Member<'_>) {
        if !member.well_formed() {
            self.malformed = true;
            tokens(member.rest).for_each(|token| self.restrict(&lower(token)));
        }
        let name = lower(member.name);
        let fine = member.rest.is_empty();
        match name.as_ref() {
            b"max-age" => shorten(&mut self.max_age_s, seconds(member)),
            b"s-maxage" => shorten(&mut self.s_maxage_s, seconds(member)),
            b"stale-while-revalidate" => shorten(&mut self.swr_s, seconds(member)),
            b"stale-if-error" => shorten(&mut self.sie_s, seconds(member)),
            b"no-cache" => self.no_cache |= !self.omit(member),
            b"private" => self.private |= !self.omit(member),
            b"public" => self.public |= fine,
            b"immutable" => self.immutable |= fine,
            _ => self.restrict(&name),
        }
    }

    /// Directives that only ever forbid: read even from the ruins of a member.
    fn restrict(&mut self, name: &Lower) {
        match name.as_ref() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            _ => {}
        }
    }

    /// Takes the field names of a qualified directive (§5.2.2.4, §5.2.2.7). `false` when it must
    /// count as unqualified: no quoted list, a name that is none, too many, or a field without
    /// which the stored bytes cannot be understood.
    fn omit(&mut self, member: &Member<'_>) -> bool {
        let Value::Quoted(list) = member.value else { return false };
        let before = self.omitted_fields.len();
        let listed = member.rest.is_empty() && self.push_names(list);
        if !listed || self.omitted_fields.len() == before {
            self.omitted_fields.truncate(before);
            return false;
        }
        true
    }

    fn push_names(&mut self, list: &[u8]) -> bool {
        for name in list.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|n| !n.is_empty()) {
            match HeaderName::from_bytes(name) {
                Ok(name) if !needed(&name) && self.omitted_fields.len() < OMITTED_FIELDS_MAX => {
                    self.omitted_fields.push(name);
                }
                _ => return false,
            }
        }
        true
    }
}

/// Fields that cannot be left out of a stored response without changing what its bytes mean.
fn needed(name: &HeaderName) -> bool {
    use http::header as h;
    [
        h::CACHE_CONTROL,
        h::CONTENT_ENCODING,
        h::CONTENT_LENGTH,
        h::CONTENT_RANGE,
        h::CONTENT_TYPE,
        h::DATE,
        h::EXPIRES,
        h::LOCATION,
        h::VARY,
    ]
    .contains(name)
}

fn shorten(known: &mut Option<u32>, value: Option<u32>) {
    let value = value.unwrap_or(0);
    *known = Some(known.map_or(value, |known| known.min(value)));
}

/// The argument as `delta-seconds`; a quoted number is accepted (§5.2: recipients accept both).
fn seconds(member: &Member<'_>) -> Option<u32> {
    match member.value {
        Value::Plain(bytes) | Value::Quoted(bytes) if member.rest.is_empty() => {
            delta_seconds(bytes)
        }
        _ => None,
    }
}

/// A directive name in lower case; longer ones than we know are cut and match nothing.
#[derive(Clone, Copy)]
struct Lower {
    bytes: [u8; 24],
    len: usize,
}

fn lower(name: &[u8]) -> Lower {
    let mut bytes = [0; 24];
    let len = name.len().min(bytes.len());
    bytes[..len].copy_from_slice(&name[..len]);
    bytes.make_ascii_lowercase();
    Lower { bytes, len: if name.len() > bytes.len() { 0 } else { len } }
}

impl AsRef<[u8]> for Lower {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads a request once (RFC 9111 §5.2.1, §5.4). Two lookups and done when it carries neither
/// `Cache-Control` nor `Pragma`.
pub fn request_facts(
    method: &Method,
    headers: &HeaderMap,
    has_body: bool,
    options: &Options,
) -> RequestFacts {
    let mut facts = RequestFacts {
        method: MethodClass::of(method),
        authorization: headers.contains_key(AUTHORIZATION),
        has_body,
        ..RequestFacts::default()
    };
    if options.ignore_request_cache_control {
        return facts;
    }
    let mut lines = headers.get_all(CACHE_CONTROL).iter().peekable();
    if lines.peek().is_none() {
        // §5.4: `Pragma` speaks only in the absence of `Cache-Control`.
        facts.no_cache = headers.get_all(PRAGMA).iter().any(names_no_cache);
        return facts;
    }
    for member in lines.flat_map(|line| members(line.as_bytes())) {
        add_to_request(&mut facts, &member);
    }
    facts
}

fn names_no_cache(line: &HeaderValue) -> bool {
    members(line.as_bytes()).any(|m| m.name.eq_ignore_ascii_case(b"no-cache"))
}

fn add_to_request(facts: &mut RequestFacts, member: &Member<'_>) {
    let least = |known: Option<u32>, new: Option<u32>| match (known, new) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    match lower(member.name).as_ref() {
        b"no-cache" => facts.no_cache = true,
        b"no-store" => facts.no_store = true,
        b"only-if-cached" => facts.only_if_cached = true,
        b"max-age" => facts.max_age_s = least(facts.max_age_s, seconds(member)),
        b"min-fresh" => facts.min_fresh_s = facts.min_fresh_s.max(seconds(member)),
        b"stale-if-error" => {
            facts.stale_if_error_s = least(facts.stale_if_error_s, seconds(member));
        }
        b"max-stale" => {
            let any = matches!(member.value, Value::None) && member.rest.is_empty();
            let value = if any { Some(u32::MAX) } else { seconds(member) };
            facts.max_stale_s = least(facts.max_stale_s, value);
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "cache_control_tests.rs"]
mod tests;
