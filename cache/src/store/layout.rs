//! The cache directory: who may use it, what is in it, how it is divided.
//!
//! ```text
//! lock                 held while a process uses the directory
//! format               version of the format, block sizes
//! epoch, directory-*   written by crate::directory::journal
//! heads/ bodies/       block files of the two disk instances
//! ```
//!
//! Whatever the engine would panic about is tried here first and told as an [`OpenError`] with
//! a sentence; the node logs it and serves from memory.
//!
//! The block is the engine's unit of eviction and costs one open file. A recorded block size is
//! kept as long as it is reasonable, because another one empties the cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};

/// Version of everything in the directory: block files, frames, hashes.
pub const FORMAT_VERSION: u32 = 1;

/// Least size of the disk tier, in bytes: eight blocks for either instance.
pub const SIZE_BYTES_MIN: u64 = 32 << 20;

/// Heads (with inline bodies) have three eighths of the disk: most objects of the web are small,
/// most bytes are not.
const HEADS_EIGHTHS: u64 = 3;

const BLOCKS_MIN: u64 = 8;
/// Above so many blocks (and open files) the blocks get larger.
const BLOCKS_MAX: u64 = 2_048;
const BLOCK_BYTES_MIN: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 64 << 20;
/// Offsets inside a block are 32 bits wide.
const BLOCK_BYTES_MAX: u64 = 1 << 30;

const BLOCK_FILE_PREFIX: &str = "foyer-storage-direct-fs-";
const FORMAT_NAME: &str = "selvedge-store";

/// Why the disk tier cannot be opened. Each prints as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory does not exist and cannot be made.
    #[error("cannot create the cache directory {}", path.display())]
    Create {
        /// What was to be created.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It exists, but we may not work in it.
    #[error("cannot use the cache directory {}", path.display())]
    Access {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("the cache directory {} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Written by a program with another format.
    #[error(
        "the cache directory {} has format {found:?}, this program writes {FORMAT_NAME} \
         {FORMAT_VERSION}; empty it or name another one", path.display()
    )]
    Version {
        /// The directory.
        path: PathBuf,
        /// First line of its format file.
        found: String,
    },
    /// Fewer bytes than eight blocks per instance.
    #[error("a disk tier of {size_bytes} bytes is too small, it needs {SIZE_BYTES_MIN}")]
    TooSmall {
        /// What was asked for.
        size_bytes: u64,
    },
    /// The engine refused, or died while it read what is there.
    #[error("cannot open the disk engine in {}: {reason}", path.display())]
    Engine {
        /// The instance's directory.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
}

/// Where the disk tier lives and how large it may grow.
#[derive(Clone, Debug)]
pub struct DiskConfig {
    /// The cache directory.
    pub path: PathBuf,
    /// Bytes that block files may take together. The caller keeps it below what is free, see
    /// [`free_bytes`].
    pub size_bytes: u64,
}

/// Held while a process uses the directory; dropping it (or dying) lets the next one in.
#[derive(Debug)]
pub(super) struct DirLock(#[expect(dead_code, reason = "an open file is the lock")] File);

/// Where one disk instance lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    pub(super) block_bytes: u64,
    pub(super) blocks: u64,
}

impl Layout {
    /// Bytes of all blocks.
    pub(super) fn size_bytes(&self) -> u64 {
        self.block_bytes * self.blocks
    }

    /// Bytes that the block files really occupy (they are sparse until first written).
    pub(super) fn held_bytes(&self) -> u64 {
        block_files(&self.path)
            .filter_map(|(_, path)| fs::metadata(path).ok())
            .map(|meta| meta.blocks() * 512)
            .sum()
    }
}

/// A directory that is ours.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) lock: DirLock,
    pub(super) heads: Layout,
    pub(super) bodies: Layout,
}

/// Makes, checks, locks and divides the directory. Blocks; call it off the data threads.
pub(super) fn prepare(config: &DiskConfig) -> Result<Prepared, OpenError> {
    let DiskConfig { path, size_bytes } = config;
    if *size_bytes < SIZE_BYTES_MIN {
        return Err(OpenError::TooSmall { size_bytes: *size_bytes });
    }
    let (heads, bodies) = (path.join("heads"), path.join("bodies"));
    for dir in [path, &heads, &bodies] {
        fs::create_dir_all(dir)
            .map_err(|source| OpenError::Create { path: dir.clone(), source })?;
    }
    let lock = lock(path)?;
    let recorded = read_format(path)?;
    let heads_share = size_bytes / 8 * HEADS_EIGHTHS;
    let heads = divide("heads", heads, heads_share, recorded.map(|(bytes, _)| bytes));
    let bodies =
        divide("bodies", bodies, size_bytes - heads_share, recorded.map(|(_, bytes)| bytes));
    let sizes = (heads.block_bytes, bodies.block_bytes);
    for (layout, recorded) in
        [(&heads, recorded.map(|(bytes, _)| bytes)), (&bodies, recorded.map(|(_, bytes)| bytes))]
    {
        let kept = if recorded == Some(layout.block_bytes) { layout.blocks } else { 0 };
        remove_blocks_from(layout, kept)
            .and_then(|()| try_writing(&layout.path))
            // The engine asks as well, and panics without an answer.
            .and_then(|()| free_bytes(&layout.path).map(drop))
            .map_err(|source| OpenError::Access { path: layout.path.clone(), source })?;
    }
    write_format(path, sizes).map_err(|source| OpenError::Access { path: path.clone(), source })?;
    Ok(Prepared { lock, heads, bodies })
}

/// Bytes that an unprivileged process may still write to the file system of `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let fs = statvfs(path)?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}

fn lock(dir: &Path) -> Result<DirLock, OpenError> {
    let path = dir.join("lock");
    let access = |source| OpenError::Access { path: path.clone(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(access)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(DirLock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(errno) => Err(access(errno.into())),
    }
}

/// The recorded block sizes (heads, bodies), or `None` in a new directory.
fn read_format(dir: &Path) -> Result<Option<(u64, u64)>, OpenError> {
    let path = dir.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(source) => return Err(OpenError::Access { path, source }),
    };
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let size = |line: Option<&str>, name| {
        line?.strip_prefix(name)?.trim().parse::<u64>().ok().filter(|bytes| bytes.is_power_of_two())
    };
    let sizes = size(lines.next(), "heads ").zip(size(lines.next(), "bodies "));
    if first != format!("{FORMAT_NAME} {FORMAT_VERSION}") || sizes.is_none() {
        return Err(OpenError::Version { path: dir.to_owned(), found: first.to_owned() });
    }
    Ok(sizes)
}

fn write_format(dir: &Path, (heads, bodies): (u64, u64)) -> io::Result<()> {
    let text = format!("{FORMAT_NAME} {FORMAT_VERSION}\nheads {heads}\nbodies {bodies}\n");
    crate::directory::files::replace(&dir.join("format"), text.as_bytes())
}

/// Chooses the block size of an instance.
fn divide(name: &'static str, path: PathBuf, share: u64, recorded: Option<u64>) -> Layout {
    let fits = |bytes: &u64| {
        (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(bytes)
            && (BLOCKS_MIN..=2 * BLOCKS_MAX).contains(&(share / bytes))
    };
    let block_bytes = recorded.filter(fits).unwrap_or_else(|| {
        let largest_of_eight = 1 << (share / BLOCKS_MIN).max(1).ilog2();
        let fewest_files = (share / BLOCKS_MAX).next_power_of_two();
        fewest_files.max(BLOCK_BYTES.min(largest_of_eight)).clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX)
    });
    Layout { name, path, block_bytes, blocks: share / block_bytes }
}

/// Removes block files with a number of `kept` or higher.
fn remove_blocks_from(layout: &Layout, kept: u64) -> io::Result<()> {
    for (number, path) in block_files(&layout.path).collect::<Vec<_>>() {
        if number >= kept {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Number and path of each block file.
fn block_files(dir: &Path) -> impl Iterator<Item = (u64, PathBuf)> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.strip_prefix(BLOCK_FILE_PREFIX)?.parse().ok()?;
        Some((number, path))
    })
}

fn try_writing(dir: &Path) -> io::Result<()> {
    let path = dir.join("try");
    File::create(&path)?.write_all(b"selvedge")?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> DiskConfig {
        DiskConfig { path: dir.to_owned(), size_bytes: 64 << 20 }
    }

    #[test]
    fn a_new_directory_is_made_locked_and_divided() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("deep/er");
        let prepared = prepare(&config(&path)).expect("nothing is in the way");
        assert!(prepared.heads.blocks >= BLOCKS_MIN && prepared.bodies.blocks >= BLOCKS_MIN);
        assert!(prepared.heads.size_bytes() + prepared.bodies.size_bytes() <= 64 << 20);
        assert!(matches!(prepare(&config(&path)), Err(OpenError::Locked { .. })));
        let heads = prepared.heads.clone();
        drop(prepared);
        assert_eq!(prepare(&config(&path)).expect("the lock is free").heads, heads);
    }

    #[test]
    fn what_cannot_be_used_is_told_in_a_sentence() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("writable");
        let error = prepare(&config(&file.join("sub"))).expect_err("a file is no directory");
        assert!(error.to_string().starts_with("cannot create the cache directory"), "{error}");

        let small = DiskConfig { path: dir.path().to_owned(), size_bytes: 1 << 20 };
        assert!(matches!(prepare(&small), Err(OpenError::TooSmall { .. })));

        fs::write(dir.path().join("format"), "selvedge-store 99\n").expect("writable");
        let error = prepare(&config(dir.path())).expect_err("another version");
        assert!(error.to_string().contains("selvedge-store 99"), "{error}");
    }

    #[test]
    fn block_sizes_follow_the_share_and_stay_when_it_changes_a_little() {
        let of = |share, recorded| divide("heads", PathBuf::new(), share, recorded);
        assert_eq!(of(12 << 20, None).block_bytes, 1 << 20);
        assert_eq!(of(512 << 20, None).block_bytes, 64 << 20);
        assert_eq!(of(100 << 30, None).block_bytes, 64 << 20);
        assert_eq!(of(1 << 40, None).block_bytes, 512 << 20);
        assert_eq!(of(1 << 40, Some(256 << 20)).block_bytes, 256 << 20);
        assert_eq!(of(512 << 20, Some(256 << 20)).block_bytes, 64 << 20);
        assert!(of(12 << 20, None).blocks >= BLOCKS_MIN);
    }

    #[test]
    fn blocks_of_another_size_and_blocks_too_many_are_removed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let prepared = prepare(&config(dir.path())).expect("nothing is in the way");
        let heads = prepared.heads.clone();
        drop(prepared);
        let block = |number: u64| heads.path.join(format!("{BLOCK_FILE_PREFIX}{number:08}"));
        fs::write(block(0), "kept").expect("writable");
        fs::write(block(heads.blocks), "one too many").expect("writable");
        drop(prepare(&config(dir.path())).expect("nothing is in the way"));
        assert!(block(0).exists() && !block(heads.blocks).exists());
        fs::write(dir.path().join("format"), "selvedge-store 1\nheads 4096\nbodies 4096\n")
            .expect("writable");
        drop(prepare(&config(dir.path())).expect("nothing is in the way"));
        assert!(!block(0).exists());
    }
}
