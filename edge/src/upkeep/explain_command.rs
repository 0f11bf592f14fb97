//! `selvedge explain URL`: asks a running node why it would answer as it would.
//!
//! By default a page of text for people, with the words of `Cache-Status`; with `--json` the
//! document of `GET /v1/explain` as it came. Exit codes are those of every command that asks a
//! node (see [`admin_client`](super::admin_client)).

use std::fmt::Write;

use http::{Method, StatusCode};
use serde_json::Value;

use super::admin_client::{self, AdminPlane, Outcome, Unanswered};

mod text;

/// What `selvedge explain` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ExplainArgs {
    /// The absolute URL that a client would ask for
    #[arg(value_name = "URL")]
    pub url: String,
    /// A field of the request; several times for several
    #[arg(short = 'H', long, value_name = "Name: value")]
    pub header: Vec<String>,
    /// The method of the request
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// Print the document of /v1/explain instead of text
    #[arg(long)]
    pub json: bool,
    /// Which node
    #[command(flatten)]
    pub plane: AdminPlane,
}

/// Asks and tells.
pub async fn run(args: &ExplainArgs) -> Outcome {
    let target = target(args);
    match admin_client::ask(&args.plane, Method::GET, &target, None).await {
        Ok((status, body)) => judge(status, &body, args.json),
        Err(Unanswered::Unsent(why)) => Outcome::refused(format!("Nothing was asked: {why}.")),
        Err(Unanswered::Unreachable(why)) => Outcome::unreachable(format!(
            "Cannot reach the admin plane at {}: {why}. {}",
            args.plane.admin,
            admin_client::WHERE
        )),
        Err(Unanswered::Lost(why)) => {
            Outcome::unreachable(format!("The answer of {} was lost: {why}.", args.plane.admin))
        }
    }
}

fn target(args: &ExplainArgs) -> String {
    let mut target = String::from("/v1/explain?url=");
    encode(&mut target, &args.url);
    target.push_str("&method=");
    encode(&mut target, &args.method);
    for header in &args.header {
        target.push_str("&header=");
        encode(&mut target, header);
    }
    target
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3).
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn judge(status: StatusCode, body: &[u8], as_json: bool) -> Outcome {
    let document: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if status != StatusCode::OK || !document["request"].is_object() {
        return Outcome::refused(admin_client::refusal(status, &document));
    }
    let message = if as_json { format!("{document:#}") } else { text::render(&document) };
    Outcome { code: 0, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_survives_the_way() {
        let args = ExplainArgs {
            url: "http://a/b?c=d&e=%20+#".into(),
            header: vec!["Accept: a, b&url=x".into()],
            method: "GET".into(),
            ..Default::default()
        };
        let asked =
            super::super::admin::explain::Question::of(&target(&args).parse().expect("a target"));
        let asked = asked.expect("a question");
        assert_eq!(asked.url, args.url);
        assert_eq!(asked.headers["accept"], "a, b&url=x");
    }

    #[test]
    fn a_refusal_is_told_with_its_field() {
        let refused = judge(StatusCode::BAD_REQUEST, br#"{"field":"url","detail":"No."}"#, true);
        assert_eq!((refused.code, refused.message.as_str()), (1, "Refused (400): url: No."));
        assert_eq!(judge(StatusCode::OK, b"<html>", false).code, 1);
    }
}
