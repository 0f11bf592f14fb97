//! `[admin]` and `[[admin.tokens]]`.

use super::node::count;
use crate::upkeep::config::model::{Node, Token, TokenSecret};
use crate::upkeep::config::options as o;
use crate::upkeep::config::problem::{Place, Problems, Wrong};
use crate::upkeep::config::reader::{Reader, text};
use crate::upkeep::config::surroundings::Surroundings;
use crate::upkeep::config::value::{Scope, authority, name, sha256, variable};

/// Least length of a token that is given in plain, in bytes: shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// Names under which the admin plane may be called.
pub(super) fn hosts(reader: &mut Reader<'_>) -> Vec<String> {
    let hosts = reader.list(&o::ADMIN_HOSTS, |s| authority(text(s, "edge.example")?), Clone::clone);
    hosts.into_iter().map(|(host, _)| host).collect()
}

/// Purges per second of one caller.
pub(super) fn purges_per_second(reader: &mut Reader<'_>) -> u32 {
    count(reader, &o::ADMIN_PURGES_PER_SECOND) as u32
}

/// One token.
pub(super) fn token(reader: &mut Reader<'_>, surroundings: &dyn Surroundings) -> Option<Token> {
    let name = reader.one(&o::TOKEN_NAME, |s| name(text(s, "ops")?), Clone::clone);
    // The hash is shown by its beginning: enough to tell a change, useless to anybody else.
    let beginning =
        |hash: &[u8; 32]| format!("{:02x}{:02x}{:02x}{:02x}…", hash[0], hash[1], hash[2], hash[3]);
    let hash = reader.one(&o::TOKEN_SHA256, |s| sha256(text(s, "9f86d081…")?), beginning);
    let by_variable = |s: &_| {
        let name = variable(text(s, "SHOP_PURGE_TOKEN")?)?;
        let token = surroundings.variable(&name).unwrap_or_default();
        match token.len() {
            0 => Err(Wrong::new(
                format!("the variable {name} is not set"),
                "set it, or write `sha256` instead",
            )),
            TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX if token.bytes().all(|c| c.is_ascii_graphic()) => {
                Ok((name, token))
            }
            _ => Err(Wrong::new(
                format!("the token in {name} cannot be used"),
                format!(
                    "a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII characters: openssl rand -hex 32"
                ),
            )),
        }
    };
    let plain = reader.one(&o::TOKEN_ENV, by_variable, |(name, _)| name.clone());
    let scopes =
        reader.list(&o::TOKEN_SCOPES, |s| Scope::parse(text(s, "purge")?), ToString::to_string);
    let secret = match (hash, plain) {
        (Some(hash), None) => TokenSecret::Sha256(hash),
        (None, Some((_, token))) => TokenSecret::Plain(token),
        (None, None) if reader.has(&o::TOKEN_SHA256) || reader.has(&o::TOKEN_ENV) => return None,
        (both, _) => {
            let message = if both.is_some() {
                "a token has both `sha256` and `env`"
            } else {
                "a token has neither `sha256` nor `env`"
            };
            let place = reader.place_of(&o::TOKEN_ENV);
            reader.problems.add(place, Wrong::new(message, "write one of them"));
            return None;
        }
    };
    let scopes: Vec<_> = scopes.into_iter().map(|(scope, _)| scope).collect();
    Some(Token { name: name?, secret, scopes }).filter(|token| !token.scopes.is_empty())
}

/// An admin plane that others can reach needs a token.
pub(super) fn check_exposure(node: &Node, tokens: bool, place: Place, problems: &mut Problems) {
    if !node.admin.is_local() && !tokens {
        let message = format!(
            "the admin plane on {} can be reached by others, and no token guards it",
            node.admin
        );
        let help = "write [[admin.tokens]] with name, env or sha256, and scopes; or listen on 127.0.0.1:9901";
        problems.add(place, Wrong::new(message, help));
    }
}
