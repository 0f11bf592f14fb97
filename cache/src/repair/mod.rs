//! Lost chunks of a body are fetched again while somebody reads it.
//!
//! A chunk may be in no tier any more when a reader comes to it: evicted under a slow reader,
//! damaged, on a disk that is out of use. The reader's head was sent long ago; without the chunk its
//! body must break off. So a reader may have a [`Mender`]: it asks for a [run](run::Run) of lost
//! chunks by a range of the same representation ([`crate::range::Missing`]), and the chunks go into
//! the store and to everybody who waits for them.
//!
//! Bounds. One repair at a time for a chunk, whoever wants it; [`REPAIRS_MAX`] at a time for the
//! node, for a place among which a reader waits [`PLACE_WAIT`]; a run is [`RUN_CHUNKS`] long at
//! first, twice as long each time a reader comes to its end, and at most [`RUN_CHUNKS_MAX`]; an
//! object whose origin has refused once is not asked for again. Whoever is not served sees its body
//! break off, as without repairs.
//!
//! Knows nothing of origins: [`Refetch`] is whoever can ask one.

use std::time::Duration;

use crate::range::Missing;

mod mender;
pub mod run;
mod table;
mod writer;

pub use mender::Mender;
pub use table::Repairs;
pub use writer::RepairWriter;

/// Repairs under way at once.
pub const REPAIRS_MAX: usize = 64;
/// How long a reader waits for a place among them.
pub const PLACE_WAIT: Duration = Duration::from_secs(10);
/// Chunks of the first run of a reader.
pub const RUN_CHUNKS: u32 = 4;
/// Chunks of a run at most: 4 MiB.
pub const RUN_CHUNKS_MAX: u32 = 64;
/// How often a reader asks for one chunk: an answer may be shorter than what was asked for.
const ASKS_MAX: u32 = 3;
/// Objects remembered whose origins have refused.
const REFUSED_MAX: usize = 1024;

/// Who can ask an origin for a part of a representation.
pub trait Refetch {
    /// Begins to fetch, on its own; what comes goes into `repair`, which is dropped at the end.
    fn refetch(&self, missing: Missing, repair: RepairWriter);
}

/// How a repair ended: the `outcome` label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All that was asked for came.
    Spliced,
    /// The origin has another version, or no ranges.
    Refused,
    /// The origin failed, broke off, or sent less.
    Broke,
    /// None was begun: there was no place, or no memory.
    Busy,
}

impl Outcome {
    /// Every outcome, in the order of [`Repairs::counts`].
    pub const ALL: [Self; 4] = [Self::Spliced, Self::Refused, Self::Broke, Self::Busy];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spliced => "spliced",
            Self::Refused => "refused",
            Self::Broke => "broke",
            Self::Busy => "busy",
        }
    }
}

#[cfg(test)]
mod tests;
