//! The routes of the admin plane.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{any, get};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use selvedge_purge_api::api::{BODY_BYTES_MAX, Caller, ledger_hex};
use selvedge_purge_api::problem::{Problem, answer};
use serde_json::{Value, json};

use super::explain::Question;
use super::listener::Peer;
use super::{AdminSources, Readiness, page};

/// From the head of a request to the end of its body.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// From the whole request to its answer: what an `fsync` on a bad disk may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

type Sources = State<Arc<AdminSources>>;

/// All routes.
pub(super) fn router(sources: Arc<AdminSources>) -> Router {
    let guarded = Router::new()
        .route("/", get(dashboard))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/explain", get(explain))
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&sources), may_read));
    Router::new()
        .route("/healthz", get(|| async { text(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(readiness))
        .route("/v1/origins", any(super::origins::origins))
        .route("/v1/purges", any(purges))
        .route("/v1/purges/{position}", any(purges))
        .merge(guarded)
        .fallback(|| async { nothing_here() })
        .method_not_allowed_fallback(|| async { wrong_method() })
        .with_state(sources)
}

async fn readiness(State(sources): Sources) -> Response {
    match sources.status.readiness() {
        Readiness::Ready if sources.purges.ledger().status().is_healthy => {
            text(StatusCode::OK, "ready\n")
        }
        // What is stored can be served all the same.
        Readiness::Ready => text(StatusCode::OK, "ready, but the ledger takes no purges now\n"),
        Readiness::Starting => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics(State(sources): Sources) -> Response {
    let mut response = text(StatusCode::OK, (sources.metrics)());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn status(State(sources): Sources) -> Response {
    answer(StatusCode::OK, &status_document(&sources)).map(Body::from)
}

async fn explain(State(sources): Sources, request: Request) -> Response {
    let question = match Question::of(request.uri()) {
        Ok(question) => question,
        Err(problem) => return problem.into_response().map(Body::from),
    };
    match tokio::time::timeout(ANSWER_WAIT, sources.explain.explain(question)).await {
        Ok(Ok(document)) => answer(StatusCode::OK, &document).map(Body::from),
        Ok(Err(problem)) => problem.into_response().map(Body::from),
        Err(_) => {
            let detail = "The disk did not give the stored head within 30 seconds.";
            refuse(StatusCode::SERVICE_UNAVAILABLE, "No explanation.", detail)
        }
    }
}

async fn dashboard(State(sources): Sources) -> Response {
    let page = page::render(&status_document(&sources), sources.status.readiness());
    let mut response = text(StatusCode::OK, page);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

async fn purges(State(sources): Sources, request: Request) -> Response {
    let caller = caller(&sources, &request);
    let (head, body) = request.into_parts();
    let body = match whole_in_time(body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response().map(Body::from),
    };
    let request = http::Request::from_parts(head, body);
    let answered = tokio::time::timeout(ANSWER_WAIT, sources.purges.handle(request, &caller));
    let Ok(response) = answered.await else {
        let detail = "Not acknowledged within 30 seconds: the disk of the ledger is slow. It may \
                      come in force later; send it again.";
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "The purge is not in force.", detail);
    };
    response.map(Body::from)
}

/// Lets through whoever may read.
async fn may_read(State(sources): Sources, request: Request, next: Next) -> Response {
    let caller = caller(&sources, &request);
    match sources.purges.authorize(request.headers(), &caller) {
        Ok(who) if who.may_read() => next.run(request).await,
        Ok(_) => {
            let detail = "This needs a token with the scope read or purge.";
            refuse(StatusCode::FORBIDDEN, "Not allowed.", detail)
        }
        Err(problem) => problem.into_response().map(Body::from),
    }
}

pub(super) fn caller(sources: &AdminSources, request: &Request) -> Caller {
    let peer = request.extensions().get::<Peer>();
    Caller {
        peer: peer.map_or_else(|| "unknown".to_owned(), |peer| peer.name.clone()),
        is_unix: peer.is_some_and(|peer| peer.is_unix),
        now: sources.clock.now(),
    }
}

/// The whole body, if it comes in time and is not longer than a purge may be.
pub(super) async fn whole_in_time(body: Body) -> Result<Bytes, Problem> {
    tokio::time::timeout(BODY_WAIT, whole(body)).await.unwrap_or_else(|_| {
        let detail = "The body did not arrive within ten seconds.";
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "Too slow.", detail))
    })
}

async fn whole(body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = "A purge has at most 65536 bytes; send several.";
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large.", detail)
    };
    // What announces itself as too large is not waited for.
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(why) if why.is::<LengthLimitError>() => Err(too_large()),
        Err(why) => {
            let detail = format!("The body could not be read: {why}.");
            Err(Problem::new(StatusCode::BAD_REQUEST, "The body is broken.", detail))
        }
    }
}

/// What the node tells, with the ledger's own numbers.
fn status_document(sources: &AdminSources) -> Value {
    let mut document = sources.status.status();
    let ledger = sources.purges.ledger().status();
    let purges = json!({
        "ledger": ledger_hex(ledger.ledger),
        "position": ledger.position.0,
        "floor": ledger.floor.0,
        "file_bytes": ledger.bytes,
        "commits": ledger.commits,
        "failed_commits": ledger.failures,
        "scopes": ledger.scopes,
        "takes_purges": ledger.is_healthy,
        "durable": ledger.is_durable,
    });
    match document.as_object_mut() {
        Some(fields) => {
            fields.insert("purges".to_owned(), purges);
            document
        }
        None => json!({ "node": document, "purges": purges }),
    }
}

fn nothing_here() -> Response {
    let detail = "Known are /, /healthz, /readyz, /metrics, /v1/status, /v1/explain, /v1/origins and \
         /v1/purges.";
    refuse(StatusCode::NOT_FOUND, "Nothing here.", detail)
}

fn wrong_method() -> Response {
    let detail = "This path takes GET and HEAD.";
    let title = "This method is not allowed here.";
    let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, title, detail);
    response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn refuse(status: StatusCode, title: &'static str, detail: &str) -> Response {
    Problem::new(status, title, detail).into_response().map(Body::from)
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
