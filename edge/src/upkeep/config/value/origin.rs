//! Origins as sites name them: the words around [`OriginAddress`]'s parser.
//!
//! The parser says which rule a text breaks; here that becomes what a person should write instead.

use crate::origin::{Flaw, OriginAddress};
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Reads `http://host:port`, `https://host:port` or `unix:/path`.
pub fn parse_origin(text: &str) -> Result<OriginAddress, Wrong> {
    text.parse::<OriginAddress>().map_err(|error| explain(text, error.reason))
}

fn explain(text: &str, flaw: Flaw) -> Wrong {
    const SAMPLE: &str =
        "write \"http://10.0.0.1:8000\", \"https://origin.example\" or \"unix:/run/app.sock\"";
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    match flaw {
        Flaw::NoScheme if text.is_empty() => Wrong::new("the origin has no scheme", SAMPLE),
        Flaw::NoScheme => {
            let help = format!("write \"http://{}\" or \"https://{0}\"", short(text));
            Wrong::new("the origin has no scheme", help)
        }
        Flaw::OtherScheme => {
            Wrong::new(format!("\"{}\" is no scheme of an origin", short(scheme)), SAMPLE)
        }
        Flaw::HasPath => {
            let (scheme, authority) = (short(scheme), short(authority));
            let help = format!("write \"{scheme}://{authority}\"; the path comes from the request");
            Wrong::new("an origin has no path", help)
        }
        Flaw::HasUser => Wrong::new("an origin has no user name", SAMPLE),
        Flaw::NoHost => Wrong::new("the host is missing", SAMPLE),
        Flaw::BadHost if !authority.is_ascii() => Wrong::new(
            "a host is written in ASCII",
            "write the form with xn--, which browsers send",
        ),
        Flaw::BadHost => Wrong::new(
            format!("\"{}\" is no host", short(authority)),
            "names consist of letters, digits, `-` and `.`; 1 to 63 characters stand between two dots",
        ),
        Flaw::NoBrackets => {
            Wrong::new("an IPv6 address stands in brackets", "write \"http://[::1]:8000\"")
        }
        Flaw::BadBrackets => Wrong::new("this is no IPv6 address", "write \"http://[::1]:8000\""),
        Flaw::BadPort => Wrong::new("the port is not a number from 1 to 65535", SAMPLE),
        Flaw::RelativePath => Wrong::new(
            "the path of a Unix socket begins with a slash",
            "write \"unix:/run/app.sock\"",
        ),
        Flaw::BadPath => {
            Wrong::new("the path of a Unix socket has at most 107 bytes", "write a shorter path")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_origin_says_what_to_write() {
        for (text, help) in [
            ("", "http://10.0.0.1:8000"),
            ("10.0.0.1:80", "\"http://10.0.0.1:80\""),
            ("ftp://a", "https://origin.example"),
            ("http://", "http://10.0.0.1:8000"),
            ("http://u@a/b", "http://10.0.0.1:8000"),
            ("http://a/b", "\"http://a\""),
            ("http://a?x", "\"http://a\""),
            ("http://a:0", "http://10.0.0.1:8000"),
            ("http://a:x", "http://10.0.0.1:8000"),
            ("http://::1", "http://[::1]:8000"),
            ("http://[::z]", "http://[::1]:8000"),
            ("http://b\u{fc}cher.example", "xn--"),
            ("http://a b", "letters"),
            ("unix:x", "unix:/run/app.sock"),
        ] {
            let wrong = parse_origin(text).expect_err(text);
            assert!(wrong.help.contains(help), "{text}: {wrong:?}");
        }
    }
}
