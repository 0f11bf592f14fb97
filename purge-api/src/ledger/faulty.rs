//! A directory that forgets, fails and holds on demand.
//!
//! Each file has what a reader sees and what is durable; `fsync` copies the first to the second.
//! A failed `fsync` drops the pages as Linux does: later calls succeed without making those bytes
//! durable, unless they are written again.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::disk::{LogDir, LogFile};

/// The directory and its knobs; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct FaultyDir(Arc<(Mutex<State>, Condvar)>);

#[derive(Clone, Debug, Default)]
pub struct State {
    files: Vec<File>,
    names: HashMap<String, usize>,
    durable_names: HashMap<String, usize>,
    /// Calls of `LogFile::sync`.
    pub syncs: u64,
    /// The next so many calls of `LogFile::sync` fail.
    pub syncs_to_fail: u32,
    /// The next so many calls of `LogDir::sync` fail.
    pub dir_syncs_to_fail: u32,
    /// The next so many writes stop in the middle.
    pub writes_to_fail: u32,
    /// `LogFile::cut` fails.
    pub cut_fails: bool,
    /// `LogFile::sync` waits until this is false.
    pub held: bool,
    /// A call of `LogFile::sync` waits.
    pub waiting: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Bytes from here on were dropped by a failed sync.
    dropped_from: Option<usize>,
}

impl File {
    /// How much of it a sync would make durable.
    fn kept(&self) -> usize {
        self.dropped_from.unwrap_or(usize::MAX).min(self.seen.len())
    }
}

impl FaultyDir {
    /// Turns knobs.
    pub fn turn<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let turned = with(&mut self.0.0.lock());
        self.0.1.notify_all();
        turned
    }

    /// Blocks until a sync is held.
    pub fn until_held(&self) {
        let mut state = self.0.0.lock();
        while !state.waiting {
            self.0.1.wait(&mut state);
        }
    }

    /// What the next process finds after kill -9: all that was written, durable or not.
    pub fn kill(&self) -> Self {
        let State { files, names, durable_names, .. } = self.0.0.lock().clone();
        let state = State { files, names, durable_names, ..State::default() };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    /// What a machine finds after the power went: names as synced or later, and of each file what
    /// is durable, followed by some of what was written after it. `choose(n)` gives `0..=n`.
    pub fn crash(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let mut state = self.0.0.lock().clone();
        if choose(1) == 0 {
            state.names = state.durable_names.clone();
        }
        state.durable_names = state.names.clone();
        for file in &mut state.files {
            let same = file.seen.iter().zip(&file.durable).take_while(|(a, b)| a == b).count();
            let lost = file.kept().max(same);
            if same == file.durable.len() {
                let keep = same + choose(lost - same);
                file.durable = file.seen[..keep].to_vec();
            }
            *file = File {
                seen: file.durable.clone(),
                durable: file.durable.clone(),
                dropped_from: None,
            };
        }
        let knobs = State { files: state.files, names: state.names, ..State::default() };
        let durable_names = state.durable_names;
        Self(Arc::new((Mutex::new(State { durable_names, ..knobs }), Condvar::new())))
    }
}

struct Handle {
    dir: FaultyDir,
    file: usize,
}

impl LogDir for FaultyDir {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn LogFile>>> {
        let file = self.0.0.lock().names.get(name).copied();
        Ok(file.map(|file| Box::new(Handle { dir: self.clone(), file }) as Box<dyn LogFile>))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let mut state = self.0.0.lock();
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(name.to_owned(), file);
        Ok(Box::new(Handle { dir: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.0.lock();
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.0.0.lock();
        if state.dir_syncs_to_fail > 0 {
            state.dir_syncs_to_fail -= 1;
            return Err(io::Error::other("injected: directory not synced"));
        }
        state.durable_names = state.names.clone();
        Ok(())
    }
}

impl LogFile for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.dir.0.0.lock().files[self.file].seen.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.dir.0.0.lock();
        let rest = state.files[self.file].seen.get(at as usize..).unwrap_or(&[]);
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.dir.0.0.lock();
        let fails = state.writes_to_fail > 0;
        state.writes_to_fail = state.writes_to_fail.saturating_sub(1);
        let bytes = if fails { &bytes[..bytes.len() / 2] } else { bytes };
        let file = &mut state.files[self.file];
        let end = at as usize + bytes.len();
        file.seen.resize(file.seen.len().max(end), 0);
        file.seen[at as usize..end].copy_from_slice(bytes);
        if file.dropped_from.is_some_and(|from| at as usize <= from && end >= file.seen.len()) {
            file.dropped_from = None;
        }
        if fails { Err(io::Error::other("injected: no space")) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.dir.0.0.lock();
        state.syncs += 1;
        while state.held {
            state.waiting = true;
            self.dir.0.1.notify_all();
            self.dir.0.1.wait(&mut state);
        }
        state.waiting = false;
        let fails = state.syncs_to_fail > 0;
        state.syncs_to_fail = state.syncs_to_fail.saturating_sub(1);
        let file = &mut state.files[self.file];
        if fails {
            file.dropped_from = file.dropped_from.or(Some(file.durable.len()));
            return Err(io::Error::other("injected: not synced"));
        }
        file.durable = file.seen[..file.kept()].to_vec();
        Ok(())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut state = self.dir.0.0.lock();
        if state.cut_fails {
            return Err(io::Error::other("injected: not cut"));
        }
        state.files[self.file].seen.truncate(len as usize);
        Ok(())
    }
}
