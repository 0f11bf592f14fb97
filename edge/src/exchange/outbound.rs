//! The request as it goes to the origin.

use std::sync::Arc;

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, Method};
use selvedge_cache::invalidate::TargetScopes;

use crate::accept::Connection;
use crate::admit::{self, Admitted};
use crate::decide::Plan;
use crate::filter::Context;
use crate::origin::{Outbound, OutboundRequest};

/// What is kept of a request when its client may be gone.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) scheme: &'static str,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) connection: Arc<Connection>,
    pub(super) client: Option<std::net::IpAddr>,
}

impl Target {
    pub(super) fn of(admitted: &Admitted) -> Self {
        Self {
            scheme: admitted.scheme,
            host: admitted.host.clone(),
            path: admitted.path.clone(),
            connection: Arc::clone(&admitted.connection),
            client: admitted.client,
        }
    }

    pub(super) fn scopes<'a>(&'a self, plan: &'a Plan) -> TargetScopes<'a> {
        TargetScopes {
            site: &plan.site.name,
            host: &self.host,
            path: &self.path,
            query: plan.query.as_deref(),
        }
    }

    /// Origin-form: path and folded query.
    fn path_and_query(&self, query: Option<&str>) -> String {
        match query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}

/// Fields of a fetch that fills the cache: nothing that would make the answer partial or
/// conditional on what the client has.
pub(super) fn fill_fields(headers: &HeaderMap) -> HeaderMap {
    let mut fields = headers.clone();
    for name in
        [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE]
    {
        fields.remove(name);
    }
    fields
}

/// A `GET` that fills the cache.
pub(super) fn fill_request(
    target: &Target,
    plan: &Plan,
    headers: HeaderMap,
    context: &mut Context,
) -> OutboundRequest {
    request(target, plan, Method::GET, headers, Outbound::Empty, context)
}

/// A request for the origin, with our forwarding fields and the filters' changes.
pub(super) fn request(
    target: &Target,
    plan: &Plan,
    method: Method,
    mut headers: HeaderMap,
    body: Outbound,
    context: &mut Context,
) -> OutboundRequest {
    admit::forward::append(&mut headers, &target.connection, target.client, &target.host);
    for filter in plan.site.filters.iter() {
        filter.origin_request(context, &mut headers);
    }
    OutboundRequest {
        method,
        host: plan.site.origin_host.clone().unwrap_or_else(|| target.host.clone()),
        path_and_query: target.path_and_query(plan.query.as_deref()),
        headers,
        body,
        origin: None,
    }
}
