//! The filters: each hook does one thing that can be seen from outside.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use selvedge::filter::{Action, BoxFuture, Caching, Context, Filter, RequestHead, ResponseHead};
use selvedge::journal::Journal;

/// What the first hook notes for the later ones.
#[derive(Clone, Copy, Debug)]
struct Wanted(Option<usize>);

fn answer(status: StatusCode, body: &'static str) -> Action {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    Action::Respond(response)
}

/// Stands at every phase of a head.
#[derive(Debug)]
pub struct Heads;

impl Filter for Heads {
    fn name(&self) -> &'static str {
        "heads"
    }

    fn request(&self, context: &mut Context, request: &mut RequestHead<'_>) -> Action {
        let wanted = request.headers.remove("x-origin");
        let wanted = wanted.and_then(|value| value.to_str().ok()?.parse().ok());
        context.state.insert(Wanted(wanted));
        match request.path.as_str() {
            "/blocked" => return answer(StatusCode::FORBIDDEN, "blocked by a filter"),
            "/moved" => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                let place = HeaderValue::from_static("https://elsewhere.example/");
                response.headers_mut().insert(http::header::LOCATION, place);
                return Action::Respond(response);
            }
            "/old" => {
                "/new".clone_into(request.path);
                *request.query = Some("from=old".to_owned());
            }
            "/climb" => "/a/../../b".clone_into(request.path),
            "/nonsense" => "no slash\r\n".clone_into(request.path),
            _ => {}
        }
        request.headers.insert("x-seen", HeaderValue::from_static(request.scheme));
        Action::Continue
    }

    fn before_lookup(&self, _: &mut Context, headers: &HeaderMap) -> Caching {
        let bypasses = headers.get("cookie").is_some_and(|cookie| cookie == "preview=1");
        if bypasses { Caching::Bypass } else { Caching::Normal }
    }

    fn choose_origin(&self, context: &mut Context, _: &[Arc<str>]) -> Option<usize> {
        context.state.get::<Wanted>().and_then(|wanted| wanted.0)
    }

    fn origin_request(&self, _: &mut Context, headers: &mut HeaderMap) {
        headers.insert("x-edge-key", HeaderValue::from_static("secret"));
    }

    fn origin_response(&self, _: &mut Context, response: &mut ResponseHead<'_>) {
        response.headers.remove("set-cookie");
        if response.headers.remove("x-store-me").is_some() {
            let fresh = HeaderValue::from_static("max-age=60");
            response.headers.insert(http::header::CACHE_CONTROL, fresh);
        }
    }

    fn response(&self, _: &mut Context, response: &mut ResponseHead<'_>) {
        response.headers.insert("x-first", HeaderValue::from_static("heads"));
        if *response.status == StatusCode::NOT_FOUND {
            *response.status = StatusCode::GONE;
        }
    }

    fn log(&self, context: &mut Context, journal: &Journal) {
        let wanted = context.state.get::<Wanted>().is_some();
        let (status, cache) = (journal.status.as_u16(), journal.cache.name());
        let target = &journal.target;
        eprintln!("filter log: {target} {status} {cache} notes: {wanted}");
    }
}

/// Comes second: order is visible.
#[derive(Debug)]
pub struct Second;

impl Filter for Second {
    fn name(&self) -> &'static str {
        "second"
    }

    fn response(&self, _: &mut Context, response: &mut ResponseHead<'_>) {
        let first = response.headers.contains_key("x-first");
        let order = if first { "after heads" } else { "before heads" };
        response.headers.insert("x-second", HeaderValue::from_static(order));
    }
}

/// Changes contents both ways.
#[derive(Debug)]
pub struct Bodies;

impl Filter for Bodies {
    fn name(&self) -> &'static str {
        "bodies"
    }

    fn sees_request_body(&self) -> bool {
        true
    }

    fn request_body(&self, _: &mut Context, piece: Bytes) -> Option<Bytes> {
        let refused = piece.windows(5).any(|five| five == b"virus");
        (!refused).then(|| piece.to_ascii_lowercase().into())
    }

    fn sees_response_body(&self) -> bool {
        true
    }

    fn response_body(&self, _: &mut Context, piece: Bytes, last: bool) -> Bytes {
        let mut changed = piece.to_ascii_uppercase();
        if last {
            changed.extend_from_slice(b" (the end)");
        }
        changed.into()
    }
}

/// Asks somebody else before it lets a request in.
#[derive(Debug)]
pub struct Asking;

impl Filter for Asking {
    fn name(&self) -> &'static str {
        "asking"
    }

    fn authorize<'a>(
        &'a self,
        _: &'a mut Context,
        headers: &'a HeaderMap,
    ) -> Option<BoxFuture<'a, Action>> {
        let ticket = headers.get("x-ticket").cloned();
        Some(Box::pin(async move {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            match ticket {
                Some(ticket) if ticket == "good" => Action::Continue,
                _ => answer(StatusCode::UNAUTHORIZED, "no ticket"),
            }
        }))
    }
}
