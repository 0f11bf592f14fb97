//! The page at `/`: the status document as tables, and where to look further.
//!
//! Made on the server from the same numbers as `/v1/status`, without scripts.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::Readiness;

/// Deeper values are shown as JSON.
const DEPTH_MAX: usize = 4;

/// The page.
pub(super) fn render(status: &Value, readiness: Readiness) -> String {
    let state = match readiness {
        Readiness::Ready => "ready",
        Readiness::Starting => "starting",
        Readiness::Draining => "draining",
    };
    let mut page = String::from(HEAD);
    let _ = write!(page, "<p>This node is <strong>{state}</strong>.</p>");
    for (name, value) in status.as_object().into_iter().flatten() {
        let _ = write!(page, "<h2>{}</h2>", escaped(&words(name)));
        cell(&mut page, value, 0);
    }
    page.push_str(FOOT);
    page
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Selvedge</title><style>\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;margin:.3rem 0}th,td{border:1px solid #ccc;padding:.15rem .6rem;\
text-align:left;vertical-align:top;font-variant-numeric:tabular-nums}th{font-weight:500;background:#f5f5f5}\
h2{font-size:1.1rem;margin:1.2rem 0 .2rem}\
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}th{background:#222}th,td{border-color:#444}a{color:#8bf}}\
</style></head><body><h1>Selvedge</h1>";
const FOOT: &str = "<h2>Further</h2><ul>\
<li><a href=\"/v1/status\">/v1/status</a>: the same as JSON</li>\
<li><a href=\"/metrics\">/metrics</a>: Prometheus</li>\
<li><a href=\"/v1/purges\">/v1/purges</a>: the audit trail of purges</li>\
<li><a href=\"/healthz\">/healthz</a> and <a href=\"/readyz\">/readyz</a></li></ul>\
<p>Purge with <code>selvedge purge --tag NAME</code>.</p></body></html>\n";

fn cell(page: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if depth < DEPTH_MAX => object(page, fields, depth),
        Value::Array(items) if depth < DEPTH_MAX && items.iter().all(Value::is_object) => {
            rows(page, items, depth);
        }
        Value::String(text) => page.push_str(&escaped(text)),
        Value::Null => page.push('–'),
        other => page.push_str(&escaped(&other.to_string())),
    }
}

fn object(page: &mut String, fields: &Map<String, Value>, depth: usize) {
    page.push_str("<table>");
    for (name, value) in fields {
        let _ = write!(page, "<tr><th>{}</th><td>", escaped(&words(name)));
        cell(page, value, depth + 1);
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

/// Objects of one kind: their fields become columns.
fn rows(page: &mut String, items: &[Value], depth: usize) {
    let mut columns: Vec<&str> = Vec::new();
    for name in items.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    page.push_str("<table><tr>");
    for name in &columns {
        let _ = write!(page, "<th>{}</th>", escaped(&words(name)));
    }
    page.push_str("</tr>");
    for item in items {
        page.push_str("<tr>");
        for name in &columns {
            page.push_str("<td>");
            cell(page, &item[*name], depth + 1);
            page.push_str("</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_shown_and_nothing_is_taken_for_markup() {
        let status = json!({
            "sites": [{"name": "<script>", "hit_ratio": 0.5}, {"name": "b", "origins": null}],
            "tiers": {"memory": {"bytes": 7}},
        });
        let page = render(&status, Readiness::Ready);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
        assert!(page.contains("<td>0.5</td>") && page.contains("<th>hit ratio</th>"));
        assert!(page.contains("<th>bytes</th><td>7</td>"));
    }
}
