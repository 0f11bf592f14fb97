//! `POST /v1/origins`: the operator takes an origin out, lets it run empty, or puts it back.
//!
//! ```json
//! {"site": "shop", "origin": "http://10.0.0.1:8000", "rule": "draining"}
//! ```
//!
//! The rule holds until the next one, across reloads that keep the origin, and not across a
//! restart: what shall hold for good belongs in the configuration.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use selvedge_purge_api::problem::{Problem, answer};
use serde::Deserialize;
use serde_json::json;

use super::AdminSources;
use super::routes::{caller, whole_in_time};
use crate::origin::Rule;

/// Whoever carries out what the operator says of origins.
pub trait OriginRules: Send + Sync {
    /// Puts a rule in force; whether that changed anything.
    fn rule(&self, site: &str, origin: &str, rule: Rule) -> Result<bool, Unknown>;
}

/// What is not known here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// No site of that name.
    Site,
    /// The site has other origins: these.
    Origin(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    site: String,
    origin: String,
    rule: String,
}

/// Answers a request for `/v1/origins`.
pub(super) async fn origins(
    State(sources): State<Arc<AdminSources>>,
    request: Request,
) -> Response {
    match ruled(&sources, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response().map(Body::from),
    }
}

async fn ruled(sources: &AdminSources, request: Request) -> Result<Response, Problem> {
    if request.method() != Method::POST {
        let title = "This method is not allowed here.";
        let detail = "This path takes POST; /v1/status tells the state of origins.";
        let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, title, detail)
            .into_response()
            .map(Body::from);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(response);
    }
    let caller = caller(sources, &request);
    let (head, body) = request.into_parts();
    let who = sources.purges.authorize(&head.headers, &caller)?;
    if !who.may_operate() {
        let detail = "This needs a token with the scope operate.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "Not allowed.", detail));
    }
    sources.purges.check_intent(&head.headers, &caller)?;
    let body = whole_in_time(body).await?;
    let said: Said = serde_json::from_slice(&body).map_err(|why| {
        let detail = format!("Send {{\"site\": …, \"origin\": …, \"rule\": …}}: {why}.");
        Problem::new(StatusCode::BAD_REQUEST, "The body is not understood.", detail)
    })?;
    let known = Rule::ALL.iter().find(|(_, name)| *name == said.rule);
    let Some((rule, name)) = known.copied() else {
        let detail = "A rule is one of enabled, draining and disabled.";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "No such rule.", detail).about("rule"));
    };
    let changed = sources.origins.rule(&said.site, &said.origin, rule).map_err(|unknown| {
        let (about, detail) = match unknown {
            Unknown::Site => ("site", format!("No site is named {:?}.", said.site)),
            Unknown::Origin(others) => {
                ("origin", format!("The origins of this site are {}.", others.join(", ")))
            }
        };
        Problem::new(StatusCode::NOT_FOUND, "Not known here.", detail).about(about)
    })?;
    tracing::info!(who = who.who(), site = said.site, origin = said.origin, rule = name, changed);
    let told = json!({"site": said.site, "origin": said.origin, "rule": name, "changed": changed});
    Ok(answer(StatusCode::OK, &told).map(Body::from))
}
