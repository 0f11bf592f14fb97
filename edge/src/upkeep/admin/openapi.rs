//! The description of the admin plane, from the same table as its routes.

use selvedge_purge_api::openapi::{document, operation, options};
use serde_json::{Map, Value, json};

use super::explain::HEADERS_MAX;
use super::routes::{Access, ROUTES, Shows};
use crate::origin::Rule;

/// `/v1/openapi.json`, and `docs/openapi.json`.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let mut refused = vec![405];
        match route.access {
            Access::Open => {}
            Access::Read => refused.extend([401, 403]),
            // Purges are described where they are answered.
            Access::Own if route.id == "origins" => {
                paths.insert(route.path.to_owned(), json!({ "post": rule_of_an_origin() }));
                continue;
            }
            Access::Own => continue,
        }
        match route.id {
            "readiness" => refused.push(503),
            "explain" => refused.extend([400, 422, 503]),
            _ => {}
        }
        let schema = match route.shows {
            Shows::Json => json!({ "type": "object" }),
            _ => json!({ "type": "string" }),
        };
        let content = json!({ (route.shows.media_type()): { "schema": schema } });
        let ok = json!({ "description": route.text, "content": content });
        let mut get = operation(route.id, route.text, ok, &refused);
        if route.id == "explain" {
            get["parameters"] = question();
        }
        if matches!(route.access, Access::Open) {
            get["security"] = json!([]);
        }
        if route.id == "readiness" {
            let not_yet = json!({ "text/plain": { "schema": { "type": "string" } } });
            get["responses"]["503"] =
                json!({ "description": "Not willing to take traffic.", "content": not_yet });
        }
        let path = json!({ "get": get, "options": options(route.id) });
        paths.insert(route.path.to_owned(), path);
    }
    document(env!("CARGO_PKG_VERSION"), paths, Map::new())
}

/// `POST /v1/origins`.
fn rule_of_an_origin() -> Value {
    let text = json!({ "type": "string" });
    let rules: Vec<&str> = Rule::ALL.iter().map(|(_, name)| *name).collect();
    let ok = json!({
        "description": "The rule is in force.",
        "content": { "application/json": { "schema": { "type": "object" } } },
    });
    let refused = [400, 401, 403, 404, 405, 408, 413, 415, 421];
    let text_of_it = "Takes an origin out, lets it run empty, or puts it back.";
    let mut post = operation("ruleOrigin", text_of_it, ok, &refused);
    let schema = json!({
        "type": "object",
        "required": ["site", "origin", "rule"],
        "properties": { "site": text, "origin": text, "rule": { "enum": rules } },
        "additionalProperties": false,
    });
    post["requestBody"] =
        json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    post
}

/// What `/v1/explain` is asked.
fn question() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    json!([
        {
            "name": "url", "in": "query", "required": true, "description": "An absolute URL.",
            "schema": { "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://" },
        },
        {
            "name": "method", "in": "query", "description": "The method; GET without one.",
            "schema": { "type": "string", "pattern": "^[A-Z]{1,32}$", "default": "GET" },
        },
        {
            "name": "header", "in": "query", "explode": true, "description": "`Name: value`.",
            "schema": { "type": "array", "maxItems": HEADERS_MAX, "items": text },
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SELVEDGE_BLESS=1 cargo test` writes the document anew.
    #[test]
    fn the_committed_description_is_what_the_routes_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let made = format!("{:#}\n", openapi());
        if std::env::var_os("SELVEDGE_BLESS").is_some() {
            std::fs::write(path, &made).expect("the docs folder is writable when blessing");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(written, made, "run with SELVEDGE_BLESS=1 to write docs/openapi.json");
    }
}
