//! Who may purge what.
//!
//! Tokens are bearer secrets (RFC 6750 §2.1) that are kept only as SHA-256 hashes: a leaked
//! configuration gives none away. The comparison takes the same time whatever differs. A node
//! without tokens trusts whoever reaches it, which the admin listener allows on loopback and
//! Unix sockets only.

use std::fmt;

use constant_time_eq::constant_time_eq_32;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// Purge anything, and read.
    Purge,
    /// Purge within one site.
    PurgeSite(String),
    /// Read status, metrics and the audit trail.
    Read,
    /// Take origins out and put them back, and read.
    Operate,
}

impl TokenScope {
    /// Reads `purge`, `purge:SITE`, `read` or `operate`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "purge" => Ok(Self::Purge),
            None if text == "read" => Ok(Self::Read),
            None if text == "operate" => Ok(Self::Operate),
            Some(("purge", site)) if !site.is_empty() => Ok(Self::PurgeSite(site.to_owned())),
            _ => {
                Err(format!("{text:?} is no scope; scopes are purge, purge:SITE, read and operate"))
            }
        }
    }
}

/// A token, without its secret.
#[derive(Clone)]
pub struct Token {
    name: String,
    sha256: [u8; 32],
    scopes: Vec<TokenScope>,
}

impl Token {
    /// A token whose secret is at hand. Fewer than 16 bytes could be guessed and are refused.
    pub fn from_secret(name: &str, secret: &str, scopes: Vec<TokenScope>) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES_MIN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "the secret of token {name:?} must have at least {SECRET_BYTES_MIN} printable bytes"
            ));
        }
        Ok(Self::from_sha256(name, Sha256::digest(secret.as_bytes()).into(), scopes))
    }

    /// A token known by the SHA-256 of its secret.
    pub fn from_sha256(name: &str, sha256: [u8; 32], scopes: Vec<TokenScope>) -> Self {
        Self { name: name.to_owned(), sha256, scopes }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("scopes", &self.scopes).finish()
    }
}

const SECRET_BYTES_MIN: usize = 16;

/// The tokens of a node; empty means that whoever reaches the surface may do anything.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Token>);

/// Proof that a caller was recognised; only [`Tokens::authorize`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorized {
    who: String,
    /// `None`: anything.
    scopes: Option<Vec<TokenScope>>,
}

/// Why a caller was not recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorized {
    /// No `Authorization`, or not a bearer token.
    Missing,
    /// A token that is not known.
    Wrong,
}

impl Tokens {
    /// A set of tokens.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Recognises a caller by its fields; `peer` names it where there are no tokens.
    pub fn authorize(&self, fields: &HeaderMap, peer: &str) -> Result<Authorized, Unauthorized> {
        if self.is_empty() {
            return Ok(Authorized { who: format!("peer:{peer}"), scopes: None });
        }
        let mut lines = fields.get_all(AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(Unauthorized::Missing);
        };
        let secret = line.as_bytes().split_at_checked(7).ok_or(Unauthorized::Missing)?;
        if !secret.0.eq_ignore_ascii_case(b"bearer ") {
            return Err(Unauthorized::Missing);
        }
        let given: [u8; 32] = Sha256::digest(secret.1.trim_ascii()).into();
        // Every token is compared, in constant time.
        let found = self.0.iter().fold(None, |found, token| {
            if constant_time_eq_32(&token.sha256, &given) { Some(token) } else { found }
        });
        let token = found.ok_or(Unauthorized::Wrong)?;
        Ok(Authorized { who: format!("token:{}", token.name), scopes: Some(token.scopes.clone()) })
    }
}

impl Authorized {
    /// Who it is, for the audit trail: `token:NAME` or `peer:ADDRESS`.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// May read status, metrics and the whole audit trail.
    pub fn may_read(&self) -> bool {
        self.allows(|scope| !matches!(scope, TokenScope::PurgeSite(_)))
    }

    /// May purge what touches only `site`; `None` for what may touch every site.
    pub fn may_purge(&self, site: Option<&str>) -> bool {
        self.allows(|scope| match scope {
            TokenScope::Purge => true,
            TokenScope::PurgeSite(own) => site == Some(own),
            TokenScope::Read | TokenScope::Operate => false,
        })
    }

    /// May take origins out and put them back.
    pub fn may_operate(&self) -> bool {
        self.allows(|scope| *scope == TokenScope::Operate)
    }

    /// May read one entry that touches only `site`.
    pub fn may_read_entry(&self, site: Option<&str>) -> bool {
        self.may_read() || self.may_purge(site)
    }

    fn allows(&self, by: impl Fn(&TokenScope) -> bool) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn given(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))])
    }

    fn tokens(scope: &str) -> Tokens {
        let scope = TokenScope::parse(scope).expect("a scope");
        Tokens::new(vec![Token::from_secret("t", SECRET, vec![scope]).expect("long enough")])
    }

    #[test]
    fn a_caller_is_recognised_by_the_exact_secret_only() {
        let tokens = tokens("purge");
        let found = tokens.authorize(&given(&format!("Bearer {SECRET}")), "p").expect("known");
        assert_eq!(found.who(), "token:t");
        let wrong = tokens.authorize(&given(&format!("Bearer {SECRET}x")), "p");
        assert_eq!(wrong, Err(Unauthorized::Wrong));
        for other in ["", "Bearer", "Basic abc", SECRET] {
            assert_eq!(tokens.authorize(&given(other), "p"), Err(Unauthorized::Missing), "{other}");
        }
        assert_eq!(tokens.authorize(&HeaderMap::new(), "p"), Err(Unauthorized::Missing));
        assert!(!format!("{tokens:?}").contains(SECRET));
    }

    #[test]
    fn scopes_allow_what_they_say() {
        let by = |scope| {
            let fields = given(&format!("bearer {SECRET}"));
            tokens(scope).authorize(&fields, "p").expect("known")
        };
        assert!(by("purge").may_purge(None) && by("purge").may_read());
        assert!(by("purge:shop").may_purge(Some("shop")) && !by("purge:shop").may_purge(None));
        assert!(!by("purge:shop").may_purge(Some("blog")) && !by("purge:shop").may_read());
        assert!(by("read").may_read() && !by("read").may_purge(Some("shop")));
        assert!(by("operate").may_operate() && by("operate").may_read());
        assert!(!by("operate").may_purge(Some("shop")) && !by("purge").may_operate());
        assert!(TokenScope::parse("purge:").is_err() && TokenScope::parse("all").is_err());
    }

    #[test]
    fn a_hash_stands_for_its_secret() {
        let sha256 = Sha256::digest(SECRET.as_bytes()).into();
        let token = Token::from_sha256("h", sha256, vec![TokenScope::Purge]);
        let fields = given(&format!("Bearer {SECRET}"));
        assert!(Tokens::new(vec![token]).authorize(&fields, "p").is_ok());
        assert!(Token::from_secret("s", "short", Vec::new()).is_err());
    }
}
