//! Opening what was stored: ledger, tiers, directory; or serving from memory when that fails.

use std::io;
use std::path::Path;
use std::sync::Arc;

use selvedge_cache::Clock;
use selvedge_cache::budget::Budget;
use selvedge_cache::cache::{Cache, Searches};
use selvedge_cache::directory::{Directory, Persistence, Swept};
use selvedge_cache::invalidate::Live;
use selvedge_cache::store::tiered::{DiskConfig, Tiered, TieredConfig, free_bytes};
use selvedge_purge_api::Ledger;
use selvedge_purge_api::ledger::{Limits, Opened};
use selvedge_purge_api::selector::KeyRules;
use tokio::runtime::Handle;

use crate::upkeep::config::Config;

/// The opened parts.
pub struct Storage {
    /// The cache over all of them.
    pub cache: Arc<Cache>,
    /// Purges.
    pub ledger: Arc<Ledger>,
    /// The store, to be closed at the end.
    pub tiered: Arc<Tiered>,
}

/// Opens everything. Trouble with the disk is a log line, and the node serves from memory.
pub async fn open(
    config: &Config,
    disk_runtime: Handle,
    rules: Arc<dyn KeyRules>,
    (clock, searches): (Arc<dyn Clock>, Arc<Searches>),
) -> io::Result<Storage> {
    let budget = Budget::new(config.node.memory_bytes as usize);
    let clock = (clock, searches);
    if let Some(disk) = &config.disk {
        match with_disk(disk, &budget, &clock, disk_runtime.clone(), Arc::clone(&rules)).await {
            Ok(storage) => return Ok(storage),
            Err(why) => {
                tracing::error!(
                    path = %disk.path.display(),
                    "the disk tier is not used, the node serves from memory: {why}"
                );
            }
        }
    }
    let Opened { ledger, live, .. } = Ledger::memory(rules, Limits::MEMORY)?;
    let directory = Directory::in_memory(&budget);
    let evicted = Arc::clone(&directory);
    let store = Tiered::open(TieredConfig {
        budget: budget.clone(),
        disk: None,
        disk_runtime,
        on_evicted: Some(Arc::new(move |head| drop(evicted.forget_object(head)))),
    });
    let store = store.await.map_err(|error| io::Error::other(error.to_string()))?;
    Ok(assemble(directory, store, live, ledger, budget, clock))
}

async fn with_disk(
    disk: &crate::upkeep::config::Disk,
    budget: &Budget,
    clock: &(Arc<dyn Clock>, Arc<Searches>),
    disk_runtime: Handle,
    rules: Arc<dyn KeyRules>,
) -> Result<Storage, String> {
    let size_bytes = clamped(&disk.path, disk.size_bytes);
    let store = Tiered::open(TieredConfig {
        budget: budget.clone(),
        disk: Some(DiskConfig { path: disk.path.clone(), size_bytes }),
        disk_runtime,
        on_evicted: None,
    })
    .await
    .map_err(|error| error.to_string())?;
    // The directory is ours from here on: its lock is held by the store.
    let ledger_dir = disk.path.join("ledger");
    let (path, budget_copy) = (disk.path.clone(), budget.clone());
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&ledger_dir)?;
        let opened = Ledger::open(&ledger_dir, rules, Limits::DISK)?;
        let persistence = Persistence { dir: path, ledger: opened.live.ledger() };
        let journalled = Directory::open(&budget_copy, persistence)?;
        io::Result::Ok((opened, journalled))
    });
    let opened = opened.await.map_err(|error| error.to_string())?;
    let (Opened { ledger, live, .. }, journalled) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            store.close().await;
            return Err(error.to_string());
        }
    };
    if let Some(note) = &journalled.note {
        tracing::warn!("{note}");
    }
    forget_if_ahead(&journalled.directory, &live);
    tracing::info!(warm = journalled.directory.len(), "the directory was read");
    Ok(assemble(journalled.directory, store, live, ledger, budget.clone(), clock.clone()))
}

/// A record that was fetched under a position beyond the ledger's end proves that the ledger lost
/// entries: nothing that is stored can be judged, so the node starts empty.
fn forget_if_ahead(directory: &Directory, live: &Live) {
    let end = live.position();
    let mut ahead = false;
    directory.each(|record| ahead |= record.sent > end || record.validated > end);
    if !ahead {
        return;
    }
    tracing::error!("the purge ledger is older than what is stored: the node starts empty");
    while !directory.is_empty() {
        directory.sweep(directory.len() + 1, |_| Swept::Drop);
    }
}

/// At most 80 % of what is free, what we hold already included.
fn clamped(path: &Path, wanted_bytes: u64) -> u64 {
    let _made = std::fs::create_dir_all(path);
    let Ok(free) = free_bytes(path) else { return wanted_bytes };
    let held = held_bytes(path);
    let most = (free + held) / 10 * 8;
    if wanted_bytes > most {
        tracing::warn!(
            wanted_bytes,
            size_bytes = most,
            "--disk-size is cut to 80 % of the free space"
        );
    }
    wanted_bytes.min(most)
}

/// Space that our own files take, in bytes.
fn held_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => held_bytes(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn assemble(
    directory: Arc<Directory>,
    store: Tiered,
    live: Arc<Live>,
    ledger: Arc<Ledger>,
    budget: Budget,
    (clock, searches): (Arc<dyn Clock>, Arc<Searches>),
) -> Storage {
    let tiered = Arc::new(store);
    let cache = Cache::new(directory, tiered.clone(), live, budget, clock, searches);
    Storage { cache, ledger, tiered }
}
