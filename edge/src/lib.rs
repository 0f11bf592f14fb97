//! Selvedge: a caching CDN edge node, and the framework that it is made of.
//!
//! A request walks through the folders in the order they are listed, which is also alphabetical:
//! [`accept`] → [`admit`] → [`decide`] → [`lookup`] → [`origin`] → [`respond`] → [`telemetry`].
//! A folder imports only folders before it; [`exchange`] and [`node`] alone join them.
//! [`error`], [`filter`] and [`journal`] are shared words that import no folder.

pub mod error;
pub mod filter;
pub mod journal;

pub mod accept;
pub mod admit;
pub mod decide;
pub mod lookup;
pub mod origin;
pub mod respond;
pub mod telemetry;
pub mod upkeep;

pub mod exchange;
pub mod node;

/// The example of the README is compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
