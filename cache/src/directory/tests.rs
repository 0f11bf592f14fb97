use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::Millis;
use crate::invalidate::Position;
use crate::policy::Fresh;
use crate::variant::Vary;

pub(super) fn key(seed: u64) -> CacheKey {
    CacheKey(*blake3::hash(&seed.to_le_bytes()).as_bytes())
}

pub(super) fn record(seed: u64, head: u64) -> Record {
    Record {
        key: key(seed),
        head,
        body: head,
        length: 100,
        fresh: Fresh {
            received: Millis(1_000),
            age_s: 1,
            lifetime_s: 60,
            swr_s: 2,
            sie_s: 3,
            flags: 5,
            status: 200,
        },
        sent: Position(1),
        checked: Position(1),
        validated: Position(3),
        local: 0,
        stale_since: Millis::MAX,
        tags: Box::default(),
        tags_overflow: false,
        varied: None,
        inline: true,
        parts: None,
        head_bytes: 300,
    }
}

fn varied(seed: u64, head: u64, selected: u8) -> Record {
    let vary = Vary(Box::new([http::header::ACCEPT]));
    let varied = Some(Arc::new(Varied { vary, selected: [selected; 32], language: None }));
    Record { varied, ..record(seed, head) }
}

fn directory() -> Arc<Directory> {
    Directory::in_memory(&Budget::new(64 << 20))
}

fn never(_: &Record) -> bool {
    false
}

#[test]
fn a_published_record_is_found_and_a_forgotten_one_is_not() {
    let directory = directory();
    let head = directory.allocate(&key(1));
    assert_eq!(directory.publish(record(1, head), never).outcome, Outcome::Added);
    assert_eq!(directory.find(&key(1), |_| true), Some(record(1, head)));
    assert_eq!(directory.find(&key(2), |_| true), None);
    assert_eq!(directory.forget(&key(2), head), None);
    assert_eq!(directory.forget(&key(1), head), Some(record(1, head)));
    assert!(directory.is_empty() && directory.bytes() == 0);
}

#[test]
fn a_later_fetch_replaces_and_an_earlier_one_is_refused_unless_the_stored_one_is_purged() {
    let directory = directory();
    let sent = |head, position| Record { sent: Position(position), ..record(1, head) };
    directory.publish(sent(1, 5), never);
    let equal = directory.publish(sent(2, 5), never);
    assert_eq!((equal.outcome, equal.freed[0].head), (Outcome::Replaced, 1));
    let earlier = directory.publish(sent(3, 4), never);
    assert_eq!((earlier.outcome, earlier.freed[0].head), (Outcome::Refused, 3));
    let mut older = sent(6, 5);
    older.fresh.received = Millis(999);
    let older = directory.publish(older, never);
    assert_eq!((older.outcome, older.freed[0].head), (Outcome::Refused, 6));
    let purged = directory.publish(sent(4, 4), |stored| stored.head == 2);
    assert_eq!((purged.outcome, purged.freed[0].head), (Outcome::Replaced, 2));
    assert_eq!(directory.len(), 1);
}

#[test]
fn variants_are_kept_apart_newest_first_and_bounded() {
    let directory = directory();
    for selected in 0..VARIANTS_MAX as u8 {
        directory.publish(varied(1, u64::from(selected) + 1, selected), never);
    }
    let crowded = directory.publish(varied(1, 1_000, 255), never);
    assert_eq!((crowded.outcome, crowded.freed[0].head), (Outcome::Crowded, 1));
    let heads: Vec<_> = directory.variants(&key(1)).iter().map(|record| record.head).collect();
    assert_eq!(heads.len(), VARIANTS_MAX);
    assert_eq!((heads[0], heads[1], heads[VARIANTS_MAX - 1]), (1_000, 64, 2));
}

#[test]
fn r9111_s4_a_freshened_variant_is_the_most_recent_one() {
    let directory = directory();
    directory.publish(record(1, 1), never);
    directory.publish(varied(1, 2, 7), never);
    directory.publish(varied(1, 3, 8), never);
    directory.amend(&key(1), 2, |record| record.head = 9).expect("it is stored");
    let heads = || directory.variants(&key(1)).iter().map(|record| record.head).collect::<Vec<_>>();
    assert_eq!(heads(), [9, 3, 1]);
    // What only marks it leaves it where it is.
    directory.amend(&key(1), 1, |record| record.stale_since = Millis(1)).expect("it is stored");
    assert_eq!(heads(), [9, 3, 1]);
}

#[test]
fn a_freshened_record_is_found_under_its_new_head() {
    let directory = directory();
    directory.publish(record(1, 1), never);
    let new_head = directory.allocate(&key(1));
    let old = directory.amend(&key(1), 1, |record| std::mem::replace(&mut record.head, new_head));
    assert_eq!(old, Some(1));
    assert_eq!(directory.amend(&key(1), 1, |_| ()), None);
    assert_eq!(directory.forget_object(1), None);
    assert_eq!(directory.forget_object(new_head).map(|record| record.body), Some(1));
}

#[test]
fn an_evicted_head_takes_its_record_with_it_whoever_made_the_id() {
    let directory = directory();
    let ours = directory.allocate(&key(1));
    directory.publish(record(1, ours), never);
    directory.publish(record(2, 77), never);
    assert!(directory.forget_object(ours).is_some() && directory.forget_object(77).is_some());
    assert!(directory.is_empty());
}

#[test]
fn a_full_directory_drops_what_is_not_asked_for() {
    let budget = Budget::new(16 << 20);
    let directory = Directory::in_memory(&budget);
    let limit = budget.limit_bytes(Class::Directory);
    let hot: Vec<u64> = (0..64).collect();
    let mut freed = 0;
    for seed in 0..40_000 {
        freed += directory.publish(record(seed, seed + 1), never).freed.len();
        for hot in hot.iter().filter(|_| seed % 50 == 0 && seed > 64) {
            directory.find(&key(*hot), |_| true);
        }
    }
    assert!(directory.bytes() <= limit && directory.bytes() > limit / 10 * 9);
    assert_eq!(directory.bytes(), budget.used_bytes(Class::Directory));
    assert_eq!(directory.bytes(), directory.len() * RECORD_BYTES);
    assert_eq!((directory.evictions() as usize, freed + directory.len()), (freed, 40_000));
    let kept = hot.iter().filter(|hot| directory.find(&key(**hot), |_| true).is_some()).count();
    assert_eq!(kept, hot.len());
}

#[test]
fn a_sweep_sees_every_record_once_a_round_however_it_is_cut() {
    for steps in [1, 7, 1_000_000] {
        let directory = directory();
        for seed in 0..500 {
            directory.publish(record(seed, seed + 1), never);
        }
        let mut seen = Vec::new();
        let mut dropped = Vec::new();
        loop {
            let sweep = directory.sweep(steps, |record| {
                seen.push(record.head);
                record.checked = Position(9);
                if record.head % 2 == 0 { Swept::Drop } else { Swept::Keep }
            });
            dropped.extend(sweep.dropped);
            if sweep.round_done {
                break;
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=500).collect::<Vec<_>>());
        assert_eq!((dropped.len(), directory.len()), (250, 250));
        assert_eq!(
            directory.find(&key(0), |_| true).map(|record| record.checked),
            Some(Position(9))
        );
    }
}

#[test]
fn many_threads_leave_no_record_behind_and_no_byte_uncounted() {
    let directory = directory();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = 2;
        for _ in 0..readers {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for seed in 0..50 {
                        for record in directory.variants(&key(seed)) {
                            assert_eq!((record.key, record.head), (key(seed), record.body));
                        }
                    }
                    directory.sweep(100, |_| Swept::Keep);
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let directory = &directory;
                scope.spawn(move || {
                    for round in 0..2_000_u64 {
                        let seed = round % 50;
                        let head = directory.allocate(&key(seed));
                        directory.publish(varied(seed, head, (round % 5) as u8), never);
                        if round % 3 == writer {
                            directory.forget(&key(seed), head);
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer does not panic");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let held: usize = (0..50).map(|seed| directory.variants(&key(seed)).len()).sum();
    assert_eq!(directory.len(), held);
    // The first one ends the readers' round.
    while !directory.sweep(usize::MAX, |_| Swept::Keep).round_done {}
    directory.sweep(usize::MAX, |_| Swept::Drop);
    assert_eq!((directory.len(), directory.bytes()), (0, 0));
}

#[derive(Clone, Debug)]
enum Op {
    Publish { seed: u64, selected: Option<u8>, sent: u64, purged: bool },
    Amend { nth: usize },
    Forget { nth: usize, by_object: bool },
    SweepOdd,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let publish = (0..6_u64, proptest::option::of(0..4_u8), 0..5_u64, any::<bool>())
        .prop_map(|(seed, selected, sent, purged)| Op::Publish { seed, selected, sent, purged });
    let op = prop_oneof![
        6 => publish,
        2 => any::<usize>().prop_map(|nth| Op::Amend { nth }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(nth, by_object)| Op::Forget { nth, by_object }),
        1 => Just(Op::SweepOdd),
    ];
    proptest::collection::vec(op, 1..80)
}

/// The directory, said simply: per key the records, newest first.
type Model = HashMap<CacheKey, Vec<Record>>;

fn publish_to_model(model: &mut Model, record: Record, purged: bool) -> Outcome {
    let variants = model.entry(record.key).or_default();
    let selected = |record: &Record| record.varied.as_ref().map(|varied| varied.selected);
    let same = variants.iter().position(|stored| selected(stored) == selected(&record));
    let outcome = match same {
        Some(at) if variants[at].sent > record.sent && !purged => return Outcome::Refused,
        Some(at) => {
            variants.remove(at);
            Outcome::Replaced
        }
        None => Outcome::Added,
    };
    variants.insert(0, record);
    outcome
}

fn nth_of_model(model: &Model, nth: usize) -> Option<(CacheKey, u64)> {
    let mut all: Vec<_> =
        model.iter().flat_map(|(key, all)| all.iter().map(|record| (record.head, *key))).collect();
    all.sort_unstable();
    let (head, key) = *all.get(nth.checked_rem(all.len())?)?;
    Some((key, head))
}

proptest! {
    #[test]
    fn the_directory_does_what_a_map_of_lists_does(ops in ops()) {
        let directory = directory();
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Publish { seed, selected, sent, purged } => {
                    let head = directory.allocate(&key(seed));
                    let plain = match selected {
                        Some(selected) => varied(seed, head, selected),
                        None => record(seed, head),
                    };
                    let new = Record { sent: Position(sent), ..plain };
                    let outcome = directory.publish(new.clone(), |_| purged).outcome;
                    prop_assert_eq!(outcome, publish_to_model(&mut model, new, purged));
                }
                Op::Amend { nth } => {
                    let Some((key, head)) = nth_of_model(&model, nth) else { continue };
                    let new_head = directory.allocate(&key);
                    let change = |record: &mut Record| {
                        record.head = new_head;
                        record.tags = Box::new([new_head]);
                    };
                    prop_assert_eq!(directory.amend(&key, head, change), Some(()));
                    let variants = model.entry(key).or_default();
                    let at = variants.iter().position(|record| record.head == head);
                    let mut renewed = variants.remove(at.expect("it was named by the model"));
                    change(&mut renewed);
                    variants.insert(0, renewed);
                }
                Op::Forget { nth, by_object } => {
                    let Some((key, head)) = nth_of_model(&model, nth) else { continue };
                    let gone = if by_object {
                        directory.forget_object(head)
                    } else {
                        directory.forget(&key, head)
                    };
                    prop_assert_eq!(gone.map(|record| record.head), Some(head));
                    model.entry(key).or_default().retain(|record| record.head != head);
                }
                Op::SweepOdd => {
                    let odd = |record: &Record| record.head >> 6 & 1 == 1;
                    directory.sweep(usize::MAX, |record| {
                        if odd(record) { Swept::Drop } else { Swept::Keep }
                    });
                    for variants in model.values_mut() {
 variants.retain(|record| !odd(record));
 }
                }
            }
            let costs = model.values().flatten().map(shard::cost_bytes).sum::<usize>();
            prop_assert_eq!(directory.bytes(), costs);
            for seed in 0..6 {
                let expected = model.get(&key(seed)).cloned().unwrap_or_default();
                prop_assert_eq!(directory.variants(&key(seed)).into_vec(), expected);
            }
        }
    }
}
