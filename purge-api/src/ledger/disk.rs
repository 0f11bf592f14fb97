//! What the ledger needs of a directory, as a trait: so that tests can cut, fail and forget.
//!
//! [`RealDir`] is the file system, [`HeapDir`] the memory of a node that has no disk: purges
//! then last for the life of the process. The promise holds there too, for such a node's cache
//! is as empty after a restart as its ledger.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::FlockOperation;

/// A directory of small, known names.
pub trait LogDir: Send {
    /// Opens a file for reading and writing; `None` when there is none.
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn LogFile>>>;
    /// Creates a file, or empties it.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    /// Gives a file another name; replaces what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creations and renames durable.
    fn sync(&self) -> io::Result<()>;
    /// Whether what is synced outlives the process.
    fn is_durable(&self) -> bool {
        true
    }
}

/// One open file.
pub trait LogFile: Send {
    /// Length in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Reads up to `into.len()` bytes; 0 at the end.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of `bytes`.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file.
    fn cut(&self, len: u64) -> io::Result<()>;
}

const LOCK: &str = "purges.lock";

/// A directory of the file system, locked against a second process: two that append would give
/// one position to two purges.
#[derive(Debug)]
pub struct RealDir {
    path: PathBuf,
    _lock: File,
}

impl RealDir {
    /// Creates the directory if need be and locks it; `ErrorKind::WouldBlock` when another
    /// process holds it.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl LogDir for RealDir {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn LogFile>>> {
        match OpenOptions::new().read(true).write(true).open(self.path.join(name)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl LogFile for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, into, at) {
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// A directory in memory, gone with the process.
#[derive(Debug, Default)]
pub struct HeapDir(Mutex<HashMap<String, HeapFile>>);

/// A file of a [`HeapDir`].
#[derive(Clone, Debug, Default)]
pub struct HeapFile(Arc<Mutex<Vec<u8>>>);

impl LogDir for HeapDir {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn LogFile>>> {
        let file = self.0.lock().get(name).cloned();
        Ok(file.map(|file| Box::new(file) as Box<dyn LogFile>))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = HeapFile::default();
        self.0.lock().insert(name.to_owned(), file.clone());
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_durable(&self) -> bool {
        false
    }
}

impl LogFile for HeapFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let bytes = self.0.lock();
        let rest = bytes.get(at as usize..).unwrap_or(&[]);
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, new: &[u8], at: u64) -> io::Result<()> {
        let mut bytes = self.0.lock();
        let end = at as usize + new.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at as usize..end].copy_from_slice(new);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.lock().truncate(len as usize);
        Ok(())
    }
}
