//! `Vary` as a sorted list of field names.

use http::HeaderName;

/// The selecting field names: sorted, unique, lower case; empty when the response does not vary.
/// (`*` never gets this far: such a response is not storable.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vary(pub Box<[HeaderName]>);

impl Vary {
    /// Whether the response fits every request for its key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
