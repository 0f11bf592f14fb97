//! Where outside code may stand: at every phase of a request.
//!
//! A [`Filter`] is an object that a site carries. Head hooks are synchronous; the one hook that
//! may wait is [`Filter::authorize`]. Rules of the configuration and code that embeds the library
//! go through the same trait: one mechanism, two ways in. A site without filters pays nothing.
//!
//! Hooks run in the order in which the filters were added. State of one exchange lives in
//! [`Context`], which travels from hook to hook.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Response, StatusCode};

use crate::journal::Journal;

/// Facts of the exchange, and room for the filters' own state.
#[derive(Debug, Default)]
pub struct Context {
    /// Address of the client, as far as it is believed.
    pub client: Option<IpAddr>,
    /// Typed state of filters.
    pub state: Extensions,
}

/// The request head as filters see and change it.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// Method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Normalised host.
    pub host: &'a str,
    /// Normalised path; a change is what key and origin see.
    pub path: &'a mut String,
    /// Query without `?`.
    pub query: &'a mut Option<String>,
    /// Fields, hop-by-hop already removed.
    pub headers: &'a mut HeaderMap,
}

/// A response head as filters see and change it.
#[derive(Debug)]
pub struct ResponseHead<'a> {
    /// Status.
    pub status: &'a mut StatusCode,
    /// Fields.
    pub headers: &'a mut HeaderMap,
}

/// What a request hook wants.
#[derive(Debug, Default)]
pub enum Action {
    /// Go on.
    #[default]
    Continue,
    /// Answer with this: a refusal, a redirect, a page. Nothing is looked up or fetched.
    Respond(Response<Bytes>),
}

/// What the hook before the lookup may decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Caching {
    /// As the rules of HTTP say.
    #[default]
    Normal,
    /// The cache takes no part in this exchange.
    Bypass,
}

/// A future that crosses the trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Code that stands at the phases of a request. All hooks have empty defaults.
#[expect(unused_variables, reason = "the defaults do nothing; the names are documentation")]
pub trait Filter: Send + Sync + 'static {
    /// Name for logs.
    fn name(&self) -> &str;

    /// 1 · The request head is admitted.
    fn request(&self, context: &mut Context, request: &mut RequestHead<'_>) -> Action {
        Action::Continue
    }

    /// 2 · May wait: asks somebody else. `None` (the default) costs nothing.
    fn authorize<'a>(
        &'a self,
        context: &'a mut Context,
        headers: &'a HeaderMap,
    ) -> Option<BoxFuture<'a, Action>> {
        None
    }

    /// 3 · Before the lookup.
    fn before_lookup(&self, context: &mut Context, headers: &HeaderMap) -> Caching {
        Caching::Normal
    }

    /// 4 · Choosing the origin: index into `origins`, or `None` to leave it to the balancer.
    fn choose_origin(&self, context: &mut Context, origins: &[Arc<str>]) -> Option<usize> {
        None
    }

    /// 5 · The request that will be sent to the origin.
    fn origin_request(&self, context: &mut Context, headers: &mut HeaderMap) {}

    /// 6 · The origin's response, before it is judged and stored.
    fn origin_response(&self, context: &mut Context, response: &mut ResponseHead<'_>) {}

    /// 7 · The response to the client.
    fn response(&self, context: &mut Context, response: &mut ResponseHead<'_>) {}

    /// Whether [`Filter::request_body`] wants to see this request's content.
    fn sees_request_body(&self) -> bool {
        false
    }

    /// 8 · A piece of the request's content. `None` refuses it (403, or a cut if it is too late).
    fn request_body(&self, context: &mut Context, piece: Bytes) -> Option<Bytes> {
        Some(piece)
    }

    /// Whether [`Filter::response_body`] wants to see the response's content. If any filter of the
    /// site does, the response loses its `Content-Length` and is not answered in ranges.
    fn sees_response_body(&self) -> bool {
        false
    }

    /// 9 · A piece of the content to the client; `last` with an empty piece at the end.
    fn response_body(&self, context: &mut Context, piece: Bytes, last: bool) -> Bytes {
        piece
    }

    /// 10 · The exchange is over.
    fn log(&self, context: &mut Context, journal: &Journal) {}
}

/// The filters of a site, in order.
#[derive(Clone, Default)]
pub struct Filters(Option<Arc<[Arc<dyn Filter>]>>);

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|filter| filter.name())).finish()
    }
}

impl Filters {
    /// These filters, in this order.
    pub fn new(filters: Vec<Arc<dyn Filter>>) -> Self {
        Self((!filters.is_empty()).then(|| filters.into()))
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The filters in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Filter>> {
        self.0.iter().flat_map(|filters| filters.iter())
    }

    /// Phase 1 over all filters; the first answer wins.
    pub fn request(&self, context: &mut Context, request: &mut RequestHead<'_>) -> Action {
        for filter in self.iter() {
            if let Action::Respond(response) = filter.request(context, request) {
                return Action::Respond(response);
            }
        }
        Action::Continue
    }

    /// Phase 2 over all filters; the first answer wins.
    pub async fn authorize(&self, context: &mut Context, headers: &HeaderMap) -> Action {
        for filter in self.iter() {
            if let Some(question) = filter.authorize(context, headers)
                && let Action::Respond(response) = question.await
            {
                return Action::Respond(response);
            }
        }
        Action::Continue
    }

    /// Phase 3: one bypass is enough.
    pub fn before_lookup(&self, context: &mut Context, headers: &HeaderMap) -> Caching {
        let mut caching = Caching::Normal;
        for filter in self.iter() {
            if filter.before_lookup(context, headers) == Caching::Bypass {
                caching = Caching::Bypass;
            }
        }
        caching
    }

    /// Phase 4: the first choice wins.
    pub fn choose_origin(&self, context: &mut Context, origins: &[Arc<str>]) -> Option<usize> {
        self.iter().find_map(|filter| filter.choose_origin(context, origins))
    }

    /// Whether any filter sees request bodies.
    pub fn sees_request_body(&self) -> bool {
        self.iter().any(|filter| filter.sees_request_body())
    }

    /// Whether any filter sees response bodies.
    pub fn sees_response_body(&self) -> bool {
        self.iter().any(|filter| filter.sees_response_body())
    }

    /// Phase 8 over those who want it.
    pub fn request_body(&self, context: &mut Context, piece: Bytes) -> Option<Bytes> {
        self.iter()
            .filter(|filter| filter.sees_request_body())
            .try_fold(piece, |piece, filter| filter.request_body(context, piece))
    }

    /// Phase 9 over those who want it.
    pub fn response_body(&self, context: &mut Context, piece: Bytes, last: bool) -> Bytes {
        self.iter()
            .filter(|filter| filter.sees_response_body())
            .fold(piece, |piece, filter| filter.response_body(context, piece, last))
    }
}
