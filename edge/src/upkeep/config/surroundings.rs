//! What configuration needs from the world: files, variables, the number of cores.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

/// Prefix of our environment variables.
pub const PREFIX: &str = "SELVEDGE_";

/// The world around the configuration; tests give one made of text.
pub trait Surroundings {
    /// Reads a file of at most `bytes_max` bytes; a larger one is an error.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>>;

    /// An environment variable, if it is set; what is no text in it is replaced by `\u{fffd}`.
    fn variable(&self, name: &str) -> Option<String>;

    /// Names of the set variables that begin with [`PREFIX`].
    fn variables(&self) -> Vec<String>;

    /// Cores that this process may use; at least one.
    fn cores(&self) -> usize;
}

/// The process we run in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Surroundings for Process {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One more than allowed tells a file that is too large from one that just fits.
        std::fs::File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            let message = format!("larger than {}", super::unit::show_size(bytes_max));
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(bytes)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn variables(&self) -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| name.starts_with(PREFIX)).collect()
    }

    fn cores(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

/// Surroundings made of text.
#[derive(Clone, Debug, Default)]
pub struct Scripted {
    /// Files by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
}

impl Surroundings for Scripted {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let found = path.to_str().and_then(|path| self.files.get(path));
        let bytes = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(bytes.clone())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn variables(&self) -> Vec<String> {
        self.variables.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect()
    }

    fn cores(&self) -> usize {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("f");
        std::fs::write(&path, b"12345").expect("a file can be written");
        assert_eq!(Process.read(&path, 5).expect("it just fits"), b"12345");
        let error = Process.read(&path, 4).expect_err("it is too large");
        assert_eq!(error.to_string(), "larger than 4B");
        assert!(Process.read(folder.path(), 5).is_err(), "a folder is no file");
        assert!(Process.cores() >= 1);
    }
}
