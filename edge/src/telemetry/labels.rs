//! Label values with a bound.
//!
//! Names of sites and origins come from configuration, never from requests; still, a process
//! that is reloaded for months with ever new names must not grow for ever. Past the bound a new
//! name is counted under [`OTHER`], and that it happened is counted too.

use std::sync::atomic::{AtomicU64, Ordering};

/// Stands for every name past the bound.
pub const OTHER: &str = "other";

/// The site of requests that no site answers.
pub const NO_SITE: &str = "-";

/// Sites that are counted by name during the life of the process, `-` and `other` included.
pub const SITES_MAX: usize = 1024;

/// Pairs of site and origin that are counted by name during the life of the process.
pub const ORIGINS_MAX: usize = 4096;

/// Longest label value that is exposed, in bytes.
pub const VALUE_BYTES_MAX: usize = 128;

/// How many names were counted under [`OTHER`].
#[derive(Debug, Default)]
pub struct Refused(AtomicU64);

impl Refused {
    /// Adds one.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value cut to [`VALUE_BYTES_MAX`] at the edge of a character.
pub fn bounded(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let long = "é".repeat(100);
        assert_eq!(bounded(&long).len(), VALUE_BYTES_MAX);
        let odd = format!("a{long}");
        assert_eq!(bounded(&odd).len(), VALUE_BYTES_MAX - 1);
        assert_eq!(bounded("shop"), "shop");
    }
}
