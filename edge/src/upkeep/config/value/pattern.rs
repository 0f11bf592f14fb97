//! What a rule speaks of: paths, statuses, types of content.

use selvedge_cache::policy::rules::{Glob, Statuses};

use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024;
/// Most `*` in one pattern.
const STARS_MAX: usize = 8;

/// A path with `*` for anything.
pub fn path_glob(text: &str) -> Result<Glob, Wrong> {
    if !text.starts_with(['/', '*']) || text.contains(['?', '#', ' ']) {
        let message = format!("\"{}\" is no path", short(text));
        return Err(Wrong::new(
            message,
            "write a path without its query, as in \"/img/*\" or \"*.jpg\"",
        ));
    }
    glob(text)
}

/// A type of content with `*` for anything.
pub fn type_glob(text: &str) -> Result<Glob, Wrong> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"/*.+-_".contains(&byte);
    if text.matches('/').count() != 1 || !text.bytes().all(is_letter) {
        let message = format!("\"{}\" is no type of content", short(text));
        return Err(Wrong::new(message, "write \"text/html\" or \"image/*\", without parameters"));
    }
    glob(&text.to_ascii_lowercase())
}

/// One status, or all of a class.
pub fn statuses(text: &str) -> Result<Statuses, Wrong> {
    let wrong = || {
        let message = format!("\"{}\" is no status", short(text));
        Wrong::new(message, "write \"404\", or \"5xx\" for all that begin with 5")
    };
    let &[class @ b'2'..=b'5', ref rest @ ..] = text.as_bytes() else { return Err(wrong()) };
    match rest {
        b"xx" => Ok(Statuses::Class(u16::from(class - b'0'))),
        [b'0'..=b'9', b'0'..=b'9'] => text.parse().map(Statuses::One).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// How a status is written.
pub fn show_statuses(statuses: Statuses) -> String {
    match statuses {
        Statuses::One(code) => code.to_string(),
        Statuses::Class(digit) => format!("{digit}xx"),
    }
}

fn glob(text: &str) -> Result<Glob, Wrong> {
    if text.len() > PATTERN_BYTES_MAX || text.matches('*').count() > STARS_MAX {
        let message =
            format!("longer than {PATTERN_BYTES_MAX} bytes, or more than {STARS_MAX} times `*`");
        return Err(Wrong::new(message, "write several shorter ones"));
    }
    Ok(Glob(text.to_owned()))
}
