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
            let what = match name.as_str() {
                "url" => What::Url(text(name, value, TEXT_BYTES_MAX)?),
                "prefix" => What::Prefix(text(name, value, TEXT_BYTES_MAX)?),
                "host" => What::Host(text(name, value, TEXT_BYTES_MAX)?),
                "tag" => What::Tag(text(name, value, NAME_BYTES_MAX)?),
                "tags" => What::Tags(tags(value)?),
                "everything" if flag(name, value)? => What::Everything,
                "everything" => {
                    return Err(FieldError::new(name, "Must be true, or left away.").into());
                }
                "site" => {
                    site = Some(text(name, value, NAME_BYTES_MAX)?);
                    continue;
                }
                "soft" => {
                    soft = flag(name, value)?;
                    continue;
                }
                "dry_run" => {
                    dry_run = flag(name, value)?;
                    continue;
                }
                _ => return Err(FieldError::new(name, UNKNOWN).into()),
            };
            if selected.replace(what).is_some() {
                return Err(FieldError::new(name, "A second selector; give exactly one.").into());
            }
        }
        let selector = match (selected, site) {
            (Some(what), site) => Selector { what, site },
            (None, Some(site)) => Selector { what: What::Site(site), site: None },
            (None, None) => return Err(FieldError::new("url", MISSING).into()),
        };
        let mode = if soft { Mode::Soft } else { Mode::Hard };
        Ok(Self { selector, mode, dry_run })
    }
}

const UNKNOWN: &str =
    "Unknown field; known are url, prefix, tag, tags, host, site, everything, soft, dry_run.";
const MISSING: &str =
    "No selector; give exactly one of url, prefix, tag, tags, host, site, everything.";

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

fn tags(value: &Value) -> Result<Vec<String>, FieldError> {
    let list = value.as_array().filter(|list| (1..=TAGS_MAX).contains(&list.len()));
    let list = list.ok_or_else(|| {
        FieldError::new("tags", format!("Must be a list of 1 to {TAGS_MAX} strings."))
    })?;
    list.iter().map(|tag| text("tags", tag, NAME_BYTES_MAX)).collect()
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
