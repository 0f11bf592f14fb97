//! The body of `POST /v1/purges`.
//!
//! Read strictly: an unknown field, a field written twice or a second selector is refused, for a
//! purge that does something else than its author meant is worse than none.

use std::fmt;

use selvedge_cache::invalidate::Mode;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{FieldError, NAME_BYTES_MAX, Selector, TAGS_MAX, TEXT_BYTES_MAX, What};

/// A purge as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeRequest {
    /// What is selected.
    pub selector: Selector,
    /// Hard unless `"soft":true`.
    pub mode: Mode,
    /// Only tell what would be selected.
    pub dry_run: bool,
}

/// Why a body is no purge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or no object (400).
    #[error("{0}")]
    NotJson(String),
    /// JSON with a wrong meaning (422).
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl PurgeRequest {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let fields: Fields =
            serde_json::from_slice(body).map_err(|why| BodyError::NotJson(why.to_string()))?;
        let mut selected: Option<What> = None;
        let (mut site, mut soft, mut dry_run) = (None, false, false);
        for (at, (name, value)) in fields.0.iter().enumerate() {
            if fields.0[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(FieldError::new(name, "Written twice.").into());
            }
            let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
                return Err(FieldError::new(name, unknown()).into());
            };
            match field.read(value)? {
                Given::Selects(what) if selected.is_none() => selected = Some(what),
                Given::Selects(_) => {
                    let message = "A second selector; give exactly one.";
                    return Err(FieldError::new(name, message).into());
                }
                Given::Site(name) => site = Some(name),
                Given::Soft(is) => soft = is,
                Given::DryRun(is) => dry_run = is,
            }
        }
        let selector = match (selected, site) {
            (Some(what), site) => Selector { what, site },
            (None, Some(site)) => Selector { what: What::Site(site), site: None },
            (None, None) => return Err(FieldError::new("url", missing()).into()),
        };
        let mode = if soft { Mode::Soft } else { Mode::Hard };
        Ok(Self { selector, mode, dry_run })
    }
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A text of 1 to so many bytes.
    Text(usize),
    /// 1 to so many texts of 1 to so many bytes each.
    Texts(usize, usize),
    /// `true`.
    True,
    /// `true` or `false`, which is the same as nothing.
    Flag,
}

/// One field of the body: the parser, its messages and the description of the API are made from it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub kind: FieldKind,
    /// It selects by itself; exactly one of these is given, or `site`.
    pub is_selector: bool,
    /// What it means, for people.
    pub text: &'static str,
}

const fn selector(name: &'static str, kind: FieldKind, text: &'static str) -> Field {
    Field { name, kind, is_selector: true, text }
}

const fn modifier(name: &'static str, kind: FieldKind, text: &'static str) -> Field {
    Field { name, kind, is_selector: false, text }
}

/// Every field.
pub const FIELDS: [Field; 9] = [
    selector(
        "url",
        FieldKind::Text(TEXT_BYTES_MAX),
        "An absolute URL: all its variants, over http and https. The query counts as the site folds it.",
    ),
    selector(
        "prefix",
        FieldKind::Text(TEXT_BYTES_MAX),
        "An absolute URL without a query: itself and what is below it, by whole path segments.",
    ),
    selector(
        "tag",
        FieldKind::Text(NAME_BYTES_MAX),
        "What the origin gave this tag (Surrogate-Key, Cache-Tag, Cache-Groups).",
    ),
    selector("tags", FieldKind::Texts(TAGS_MAX, NAME_BYTES_MAX), "What has any of these tags."),
    selector(
        "host",
        FieldKind::Text(TEXT_BYTES_MAX),
        "A host, with its port if it is not the default.",
    ),
    selector("everything", FieldKind::True, "All that is stored."),
    modifier(
        "site",
        FieldKind::Text(NAME_BYTES_MAX),
        "A site by its configured name; beside a selector: only within this site.",
    ),
    modifier(
        "soft",
        FieldKind::Flag,
        "Makes stale instead of unusable: validated, and served meanwhile where that is allowed.",
    ),
    modifier("dry_run", FieldKind::Flag, "Only tells what would be selected."),
];

/// A field that was read.
enum Given {
    Selects(What),
    Site(String),
    Soft(bool),
    DryRun(bool),
}

impl Field {
    fn read(&self, value: &Value) -> Result<Given, FieldError> {
        let name = self.name;
        let (mut one, mut list, mut is) = (String::new(), Vec::new(), false);
        match self.kind {
            FieldKind::Text(bytes_max) => one = text(name, value, bytes_max)?,
            FieldKind::Texts(count_max, bytes_max) => {
                list = texts(name, value, count_max, bytes_max)?;
            }
            FieldKind::Flag => is = flag(name, value)?,
            FieldKind::True if flag(name, value)? => {}
            FieldKind::True => return Err(FieldError::new(name, "Must be true, or left away.")),
        }
        Ok(match name {
            "url" => Given::Selects(What::Url(one)),
            "prefix" => Given::Selects(What::Prefix(one)),
            "tag" => Given::Selects(What::Tag(one)),
            "tags" => Given::Selects(What::Tags(list)),
            "host" => Given::Selects(What::Host(one)),
            "everything" => Given::Selects(What::Everything),
            "site" => Given::Site(one),
            "soft" => Given::Soft(is),
            "dry_run" => Given::DryRun(is),
            _ => unreachable!("every field of the table is named here"),
        })
    }
}

fn unknown() -> String {
    format!("Unknown field; known are {}.", FIELDS.map(|field| field.name).join(", "))
}

fn missing() -> String {
    let selectors = FIELDS.iter().filter(|field| field.is_selector).map(|field| field.name);
    let names: Vec<_> = selectors.chain(["site"]).collect();
    format!("No selector; give exactly one of {}.", names.join(", "))
}

fn text(name: &str, value: &Value, bytes_max: usize) -> Result<String, FieldError> {
    let text = value.as_str().ok_or_else(|| FieldError::new(name, "Must be a string."))?;
    if text.is_empty() || text.len() > bytes_max {
        return Err(FieldError::new(name, format!("Must have 1 to {bytes_max} bytes.")));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let message = "Must not begin or end with space, nor hold control characters.";
        return Err(FieldError::new(name, message));
    }
    Ok(text.to_owned())
}

fn texts(
    name: &str,
    value: &Value,
    count_max: usize,
    bytes_max: usize,
) -> Result<Vec<String>, FieldError> {
    let list = value.as_array().filter(|list| (1..=count_max).contains(&list.len()));
    let list = list.ok_or_else(|| {
        FieldError::new(name, format!("Must be a list of 1 to {count_max} strings."))
    })?;
    list.iter().map(|one| text(name, one, bytes_max)).collect()
}

fn flag(name: &str, value: &Value) -> Result<bool, FieldError> {
    value.as_bool().ok_or_else(|| FieldError::new(name, "Must be true or false."))
}

/// A JSON object with its fields in order, repetitions included.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                    if fields.len() > FIELDS_MAX {
                        return Err(serde::de::Error::custom("too many fields"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Object)
    }
}

/// More fields than a purge can have; the first unknown one is named before this is reached.
const FIELDS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> String {
        match PurgeRequest::parse(text.as_bytes()) {
            Err(BodyError::Field(why)) => why.field,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(field(r#"{"urls":"http://h/"}"#), "urls");
        assert_eq!(field(r#"{"url":"http://h/","tag":"t"}"#), "tag");
        assert_eq!(field(r#"{"tag":"a","tag":"b"}"#), "tag");
        assert_eq!(field(r#"{"tag":7}"#), "tag");
        assert_eq!(field(r#"{"tag":" t"}"#), "tag");
        assert_eq!(field(r#"{"tags":[]}"#), "tags");
        assert_eq!(field(r#"{"everything":false}"#), "everything");
        assert_eq!(field(r#"{"everything":true,"soft":1}"#), "soft");
        assert_eq!(field("{}"), "url");
    }

    #[test]
    fn what_is_no_object_is_not_json_for_us() {
        for text in ["", "[]", "7", "{\"tag\":", "null"] {
            let read = PurgeRequest::parse(text.as_bytes());
            assert!(matches!(read, Err(BodyError::NotJson(_))), "{text}");
        }
    }

    #[test]
    fn a_site_selects_alone_and_narrows_beside_another() {
        let alone = PurgeRequest::parse(br#"{"site":"s","soft":true}"#).expect("valid");
        assert_eq!(alone.selector.what, What::Site("s".into()));
        assert_eq!(alone.mode, Mode::Soft);
        let beside = PurgeRequest::parse(br#"{"site":"s","tag":"t","dry_run":true}"#);
        let beside = beside.expect("valid");
        assert_eq!(beside.selector.site.as_deref(), Some("s"));
        assert!(beside.dry_run);
    }

    proptest::proptest! {
        /// Whatever is read writes itself so that it is read again; nothing panics.
        #[test]
        fn any_text_is_refused_or_reads_back(
            name in "url|prefix|tag|host|site|everything|x",
            value in "\\PC{0,40}",
        ) {
            let body = serde_json::json!({ name: value }).to_string();
            if let Ok(asked) = PurgeRequest::parse(body.as_bytes()) {
                let again = Selector::from_json(asked.selector.to_json().to_string().as_bytes());
                assert_eq!(again.as_ref(), Ok(&asked.selector));
                let _ = asked.selector.scopes(&crate::selector::PlainRules);
                assert!(!asked.selector.scopes_of_accepted(&crate::selector::PlainRules).is_empty());
            }
            let _ = PurgeRequest::parse(value.as_bytes());
        }
    }
}
