//! The ledger under cuts, flips, failing disks and lost power.

use std::io;
use std::sync::Arc;

use selvedge_cache::Millis;
use selvedge_cache::invalidate::{LedgerId, Mode, Position, TargetScopes, scope::tag_hash};

use super::disk::{HeapDir, LogDir};
use super::faulty::FaultyDir;
use super::log::{Log, NAME};
use super::*;
use crate::selector::{PlainRules, Selector, What};

fn purge(tag: &str) -> NewEntry {
    NewEntry {
        accepted: Millis(1),
        mode: Mode::Hard,
        selector: Selector { what: What::Tag(tag.into()), site: None },
        from: None,
        who: "test".into(),
        idempotency_key: None,
    }
}

fn keyed(tag: &str, key: &str) -> NewEntry {
    NewEntry { idempotency_key: Some(key.into()), ..purge(tag) }
}

fn start(dir: &FaultyDir) -> Opened {
    start_within(dir, Limits::DISK)
}

fn start_within(dir: &FaultyDir, limits: Limits) -> Opened {
    let fresh = || Ok(LedgerId(77));
    Ledger::start(Box::new(dir.clone()), fresh, Arc::new(PlainRules), limits).expect("opens")
}

fn is_purged(live: &Live, tag: &str, sent: u64) -> bool {
    let target = TargetScopes { site: "s", host: "h", path: "/", query: None };
    live.check(&target, &[tag_hash(tag)], Position(sent), Position(sent)).forbids()
}

/// A file with three entries, and the offsets at which the records end.
fn three() -> (Vec<u8>, Vec<usize>) {
    let dir = HeapDir::default();
    let (mut log, _) = Log::open(Box::new(dir), || Ok(LedgerId(1))).expect("opens");
    let mut ends = vec![log.bytes() as usize];
    for tag in ["a", "b", "c"] {
        log.append(&[purge(tag)]).expect("appends");
        ends.push(log.bytes() as usize);
    }
    let mut bytes = vec![0; log.bytes() as usize];
    assert_eq!(log.file.read_at(&mut bytes, 0).expect("reads"), bytes.len());
    (bytes, ends)
}

fn open(bytes: &[u8]) -> (Log, Note) {
    let dir = HeapDir::default();
    dir.create(NAME).expect("creates").write_all_at(bytes, 0).expect("writes");
    Log::open(Box::new(dir), || Ok(LedgerId(2))).expect("opens")
}

#[test]
fn a_file_cut_at_any_byte_keeps_every_whole_record() {
    let (bytes, ends) = three();
    for len in ends[0]..=bytes.len() {
        let (mut log, note) = open(&bytes[..len]);
        let whole = ends.iter().filter(|end| **end <= len).count() - 1;
        let cut_bytes = (len - ends[whole]) as u64;
        assert_eq!(note, Note::Continued { entries: whole as u64, cut_bytes }, "cut at {len}");
        let next = log.append(&[purge("d")]).expect("appends").remove(0);
        assert_eq!(next.position, Position(whole as u64 + 1));
        assert_eq!(log.page(Position(0), 9, usize::MAX).expect("reads").len(), whole + 1);
    }
    for len in 0..ends[0] {
        assert!(matches!(open(&bytes[..len]).1, Note::SetAside { .. }), "cut at {len}");
    }
}

#[test]
fn a_damaged_byte_anywhere_begins_a_new_ledger() {
    let (bytes, _) = three();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let (log, note) = open(&damaged);
        assert!(matches!(note, Note::SetAside { .. }), "byte {at}: {note:?}");
        assert_eq!((log.ledger(), log.tail().position), (LedgerId(2), Position(0)));
        assert!(log.dir.open(recover::ASIDE).expect("readable").is_some());
    }
}

#[test]
fn zeros_behind_the_end_are_cut_but_anything_else_is_damage() {
    let (mut bytes, _) = three();
    bytes.extend([0; 300]);
    assert_eq!(open(&bytes).1, Note::Continued { entries: 3, cut_bytes: 300 });
    *bytes.last_mut().expect("not empty") = 1;
    assert!(matches!(open(&bytes).1, Note::SetAside { .. }));
}

#[test]
fn a_record_out_of_order_is_damage() {
    let (bytes, ends) = three();
    let swapped = [&bytes[..ends[0]], &bytes[ends[1]..ends[2]], &bytes[ends[0]..ends[1]]].concat();
    assert!(matches!(open(&swapped).1, Note::SetAside { .. }));
}

#[tokio::test]
async fn what_waits_together_is_synced_together_and_acknowledged_in_force() {
    let dir = FaultyDir::default();
    let opened = start(&dir);
    dir.turn(|state| state.held = true);
    let mut tasks = tokio::task::JoinSet::new();
    let (ledger, live) = (Arc::clone(&opened.ledger), Arc::clone(&opened.live));
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let one = move |tag: String| {
        let (ledger, live, asked) = (Arc::clone(&ledger), Arc::clone(&live), Arc::clone(&count));
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            let position = ledger.append(purge(&tag)).await.expect("in force").position;
            assert!(live.position() >= position, "acknowledged before it was in force");
            assert!(is_purged(&live, &tag, position.0 - 1));
        }
    };
    tasks.spawn(one("first".into()));
    tokio::task::yield_now().await;
    dir.until_held();
    for n in 0..100 {
        tasks.spawn(one(format!("t{n}")));
    }
    while asked.load(Ordering::SeqCst) < 101 {
        tokio::task::yield_now().await;
    }
    assert_eq!(opened.live.position(), Position(0), "in force before it was durable");
    let before = dir.turn(|state| {
        state.held = false;
        state.syncs
    });
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    assert_eq!(dir.turn(|state| state.syncs) - before, 1, "one sync for all that waited");
    assert_eq!(opened.live.position(), Position(101));
}

#[tokio::test]
async fn a_retry_repeats_the_first_position_over_a_restart_too() {
    let dir = FaultyDir::default();
    let opened = start(&dir);
    let append = |ledger: Arc<Ledger>, purge| async move { ledger.append(purge).await };
    let first = append(Arc::clone(&opened.ledger), keyed("a", "k")).await.expect("in force");
    assert!(!first.repeated);
    opened.ledger.append(purge("b")).await.expect("in force");
    opened.ledger.close();
    let opened = start(&dir);
    let again = opened.ledger.append(keyed("a", "k")).await.expect("in force");
    assert_eq!(again, Appended { position: first.position, repeated: true });
    assert_eq!(opened.live.position(), Position(2));
    assert_eq!(opened.ledger.append(keyed("other", "k")).await, Err(AppendError::KeyReused));
    let stranger = NewEntry { who: "other".into(), ..keyed("a", "k") };
    assert!(!opened.ledger.append(stranger).await.expect("in force").repeated);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_in_force_before_a_new_file_is() {
    let dir = FaultyDir::default();
    let opened = start(&dir);
    opened.ledger.append(purge("a")).await.expect("in force");
    dir.turn(|state| (state.syncs_to_fail, state.dir_syncs_to_fail) = (2, 1));
    let refused = |why| matches!(why, Err(AppendError::Disk(_)));
    assert!(refused(opened.ledger.append(keyed("b", "k")).await), "its sync fails");
    assert_eq!(opened.live.position(), Position(1));
    assert!(refused(opened.ledger.append(purge("c")).await), "the sync of the new file fails");
    assert!(refused(opened.ledger.append(purge("c")).await), "the sync of the directory fails");
    assert!(!opened.ledger.status().is_healthy);
    let next = opened.ledger.append(purge("c")).await.expect("in force");
    assert_eq!(next.position, Position(3), "the entry in doubt keeps its position");
    assert!(is_purged(&opened.live, "b", 1));
    let retry = opened.ledger.append(keyed("b", "k")).await.expect("in force");
    assert_eq!(retry, Appended { position: Position(2), repeated: true });
    assert!(opened.ledger.status().is_healthy);
    let found = start(&dir.crash(|_| 0));
    assert_eq!(found.note, Note::Continued { entries: 3, cut_bytes: 0 });
}

#[tokio::test]
async fn a_full_disk_refuses_one_purge_and_takes_the_next() {
    let dir = FaultyDir::default();
    let opened = start(&dir);
    dir.turn(|state| state.writes_to_fail = 1);
    assert!(matches!(opened.ledger.append(purge("a")).await, Err(AppendError::Disk(_))));
    let next = opened.ledger.append(purge("b")).await.expect("in force");
    assert_eq!(next.position, Position(1));
    assert!(!is_purged(&opened.live, "a", 0));
}

#[tokio::test]
async fn a_floor_survives_and_answers_for_what_is_gone() {
    let dir = FaultyDir::default();
    let opened = start(&dir);
    for n in 0..200 {
        opened.ledger.append(purge(&format!("t{n}"))).await.expect("in force");
    }
    let floor = opened.ledger.compact(Position(40)).await.expect("compacts");
    assert_eq!(floor, Position(0), "too little to gain");
    let floor = opened.ledger.compact(Position(150)).await.expect("compacts");
    assert_eq!(floor, Position(150));
    assert!(opened.live.scopes() <= 50);
    opened.ledger.append(purge("late")).await.expect("in force");
    opened.ledger.close();
    let opened = start(&dir.crash(|_| 0));
    assert_eq!(opened.note, Note::Continued { entries: 51, cut_bytes: 0 });
    assert_eq!((opened.live.floor(), opened.live.position()), (Position(150), Position(201)));
    assert!(is_purged(&opened.live, "never", 149) && !is_purged(&opened.live, "never", 150));
    assert_eq!(opened.ledger.entry(Position(150)).await.expect("reads"), None);
    let entry = opened.ledger.entry(Position(151)).await.expect("reads").expect("kept");
    assert_eq!(entry.purge.selector.what, What::Tag("t150".into()));
    let page = opened.ledger.page(Position(0), 7).await.expect("reads");
    assert_eq!((page.len(), page[0].position), (7, Position(151)));
}

#[tokio::test]
async fn beyond_its_bound_a_ledger_forgets_the_older_half_but_no_purge() {
    let limits = Limits { file_bytes_max: 4096, scopes_max: 1_000 };
    let opened = start_within(&FaultyDir::default(), limits);
    for n in 0..200 {
        opened.ledger.append(purge(&format!("t{n}"))).await.expect("in force");
        assert!(is_purged(&opened.live, "t0", 0));
    }
    let status = opened.ledger.status();
    assert!(status.bytes <= 4096 && status.floor > Position(0), "{status:?}");
}

#[tokio::test]
async fn new_rules_select_beside_the_old_ones() {
    struct Folded;
    impl KeyRules for Folded {
        fn url(
            &self,
            url: &crate::selector::AbsoluteUrl<'_>,
        ) -> Result<crate::selector::Target, String> {
            PlainRules.url(&crate::selector::AbsoluteUrl { query: None, ..*url })
        }
        fn host(&self, scheme: &str, authority: &str) -> Result<String, String> {
            PlainRules.host(scheme, authority)
        }
        fn knows_site(&self, _: &str) -> bool {
            true
        }
    }
    let opened = start(&FaultyDir::default());
    let what = What::Url("http://h/a?utm=1".into());
    let selector = Selector { what, site: None };
    opened.ledger.append(NewEntry { selector, ..purge("") }).await.expect("in force");
    let selects = |query| {
        let target = TargetScopes { site: "s", host: "h", path: "/a", query };
        opened.live.check(&target, &[], Position(0), Position(0)).forbids()
    };
    assert!(selects(Some("utm=1")) && !selects(None));
    opened.ledger.change_rules(Arc::new(Folded)).await.expect("derives");
    assert!(selects(Some("utm=1")) && selects(None));
}

#[test]
fn a_second_process_is_refused_until_the_first_closes() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Ledger::open(dir.path(), Arc::new(PlainRules), Limits::DISK);
    let first = open().expect("opens");
    assert_eq!(open().expect_err("locked").kind(), io::ErrorKind::WouldBlock);
    first.ledger.close();
    assert_eq!(open().expect("opens").note, Note::Continued { entries: 0, cut_bytes: 0 });
}

#[tokio::test]
async fn files_hold_what_was_acknowledged_and_compact() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Ledger::open(dir.path(), Arc::new(PlainRules), Limits::DISK).expect("opens");
    let first = open();
    for n in 0..9 {
        first.ledger.append(purge(&format!("t{n}"))).await.expect("in force");
    }
    first.ledger.compact(Position(5)).await.expect("compacts");
    first.ledger.close();
    assert_eq!(first.ledger.append(purge("late")).await, Err(AppendError::Stopped));
    let again = open();
    assert_eq!(again.note, Note::Continued { entries: 4, cut_bytes: 0 });
    assert_eq!(again.live.ledger(), first.live.ledger());
    assert!(is_purged(&again.live, "t8", 8) && !is_purged(&again.live, "t8", 9));
    let next = again.ledger.append(purge("t9")).await.expect("in force");
    assert_eq!(next.position, Position(10));
}

/// Power or the process goes at a random moment, disks fail at random: what was acknowledged is there, and no
/// position that anyone saw in force is given to another purge.
#[tokio::test]
async fn acknowledged_purges_survive_lost_power_by_seed() {
    for seed in 1..=400_u64 {
        let mut random = seed;
        let mut below = move |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % (n as u64 + 1)) as usize
        };
        let mut dir = FaultyDir::default();
        let mut acknowledged: Vec<(Position, String)> = Vec::new();
        let (mut seen, mut name) = (Position(0), 0);
        for life in 0..5 {
            let opened = start(&dir);
            let ended_well = !matches!(opened.note, Note::SetAside { .. });
            assert!(ended_well && (life == 0) == (opened.note == Note::New), "seed {seed}");
            assert!(opened.live.position() >= seen, "seed {seed}: a position in force is lost");
            for (position, tag) in &acknowledged {
                assert!(is_purged(&opened.live, tag, position.0 - 1), "seed {seed}: {tag} is lost");
                if *position > opened.live.floor() {
                    let entry = opened.ledger.entry(*position).await.expect("reads");
                    let what = entry.expect("kept").purge.selector.what;
                    assert_eq!(what, What::Tag(tag.clone()), "seed {seed}");
                }
            }
            for _ in 0..below(12) {
                dir.turn(|state| match below(12) {
                    0 => state.syncs_to_fail = 1,
                    1 => state.dir_syncs_to_fail = 1,
                    2 => state.writes_to_fail = 1,
                    3 => state.cut_fails = !state.cut_fails,
                    _ => {}
                });
                if below(5) == 0 {
                    let floor = Position(below(opened.live.position().0 as usize) as u64);
                    let _ = opened.ledger.compact(floor).await;
                    continue;
                }
                name += 1;
                let tag = format!("t{name}");
                if let Ok(done) = opened.ledger.append(purge(&tag)).await {
                    acknowledged.push((done.position, tag));
                }
                seen = seen.max(opened.live.position());
            }
            dir = if below(1) == 0 { dir.kill() } else { dir.crash(&mut below) };
        }
    }
}
