//! Identity of a ledger and places in it.

/// Identity of one ledger: random when it is created. Positions of different ledgers never compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct LedgerId(pub u64);

/// Place of an entry in a ledger; the first entry is 1, and 0 stands before all entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

/// What was in force when a fetch was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watermark {
    /// Which ledger.
    pub ledger: LedgerId,
    /// The highest position on stable storage and in the live map at that moment.
    pub position: Position,
    /// The counter of local invalidations at that moment (see [`super::Local`]).
    pub local: u64,
}
