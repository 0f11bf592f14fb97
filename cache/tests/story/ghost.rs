//! What really happened, and what therefore must not be seen.

use std::collections::HashMap;

use bytes::Bytes;
use selvedge_cache::invalidate::Mode;

use super::Who;

/// What a purge names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector {
    Url,
    Tag(&'static str),
    Everything,
    /// No entry of the ledger: an unsafe method succeeded on the URL.
    UnsafeMethod,
}

/// A purge that was acknowledged, in order.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    pub selector: Selector,
    pub mode: Mode,
}

/// What the origin says about sharing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sharing {
    /// `max-age`.
    #[default]
    Plain,
    /// `max-age, public`.
    Public,
    /// `max-age=5`, with windows of staleness.
    Short,
    /// `max-age=5`, to be kept for errors.
    Spare,
    /// `no-cache`.
    Validated,
    /// `max-age=0`.
    Brief,
    /// `private`.
    Private,
}

/// One answer of the origin with content.
#[derive(Clone, Debug)]
pub struct Body {
    pub bytes: Bytes,
    /// Purges acknowledged before its fetch was sent.
    pub sent: usize,
    /// Whose request it answers.
    pub asked: Who,
    /// The client that started the fetch.
    pub leader: Option<usize>,
    pub varies: bool,
    pub sharing: Sharing,
    pub version: u32,
    /// What the origin promised, in bytes.
    pub declared: Option<u64>,
}

/// A head under which a body is given.
#[derive(Clone, Debug)]
pub struct Head {
    pub body: usize,
    /// Purges acknowledged before the last validation was sent.
    pub validated: usize,
    pub tags: Vec<&'static str>,
    /// The client that started the last validation.
    pub leader: Option<usize>,
    /// Whether the last validation was authorised.
    pub authorized: bool,
    pub sharing: Sharing,
}

/// All that happened.
#[derive(Default)]
pub struct Ghost {
    pub purges: Vec<Purge>,
    pub bodies: Vec<Body>,
    /// By the object id under which a fill announces them.
    pub fills: HashMap<u64, Head>,
    /// By the id of their stored head.
    pub heads: HashMap<u64, Head>,
    /// Changes of the directory.
    pub epoch: u64,
    /// What must not have happened.
    pub wrongs: Vec<String>,
    /// How often each way of being answered was taken.
    pub counts: HashMap<&'static str, u64>,
}

/// How a client is given a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    pub client: usize,
    pub who: Who,
    /// Purges acknowledged before it arrived.
    pub arrived: usize,
    /// Said to be stale.
    pub stale: bool,
    /// The way, for people.
    pub how: &'static str,
}

impl Ghost {
    pub fn wrong(&mut self, what: String) {
        self.wrongs.push(what);
    }

    /// A client is about to read a body under a head.
    pub fn check(&mut self, given: Given, head: &Head) {
        *self.counts.entry(given.how).or_default() += 1;
        let body = &self.bodies[head.body];
        let mut wrong = Vec::new();
        for (number, purge) in self.purges.iter().enumerate().take(given.arrived) {
            let selects = match purge.selector {
                Selector::Tag(tag) => head.tags.contains(&tag),
                Selector::Url | Selector::Everything | Selector::UnsafeMethod => true,
            };
            if !selects {
                continue;
            }
            if purge.mode == Mode::Hard && number >= body.sent {
                wrong.push(format!("bytes fetched before hard purge {number}"));
            }
            if purge.mode == Mode::Soft && number >= head.validated && !given.stale {
                wrong.push(format!("fresh although validated before soft purge {number}"));
            }
        }
        if body.varies && body.asked.language != given.who.language {
            wrong.push("another's variant".to_owned());
        }
        let leads = head.leader == Some(given.client);
        // What the origin said last: a 304 says of the same bytes who may have them now.
        if head.authorized != given.who.authorized && head.sharing != Sharing::Public {
            wrong.push("across authorisation".to_owned());
        }
        let own = matches!(head.sharing, Sharing::Validated | Sharing::Brief);
        if own && !leads {
            wrong.push("without a validation of its own".to_owned());
        }
        if head.sharing == Sharing::Private {
            wrong.push("a private response".to_owned());
        }
        for what in wrong {
            let head = head.clone();
            self.wrongs.push(format!("{given:?} is given {what}: {head:?}"));
        }
    }

    /// A piece that a client was given at `offset`.
    pub fn check_piece(&mut self, client: usize, body: usize, offset: u64, piece: &Bytes) {
        let expected = &self.bodies[body].bytes;
        let (from, to) = (offset as usize, offset as usize + piece.len());
        if expected.get(from..to) != Some(&piece[..]) {
            self.wrong(format!("client {client}: bytes {from}..{to} are not of body {body}"));
        }
    }

    /// A client saw a clean end at `offset`.
    pub fn check_end(&mut self, client: usize, body: usize, offset: u64) {
        let body = &self.bodies[body];
        // Without a length only the origin's own end is one; with a length, all that was promised.
        let whole = body.declared.unwrap_or(body.bytes.len() as u64);
        if offset != whole {
            let what = format!("client {client}: a clean end after {offset} of {whole} bytes");
            self.wrong(what);
        }
    }
}
