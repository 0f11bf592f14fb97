//! Which fields are for the next neighbour only, and which nobody may declare to be.
//!
//! A proxy removes the fields that speak of one connection, and those that `Connection` names
//! (RFC 9110 §7.6.1), from requests and from responses alike. Whoever may name any field away
//! could hide what every recipient must see; some therefore stay, whatever `Connection` says.

use http::header::{self, HeaderName};

/// Fields that speak of one connection by their definition, besides `Connection` itself.
pub static HOP_BY_HOP: [HeaderName; 8] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// `Connection` may not name these away: it would change what the message is, where it goes or
/// who may see it, a private response would look public or a part look whole.
pub fn is_irremovable(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONTENT_TYPE
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::AUTHORIZATION
            | header::COOKIE
            | header::CACHE_CONTROL
            | header::RANGE
            | header::EXPECT
            | header::VARY
            | header::VIA
            | header::FORWARDED
    ) || name.as_str() == "cdn-loop"
        || name.as_str().starts_with("x-forwarded-")
}
