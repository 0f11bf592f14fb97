//! How large a head may be after decoding.
//!
//! H1 heads were measured by the gate, byte by byte. What H2 delivers is measured here: HPACK makes
//! a small frame into a large head, so only the decoded size says what it costs us.

use http::request::Parts;

use crate::accept::HeadLimits;
use crate::error::Cause;

/// What a field costs besides its name and value: `: ` and CRLF, as if it were H1.
const FIELD_OVERHEAD_BYTES: usize = 4;

/// Refuses heads with too many or too large fields, cookie crumbs included.
pub(super) fn check(head: &Parts, limits: &HeadLimits) -> Result<(), Cause> {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    let line = head.method.as_str().len() + target + authority;
    if line > limits.target_bytes_max {
        return Err(Cause::TargetTooLong);
    }
    if head.headers.len() > limits.fields_max {
        return Err(Cause::HeadTooLarge);
    }
    let fields: usize = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES)
        .sum();
    if line + fields > limits.head_bytes_max { Err(Cause::HeadTooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, fields: &[(&'static str, usize)]) -> Parts {
        let mut request = http::Request::new(());
        *request.uri_mut() = target.parse().expect("a target of the test");
        for (name, bytes) in fields {
            let value = "v".repeat(*bytes).parse().expect("value");
            request.headers_mut().append(*name, value);
        }
        request.into_parts().0
    }

    #[test]
    fn count_size_and_target_have_their_limits() {
        let limits = HeadLimits { target_bytes_max: 30, head_bytes_max: 100, fields_max: 3 };
        assert_eq!(check(&head("http://a/b", &[("x", 10)]), &limits), Ok(()));
        let long = format!("http://a/{}", "b".repeat(40));
        assert_eq!(check(&head(&long, &[]), &limits), Err(Cause::TargetTooLong));
        assert_eq!(check(&head("/", &[("x", 95)]), &limits), Err(Cause::HeadTooLarge));
        assert_eq!(check(&head("/", &[("cookie", 1); 4]), &limits), Err(Cause::HeadTooLarge));
    }
}
