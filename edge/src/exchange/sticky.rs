//! Clients that are bound to an origin by a cookie.
//!
//! The cookie says which origin answered first, in a way that tells nothing of its address. It
//! counts only where the cache does not answer, and is set only on answers that are not stored: a
//! stored `Set-Cookie` would bind everybody to one origin.

use http::HeaderValue;
use http::header::SET_COOKIE;

use crate::admit::Admitted;
use crate::decide::Site;
use crate::decide::affinity::{cookie, number};
use crate::origin::{OriginReply, Pool};

/// The origin that the client is bound to, by its place in the pool.
pub(super) fn bound(site: &Site, admitted: &Admitted, pool: &Pool) -> Option<usize> {
    let token = cookie(&admitted.headers, site.sticky.as_deref()?)?;
    pool.names().position(|name| token_of(name) == token)
}

/// Binds the client to the origin that answered, unless it is already.
pub(super) fn bind(site: &Site, admitted: &Admitted, reply: &mut OriginReply) {
    let Some(name) = &site.sticky else { return };
    let token = token_of(&reply.origin);
    if cookie(&admitted.headers, name) == Some(&token) {
        return;
    }
    let secure = if admitted.scheme == "https" { "; Secure" } else { "" };
    let line = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}");
    let value = HeaderValue::try_from(line).expect("a token, hexadecimal digits and attributes");
    reply.headers.append(SET_COOKIE, value);
}

/// What stands for an origin: the same on every node that calls the origin the same.
fn token_of(origin: &str) -> String {
    format!("{:016x}", number(origin.as_bytes()))
}
