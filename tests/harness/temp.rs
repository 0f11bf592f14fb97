//! Scratch directories that go away.

/// A fresh directory, removed on drop.
///
/// # Panics
/// When the system has no place for it.
pub fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a scratch directory can be made")
}
