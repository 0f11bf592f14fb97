//! `GET /v1/explain`: why a request would be answered as it would, from the running node.
//!
//! The question becomes a request as a codec would have read it, and takes the way of one:
//! admission, the site, the plan, the lookup. What serving would do is therefore what is told; no
//! rule stands here. Filters are not asked: they may have effects.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use http::header::HOST;
use http::{HeaderValue, StatusCode, Uri, Version};
use selvedge_cache::cache::Request;
use selvedge_purge_api::problem::Problem;
use selvedge_purge_api::selector::AbsoluteUrl;
use serde_json::Value;

use super::{Shared, World};
use crate::accept::connection::{Peer, Protocol, TlsFacts};
use crate::accept::{Connection, Interim, Received, RequestBody};
use crate::admit::{self, Admitted};
use crate::decide::{Plan, Site};
use crate::upkeep::admin::explain::{Explain, Question};

mod document;

/// Explains from the running node.
#[derive(Debug)]
pub struct Explaining(pub Arc<Shared>);

impl Explain for Explaining {
    fn explain(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send + '_>> {
        Box::pin(async move {
            let world = self.0.world.load_full();
            let (site, admitted) = admitted(&world, question)?;
            let plan = Plan::make(site, &admitted);
            let cache = &self.0.cache;
            let request = Request {
                key: &plan.key,
                facts: &plan.facts,
                headers: &admitted.headers,
                target: plan.scopes(admitted.host()),
                options: &plan.site.cache,
                arrival: cache.watermark(),
            };
            let told = cache.explain(&request).await;
            let origins = world.pool(&plan.site).origins();
            Ok(document::of(&admitted, &plan, &told, &origins))
        })
    }
}

fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "There is no such request.", detail).about(field)
}

/// The question as an admitted request, and the site that would answer it.
fn admitted(world: &World, question: Question) -> Result<(Arc<Site>, Admitted), Problem> {
    let url = AbsoluteUrl::parse(&question.url).map_err(|why| wrong("url", why))?;
    let target = match url.query {
        Some(query) => format!("{}?{query}", url.path),
        None => url.path.to_owned(),
    };
    let uri: Uri = target.parse().map_err(|_| wrong("url", "The path is not valid in a URL."))?;
    let host = HeaderValue::from_str(url.authority)
        .map_err(|_| wrong("url", "The host is not valid in a URL."))?;
    let mut head = http::Request::new(()).into_parts().0;
    (head.method, head.uri, head.version) = (question.method, uri, Version::HTTP_11);
    head.headers = question.headers;
    head.headers.insert(HOST, host);
    let tls = (url.scheme == "https").then(|| TlsFacts {
        server_name: None,
        version: "TLSv1.3",
        cipher: String::new(),
    });
    let connection = Connection {
        id: 0,
        peer: Peer::Unix,
        local: String::new(),
        protocol: Protocol::Http1,
        tls,
        accepted: Instant::now(),
    };
    let received = Received {
        head,
        body: RequestBody::Empty,
        connection: Arc::new(connection),
        interim: Interim::None,
    };
    let admitted = admit::admit(received, &world.admission).map_err(|refused| {
        let cause = refused.error.cause;
        let detail = format!(
            "Such a request would be refused with {}: {} ({})",
            cause.status().as_u16(),
            cause.title(),
            cause.label()
        );
        wrong("url", detail)
    })?;
    match world.sites.find(admitted.host()) {
        Some(site) => Ok((Arc::clone(site), admitted)),
        None => {
            Err(wrong("url", "No site answers for this host: such a request is refused with 421."))
        }
    }
}
