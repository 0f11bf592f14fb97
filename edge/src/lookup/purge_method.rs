//! `PURGE`, where a site allows it.
//!
//! Only the real peer counts: an address that a proxy told us is not believed here, and a request
//! that carries forwarding fields never counts as local.

use http::uri::PathAndQuery;
use selvedge_purge_api::Selector;
use selvedge_purge_api::selector::What;

use crate::admit::Admitted;
use crate::decide::Site;

/// Whether this request may purge on this site.
pub fn is_allowed(site: &Site, admitted: &Admitted) -> bool {
    if admitted.was_forwarded {
        return false;
    }
    match admitted.connection.peer.ip() {
        Some(address) => site.purge_from.iter().any(|network| network.contains(&address)),
        None => site.purge_from_unix,
    }
}

/// The URL that the request names, on its site.
pub fn selector(site: &Site, admitted: &Admitted, target: &PathAndQuery) -> Selector {
    let url = format!("{}://{}{target}", admitted.scheme, admitted.host());
    Selector { what: What::Url(url), site: Some(site.name.to_string()) }
}
