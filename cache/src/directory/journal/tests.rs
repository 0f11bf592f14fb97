use std::fs::OpenOptions;

use super::super::tests::{key, record};
use super::super::{Published, Swept};
use super::*;
use crate::invalidate::Position;

const LEDGER: LedgerId = LedgerId(3);

fn open_in(dir: &Path) -> Journalled {
    let persistence = Persistence { dir: dir.to_owned(), ledger: LEDGER };
    Directory::open(&Budget::new(64 << 20), persistence).expect("an epoch can be claimed")
}

fn publish(directory: &Directory, seed: u64) -> Published {
    let head = directory.allocate(&key(seed));
    directory.publish(record(seed, head), |_| false)
}

/// A journal thread that has not begun.
fn writer(dir: &Path, log: Log, directory: &Arc<Directory>, shared: Arc<Shared>) -> JournalWriter {
    JournalWriter {
        log,
        dir: dir.to_owned(),
        directory: Arc::downgrade(directory),
        ids: directory.ids.clone(),
        shared,
        unclaimed_epoch: u64::MAX,
        retry_at: None,
        snapshot_at: None,
        closing: false,
        batch: Vec::new(),
    }
}

/// Every record, by key.
fn all(directory: &Directory) -> Vec<Record> {
    let mut records = Vec::new();
    directory.export(|step| {
        if let Export::Record(record) = step {
            records.push(record.clone());
        }
    });
    records.sort_by_key(|record| record.key);
    records
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_directory_comes_back_as_it_was_closed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Journalled { directory, warm, note } = open_in(dir.path());
    assert_eq!((warm, note), (0, None));
    for seed in 0..300 {
        publish(&directory, seed);
    }
    for seed in 0..100 {
        publish(&directory, seed);
    }
    let head = |seed| directory.find(&key(seed), |_| true).expect("it was published").head;
    directory.forget(&key(200), head(200));
    directory.forget_object(head(201));
    let new_head = directory.allocate(&key(202));
    directory.amend(&key(202), head(202), |record| record.head = new_head);
    directory.sweep(usize::MAX, |record| match record.key {
        gone if gone == key(203) => Swept::Drop,
        amended if amended == key(204) => {
            record.stale_since = crate::Millis(5);
            Swept::Amended
        }
        _ => Swept::Keep,
    });
    let before = all(&directory);
    assert_eq!(before.len(), 297);
    directory.close();
    for _ in 0..2 {
        let Journalled { directory, warm, note } = open_in(dir.path());
        assert_eq!((warm, note), (297, None));
        assert_eq!(all(&directory), before);
        assert!(
            directory.allocate(&key(1))
                > before.iter().map(|record| record.head).max().unwrap_or(0)
        );
        directory.close();
    }
}

#[test]
fn changes_that_find_the_channel_full_are_made_up_for_by_a_snapshot() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    open_in(dir.path()).directory.close();
    let recovered = recover::recover(dir.path(), LEDGER).expect("an epoch");
    let log = Log::open(dir.path(), LEDGER, &recovered).expect("it can be continued");
    let (changes, receiver) = sync_channel(3);
    let shared = Arc::new(Shared::default());
    let feed = Feed { changes, shared: shared.clone(), thread: Mutex::new(None) };
    let ids = Arc::new(ObjectIds::new(recovered.epoch));
    let directory = Arc::new(Directory::new(&Budget::new(64 << 20), ids, Some(feed)));
    for seed in 0..20 {
        publish(&directory, seed);
    }
    let troubles = directory.journal_troubles().expect("there is a journal");
    assert_eq!(troubles, JournalTroubles { left_out: 17, failures: 0 });
    let writer = writer(dir.path(), log, &directory, shared);
    std::thread::scope(|scope| {
        scope.spawn(move || writer.run(&receiver));
        let feed = directory.journal.as_ref().expect("there is a journal");
        feed.changes.send(Message::Close).expect("the thread listens");
    });
    let Journalled { directory: again, warm, note } = open_in(dir.path());
    assert_eq!((warm, note), (20, None));
    assert_eq!(all(&again), all(&directory));
    assert!(names(dir.path()).iter().any(|name| name.ends_with(".snapshot")));
}

#[test]
fn a_long_log_gives_way_to_a_snapshot_and_older_files_go() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Journalled { directory, .. } = open_in(dir.path());
    for seed in 0..50 {
        publish(&directory, seed);
    }
    // One record restamped until the log is long; then everything must still be there.
    let head = directory.find(&key(7), |_| true).expect("it was published").head;
    for stamp in 0.. {
        directory.amend(&key(7), head, |record| record.validated = Position(stamp));
        if stamp % 1_000 == 0 && names(dir.path()).iter().any(|name| name.ends_with(".snapshot")) {
            break;
        }
    }
    let before = all(&directory);
    directory.close();
    let names = names(dir.path());
    assert!(!names.contains(&"directory-00000001.log".to_owned()), "{names:?}");
    let Journalled { directory, warm, .. } = open_in(dir.path());
    assert_eq!(warm, 50);
    assert!(all(&directory) == before, "a record is not as it was");
}

#[test]
fn what_a_full_disk_swallowed_is_made_up_for_by_a_snapshot() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let Journalled { directory, .. } = open_in(dir.path());
    directory.close();
    for seed in 0..20 {
        publish(&directory, seed);
    }
    let file = OpenOptions::new().append(true).open("/dev/full").expect("a device that is full");
    let (ledger, epoch, generation) = (LEDGER, 9, 1);
    let shared = Arc::new(Shared::default());
    let log = Log { file, ledger, epoch, generation, bytes: 0, snapshot_bytes: 0 };
    let writer = writer(dir.path(), log, &directory, shared.clone());
    let (changes, receiver) = sync_channel(9);
    changes.send(Message::Put(Box::new(record(1, 1)))).expect("it has room");
    changes.send(Message::Close).expect("it has room");
    writer.run(&receiver);
    assert_eq!(shared.failures.load(Ordering::Relaxed), 1);

    let Journalled { directory: again, warm, note } = open_in(dir.path());
    assert_eq!((warm, note), (20, None));
    assert_eq!(all(&again), all(&directory));
}
