//! The filters' first word: before there is a plan.

use http::header::{IF_RANGE, RANGE};

use crate::admit::Admitted;
use crate::decide::Site;
use crate::error::Cause;
use crate::filter::{Action, Context, RequestHead};

/// Phases 1 and 2 of the filters; a changed target is normalised again.
pub(super) async fn request(
    site: &Site,
    context: &mut Context,
    admitted: &mut Admitted,
) -> Result<Action, Cause> {
    let (mut path, mut query) =
        (admitted.path().to_owned(), admitted.query().map(ToOwned::to_owned));
    let host = admitted.host().to_owned();
    let mut head = RequestHead {
        method: &admitted.method,
        scheme: admitted.scheme,
        host: &host,
        path: &mut path,
        query: &mut query,
        headers: &mut admitted.headers,
    };
    if let Action::Respond(response) = site.filters.request(context, &mut head) {
        return Ok(Action::Respond(response));
    }
    if path != admitted.path() || query.as_deref() != admitted.query() {
        admitted.retarget(&path, query.as_deref())?;
    }
    if site.filters.sees_response_body() {
        // What a filter makes of the content has no parts that anybody could ask for.
        admitted.headers.remove(RANGE);
        admitted.headers.remove(IF_RANGE);
    }
    Ok(site.filters.authorize(context, &admitted.headers).await)
}
