//! Where something listens, as people write it: the words around [`ListenAddress`]'s parser.
//!
//! The parser says which rule a text breaks; here that becomes what a person should write instead.

use crate::accept::listener::{AddressError, ListenAddress};
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Reads an address: `host:port`, `[::]:port`, `unix:/path`.
pub fn parse_address(text: &str) -> Result<ListenAddress, Wrong> {
    text.parse().map_err(|error| explain(text, &error))
}

fn explain(text: &str, error: &AddressError) -> Wrong {
    let help = "write \"127.0.0.1:8080\", \"[::]:8080\" or \"unix:/run/selvedge.sock\"";
    let wrong = |message: String| Wrong::new(message, help);
    if text.contains("://") {
        return wrong(format!("\"{}\" is a URL, not an address", short(text)));
    }
    if text.starts_with('/') {
        let help = format!("write \"unix:{}\" for a Unix socket", short(text));
        return Wrong::new("this is a path", help);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    match error {
        AddressError::NoPort(_) => {
            let message = format!("\"{}\" has no port", short(text));
            let help = if text.parse::<u16>().is_ok() {
                format!("write \"127.0.0.1:{text}\" or \"[::]:{text}\"")
            } else {
                format!("write \"{}:8080\"", short(text))
            };
            Wrong::new(message, help)
        }
        AddressError::BadPort(_) => wrong(format!("\"{}\" is no port", short(port))),
        AddressError::NoHost(_) => {
            let help = format!("write \"0.0.0.0:{port}\", or \"[::]:{port}\" for IPv6 and IPv4");
            Wrong::new("the host is missing", help)
        }
        AddressError::Brackets(_) if host.starts_with('[') => {
            wrong(format!("\"{}\" is no IPv6 address", short(host)))
        }
        AddressError::Brackets(_) => {
            let help = format!("write \"[{}]:{}\"", short(host), short(port));
            Wrong::new("an IPv6 address stands in brackets", help)
        }
        AddressError::BadHost(_) if host == "*" => {
            let help = format!("write \"[::]:{port}\" or \"0.0.0.0:{port}\"");
            Wrong::new("`*` is no address", help)
        }
        AddressError::BadHost(_) => wrong(format!("\"{}\" is no host", short(host))),
        AddressError::RelativePath(_) => Wrong::new(
            "the path of a Unix socket begins with a slash",
            "write \"unix:/run/selvedge.sock\"",
        ),
        AddressError::LongPath(_) => {
            Wrong::new("the path of a Unix socket has at most 107 bytes", "write a shorter path")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_says_what_to_write() {
        for (text, help) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("::1:80", "[::1]:80"),
            ("::1:zz:80", "[::1:zz]:80"),
            ("*:80", "[::]:80"),
            ("localhost", "localhost:8080"),
            ("/run/s.sock", "unix:/run/s.sock"),
            ("unix:run/s.sock", "unix:/run/"),
            ("http://127.0.0.1:80", "127.0.0.1:8080"),
            ("127.0.0.1:99999", "127.0.0.1:8080"),
            ("[::zz]:80", "[::]:8080"),
            ("a..b:80", "127.0.0.1:8080"),
        ] {
            let wrong = parse_address(text).expect_err(text);
            assert!(wrong.help.contains(help), "{text}: {wrong:?}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(parse_address(&long).expect_err("too long").help.contains("shorter"));
    }
}
