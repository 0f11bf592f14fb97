//! `selvedge purge`: a client of the admin plane.
//!
//! The command ends with a sentence that says what happened and what to do, and a code for
//! scripts: 0 done, 1 refused, 2 unreachable (or the answer was lost: unknown). It never tries
//! again by itself; a purge that is sent twice does no harm, and an operator should know.

use http::{Method, StatusCode};
use serde_json::{Map, Value};

use super::admin_client::{self, AdminPlane, Outcome, Unanswered};

/// What `selvedge purge` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct PurgeArgs {
    /// Every variant of one absolute URL, over http and https
    #[arg(long, value_name = "URL", group = "selector")]
    pub url: Option<String>,
    /// An absolute URL and everything below it, by whole path segments
    #[arg(long, value_name = "URL", group = "selector")]
    pub prefix: Option<String>,
    /// What the origin tagged with this name; several: any of them
    #[arg(long, value_name = "TAG", group = "selector")]
    pub tag: Vec<String>,
    /// One host (HOST or HOST:PORT)
    #[arg(long, value_name = "HOST", group = "selector")]
    pub host: Option<String>,
    /// One site by its configured name; beside another selector: only within this site
    #[arg(long, value_name = "NAME", required_unless_present = "selector")]
    pub site: Option<String>,
    /// All stored responses
    #[arg(long, group = "selector")]
    pub everything: bool,
    /// Make stale instead of unusable: it may be validated, and served while the origin is asked
    #[arg(long)]
    pub soft: bool,
    /// Only count what would be selected
    #[arg(long)]
    pub dry_run: bool,
    /// Which node
    #[command(flatten)]
    pub plane: AdminPlane,
}

/// Sends the purge and waits for its answer.
pub async fn run(args: &PurgeArgs) -> Outcome {
    let body = match body(args) {
        Ok(body) => body,
        Err(why) => return Outcome::refused(format!("Nothing was sent: {why}.")),
    };
    match admin_client::ask(&args.plane, Method::POST, "/v1/purges", Some(&body)).await {
        Ok((status, body)) => judge(status, &body),
        Err(Unanswered::Unsent(why)) => Outcome::refused(format!("Nothing was sent: {why}.")),
        Err(Unanswered::Unreachable(why)) => Outcome::unreachable(format!(
            "Cannot reach the admin plane at {}: {why}. Nothing was purged. {}",
            args.plane.admin,
            admin_client::WHERE
        )),
        Err(Unanswered::Lost(why)) => Outcome::unreachable(format!(
            "The answer of {} was lost ({why}): the purge may or may not be in force. Send it \
             again; purging twice does no harm.",
            args.plane.admin
        )),
    }
}

fn body(args: &PurgeArgs) -> Result<Value, String> {
    let mut fields = Map::new();
    let single = [("url", &args.url), ("prefix", &args.prefix), ("host", &args.host)];
    for (name, text) in single {
        if let Some(text) = text {
            fields.insert(name.to_owned(), text.as_str().into());
        }
    }
    match args.tag.as_slice() {
        [] => {}
        [tag] => drop(fields.insert("tag".to_owned(), tag.as_str().into())),
        tags => drop(fields.insert("tags".to_owned(), tags.into())),
    }
    if args.everything {
        fields.insert("everything".to_owned(), true.into());
    }
    if fields.len() > 1 || (fields.is_empty() && args.site.is_none()) {
        let which = "--url, --prefix, --tag, --host, --site or --everything";
        return Err(format!("give exactly one of {which}"));
    }
    if let Some(site) = &args.site {
        fields.insert("site".to_owned(), site.as_str().into());
    }
    for (name, is_set) in [("soft", args.soft), ("dry_run", args.dry_run)] {
        if is_set {
            fields.insert(name.to_owned(), true.into());
        }
    }
    Ok(Value::Object(fields))
}

/// What an answer means to the operator.
fn judge(status: StatusCode, body: &[u8]) -> Outcome {
    let document: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let number = |name: &str| document[name].as_u64().unwrap_or(0);
    if status == StatusCode::OK && document["dry_run"] == true {
        let about = if document["exact"] == false { "about " } else { "" };
        let message = format!(
            "Would select {about}{} stored responses of {} bytes, as of position {}. Nothing \
             was purged.",
            number("responses"),
            number("bytes"),
            number("as_of"),
        );
        return Outcome { code: 0, message };
    }
    if status == StatusCode::OK && document["position"].is_u64() {
        let kind = if document["mode"] == "soft" { "Softly purged" } else { "Purged" };
        let where_ = match document["durable"].as_bool() {
            Some(false) => "in memory only, as is this node's cache, and",
            _ => "on stable storage and",
        };
        let message = format!(
            "{kind} {}: position {}, {where_} in force on this node.",
            document["selector"],
            number("position"),
        );
        return Outcome { code: 0, message };
    }
    Outcome::refused(admin_client::refusal(status, &document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_the_body_that_the_surface_takes() {
        let written = |args: PurgeArgs| body(&args).map(|body| body.to_string());
        let tags =
            PurgeArgs { tag: vec!["a".into(), "b".into()], soft: true, ..Default::default() };
        assert_eq!(written(tags), Ok(r#"{"soft":true,"tags":["a","b"]}"#.into()));
        let site = PurgeArgs { site: Some("s".into()), everything: true, ..Default::default() };
        assert_eq!(written(site), Ok(r#"{"everything":true,"site":"s"}"#.into()));
        assert!(written(PurgeArgs::default()).is_err());
        let two = PurgeArgs { everything: true, tag: vec!["t".into()], ..Default::default() };
        assert!(written(two).is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_told_apart_from_a_refusal() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let admin = free.local_addr().expect("bound").to_string();
        drop(free);
        let plane = AdminPlane { admin, token: None };
        let args = PurgeArgs { plane, everything: true, ..Default::default() };
        let outcome = run(&args).await;
        assert_eq!(outcome.code, 2);
        assert!(outcome.message.contains("--admin"), "{}", outcome.message);
        let plane = AdminPlane { admin: "nowhere".into(), token: None };
        let nonsense = PurgeArgs { plane, ..args };
        assert_eq!(run(&nonsense).await.code, 1);
    }

    #[test]
    fn answers_are_told_in_sentences() {
        let done = judge(StatusCode::OK, br#"{"position":3,"selector":{"tag":"t"},"mode":"hard"}"#);
        assert_eq!(done.code, 0);
        assert!(done.message.starts_with(r#"Purged {"tag":"t"}: position 3"#));
        let refused = judge(StatusCode::UNPROCESSABLE_ENTITY, br#"{"field":"url","detail":"No."}"#);
        assert_eq!((refused.code, refused.message.as_str()), (1, "Refused (422): url: No."));
        assert_eq!(judge(StatusCode::OK, b"<html>").code, 1);
    }
}
