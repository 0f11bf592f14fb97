//! Values that are more than a number or a text; each parses, checks and shows itself.

mod address;
mod affinity;
pub mod check;
mod host;
mod origin;
mod pattern;
mod peers;
mod query;
mod scope;

pub use address::parse_address;
pub use affinity::{cookie_name, parse_affinity};
pub use host::{HostPattern, authority, host_name};
pub use origin::{parse_origin, show_origin};
pub use pattern::{path_glob, show_statuses, statuses, type_glob};
pub use peers::{PeerSet, parse_peer};
pub use query::parse_query;
pub use scope::{Scope, field_name, name, sha256, variable};
