//! The description of the surface (OpenAPI 3.1), made from what the handlers themselves read:
//! fields, bounds and pages. Whoever serves more routes adds them ([`document`]).

use serde_json::{Map, Value, json};

use crate::api::{BODY_BYTES_MAX, INTEGER_MAX, KEY_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX};
use crate::selector::{FIELDS, FieldKind};

/// A whole document: the paths of purges and `paths`, the schemas of purges and `schemas`.
pub fn document(version: &str, paths: Map<String, Value>, schemas: Map<String, Value>) -> Value {
    let mut all_paths = purge_paths();
    all_paths.extend(paths);
    let mut all_schemas = purge_schemas();
    all_schemas.extend(schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Selvedge admin plane",
            "version": version,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Purges, status and metrics of one node. Refusals are problem documents (RFC 9457) that name the field. A node without tokens takes everybody who reaches it, which only loopback and Unix sockets do.",
        },
        "security": [{}, { "token": [] }],
        "paths": all_paths,
        "components": {
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "Scopes: `read`, `purge`, `purge:SITE`.",
            } },
            "schemas": all_schemas,
        },
    })
}

/// A response with a JSON body of a named schema.
pub fn answers(text: &str, schema: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "description": text, "content": { "application/json": { "schema": schema } } })
}

/// Refusals with these statuses.
pub fn refusals(statuses: &[u16]) -> Map<String, Value> {
    let schema = json!({ "$ref": "#/components/schemas/Problem" });
    let refusal = |status: &u16| {
        let mut answer = json!({
            "description": meaning(*status),
            "content": { "application/problem+json": { "schema": schema } },
        });
        let field = match status {
            401 => "WWW-Authenticate",
            405 => "Allow",
            429 | 503 => "Retry-After",
            _ => return (status.to_string(), answer),
        };
        answer["headers"][field]["schema"] = json!({ "type": "string" });
        (status.to_string(), answer)
    };
    statuses.iter().map(refusal).collect()
}

const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "Not JSON, a wrong query, or a wrong key.",
        401 => "No token, or one that is not known.",
        403 => "The token does not allow this, or a page of another origin asked for it.",
        404 => "Not there.",
        405 => "Not a method of this path.",
        408 => "The body did not arrive in time.",
        410 => "It was in force, and its entry was compacted away.",
        413 => "The body is too long.",
        415 => "The body is not application/json.",
        421 => "Unknown Host.",
        422 => "JSON with a wrong meaning; or the idempotency key was sent with another purge.",
        429 => "This caller asks too often.",
        503 => "Not acknowledged; send it again.",
        _ => "Refused.",
    }
}

/// An operation: its name, what it does, and what it answers beside refusals.
pub fn operation(id: &str, text: &str, ok: Value, refused: &[u16]) -> Value {
    let mut responses = refusals(refused);
    responses.insert("200".to_owned(), ok);
    json!({ "operationId": id, "summary": text, "responses": responses })
}

/// `OPTIONS` of a path.
pub fn options(id: &str) -> Value {
    json!({
        "operationId": format!("{id}Options"),
        "summary": "Which methods are there.",
        "responses": { "204": {
            "description": "See Allow.",
            "headers": { "Allow": { "schema": { "type": "string" } } },
        } },
    })
}

fn purge_paths() -> Map<String, Value> {
    let read = [401, 403, 405, 503];
    let purged = json!({
        "links": { "entry": {
            "operationId": "onePurge",
            "parameters": { "position": "$response.body#/position" },
        } },
        "description": "On stable storage and in force on this node; or what a dry run found.",
        "content": { "application/json": { "schema": { "oneOf": [
            { "$ref": "#/components/schemas/Purged" },
            { "$ref": "#/components/schemas/DryRun" },
        ] } } },
    });
    let refused = [400, 401, 403, 405, 408, 413, 415, 421, 422, 429, 503];
    let mut purge = operation("purge", "Purges.", purged, &refused);
    purge["parameters"] = json!([{
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A retry with the same key and the same purge repeats the first position.",
        "schema": { "type": "string", "pattern": format!("^[!#-~]{{1,{KEY_BYTES_MAX}}}$") },
    }]);
    purge["requestBody"] = json!({
        "required": true,
        "description": format!("At most {BODY_BYTES_MAX} bytes."),
        "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/Purge" },
        } },
    });
    let page = answers("A page of the audit trail, oldest first.", "Page");
    let mut list = operation("listPurges", "The audit trail.", page, &[400, 401, 403, 405, 503]);
    list["parameters"] = json!([
        query("after", "Entries after this position.", 0, u64::MAX, 0),
        query("limit", "Most entries.", 1, PAGE_MAX as u64, PAGE_DEFAULT as u64),
    ]);
    let entry = answers("The entry.", "Entry");
    let mut one =
        operation("onePurge", "One entry.", entry, &[&read[..], &[404, 410][..]].concat());
    one["parameters"] = json!([{
        "name": "position", "in": "path", "required": true, "schema": integer(),
    }]);
    let mut one_options = options("onePurge");
    one_options["parameters"] = one["parameters"].clone();
    one_options["responses"]["404"] = refusals(&[404])["404"].clone();
    let paths = json!({
        "/v1/purges": { "post": purge, "get": list, "options": options("purges") },
        "/v1/purges/{position}": { "get": one, "options": one_options },
    });
    let Value::Object(paths) = paths else { unreachable!("written as an object") };
    paths
}

fn query(name: &str, text: &str, least: u64, most: u64, default: u64) -> Value {
    json!({
        "name": name, "in": "query", "description": text,
        "schema": {
            "type": "integer", "minimum": least, "maximum": most.min(INTEGER_MAX),
            "default": default,
        },
    })
}

fn integer() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": INTEGER_MAX })
}

/// The body of a purge, from the table that the parser reads.
fn purge_body() -> Value {
    let text =
        |bytes_max: usize| json!({ "type": "string", "minLength": 1, "maxLength": bytes_max });
    let fields: Map<String, Value> = FIELDS
        .iter()
        .map(|field| {
            let mut schema = match field.kind {
                FieldKind::Text(bytes_max) => text(bytes_max),
                FieldKind::Texts(count_max, bytes_max) => json!({
                    "type": "array", "minItems": 1, "maxItems": count_max,
                    "items": text(bytes_max),
                }),
                FieldKind::True => json!({ "const": true }),
                FieldKind::Flag => json!({ "type": "boolean", "default": false }),
            };
            schema["description"] = field.text.into();
            if matches!(field.name, "url" | "prefix") {
                schema["pattern"] = "^[Hh][Tt][Tt][Pp][Ss]?://".into();
            }
            (field.name.to_owned(), schema)
        })
        .collect();
    let selectors: Vec<&str> =
        FIELDS.iter().filter(|field| field.is_selector).map(|field| field.name).collect();
    let mut ways: Vec<Value> = selectors.iter().map(|name| json!({ "required": [name] })).collect();
    let any: Vec<Value> = ways.clone();
    ways.push(json!({ "required": ["site"], "not": { "anyOf": any } }));
    json!({
        "type": "object",
        "description": "Exactly one selector, or a site alone. Lengths count bytes of UTF-8.",
        "properties": fields,
        "additionalProperties": false,
        "oneOf": ways,
    })
}

fn purge_schemas() -> Map<String, Value> {
    let ledger = json!({ "type": "string", "pattern": "^[0-9a-f]{16}$" });
    let mode = json!({ "enum": ["hard", "soft"] });
    let selector = json!({ "type": "object", "description": "As it was written." });
    let position = integer();
    let text = json!({ "type": "string" });
    let object = |required: &[&str], properties: Value| {
        json!({
            "type": "object", "required": required, "properties": properties,
            "additionalProperties": false,
        })
    };
    let entry = json!({
        "position": position, "accepted_ms": position, "who": text,
        "from": { "type": ["string", "null"] }, "selector": selector, "mode": mode,
        "digest": { "type": "string", "pattern": "^[0-9a-f]{64}$" },
        "applied_by": { "type": "array", "items": text }, "ledger": ledger,
    });
    let told =
        ["position", "accepted_ms", "who", "from", "selector", "mode", "digest", "applied_by"];
    let schemas = json!({
        "Purge": purge_body(),
        "Purged": object(&["position", "ledger", "durable", "selector", "mode"], json!({
            "position": position, "ledger": ledger, "selector": selector, "mode": mode,
            "durable": { "type": "boolean", "description": "On stable storage, not in memory only." },
            "repeated": { "const": true },
        })),
        "DryRun": object(
            &["dry_run", "as_of", "selector", "mode", "responses", "bytes", "exact"],
            json!({
                "dry_run": { "const": true }, "as_of": position, "selector": selector,
                "mode": mode, "responses": position, "bytes": position,
                "exact": { "type": "boolean", "description": "Otherwise extended from a sample." },
            }),
        ),
        "Entry": object(&told, entry),
        "Page": object(&["ledger", "floor", "position", "purges", "next"], json!({
            "ledger": ledger, "floor": position, "position": position,
            "purges": { "type": "array", "items": { "$ref": "#/components/schemas/Entry" } },
            "next": { "type": ["integer", "null"], "description": "`after` of the next page." },
        })),
        "Problem": object(&["type", "title", "status", "detail"], json!({
            "type": text, "title": text, "status": { "type": "integer" }, "detail": text,
            "field": text,
        })),
    });
    let Value::Object(schemas) = schemas else { unreachable!("written as an object") };
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_and_every_reference_is_there() {
        let document = document("1", Map::new(), Map::new());
        let body = &document["components"]["schemas"]["Purge"];
        for field in FIELDS {
            assert!(body["properties"][field.name]["description"].is_string(), "{}", field.name);
        }
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
