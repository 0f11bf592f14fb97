//! Scratch directories that go away.

pub use tempfile::TempDir as Dir;

/// A fresh directory, removed on drop.
///
/// # Panics
/// When the system has no place for it.
pub fn dir() -> Dir {
    tempfile::tempdir().expect("a scratch directory can be made")
}
