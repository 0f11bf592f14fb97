//! Configuration: what was said, what it means, and a clear answer when it means nothing.
//!
//! Problem: flags, environment and file speak of the same options; a wrong unit or a misspelt key
//! must end the start with one message that says where and what to write instead.
//!
//! Idea: every option is one [`card`](card::Card) in [`options`]. What was said is read into a
//! tree that keeps the place of every word ([`file`](mod@file), [`overlay`]); [`compile`] turns the tree
//! into [`Config`], whose values cannot be invalid, and collects all problems on the way. The
//! manual, the schema, the flags and the list of variables are derived from the same cards.
//!
//! Knows nothing of running parts: no socket is opened here, no cache is made. Files and
//! variables are read through [`Surroundings`], so that all of it can be tested from text.
//!
//! Reading order: [`card`], [`options`], [`unit`](mod@unit), [`problem`], [`file`](mod@file), [`overlay`],
//! [`reader`], [`value`](mod@value), [`compile`], [`model`], [`diff`](mod@diff), [`reference`](mod@reference),
//! [`schema`].

pub mod card;
pub mod compile;
pub mod diff;
pub mod file;
pub mod flags;
pub mod load;
pub mod model;
pub mod nearest;
pub mod options;
pub mod overlay;
pub mod pem;
pub mod problem;
pub mod reader;

pub mod reference;
pub mod render;
pub mod schema;

pub mod surroundings;
pub mod unit;
pub mod value;
pub mod written;

#[cfg(test)]
mod tests;

pub use diff::{Change, diff, keep_until_restart};
pub use flags::Flags;
pub use load::{Loaded, Refused, load};
pub use model::{
    AccessLog, Admin, Config, Disk, Limits, Node, OriginOptions, Site, StaleOptions, TlsPair,
    Token, TokenSecret, TtlOptions,
};
pub use surroundings::{Process, Surroundings};
pub use value::{HostPattern, PeerSet, Scope};
