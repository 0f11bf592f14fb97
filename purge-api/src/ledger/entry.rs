//! One purge as the ledger keeps it.

use selvedge_cache::Millis;
use selvedge_cache::invalidate::{Invalidation, Mode, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::selector::{KeyRules, Selector, mode_name};

/// Running blake3 over all entries up to one: ledger id, position and digest identify a point in
/// a ledger, so that two histories that share an id can be told apart.
pub type Digest = [u8; 32];

/// A purge that is to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// When it was accepted, on the internal timeline (wall clock at the rim). A soft purge makes
    /// stale from here.
    pub accepted: Millis,
    /// Hard or soft.
    pub mode: Mode,
    /// What it selects, as written.
    pub selector: Selector,
    /// Who asked: the name of a token, or the peer.
    pub who: String,
    /// From where: an address, or `unix`. `None` in entries of an older version.
    pub from: Option<String>,
    /// A retry by the same `who` with the same key purges nothing new.
    pub idempotency_key: Option<String>,
}

/// A purge with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the ledger.
    pub position: Position,
    /// The purge.
    pub purge: NewEntry,
    /// Digest of the ledger up to and with this entry.
    pub digest: Digest,
}

impl Entry {
    /// The entry as the cache understands it, under every one of `rules`: while the rules change,
    /// requests under the old ones and the new ones run side by side.
    pub fn invalidation(&self, rules: &[&dyn KeyRules]) -> Invalidation {
        let mut scopes = Vec::new();
        for rules in rules {
            scopes.extend_from_slice(&self.purge.selector.scopes_of_accepted(*rules));
        }
        scopes.sort_unstable();
        scopes.dedup();
        Invalidation {
            scopes,
            mode: self.purge.mode,
            position: self.position,
            accepted: self.purge.accepted,
        }
    }
}

impl NewEntry {
    /// The text that is written into the ledger, without the numbers that stand beside it.
    pub(super) fn to_text(&self) -> Vec<u8> {
        serde_json::to_vec(&Written {
            selector: self.selector.to_json(),
            mode: mode_name(self.mode),
            who: &self.who,
            from: self.from.as_deref(),
            key: self.idempotency_key.as_deref(),
        })
        .expect("strings and JSON always serialise")
    }

    /// Reads what [`Self::to_text`] wrote.
    pub(super) fn from_text(accepted: Millis, text: &[u8]) -> Result<Self, String> {
        let written: Read = serde_json::from_slice(text).map_err(|why| why.to_string())?;
        let selector = Selector::from_json(written.selector.to_string().as_bytes());
        Ok(Self {
            accepted,
            mode: match written.mode.as_str() {
                "hard" => Mode::Hard,
                "soft" => Mode::Soft,
                other => return Err(format!("unknown mode {other:?}")),
            },
            selector: selector.map_err(|why| why.to_string())?,
            who: written.who,
            from: written.from,
            idempotency_key: written.key,
        })
    }

    /// Whether both ask for the same thing.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        self.mode == other.mode && self.selector == other.selector
    }
}

#[derive(Serialize)]
struct Written<'a> {
    selector: Value,
    mode: &'static str,
    who: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// Unknown fields are kept out of the way, not refused: a newer version may have written more.
#[derive(Deserialize)]
struct Read {
    selector: Value,
    mode: String,
    who: String,
    from: Option<String>,
    key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        for key in [None, Some("k-\"1\"".to_owned())] {
            let purge = NewEntry {
                accepted: Millis(7),
                mode: Mode::Soft,
                selector: Selector::from_json(br#"{"tags":["a","b"],"site":"s"}"#).expect("valid"),
                who: "token:deploy".into(),
                from: key.as_ref().map(|_| "192.0.2.7".into()),
                idempotency_key: key,
            };
            assert_eq!(NewEntry::from_text(Millis(7), &purge.to_text()), Ok(purge));
        }
    }
}
