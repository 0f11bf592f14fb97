//! The file's JSON Schema (draft 2020-12), for editors.

use serde_json::{Map, Value, json};

use super::card::{Card, Fallback, Kind};
use super::file;
use super::options::{self, TABLES};
use super::reference::sentence;
use super::written::{Said, Spoken};

/// The schema.
pub fn schema() -> Value {
    let mut root = table("", "Configuration of a Selvedge node.");
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Selvedge");
    root
}

/// A table: its own options, and the tables directly inside.
fn table(path: &str, text: &str) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for card in options::in_table(path) {
        properties.insert(card.key().to_owned(), option(card));
        if card.fallback == Fallback::Required {
            required.push(card.key());
        }
    }
    for inner in TABLES {
        let rest = match path {
            "" => Some(inner.path),
            _ => inner.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(name) = rest.filter(|rest| !rest.contains('.')) else { continue };
        let value = table(inner.path, inner.text);
        match name.strip_suffix("[]") {
            Some(name) => {
                properties.insert(name.to_owned(), json!({ "type": "array", "items": value }))
            }
            None => properties.insert(name.to_owned(), value),
        };
    }
    json!({
        "type": "object",
        "description": text,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn option(card: &Card) -> Value {
    let one = one(card.kind);
    let mut value = if card.many { json!({ "type": "array", "items": one }) } else { one };
    value["description"] = json!(format!("{} ({})", sentence(card), card.kind_in_words()));
    if let Fallback::Toml(toml) = card.fallback
        && let Some(spoken) = file::read_value(toml)
    {
        value["default"] = as_json(&spoken);
    }
    value
}

fn one(kind: Kind) -> Value {
    match kind {
        Kind::Size { .. } => {
            json!({ "type": "string", "pattern": "^[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)$" })
        }
        Kind::Wait { .. } | Kind::Lifetime { .. } => {
            json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
        }
        Kind::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Sha256 => json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" }),
        Kind::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
        Kind::Scope => {
            json!({ "type": "string", "pattern": "^(read|operate|purge(:[A-Za-z0-9._-]{1,64})?)$" })
        }
        Kind::Query => {
            let names = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
            let rule = |key: &str| {
                json!({
                    "type": "object",
                    "properties": { key: names },
                    "required": [key],
                    "additionalProperties": false,
                })
            };
            json!({ "oneOf": [{ "enum": ["keep", "sort", "drop"] }, rule("keep"), rule("drop")] })
        }
        Kind::OriginUrl => {
            let url = json!({ "type": "string", "minLength": 1 });
            let table = json!({
                "type": "object",
                "properties": {
                    "url": url,
                    "weight": { "type": "integer", "minimum": 1, "maximum": 100 },
                    "tier": { "type": "integer", "minimum": 0, "maximum": 9 },
                    "tls_name": { "type": "string", "minLength": 1 },
                },
                "required": ["url"],
                "additionalProperties": false,
            });
            json!({ "oneOf": [url, table] })
        }
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

fn as_json(spoken: &Spoken) -> Value {
    match &spoken.said {
        Said::Text(text) => json!(text),
        Said::Integer(number) => json!(number),
        Said::Switch(on) => json!(on),
        Said::List(items) => items.iter().map(as_json).collect(),
        Said::Table(entries) => {
            entries.iter().map(|(key, _, value)| (key.clone(), as_json(value))).collect()
        }
        Said::Other(_) => Value::Null,
    }
}
