//! The live map: scope hash → highest hard and highest soft position.
//!
//! An entry is *in force* when it is on stable storage and in this map; only then does
//! [`Live::position`] move, and only then may the purge be acknowledged. Readers load the
//! position first: a record stored under the present position needs no probe at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{Invalidation, LedgerId, Mode, Position, Scope, ScopeHash, TargetScopes, Watermark};
use crate::Millis;

const SHARDS: usize = 64;

/// Highest positions that select one scope; 0 where none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Of a hard entry.
    pub hard: Position,
    /// Of a soft entry.
    pub soft: Position,
    /// When that soft entry was accepted.
    pub soft_accepted: Millis,
}

/// Which purges select a stored response, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeState {
    /// A hard entry later than the response's fetch.
    pub hard: Option<Position>,
    /// A soft entry later than the response's last validation, and when it was accepted.
    pub soft: Option<(Position, Millis)>,
    /// An unsafe method invalidated the URL, or a group of the response, after the fetch
    /// (RFC 9111 §4.4, RFC 9875 §3).
    pub local: bool,
}

impl PurgeState {
    /// The bytes must not be used at all.
    pub const fn forbids(&self) -> bool {
        self.hard.is_some() || self.local
    }
}

/// The live form of the ledger. Shared by all cores.
#[derive(Debug)]
pub struct Live {
    ledger: LedgerId,
    in_force: AtomicU64,
    /// The highest position that any mark has: above `in_force` while an entry is in doubt.
    marked: AtomicU64,
    /// Everything at or below is answered by this position alone (entries were compacted away).
    floor: AtomicU64,
    /// Comparisons made at or below this position are void: entries select more than they did.
    rederived: AtomicU64,
    shards: [RwLock<HashMap<u64, Marks, foldhash::fast::RandomState>>; SHARDS],
}

impl Live {
    /// An empty map for a ledger whose entries up to `floor` are gone: whatever was fetched
    /// before the floor counts as purged.
    pub fn new(ledger: LedgerId, floor: Position) -> Self {
        Self {
            ledger,
            in_force: AtomicU64::new(floor.0),
            marked: AtomicU64::new(floor.0),
            floor: AtomicU64::new(floor.0),
            rederived: AtomicU64::new(0),
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }

    /// Which ledger this map was made from.
    pub const fn ledger(&self) -> LedgerId {
        self.ledger
    }

    /// The highest position in force.
    pub fn position(&self) -> Position {
        Position(self.in_force.load(Ordering::Acquire))
    }

    /// The highest position that selects anything, in force or in doubt: whatever was compared up
    /// to here need not be compared again.
    pub fn marked(&self) -> Position {
        Position(self.marked.load(Ordering::Acquire))
    }

    /// Everything at or below this position is answered by the position alone.
    pub fn floor(&self) -> Position {
        Position(self.floor.load(Ordering::Acquire))
    }

    /// Raises the floor after a compaction that is already durable, and forgets the marks that
    /// it answers for. The floor moves first; [`Live::check`] reads it last: no mark is missed.
    pub fn raise_floor(&self, floor: Position) {
        self.floor.fetch_max(floor.0, Ordering::AcqRel);
        for shard in &self.shards {
            shard.write().retain(|_, marks| marks.hard > floor || marks.soft > floor);
        }
    }

    /// Puts an entry in force. Call it only after the entry is on stable storage, in ledger order.
    pub fn apply(&self, entry: &Invalidation) {
        self.select(entry);
        self.in_force.fetch_max(entry.position.0, Ordering::AcqRel);
    }

    /// Marks what an entry selects without putting it in force: the entry was appended, but it
    /// is in doubt whether it reached stable storage. More may be selected than was
    /// acknowledged, never less; no fetch gets a watermark that counts on the entry.
    pub fn select(&self, entry: &Invalidation) {
        self.mark(entry);
    }

    /// Puts an entry in force once more, because other key rules derive other scopes from its
    /// selector. Responses that were compared with it under the old scopes are compared anew.
    pub fn rederive(&self, entry: &Invalidation) {
        if self.mark(entry) {
            self.rederived.fetch_max(self.position().0, Ordering::AcqRel);
        }
        self.in_force.fetch_max(entry.position.0, Ordering::AcqRel);
    }

    /// The position from which a response need be compared: that of its last comparison, or of
    /// its fetch if the rules changed since.
    pub fn compared(&self, sent: Position, checked: Position) -> Position {
        if checked.0 > self.rederived.load(Ordering::Acquire) { sent.max(checked) } else { sent }
    }

    /// Raises the marks of the scopes; whether one of them moved.
    fn mark(&self, entry: &Invalidation) -> bool {
        let mut moved = false;
        for scope in &entry.scopes {
            let mut shard = self.shard(*scope).write();
            let marks = shard.entry(scope.0).or_default();
            match entry.mode {
                Mode::Hard => {
                    moved |= entry.position > marks.hard;
                    marks.hard = marks.hard.max(entry.position);
                }
                Mode::Soft if entry.position > marks.soft => {
                    moved = true;
                    marks.soft = entry.position;
                    marks.soft_accepted = entry.accepted;
                }
                Mode::Soft => {}
            }
        }
        // After the scopes: who sees this sees them.
        self.marked.fetch_max(entry.position.0, Ordering::AcqRel);
        moved
    }

    /// The marks of one scope, if any entry selects it: what [`Live::check`] compares.
    pub fn marks(&self, scope: ScopeHash) -> Option<Marks> {
        self.shard(scope).read().get(&scope.0).copied()
    }

    /// How many scopes the map holds.
    pub fn scopes(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Which entries select a response on `target` with `tags`, whose bytes were fetched under
    /// `sent` and last validated under `validated`.
    pub fn check(
        &self,
        target: &TargetScopes<'_>,
        tags: &[u64],
        sent: Position,
        validated: Position,
    ) -> PurgeState {
        let mut state = PurgeState::default();
        if sent >= self.marked() {
            return state;
        }
        target.each(tags, |scope| {
            let Some(marks) = self.marks(scope) else { return };
            if marks.hard > sent {
                state.hard = state.hard.max(Some(marks.hard));
            }
            if marks.soft > validated && state.soft.is_none_or(|(at, _)| marks.soft > at) {
                state.soft = Some((marks.soft, marks.soft_accepted));
            }
        });
        // After the probes: whoever does not find a forgotten mark sees the floor that replaced it.
        let floor = self.floor();
        if sent < floor {
            state.hard = state.hard.max(Some(floor));
        }
        state
    }

    /// Whether a hard entry of everything or of one of these tags came after `sent`, or whether
    /// the floor answers for it: what can be said of a response whose URL is not at hand.
    pub fn forbids_by_tags(&self, tags: &[u64], sent: Position) -> bool {
        if sent >= self.position() {
            return false;
        }
        let everything = ScopeHash::of(&Scope::Everything, None);
        let is_later = |scope: ScopeHash| {
            self.shard(scope).read().get(&scope.0).is_some_and(|marks| marks.hard > sent)
        };
        is_later(everything)
            || tags.iter().any(|tag| is_later(ScopeHash::of_tag(*tag)))
            || sent < self.floor()
    }

    /// The watermark of a fetch that is sent now.
    pub fn watermark(&self, local: &super::Local) -> Watermark {
        Watermark { ledger: self.ledger, position: self.position(), local: local.counter() }
    }

    fn shard(&self, scope: ScopeHash) -> &RwLock<HashMap<u64, Marks, foldhash::fast::RandomState>> {
        &self.shards[(scope.0 >> 58) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::scope::tag_hash;
    use super::*;

    fn target(path: &str) -> TargetScopes<'_> {
        TargetScopes { site: "s", host: "h", path, query: None }
    }

    fn entry(scope: Scope<'_>, mode: Mode, position: u64) -> Invalidation {
        Invalidation {
            scopes: vec![ScopeHash::of(&scope, None)],
            mode,
            position: Position(position),
            accepted: Millis(position * 10),
        }
    }

    #[test]
    fn an_entry_selects_what_was_fetched_before_it_and_nothing_after() {
        let live = Live::new(LedgerId(1), Position(0));
        live.apply(&entry(Scope::Url("h", "/a", None), Mode::Hard, 1));
        let hard = |path, sent| live.check(&target(path), &[], Position(sent), Position(sent)).hard;
        assert_eq!(hard("/a", 0), Some(Position(1)));
        assert_eq!(hard("/a", 1), None);
        assert_eq!(hard("/b", 0), None);
    }

    #[test]
    fn an_entry_in_doubt_selects_and_moves_no_watermark() {
        let live = Live::new(LedgerId(1), Position(0));
        live.select(&entry(Scope::Url("h", "/a", None), Mode::Hard, 1));
        let hard = |path| live.check(&target(path), &[], Position(0), Position(0)).hard;
        assert_eq!((hard("/a"), hard("/b")), (Some(Position(1)), None));
        assert_eq!(live.position(), Position(0));
    }

    #[test]
    fn a_soft_entry_after_a_hard_one_does_not_weaken_it() {
        let live = Live::new(LedgerId(1), Position(0));
        live.apply(&entry(Scope::Tag("t"), Mode::Hard, 1));
        live.apply(&entry(Scope::Tag("t"), Mode::Soft, 2));
        let state = live.check(&target("/a"), &[tag_hash("t")], Position(0), Position(0));
        assert_eq!(state.hard, Some(Position(1)));
        assert_eq!(state.soft, Some((Position(2), Millis(20))));
    }

    #[test]
    fn comparisons_under_old_rules_are_void_once_an_entry_selects_more() {
        let live = Live::new(LedgerId(1), Position(0));
        live.apply(&entry(Scope::Url("h", "/a", Some("utm=1")), Mode::Hard, 1));
        assert_eq!(live.compared(Position(0), Position(1)), Position(1));
        // The same scopes again change nothing.
        live.rederive(&entry(Scope::Url("h", "/a", Some("utm=1")), Mode::Hard, 1));
        assert_eq!(live.compared(Position(0), Position(1)), Position(1));
        live.rederive(&entry(Scope::Url("h", "/a", None), Mode::Hard, 1));
        let since = live.compared(Position(0), Position(1));
        assert_eq!(live.check(&target("/a"), &[], since, since).hard, Some(Position(1)));
        live.apply(&entry(Scope::Tag("t"), Mode::Hard, 2));
        assert_eq!(live.compared(Position(0), Position(2)), Position(2));
    }

    #[test]
    fn a_raised_floor_answers_for_the_marks_that_it_forgets() {
        let live = Live::new(LedgerId(1), Position(0));
        live.apply(&entry(Scope::Tag("t"), Mode::Hard, 1));
        live.apply(&entry(Scope::Tag("u"), Mode::Soft, 2));
        live.raise_floor(Position(1));
        assert_eq!(live.scopes(), 1);
        let check =
            |tag, at| live.check(&target("/a"), &[tag_hash(tag)], Position(at), Position(at));
        assert!(check("t", 0).forbids());
        assert!(!check("t", 1).forbids());
        assert!(check("u", 1).soft.is_some());
    }

    #[test]
    fn without_the_url_tags_and_everything_are_known() {
        let live = Live::new(LedgerId(1), Position(0));
        live.apply(&entry(Scope::Tag("t"), Mode::Hard, 1));
        live.apply(&entry(Scope::Tag("u"), Mode::Soft, 2));
        live.apply(&entry(Scope::Url("h", "/a", None), Mode::Hard, 3));
        let forbids = |tag, sent| live.forbids_by_tags(&[tag_hash(tag)], Position(sent));
        assert!(forbids("t", 0) && !forbids("t", 1) && !forbids("u", 0) && !forbids("v", 0));
        live.apply(&entry(Scope::Everything, Mode::Hard, 4));
        assert!(forbids("v", 3) && !forbids("v", 4));
        live.raise_floor(Position(4));
        assert!(forbids("v", 3) && !forbids("v", 4));
    }

    #[test]
    fn below_the_floor_everything_counts_as_purged() {
        let live = Live::new(LedgerId(1), Position(7));
        assert_eq!(live.check(&target("/"), &[], Position(6), Position(6)).hard, Some(Position(7)));
        assert_eq!(live.check(&target("/"), &[], Position(7), Position(7)).hard, None);
    }
}
