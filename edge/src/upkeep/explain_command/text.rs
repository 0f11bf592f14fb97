//! The document of `/v1/explain` as text for people.

use std::fmt::Write;

use serde_json::Value;

/// The page: what happens now and from when on something else, then what that was made from.
pub(super) fn render(document: &Value) -> String {
    let mut page = Page::default();
    now(&mut page, document);
    key(&mut page, document);
    stored(&mut page, &document["stored"]);
    variants(&mut page, &document["variants"]);
    purges(&mut page, &document["purges"]);
    origin(&mut page, document);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn heading(&mut self, text: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n\n" };
        let _ = write!(self.0, "{gap}{text}");
    }

    fn line(&mut self, name: &str, text: &str) {
        let _ = write!(self.0, "\n  {name:<12}{text}");
    }
}

/// A value in words: numbers and texts as they are, nothing for what is not known.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn now(page: &mut Page, document: &Value) {
    let (request, now) = (&document["request"], &document["now"]);
    page.heading(&format!("{} {}", word(&request["method"]), word(&request["url"])));
    let mut text =
        format!("{} ({}; {})", word(&now["action"]), word(&now["cache"]), word(&now["detail"]));
    if let Some(ttl_s) = now["ttl_s"].as_i64() {
        let _ = write!(text, ", ttl {ttl_s} s");
    }
    page.line("now", &text);
    let mut name = "from now";
    for span in items(&document["outlook"]) {
        let until = match &span["until"] {
            Value::Null => "for good".to_owned(),
            until => format!("until {}", word(until)),
        };
        page.line(name, &format!("{} ({}) {until}", word(&span["verdict"]), word(&span["detail"])));
        name = "then";
    }
    if let Some(until) = document["stands_in_for_errors_until"].as_str() {
        page.line("on error", &format!("stands in for a failing origin until {until}"));
    }
}

fn key(page: &mut Page, document: &Value) {
    let key = &document["key"];
    page.heading("Key");
    page.line("hash", &word(&key["hash"]));
    for name in ["site", "scheme", "host", "path", "query"] {
        page.line(name, &word(&key[name]));
    }
    page.line("query rule", &word(&key["query_rule"]));
    for (name, value) in document["request"]["directives"].as_object().into_iter().flatten() {
        if !value.is_null() && *value != false {
            page.line("request", &format!("{name} {}", word(value)));
        }
    }
}

fn stored(page: &mut Page, stored: &Value) {
    page.heading("Stored");
    if stored.is_null() {
        page.line("nothing", "that fits this request");
        return;
    }
    let text = format!(
        "{} with {} bytes, received {}",
        word(&stored["status"]),
        word(&stored["bytes"]),
        word(&stored["received"])
    );
    page.line("response", &text);
    let ttl = &stored["ttl"];
    let mut text = format!("{} s, set by {}", word(&ttl["seconds"]), word(&ttl["set_by"]));
    if let Some(field) = ttl["field"].as_str() {
        let _ = write!(text, " of {field} ({} s)", word(&ttl["said_s"]));
    }
    if let Some(bound) = ttl["bounded_by"].as_str() {
        let _ = write!(text, ", bounded by {bound}");
    }
    if ttl["rules_changed_since"] == true {
        text.push_str("; the rules changed since it was stored");
    }
    page.line("lifetime", &text);
    let age = &stored["age"];
    let text = format!(
        "{} s = {} s when received (Date {}: {} s; Age {} s; delay {} s) + {} s here",
        word(&age["now_s"]),
        word(&age["initial_s"]),
        word(&age["date"]),
        word(&age["apparent_s"]),
        word(&age["age_field_s"]),
        word(&age["response_delay_s"]),
        word(&age["resident_s"]),
    );
    page.line("age", &text);
    let text = format!(
        "while revalidating {} s, on error {} s",
        word(&stored["stale_while_revalidate_s"]),
        word(&stored["stale_if_error_s"])
    );
    page.line("stale", &text);
    for name in ["must_revalidate", "no_cache", "immutable", "may_answer_authorized"] {
        if stored[name] == true {
            page.line("flag", &name.replace('_', " "));
        }
    }
    let validators = &stored["validators"];
    let text = format!(
        "etag {}, last-modified {}",
        word(&validators["etag"]),
        word(&validators["last_modified"])
    );
    page.line("validators", &text);
    let place = &stored["place"];
    let body = if place["inline"] == true {
        "in one piece".to_owned()
    } else {
        format!(
            "{} chunks: {} in memory, {} on disk",
            word(&place["chunks"]),
            word(&place["chunks_in_memory"]),
            word(&place["chunks_on_disk"])
        )
    };
    page.line("tier", &format!("{}, {body}", word(&place["tier"])));
}

fn variants(page: &mut Page, variants: &Value) {
    page.heading(&format!("Variants: {}", items(variants).count()));
    for variant in items(variants) {
        let fields: Vec<String> = items(&variant["selecting"])
            .map(|field| match &field["request"] {
                Value::Null => format!("{}: (absent)", word(&field["field"])),
                value => format!("{}: {}", word(&field["field"]), word(value)),
            })
            .collect();
        let fields =
            if fields.is_empty() { "every request".to_owned() } else { fields.join(" | ") };
        let name = if variant["fits"] == true { "fits" } else { "other" };
        page.line(name, &format!("{fields} (received {})", word(&variant["received"])));
    }
}

fn purges(page: &mut Page, purges: &Value) {
    page.heading(&format!("Purges: position {} in force", word(&purges["position"])));
    page.line("fetched", &format!("under {}", word(&purges["fetched_under"])));
    page.line("validated", &format!("under {}", word(&purges["validated_under"])));
    page.line("compared", &format!("from {}", word(&purges["compared_from"])));
    let by = &purges["selected_by"];
    for name in ["hard", "soft"] {
        if !by[name].is_null() {
            page.line("selected", &format!("{name} by {}", word(&by[name])));
        }
    }
    if by["unsafe_method"] == true {
        page.line("selected", "by an unsafe method");
    }
    let mut quiet = 0;
    for scope in items(&purges["scopes"]) {
        let marks: Vec<String> = [("all_sites", "all sites"), ("own_site", "this site")]
            .iter()
            .filter(|(name, _)| !scope[name].is_null())
            .map(|(name, words)| {
                let marks = &scope[name];
                format!("{words}: hard {}, soft {}", word(&marks["hard"]), word(&marks["soft"]))
            })
            .collect();
        if marks.is_empty() {
            quiet += 1;
        } else {
            let what = format!("{} {}", word(&scope["kind"]), word(&scope["value"]));
            page.line("scope", &format!("{}: {}", what.trim_end(), marks.join("; ")));
        }
    }
    page.line("scopes", &format!("{quiet} more without a purge"));
}

fn origin(page: &mut Page, document: &Value) {
    page.heading("Origin");
    for origin in items(&document["origins"]) {
        let state = if origin["healthy"] == true { "healthy" } else { "ejected" };
        page.line("origin", &format!("{} {state}", word(&origin["name"])));
    }
    for fetch in items(&document["fetches"]) {
        let may = if fetch["may_be_joined"] == true { "joins" } else { "does not join" };
        let text = format!(
            "under way: {} of {} bytes, {} readers; this request {may} it",
            word(&fetch["received_bytes"]),
            word(&fetch["bytes"]),
            word(&fetch["readers"]),
        );
        page.line("fetch", &text);
    }
    if document["filters_not_asked"] == true {
        page.line("filters", "the site has some; they were not asked");
    }
}
