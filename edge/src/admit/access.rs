//! Whether this method may come in at all, whoever asks.

use http::Method;

use crate::error::Cause;

/// `CONNECT` would make us an open proxy, and `TRACE` shows a script what its browser hides
/// (RFC 9110 §9.3.8). Every other token is a method; what it means is the origin's business.
pub(super) fn check_method(method: &Method) -> Result<(), Cause> {
    if matches!(*method, Method::CONNECT | Method::TRACE) { Err(Cause::Method) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_and_trace_are_refused() {
        assert_eq!(check_method(&Method::CONNECT), Err(Cause::Method));
        assert_eq!(check_method(&Method::TRACE), Err(Cause::Method));
        let purge = Method::from_bytes(b"PURGE").expect("a token");
        assert_eq!(check_method(&purge), Ok(()));
    }
}
