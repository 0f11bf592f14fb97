//! What requests are told apart by when origins are chosen by hash, as people write it.

use http::header::HeaderName;

use crate::decide::Affinity;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

const HELP: &str = "write \"key\", \"client\", \"header:X-User\" or \"cookie:session\"";

/// Reads `key`, `client`, `header:NAME` or `cookie:NAME`.
pub fn parse_affinity(text: &str) -> Result<Affinity, Wrong> {
    match text.split_once(':') {
        None if text == "key" => Ok(Affinity::Key),
        None if text == "client" => Ok(Affinity::Client),
        Some(("header", name)) => HeaderName::from_bytes(name.as_bytes())
            .map(Affinity::Header)
            .map_err(|_| Wrong::new(format!("\"{}\" is no name of a field", short(name)), HELP)),
        Some(("cookie", name)) => cookie_name(name).map(Affinity::Cookie),
        _ => Err(Wrong::new(format!("\"{}\" is not known here", short(text)), HELP)),
    }
}

/// Reads the name of a cookie: a token (RFC 6265 §4.1.1).
pub fn cookie_name(text: &str) -> Result<String, Wrong> {
    // A name of a field is a token in lower case; the rules for a cookie's are the same but for that.
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::new(
            format!("\"{}\" is no name of a cookie", short(text)),
            "letters, digits, `-` and `_` may stand in it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_shown_again() {
        for text in ["key", "client", "header:x-user", "cookie:JSESSIONID"] {
            assert_eq!(parse_affinity(text).map(|read| read.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "keys", "header:", "header:a b", "cookie:", "cookie:a=b", "ip:1"] {
            assert!(parse_affinity(text).is_err(), "{text}");
        }
    }
}
