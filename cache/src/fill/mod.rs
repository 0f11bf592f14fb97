//! One origin response becoming a stored response, with many readers behind it.
//!
//! The hard place of a cache, cut into states that cannot be misused:
//!
//! - [`FillPermit`] — the single right to ask the origin for one variant. Dropping it frees the
//!   others. It turns into
//! - [`FillWriter`] — once the head is there and is [`Storable`](crate::policy::Storable).
//!   Dropping it before [`FillWriter::finish`] breaks the body off, visibly, for every reader.
//! - [`Waiter`] — a request that joined. It waits for the head, is checked against it (variant,
//!   purges since the fetch was sent), and becomes a [`FillReader`].
//!
//! The fetch is detached from the client that started it: the leader is a waiter like the others.
//! [`machine`] decides; this folder's other files add locks and wakers.
//!
//! Knows nothing of origins, sockets or how bytes are fetched.

pub mod abandon;
pub mod collapse;
pub mod machine;
pub mod progress;
pub mod reader;
pub mod writer;

mod patience;
mod publish;

pub use abandon::HitForMiss;
pub use collapse::{FillKey, Fills, InFlight, Join};
pub use progress::{FillHead, HeadOutcome, Kept, PartHead, Waiter};
pub use reader::{FillReader, ReadError};
pub use writer::{Content, FillPermit, FillWriter, PublishError};

/// Why a fill failed, in the words of whoever fetched: opaque here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FailureCode(pub u16);
