//! Distribution, disruption, stability: what every policy promises.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// Members with loads that a test sets.
struct Fake {
    in_flight: Vec<Cell<usize>>,
    latency_us: Vec<u64>,
    weights: Vec<u32>,
}

impl Fake {
    fn new(weights: &[u32]) -> Self {
        let in_flight = weights.iter().map(|_| Cell::new(0)).collect();
        Self { in_flight, latency_us: vec![1_000; weights.len()], weights: weights.to_vec() }
    }

    fn tier(&self) -> Tier {
        let members: Vec<_> = (0..).zip(self.weights.iter().copied()).collect();
        Tier::new(&members)
    }
}

impl Loads for Fake {
    fn in_flight(&self, index: usize) -> usize {
        self.in_flight[index].get()
    }
    fn total(&self) -> usize {
        self.in_flight.iter().map(Cell::get).sum()
    }
    fn latency_us(&self, index: usize) -> u64 {
        self.latency_us[index]
    }
    fn weight(&self, index: usize) -> u32 {
        self.weights[index]
    }
}

/// SplitMix64, as pools use it.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn config(policy: Policy) -> BalanceConfig {
    BalanceConfig { policy, hash_bound_percent: 0, ..BalanceConfig::default() }
}

/// How often each member is chosen.
fn counts(policy: Policy, fake: &Fake, times: usize, tried: &[usize]) -> Vec<usize> {
    let (config, tier, mut state) = (config(policy), fake.tier(), 7);
    let mut counts = vec![0; fake.weights.len()];
    for turn in 0..times {
        let key = Some(random(&mut state));
        let ask = Ask { random: random(&mut state), turn, key };
        counts[choose(&config, &tier, tried, fake, ask).expect("a member is left")] += 1;
    }
    counts
}

const ALL: [Policy; 5] =
    [Policy::Quickest, Policy::LeastRequests, Policy::Turns, Policy::Random, Policy::Hash];

proptest! {
    #[test]
    fn every_policy_chooses_only_members_that_were_not_tried(
        weights in prop::collection::vec(1_u32..20, 1..12),
        tried in prop::collection::vec(0_usize..12, 0..12),
        (seed, turn) in (any::<u64>(), any::<usize>()),
    ) {
        let fake = Fake::new(&weights);
        let left = (0..weights.len()).any(|index| !tried.contains(&index));
        for policy in ALL {
            let ask = Ask { random: seed, turn, key: Some(!seed) };
            let chosen = choose(&config(policy), &fake.tier(), &tried, &fake, ask);
            prop_assert_eq!(chosen.is_some(), left);
            prop_assert!(chosen.is_none_or(|index| index < weights.len() && !tried.contains(&index)));
        }
    }

    #[test]
    fn shares_follow_weights(weights in prop::collection::vec(1_u32..8, 2..8)) {
        let (times, sum) = (40_000, weights.iter().sum::<u32>() as usize);
        let fake = Fake::new(&weights);
        for policy in [Policy::Turns, Policy::Random, Policy::Hash] {
            for (count, weight) in counts(policy, &fake, times, &[]).into_iter().zip(&weights) {
                let fair = times * *weight as usize / sum;
                let off = count.abs_diff(fair);
                prop_assert!(off <= fair / 10 + 60, "{policy:?} {weights:?}: {count} not {fair}");
            }
        }
    }

    #[test]
    fn when_a_member_goes_only_its_keys_move(
        weights in prop::collection::vec(1_u32..5, 2..20),
        keys in prop::collection::vec(any::<u64>(), 50),
        gone in any::<prop::sample::Index>(),
    ) {
        let fake = Fake::new(&weights);
        let gone = gone.index(weights.len());
        for key in keys {
            let ask = Ask { random: 0, turn: 0, key: Some(key) };
            let before = choose(&config(Policy::Hash), &fake.tier(), &[], &fake, ask);
            let after = choose(&config(Policy::Hash), &fake.tier(), &[gone], &fake, ask);
            prop_assert!(before == after || before == Some(gone));
        }
    }

    #[test]
    fn no_member_is_given_much_more_than_its_share_under_a_bound(
        weights in prop::collection::vec(1_u32..5, 1..12),
        few_keys in 1_u64..4,
    ) {
        let fake = Fake::new(&weights);
        let (tier, sum) = (fake.tier(), u64::from(weights.iter().sum::<u32>()));
        for n in 0..400_u64 {
            let index = hash::owner(&tier, n % few_keys, 125, &fake);
            let most = ((n + 1) * u64::from(weights[index]) * 125).div_ceil(100 * sum).max(1);
            fake.in_flight[index].set(fake.in_flight[index].get() + 1);
            prop_assert!(fake.in_flight[index].get() as u64 <= most);
        }
    }
}

#[test]
fn turns_are_smooth() {
    let fake = Fake::new(&[4, 2, 1]);
    let tier = fake.tier();
    let turns: Vec<_> = (0..7).map(|turn| tier.turn(turn)).collect();
    assert_eq!(turns, [0, 1, 0, 2, 0, 1, 0], "never three in a row");
    assert_eq!(Fake::new(&[6, 6]).tier().turn(1), 1);
    assert_eq!(Tier::new(&[(0, 50), (1, 100)]).without(&[0]).turn(9), 1);
}

#[test]
fn the_owners_of_keys_are_the_same_in_every_version() {
    let owners = |weights: &[u32]| -> Vec<usize> {
        let fake = Fake::new(weights);
        (0..24_u64).map(|key| hash::owner(&fake.tier(), key << 40 | key, 0, &fake)).collect()
    };
    assert_eq!(owners(&[1; 5]), EVEN_OWNERS);
    assert_eq!(owners(&[5, 1, 3, 1, 2]), WEIGHTED_OWNERS);
}

const EVEN_OWNERS: [usize; 24] =
    [2, 3, 4, 3, 0, 3, 4, 3, 3, 4, 0, 0, 3, 0, 0, 4, 1, 4, 0, 0, 2, 2, 4, 2];
const WEIGHTED_OWNERS: [usize; 24] =
    [2, 0, 0, 0, 0, 0, 4, 3, 3, 4, 0, 0, 3, 0, 0, 4, 2, 4, 0, 0, 2, 2, 4, 2];

#[test]
fn the_busy_and_the_slow_are_passed_over() {
    let mut fake = Fake::new(&[1, 1, 1]);
    fake.in_flight[0].set(50);
    assert!(counts(Policy::LeastRequests, &fake, 3_000, &[])[0] < 20);
    fake.in_flight[0].set(0);
    fake.latency_us[2] = 900_000;
    let quick = counts(Policy::Quickest, &fake, 3_000, &[]);
    assert!(quick[2] < 20 && quick[0] > 1_000 && quick[1] > 1_000, "{quick:?}");
    // One of which nothing is known is tried, and not flooded before it has answered.
    fake.latency_us[2] = 0;
    assert!(counts(Policy::Quickest, &fake, 300, &[])[2] > 100);
    fake.in_flight[2].set(1);
    assert!(counts(Policy::Quickest, &fake, 300, &[])[2] < 20);
}

#[test]
fn two_choices_keep_the_longest_queue_short() {
    let longest = |policy| {
        let fake = Fake::new(&[1; 100]);
        let (config, tier, mut state) = (config(policy), fake.tier(), 3);
        for turn in 0..10_000 {
            let ask = Ask { random: random(&mut state), turn, key: None };
            let index = choose(&config, &tier, &[], &fake, ask).expect("a member");
            fake.in_flight[index].set(fake.in_flight[index].get() + 1);
        }
        fake.in_flight.iter().map(Cell::get).max().expect("members")
    };
    assert!(longest(Policy::LeastRequests) <= 104);
    assert!(longest(Policy::Random) > 115);
}

fn member(tier: u8, is_well: bool) -> Member {
    Member { weight: 1, tier, is_well, is_in: true }
}

/// The share of requests, in percent, that go to each tier's members first.
fn shares(roster: &Roster) -> Vec<(Vec<u16>, usize)> {
    let mut found: Vec<(Vec<u16>, usize)> = Vec::new();
    for percent in 0..100_u64 {
        let Some(tier) = roster.tiers((percent * 656) << 48).next() else { continue };
        match found.iter_mut().find(|(members, _)| members == tier.members()) {
            Some((_, count)) => *count += 1,
            None => found.push((tier.members().to_vec(), 1)),
        }
    }
    found
}

#[test]
fn a_backup_takes_over_what_the_primaries_cannot_carry() {
    let with = |well: usize| -> Roster {
        let mut members: Vec<_> = (0..10).map(|n| member(0, n < well)).collect();
        members.extend([member(1, true), member(1, true)]);
        Roster::new(&members, 0)
    };
    assert_eq!(shares(&with(10)).len(), 1);
    assert_eq!(shares(&with(8)).len(), 1, "within the spare");
    let half = shares(&with(5));
    assert_eq!((half.len(), half[0].0.len(), half[1].0.as_slice()), (2, 5, &[10, 11][..]));
    assert!((65..=75).contains(&half[0].1), "{half:?}");
    let none = shares(&with(0));
    assert_eq!((none.len(), none[0].0.as_slice()), (1, &[10, 11][..]));
}

#[test]
fn in_a_panic_all_are_used_and_what_the_operator_took_out_never_is() {
    let mut members = [member(0, true), member(0, false), member(0, false), member(0, false)];
    let first = |roster: &Roster| roster.tiers(0).next().expect("a tier").members().to_vec();
    assert_eq!(first(&Roster::new(&members, 0)), [0]);
    assert_eq!(first(&Roster::new(&members, 50)), [0, 1, 2, 3]);
    members[2].is_in = false;
    assert_eq!(first(&Roster::new(&members, 50)), [0, 1, 3]);
    members[0].is_well = false;
    let roster = Roster::new(&members, 50);
    assert!(roster.tiers(0).all(|tier| tier.members().is_empty()));
    assert_eq!(roster.everyone().members(), [0, 1, 3]);
}
