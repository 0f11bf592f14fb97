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
use http::{HeaderValue, Method, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use selvedge_purge_api::api::{BODY_BYTES_MAX, Caller, ledger_hex};
use selvedge_purge_api::problem::{Problem, answer};
use serde_json::{Value, json};

use super::explain::Question;
use super::listener::Peer;
use super::openapi::openapi;
use super::{AdminSources, Readiness, page};

/// From the head of a request to the end of its body.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// From the whole request to its answer: what an `fsync` on a bad disk may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

type Sources = State<Arc<AdminSources>>;

/// Who may ask for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody who reaches the plane.
    Open,
    /// Whoever may read.
    Read,
    /// The purge surface decides by itself, and takes other methods than `GET`.
    Own,
}

/// What a route shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Text,
    Page,
    Json,
}

impl Shows {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Page => "text/html",
            Self::Json => "application/json",
        }
    }
}

/// One route: the router and the description of the plane are made from it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub path: &'static str,
    /// Its name in the description, and what chooses its handler.
    pub id: &'static str,
    pub access: Access,
    pub shows: Shows,
    pub text: &'static str,
}

const fn route(
    path: &'static str,
    id: &'static str,
    access: Access,
    shows: Shows,
    text: &'static str,
) -> Route {
    Route { path, id, access, shows, text }
}

/// Every route.
pub(super) const ROUTES: &[Route] = &[
    route("/", "dashboard", Access::Read, Shows::Page, "The status as a page."),
    route("/healthz", "health", Access::Open, Shows::Text, "The process is alive."),
    route("/readyz", "readiness", Access::Open, Shows::Text, "It is willing to take traffic."),
    route("/metrics", "metrics", Access::Read, Shows::Text, "Numbers, as Prometheus reads them."),
    route("/v1/status", "status", Access::Read, Shows::Json, "Sites, origins, tiers, purges."),
    route("/v1/explain", "explain", Access::Read, Shows::Json, "Why a URL is answered as it is."),
    route("/v1/openapi.json", "openapi", Access::Open, Shows::Json, "This description."),
    route("/v1/origins", "origins", Access::Own, Shows::Json, "What is said of origins."),
    route("/v1/purges", "purges", Access::Own, Shows::Json, "Purges and their audit trail."),
    route("/v1/purges/{position}", "purge", Access::Own, Shows::Json, "One purge."),
];

/// All routes.
pub(super) fn router(sources: Arc<AdminSources>) -> Router {
    let guard = axum::middleware::from_fn_with_state(Arc::clone(&sources), may_read);
    let mut router = Router::new();
    for route in ROUTES {
        let handler = match route.id {
            "dashboard" => get(dashboard),
            "health" => get(|| async { text(StatusCode::OK, "ok\n") }),
            "readiness" => get(readiness),
            "metrics" => get(metrics),
            "status" => get(status),
            "explain" => get(explain),
            "openapi" => get(|| async { answer(StatusCode::OK, &openapi()).map(Body::from) }),
            "origins" => any(super::origins::origins),
            "purges" | "purge" => any(purges),
            other => unreachable!("no handler is written for {other}"),
        };
        let handler = match route.access {
            Access::Read => handler.route_layer(guard.clone()),
            Access::Open | Access::Own => handler,
        };
        router = router.route(route.path, handler);
    }
    router
        .fallback(|| async { nothing_here() })
        .method_not_allowed_fallback(wrong_method)
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
    let known: Vec<_> = ROUTES.iter().map(|route| route.path).collect();
    let detail = format!("Known are {}.", known.join(", "));
    refuse(StatusCode::NOT_FOUND, "Nothing here.", &detail)
}

/// Any other method of a route that takes `GET`.
async fn wrong_method(method: Method) -> Response {
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    } else {
        let detail = "This path takes GET, HEAD and OPTIONS.";
        refuse(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here.", detail)
    };
    let allow = HeaderValue::from_static("GET, HEAD, OPTIONS");
    response.headers_mut().insert(http::header::ALLOW, allow);
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
