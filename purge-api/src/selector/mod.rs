//! What a purge selects: from the text of a request to scopes of the cache.
//!
//! A selector is kept **as it was written**. Scopes are worked out from it with the key rules
//! of today ([`KeyRules`]), and again whenever the rules change; so a ledger outlives a change
//! of the configuration. The key of a stored response, its scopes and the selector must go
//! through one normaliser, or a purge misses what it names: hence the rules are lent by whoever
//! makes keys.
//!
//! Example: `{"url":"http://Shop.example:80/a"}` selects every variant of `shop.example/a`,
//! over `http` and `https` alike.

mod body;
mod rules;
mod url;

use std::borrow::Cow;

use selvedge_cache::invalidate::{Mode, Scope, ScopeHash};
use serde_json::{Map, Value};

pub use body::{BodyError, FIELDS, Field, FieldKind, PurgeRequest};
pub use rules::{KeyRules, PlainRules, Target};
pub use url::AbsoluteUrl;

/// Longest URL, prefix or host in a selector, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Longest tag or site name in a selector, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;
/// Most tags in one selector; a caller with more sends several purges.
pub const TAGS_MAX: usize = 256;

/// What a purge selects, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The one thing that is selected.
    pub what: What,
    /// Narrows it to one site by name; `None` for [`What::Site`], which is its own.
    pub site: Option<String>,
}

/// The one thing that a purge selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Every variant of one absolute URL.
    Url(String),
    /// An absolute URL and everything below it, by whole path segments.
    Prefix(String),
    /// A tag that the origin gave (`Surrogate-Key`, `Cache-Tag`, `Cache-Groups`).
    Tag(String),
    /// Any of several tags.
    Tags(Vec<String>),
    /// A host, with its port when it is not the default.
    Host(String),
    /// A site by its configured name.
    Site(String),
    /// All stored responses.
    Everything,
}

/// What a purge selects by, without the thing itself: bounded, a label value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SelectorKind {
    /// One URL.
    Url,
    /// A path prefix.
    Prefix,
    /// One tag or several.
    Tag,
    /// A host.
    Host,
    /// A site.
    Site,
    /// Everything.
    Everything,
}

impl SelectorKind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Self; 6] =
        [Self::Url, Self::Prefix, Self::Tag, Self::Host, Self::Site, Self::Everything];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Tag => "tag",
            Self::Host => "host",
            Self::Site => "site",
            Self::Everything => "everything",
        }
    }
}

/// A field of a request that means nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// Name of the field.
    pub field: String,
    /// A sentence for people.
    pub message: String,
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.chars().take(64).collect(), message: message.into() }
    }
}

impl Selector {
    /// The selector's kind; several tags in one purge are one purge by tag.
    pub const fn kind(&self) -> SelectorKind {
        match self.what {
            What::Url(_) => SelectorKind::Url,
            What::Prefix(_) => SelectorKind::Prefix,
            What::Tag(_) | What::Tags(_) => SelectorKind::Tag,
            What::Host(_) => SelectorKind::Host,
            What::Site(_) => SelectorKind::Site,
            What::Everything => SelectorKind::Everything,
        }
    }

    /// Name of the field in JSON that says what is selected.
    const fn field(&self) -> &'static str {
        match self.what {
            What::Tags(_) => "tags",
            _ => self.kind().name(),
        }
    }

    /// The one site that is touched, if it is only one by the selector's own words.
    pub fn only_site(&self) -> Option<&str> {
        match &self.what {
            What::Site(name) => Some(name),
            _ => self.site.as_deref(),
        }
    }

    /// The JSON object that a caller would write for this selector.
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let value = match &self.what {
            What::Url(text)
            | What::Prefix(text)
            | What::Tag(text)
            | What::Host(text)
            | What::Site(text) => Value::from(text.as_str()),
            What::Tags(tags) => Value::from(tags.clone()),
            What::Everything => Value::Bool(true),
        };
        fields.insert(self.field().to_owned(), value);
        if let Some(site) = &self.site {
            fields.insert("site".to_owned(), Value::from(site.as_str()));
        }
        Value::Object(fields)
    }

    /// Reads what [`Self::to_json`] wrote.
    pub fn from_json(text: &[u8]) -> Result<Self, BodyError> {
        Ok(PurgeRequest::parse(text)?.selector)
    }

    /// The scopes of the cache under `rules`, without repetition; at least one.
    pub fn scopes(&self, rules: &dyn KeyRules) -> Result<Vec<ScopeHash>, FieldError> {
        let site = self.site.as_deref();
        if let Some(name) = self.only_site()
            && !rules.knows_site(name)
        {
            return Err(FieldError::new("site", "No site of this name is configured."));
        }
        let target = |field, text| -> Result<Target, FieldError> {
            let url = AbsoluteUrl::parse(text).map_err(|why| FieldError::new(field, why))?;
            let normal = if field == "url" { rules.url(&url) } else { rules.prefix(&url) };
            normal.map_err(|why| FieldError::new(field, why))
        };
        let mut scopes = match &self.what {
            What::Url(text) => {
                let target = target("url", text)?;
                let scheme = if text.starts_with("https") { "https" } else { "http" };
                let folded = rules.folded(scheme, &target);
                let Target { host, path, query } = target;
                let queries = std::iter::once(query).chain(folded);
                let scope = |query: Option<String>| {
                    ScopeHash::of(&Scope::Url(&host, &path, query.as_deref()), site)
                };
                queries.map(scope).collect()
            }
            What::Prefix(text) => {
                let Target { host, path, .. } = target("prefix", text)?;
                vec![ScopeHash::of(&Scope::Prefix(&host, &path), site)]
            }
            What::Tag(tag) => vec![ScopeHash::of(&Scope::Tag(tag), site)],
            What::Tags(tags) => {
                tags.iter().map(|tag| ScopeHash::of(&Scope::Tag(tag), site)).collect()
            }
            What::Host(text) => self::rules::hosts(rules, text)
                .map_err(|why| FieldError::new("host", why))?
                .iter()
                .map(|host| ScopeHash::of(&Scope::Host(host), site))
                .collect(),
            What::Site(name) => vec![ScopeHash::of(&Scope::Site, Some(name))],
            What::Everything => vec![ScopeHash::of(&Scope::Everything, site)],
        };
        scopes.sort_unstable();
        scopes.dedup();
        Ok(scopes)
    }

    /// The scopes of an entry that was accepted before, whatever the rules say today: where they
    /// refuse it (its host belongs to no site any more), the plain rules are used; where even
    /// those cannot, everything is selected. More, never less.
    pub fn scopes_of_accepted(&self, rules: &dyn KeyRules) -> Cow<'static, [ScopeHash]> {
        match self.scopes(rules).or_else(|_| self.scopes(&PlainRules)) {
            Ok(scopes) => Cow::Owned(scopes),
            Err(why) => {
                tracing::warn!(%why, "an accepted purge cannot be read any more; it selects everything");
                Cow::Owned(vec![ScopeHash::of(&Scope::Everything, None)])
            }
        }
    }
}

/// Name of a mode in JSON and in label values.
pub const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Hard => "hard",
        Mode::Soft => "soft",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Result<Vec<ScopeHash>, FieldError> {
        Selector::from_json(text.as_bytes()).expect("readable").scopes(&PlainRules)
    }

    #[test]
    fn a_selector_reads_back_as_it_was_written() {
        for text in [
            r#"{"url":"HTTP://H:80/%7Ea?b=1"}"#,
            r#"{"site":"shop","tag":"t"}"#,
            r#"{"tags":["a","b"]}"#,
            r#"{"site":"shop"}"#,
            r#"{"everything":true}"#,
        ] {
            let selector = Selector::from_json(text.as_bytes()).expect("valid");
            let again = Selector::from_json(selector.to_json().to_string().as_bytes());
            assert_eq!(again.expect("own JSON is valid"), selector);
        }
    }

    #[test]
    fn a_url_is_normalised_and_its_scheme_does_not_matter() {
        let one = scopes(r#"{"url":"http://H.example:80/a?b"}"#);
        assert_eq!(one, scopes(r#"{"url":"https://h.example:443/a?b"}"#));
        assert_ne!(one, scopes(r#"{"url":"https://h.example:444/a?b"}"#));
    }

    #[test]
    fn a_host_with_a_default_port_selects_both_readings() {
        assert_eq!(scopes(r#"{"host":"h:443"}"#).map(|all| all.len()), Ok(2));
        assert_eq!(scopes(r#"{"host":"h"}"#).map(|all| all.len()), Ok(1));
    }

    #[test]
    fn relative_urls_and_fragments_are_refused_by_name() {
        for text in [r#"{"url":"/a"}"#, r#"{"url":"http://h/a#b"}"#, r#"{"url":"http://u@h/"}"#] {
            assert_eq!(scopes(text).expect_err("refused").field, "url");
        }
        assert_eq!(scopes(r#"{"prefix":"http://h/?q"}"#).expect_err("refused").field, "prefix");
        assert_eq!(scopes(r#"{"host":"http://h/"}"#).expect_err("refused").field, "host");
    }
}
