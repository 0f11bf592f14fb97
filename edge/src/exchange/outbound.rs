//! The request as it goes to the origin.

use http::header::{
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::admit::{Admitted, CdnLoop};
use crate::decide::Plan;
use crate::filter::Context;
use crate::origin::{Outbound, OutboundRequest, Pool};

/// Says that `Surrogate-Control` is understood (Edge Architecture Specification).
const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");

/// Fields of a request to the origin that this node writes and that differ from client to client.
pub(super) const WRITTEN_PER_CLIENT: [&str; 2] = ["forwarded", "x-forwarded-for"];

/// The client's fields with ours added: who asked, by which way.
pub(super) fn fields(admitted: &Admitted, cdn_loop: &CdnLoop) -> HeaderMap {
    let mut headers = admitted.headers.clone();
    admitted.outbound().write(&mut headers);
    cdn_loop.add(&mut headers);
    headers.append(SURROGATE_CAPABILITY, HeaderValue::from_static("selvedge=\"Surrogate/1.0\""));
    headers
}

/// The filters' context for a part of the exchange that runs beside it: what the filters have
/// noted so far, and from here on its own.
pub(super) fn context(of: &Context) -> Context {
    Context { client: of.client, state: of.state.clone() }
}

/// Takes away what would make the answer to a fill partial, or conditional on what the client has.
pub(super) fn whole_and_unconditional(headers: &mut HeaderMap) {
    for name in [RANGE, IF_RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
        headers.remove(name);
    }
}

/// `Host` towards the origin: the site's, or the client's.
pub(super) fn host(plan: &Plan, admitted: &Admitted) -> HeaderValue {
    let host = plan.site.origin_host.as_deref().unwrap_or_else(|| admitted.host());
    HeaderValue::from_str(host).expect("an admitted or configured host is a valid field value")
}

/// A request for the origin, with the filters' changes.
pub(super) fn request(
    (plan, pool): (&Plan, &Pool),
    (method, host): (Method, HeaderValue),
    mut headers: HeaderMap,
    body: Outbound,
    context: &mut Context,
) -> OutboundRequest {
    let mut preferred = None;
    if !plan.site.filters.is_empty() {
        plan.site.filters.iter().for_each(|filter| filter.origin_request(context, &mut headers));
        let names: Vec<_> = pool.origins().into_iter().map(|origin| origin.name).collect();
        preferred = plan.site.filters.choose_origin(context, &names);
    }
    let target = plan.target.clone();
    let (has_fallback, affinity, is_shared) = (false, None, false);
    OutboundRequest {
        method,
        host,
        target,
        headers,
        body,
        preferred,
        has_fallback,
        affinity,
        is_shared,
    }
}
