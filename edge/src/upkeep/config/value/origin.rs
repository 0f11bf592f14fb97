//! Origins as sites name them: the words around [`OriginAddress`]'s parser.
//!
//! The parser says which rule a text breaks; here that becomes what a person should write instead.

use std::fmt::Write as _;

use super::host_name;
use crate::origin::{Flaw, OriginAddress, OriginConfig};
use crate::upkeep::config::nearest::nearest;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::reader::text;
use crate::upkeep::config::unit::short;
use crate::upkeep::config::written::{Said, Spoken};

/// Largest weight of an origin.
const WEIGHT_MAX: i64 = 100;
/// Largest tier.
const TIER_MAX: i64 = 9;

/// Reads an origin: its address, or a table that says more of it.
pub fn parse_origin(spoken: &Spoken) -> Result<OriginConfig, Wrong> {
    let Said::Table(entries) = &spoken.said else {
        return parse_address(text(spoken, "http://10.0.0.1:8000")?).map(OriginConfig::from);
    };
    let Some((_, _, url)) = entries.iter().find(|(key, ..)| key == "url") else {
        return Err(Wrong::new("the origin has no `url`", TABLE));
    };
    let mut origin = OriginConfig::from(parse_address(text(url, "http://10.0.0.1:8000")?)?);
    for (key, _, value) in entries {
        match key.as_str() {
            "url" => {}
            "weight" => origin.weight = number(value, "weight", 1, WEIGHT_MAX)? as u32,
            "tier" => origin.tier = number(value, "tier", 0, TIER_MAX)? as u8,
            "tls_name" if origin.address.is_tls() => {
                origin.tls_name = Some(host_name(text(value, "origin.example")?)?);
            }
            "tls_name" => {
                return Err(Wrong::new("only an https:// origin has a `tls_name`", "leave it out"));
            }
            other => {
                let near = nearest(other, ["url", "weight", "tier", "tls_name"]);
                let help = near.map_or(TABLE.to_owned(), |near| format!("did you mean `{near}`?"));
                return Err(Wrong::new(format!("unknown key `{}`", short(other)), help));
            }
        }
    }
    Ok(origin)
}

/// An origin in normal form.
pub fn show_origin(origin: &OriginConfig) -> String {
    let mut shown = origin.address.to_string();
    if origin.weight != 1 {
        let _ = write!(shown, " weight {}", origin.weight);
    }
    if origin.tier != 0 {
        let _ = write!(shown, " tier {}", origin.tier);
    }
    if let Some(name) = &origin.tls_name {
        let _ = write!(shown, " as {name}");
    }
    shown
}

const TABLE: &str = "write { url = \"http://10.0.0.1:8000\", weight = 2, tier = 1 }";

fn number(value: &Spoken, key: &str, min: i64, max: i64) -> Result<i64, Wrong> {
    match value.said {
        Said::Integer(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(Wrong::new(
            format!("`{key}` is a whole number, {min} to {max}"),
            format!("write {key} = {}", min.max(1)),
        )),
    }
}

/// Reads `http://host:port`, `https://host:port` or `unix:/path`.
fn parse_address(text: &str) -> Result<OriginAddress, Wrong> {
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
    use crate::upkeep::config::file::read_value;

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
            let wrong = parse_address(text).expect_err(text);
            assert!(wrong.help.contains(help), "{text}: {wrong:?}");
        }
    }

    #[test]
    fn a_table_says_more_of_an_origin() {
        let read = |toml: &str| parse_origin(&read_value(toml).expect("TOML"));
        let origin =
            read("{ url = \"https://10.0.0.1\", weight = 3, tier = 1, tls_name = \"a.example\" }");
        let origin = origin.expect("an origin");
        assert_eq!((origin.weight, origin.tier), (3, 1));
        assert_eq!(show_origin(&origin), "https://10.0.0.1:443 weight 3 tier 1 as a.example");
        for (toml, wrong) in [
            ("{ weight = 1 }", "no `url`"),
            ("{ url = \"http://a\", weigth = 1 }", "`weigth`"),
            ("{ url = \"http://a\", weight = 0 }", "1 to 100"),
            ("{ url = \"http://a\", tier = \"1\" }", "0 to 9"),
            ("{ url = \"http://a\", tls_name = \"b\" }", "https://"),
            ("{ url = \"http://a/b\" }", "no path"),
            ("5", "not a number"),
        ] {
            let message = read(toml).expect_err(toml).message;
            assert!(message.contains(wrong), "{toml}: {message}");
        }
    }
}
