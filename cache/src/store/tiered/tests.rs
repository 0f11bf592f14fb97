use std::path::Path;
use std::process::Command;

use super::super::pulse::Pace;
use super::super::{CHUNK_BYTES, ErrorKind};
use super::*;

const SIZE_BYTES: u64 = 32 << 20;

fn head(object: u64) -> StoreKey {
    StoreKey { object, part: Part::Head }
}

fn chunk(object: u64, number: u32) -> StoreKey {
    StoreKey { object, part: Part::Chunk(number) }
}

fn value(object: u64, length: usize) -> Bytes {
    let mut bytes = vec![object as u8; length];
    bytes[..8].copy_from_slice(&object.to_le_bytes());
    Bytes::from(bytes)
}

fn config(dir: Option<&Path>, memory_bytes: usize) -> TieredConfig {
    TieredConfig {
        budget: Budget::new(memory_bytes),
        disk: dir.map(|path| DiskConfig { path: path.to_owned(), size_bytes: SIZE_BYTES }),
        disk_runtime: Handle::current(),
        on_evicted: None,
    }
}

fn errors(store: &Tiered, kind: ErrorKind) -> u64 {
    store.stats(Tier::Disk).expect("there is a disk tier").errors[kind as usize]
}

#[tokio::test]
async fn without_a_disk_values_live_in_memory_and_evictions_are_told() {
    let evicted = Arc::new(Mutex::new(Vec::new()));
    let tell = evicted.clone();
    let mut config = config(None, 1 << 20);
    config.on_evicted = Some(Arc::new(move |object| tell.lock().push(object)));
    let store = Tiered::open(config).await.expect("nothing to fail");
    store.put(head(1), value(1, 100));
    assert_eq!(store.get(head(1)).await, Some((value(1, 100), Tier::Memory)));
    for object in 2..500 {
        store.put(head(object), value(object, 4_000));
    }
    assert!(!evicted.lock().is_empty());
    let gone = evicted.lock()[0];
    assert_eq!(store.presence(head(gone)), Presence::Absent);
    assert_eq!(store.health(), Health::MemoryOnly);
    assert_eq!(store.stats(Tier::Disk), None);
    store.room(1 << 30).await;
    store.flush().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_finds_everything_and_a_disk_hit_comes_back_to_memory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Tiered::open(config(Some(dir.path()), 64 << 20)).await.expect("opens");
    for object in 1..=100 {
        store.put(head(object), value(object, 2_000));
        store.room(CHUNK_BYTES).await;
        store.put(chunk(object, 1), value(object, CHUNK_BYTES));
    }
    store.flush().await;
    assert_eq!(errors(&store, ErrorKind::Write), 0);
    assert_eq!(errors(&store, ErrorKind::QueueFull), 0);
    store.forget(head(7));
    assert_eq!(store.presence(head(7)), Presence::Absent);
    store.close().await;

    let store = Tiered::open(config(Some(dir.path()), 64 << 20)).await.expect("opens again");
    assert_eq!(store.health(), Health::Healthy);
    for object in (1..=100).filter(|object| *object != 7) {
        for (key, length) in [(head(object), 2_000), (chunk(object, 1), CHUNK_BYTES)] {
            assert_eq!(store.presence(key), Presence::Disk);
            assert_eq!(store.get(key).await, Some((value(object, length), Tier::Disk)));
            assert_eq!(store.peek(key), Some(value(object, length)));
        }
    }
    assert!(store.stats(Tier::Disk).expect("a disk tier").bytes > 100 * CHUNK_BYTES as u64);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_and_close_hands_over() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let first = Tiered::open(config(Some(dir.path()), 16 << 20)).await.expect("opens");
    let refused = Tiered::open(config(Some(dir.path()), 16 << 20)).await;
    assert!(matches!(refused, Err(OpenError::Locked { .. })));
    first.put(head(1), value(1, 10));
    first.close().await;
    assert_eq!(first.peek(head(1)), Some(value(1, 10)), "memory goes on");
    let second = Tiered::open(config(Some(dir.path()), 16 << 20)).await.expect("the lock is free");
    assert_eq!(second.get(head(1)).await, Some((value(1, 10), Tier::Disk)));
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_large_bodies_goes_at_the_speed_of_the_disk_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Arc::new(Tiered::open(config(Some(dir.path()), 32 << 20)).await.expect("opens"));
    let fills: Vec<_> = (1..=8)
        .map(|object| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    store.room(CHUNK_BYTES).await;
                    store.put(chunk(object, number), value(object, CHUNK_BYTES));
                }
            })
        })
        .collect();
    for fill in fills {
        fill.await.expect("a fill does not panic");
    }
    store.flush().await;
    assert_eq!(errors(&store, ErrorKind::QueueFull), 0);
    assert_eq!(errors(&store, ErrorKind::Write), 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_tier_goes_round_and_what_it_gives_is_right() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Tiered::open(config(Some(dir.path()), 16 << 20)).await.expect("opens");
    let count = SIZE_BYTES as u32 / 4 * 5 / CHUNK_BYTES as u32;
    for number in 0..count {
        store.room(CHUNK_BYTES).await;
        store.put(chunk(1, number), value(u64::from(number), CHUNK_BYTES));
    }
    store.flush().await;
    let mut found = 0;
    for number in 0..count {
        if let Some((bytes, _)) = store.get(chunk(1, number)).await {
            assert_eq!(bytes, value(u64::from(number), CHUNK_BYTES));
            found += 1;
        }
    }
    assert!(found > 100 && found < count, "{found} of {count}");
    assert!(store.get(chunk(1, count - 1)).await.is_some(), "the newest is there");
    let stats = store.stats(Tier::Disk).expect("a disk tier");
    assert!(stats.evictions > 0 && stats.bytes <= SIZE_BYTES);
    assert_eq!(stats.errors[ErrorKind::Corrupt as usize], 0);
    assert_eq!(stats.errors[ErrorKind::QueueFull as usize], 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_blocks_are_misses_that_are_counted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Tiered::open(config(Some(dir.path()), 16 << 20)).await.expect("opens");
    for object in 0..20 {
        store.put(head(object), value(object, 2_000));
    }
    store.flush().await;
    store.close().await;
    // Flip one byte in the payload of every page that holds a value.
    for entry in std::fs::read_dir(dir.path().join("heads")).expect("readable") {
        let path = entry.expect("readable").path();
        let mut bytes = std::fs::read(&path).expect("readable");
        for page in bytes.chunks_mut(4096).filter(|page| page[36..39] == *b"SlV") {
            page[1_000] ^= 1;
        }
        std::fs::write(&path, bytes).expect("writable");
    }
    let store = Tiered::open(config(Some(dir.path()), 16 << 20)).await.expect("opens");
    for object in 0..20 {
        assert_eq!(store.get(head(object)).await, None);
    }
    let counted = errors(&store, ErrorKind::Read) + errors(&store, ErrorKind::Corrupt);
    assert_eq!(counted, 20);
    store.close().await;
}

/// A small file system of our own, if we may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().ok()?;
        let options = format!("size={size}");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .output()
            .ok()?;
        done.status.success().then_some(Self(dir))
    }

    fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(status.expect("mount can be run").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The engine's flusher dies of the full disk without a word; the canary tells. Where no file
/// system can be mounted the same decisions are tested in `pulse` and `writer`.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_bypassed_and_used_again_when_space_returns() {
    for reserve_bytes in [0, 4 << 20] {
        let Some(disk) = SmallDisk::mount("6m") else { return };
        let pace = Pace { probe_ms: 20, idle_ms: 20, retry_ms: 20, retry_ms_max: 50 };
        let care = Care { pace, reserve_bytes };
        let store =
            Tiered::open_with(config(Some(disk.0.path()), 64 << 20), care).await.expect("opens");
        let fill = async {
            for object in 0.. {
                store.room(CHUNK_BYTES).await;
                store.put(chunk(object, 0), value(object, CHUNK_BYTES));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = fill => unreachable!("it never ends"),
            () = store.becomes(Health::Bypassed) => {}
        }
        store.put(head(1_000_000), value(1, 100));
        assert!(store.get(head(1_000_000)).await.is_some(), "memory serves");
        let disk_errors = store.stats(Tier::Disk).expect("a disk tier").errors;
        assert!(disk_errors[ErrorKind::Write as usize] + disk_errors[ErrorKind::Full as usize] > 0);

        disk.resize("64m");
        // Without a reserve the engine may have been tried, and have failed, once more.
        for object in 2_000_000.. {
            store.becomes(Health::Healthy).await;
            store.put(chunk(object, 0), value(2, CHUNK_BYTES));
            store.flush().await;
            if store.disk(chunk(object, 0)).expect("a disk tier").contains(chunk(object, 0)) {
                break;
            }
        }
        store.close().await;
    }
}
