use super::super::tests::record;
use super::*;

const LEDGER: LedgerId = LedgerId(9);
const WALL_S: u64 = WALL_ORIGIN_S + 1_000 * WALL_EPOCH_S;

fn file(kind: Kind, generation: u64, ledger: LedgerId, frames: &[u8]) -> Vec<u8> {
    let mut bytes = Header { kind, generation, ledger, epoch: 3 }.encode().to_vec();
    bytes.extend_from_slice(frames);
    bytes
}

fn puts(heads: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for head in heads {
        codec::put(&mut bytes, &record(head, head));
    }
    bytes
}

fn heads(recovered: &Recovered) -> Vec<u64> {
    let mut heads: Vec<_> = recovered.records.iter().map(|record| record.head).collect();
    heads.sort_unstable();
    heads
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn write(dir: &Path, generation: u64, kind: Kind, bytes: &[u8]) {
    fs::write(path_of(dir, generation, kind), bytes).expect("writable");
}

#[test]
fn a_log_that_is_torn_at_any_byte_gives_what_was_whole() {
    let frames = puts(1..4);
    let frame = frames.len() / 3;
    let whole = file(Kind::Log, 1, LEDGER, &frames);
    for length in 0..=whole.len() {
        let dir = dir();
        write(dir.path(), 1, Kind::Log, &whole[..length]);
        let recovered = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch");
        let complete = length.saturating_sub(HEADER_BYTES) / frame;
        let expected: Vec<u64> = (1..=complete as u64).collect();
        assert_eq!(heads(&recovered), expected, "cut at {length}");
        let torn = length >= HEADER_BYTES && !(length - HEADER_BYTES).is_multiple_of(frame);
        assert_eq!(recovered.note.is_some(), torn, "cut at {length}");
        let again = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch");
        assert_eq!((heads(&again), again.note), (expected, None), "the tail is gone");
    }
}

#[test]
fn a_snapshot_and_the_logs_after_it_are_joined_and_older_logs_ignored() {
    let dir = dir();
    let mut snapshot = puts(1..4);
    codec::end(&mut snapshot, 3);
    let mut third = Vec::new();
    codec::gone(&mut third, 2);
    write(dir.path(), 1, Kind::Log, b"older than the snapshot, never read");
    write(dir.path(), 2, Kind::Snapshot, &file(Kind::Snapshot, 2, LEDGER, &snapshot));
    write(dir.path(), 2, Kind::Log, &file(Kind::Log, 2, LEDGER, &puts(7..8)));
    write(dir.path(), 3, Kind::Log, &file(Kind::Log, 3, LEDGER, &third));
    fs::write(dir.path().join("directory-00000004.snapshot.new"), "half").expect("writable");
    let recovered = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch");
    assert_eq!((heads(&recovered), recovered.note), (vec![1, 3, 7], None));
    assert_eq!(recovered.generation, 3);
    assert!(!dir.path().join("directory-00000004.snapshot.new").exists());
}

#[test]
fn what_cannot_be_believed_is_set_aside_and_the_directory_begins_empty() {
    let mut short = puts(1..4);
    codec::end(&mut short, 4);
    let old_version = {
        let mut bytes = file(Kind::Log, 1, LEDGER, &[]);
        bytes[8] += 1;
        bytes
    };
    for (generation, kind, bytes) in [
        (1, Kind::Snapshot, file(Kind::Snapshot, 1, LEDGER, &short)),
        (1, Kind::Snapshot, file(Kind::Snapshot, 1, LEDGER, &puts(1..2))),
        (1, Kind::Log, b"something else".to_vec()),
        (1, Kind::Log, old_version),
        (2, Kind::Log, file(Kind::Log, 2, LEDGER, &puts(1..2))),
    ] {
        let dir = dir();
        write(dir.path(), generation, kind, &bytes);
        let recovered = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch");
        assert!(recovered.records.is_empty() && recovered.note.is_some());
        let path = path_of(dir.path(), generation, kind);
        assert!(!path.exists());
        let mut aside = path.into_os_string();
        aside.push(".damaged-1");
        assert_eq!(fs::read(aside).expect("it was kept"), bytes);
        let again = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch");
        assert_eq!(again.note, None);
    }
}

#[test]
fn another_ledger_begins_empty() {
    let dir = dir();
    write(dir.path(), 1, Kind::Log, &file(Kind::Log, 1, LEDGER, &puts(1..4)));
    let recovered = recover_at(dir.path(), LedgerId(10), WALL_S).expect("an epoch");
    assert!(recovered.records.is_empty() && recovered.note.is_some());
    assert!(!path_of(dir.path(), 1, Kind::Log).exists());
}

#[test]
fn an_epoch_is_never_given_twice_even_when_its_file_is_lost() {
    let dir = dir();
    let mut last = 0;
    for lost in [false, false, true, false] {
        if lost {
            fs::write(dir.path().join("epoch"), "scribble").expect("writable");
        }
        let wall_s = if lost { WALL_S + WALL_EPOCH_S * 50 } else { WALL_S };
        let epoch = recover_at(dir.path(), LEDGER, wall_s).expect("an epoch").epoch;
        assert!(epoch >= last + EPOCHS_CLAIMED);
        last = epoch;
    }
    let mut frames = Vec::new();
    codec::put(&mut frames, &record(1, 500_000 << 40));
    write(dir.path(), 1, Kind::Log, &file(Kind::Log, 1, LEDGER, &frames));
    fs::remove_file(dir.path().join("epoch")).expect("it is there");
    let epoch = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch").epoch;
    assert!(epoch > 500_001, "seen in a record");
}

#[test]
fn what_was_received_in_the_future_counts_as_stale_and_comparisons_are_made_anew() {
    let dir = dir();
    let mut ahead = record(1, 1);
    ahead.fresh.received = Millis((WALL_S + 7 * 86_400) * 1000);
    ahead.checked = crate::invalidate::Position(8);
    let mut frames = Vec::new();
    codec::put(&mut frames, &ahead);
    write(dir.path(), 1, Kind::Log, &file(Kind::Log, 1, LEDGER, &frames));
    let recovered = recover_at(dir.path(), LEDGER, WALL_S).expect("an epoch");
    let [record] = &recovered.records[..] else { panic!("{:?}", recovered.records) };
    assert_eq!((record.checked, record.stale_since), (record.sent, Millis(0)));
    assert_eq!(record.fresh.received, Millis(WALL_S * 1000 + 999));
}
