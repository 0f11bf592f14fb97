//! Listeners: from an address in the configuration to a connection served by its codec.
//!
//! - [`address`]: what an operator writes (`host:port`, `[::]:port`, `unix:/path`)
//! - [`bind`](mod@bind): sockets, one per worker, with errors that say what to change
//! - [`accept`]: the loop that never ends by itself, and the ceiling of connections
//! - [`serve`]: TLS or clear, H1 or H2
//! - [`socket`]: TCP or Unix, clear or TLS, as one type
//!
//! ```text
//! bind(address, workers) ─► Bound ─► split ─► WorkerListener ─► (on the worker) open ─► Listener
//! accept_loop(listener, …) ─► Accepted ─► serve_connection ─► http1 or http2
//! ```

pub mod accept;
pub mod address;
pub mod bind;
pub mod serve;
pub mod socket;

#[cfg(test)]
mod tests;

pub use accept::{Accepted, Backoff, Ceiling, Permit, accept_loop};
pub use address::{AddressError, ListenAddress};
pub use bind::{Bound, ListenError, Listener, WorkerListener, bind};
pub use serve::{ConnectionSettings, serve_connection};
pub use socket::{Socket, Wire};
