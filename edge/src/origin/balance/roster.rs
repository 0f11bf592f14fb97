//! Who may be chosen, made once per change and read by every request.
//!
//! Origins stand in tiers. The first tier takes everything while it is well; as its members fail,
//! the next one takes over what the rest cannot carry. A tier counts as able to carry
//! [`SPARE_PERCENT`] of what its share of well members would suggest: a fleet with one of ten
//! machines down still carries all by itself, and spills over only when the loss is larger than
//! the spare.
//!
//! Each tier has its members in a *round*: a sequence in which each stands as often as its weight
//! says, evenly spread. Taking from it in order is smooth weighted round robin; taking from it at
//! random is a weighted draw. Both without a look at the other members.

use super::Places;

/// What a tier of which a part is well is believed to carry, in percent of that part.
const SPARE_PERCENT: u64 = 140;
/// Shares of tiers are counted in parts of this.
const WHOLE: u64 = 1 << 16;

/// An origin as the roster sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Share of its tier's load, relative to the others; at least 1.
    pub weight: u32,
    /// 0 is asked first.
    pub tier: u8,
    /// Health has nothing against it.
    pub is_well: bool,
    /// The operator has nothing against it.
    pub is_in: bool,
}

/// Some members and how turns go among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tier {
    members: Places,
    /// Every member as often as its weight says; empty when all weights are equal.
    round: Vec<u16>,
}

/// Who may be chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Tiers in order, with the upper end of each one's share of [`WHOLE`].
    tiers: Vec<(Tier, u64)>,
    /// All whom the operator left in: when nobody is well, a wrong guess about health must not
    /// be an outage.
    everyone: Tier,
}

impl Tier {
    /// Members with their weights, in the order of the pool.
    pub fn new(members: &[(u16, u32)]) -> Self {
        let equal = members.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let round = if equal { Vec::new() } else { spread(members) };
        Self { members: members.iter().map(|(index, _)| *index).collect(), round }
    }

    /// Places in the pool, rising.
    pub fn members(&self) -> &[u16] {
        &self.members
    }

    /// Whether all weights are the same.
    pub fn is_even(&self) -> bool {
        self.round.is_empty()
    }

    /// The tier as it is for a request that has tried some of its members.
    #[must_use]
    pub fn without(&self, tried: &[usize]) -> Self {
        let left = |places: &[u16]| -> Places {
            places.iter().copied().filter(|place| !tried.contains(&usize::from(*place))).collect()
        };
        Self { members: left(&self.members), round: left(&self.round).into_vec() }
    }

    fn round(&self) -> &[u16] {
        if self.round.is_empty() { &self.members } else { &self.round }
    }

    /// Whose turn it is.
    pub fn turn(&self, turn: usize) -> usize {
        let round = self.round();
        usize::from(round[turn % round.len()])
    }

    /// A weighted draw.
    pub fn draw(&self, random: u64) -> usize {
        let round = self.round();
        usize::from(round[below(random, round.len())])
    }

    /// Two weighted draws, of different members if there are any.
    pub fn draw_two(&self, random: u64) -> (usize, usize) {
        let round = self.round();
        let (one, other) = (below(random << 32, round.len()), below(random, round.len()));
        let first = round[one];
        // Another place of the round may be the same member: go on from there to the next one.
        let second = round[other..].iter().chain(&round[..other]).find(|place| **place != first);
        (usize::from(first), usize::from(*second.unwrap_or(&first)))
    }
}

impl Roster {
    /// Who may be chosen among `members`, which stand in the order of the pool.
    pub fn new(members: &[Member], panic_percent: u32) -> Self {
        let of = |keep: &dyn Fn(&Member) -> bool| -> Vec<(u16, u32)> {
            let numbered = members.iter().enumerate().filter(|(_, member)| keep(member));
            numbered.map(|(index, member)| (index as u16, member.weight)).collect()
        };
        let mut numbers: Vec<u8> = members.iter().map(|member| member.tier).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut tiers = Vec::new();
        for number in numbers {
            let all = of(&|member| member.tier == number && member.is_in);
            let well = of(&|member| member.tier == number && member.is_in && member.is_well);
            let percent = well.len() * 100;
            let panics = !well.is_empty() && percent < all.len() * panic_percent as usize;
            let carries = carries(&well, &all);
            tiers.push((Tier::new(if panics { &all } else { &well }), carries));
        }
        Self { tiers: shares(tiers), everyone: Tier::new(&of(&|member| member.is_in)) }
    }

    /// The tier whose share a random number falls into; `None` when nobody is well.
    fn drawn(&self, random: u64) -> Option<usize> {
        let point = random >> 48;
        self.tiers.iter().position(|(_, upto)| point < *upto)
    }

    /// Tiers in the order in which a request should try them: the one drawn, then from the first
    /// on all that have members.
    pub fn tiers(&self, random: u64) -> impl Iterator<Item = &Tier> {
        let drawn = self.drawn(random);
        let others = (0..self.tiers.len()).filter(move |at| Some(*at) != drawn);
        drawn.into_iter().chain(others).map(|at| &self.tiers[at].0)
    }

    /// All whom the operator left in, well or not.
    pub fn everyone(&self) -> &Tier {
        &self.everyone
    }
}

/// How much of the whole load a tier can carry by itself.
fn carries(well: &[(u16, u32)], all: &[(u16, u32)]) -> u64 {
    let sum = |members: &[(u16, u32)]| -> u64 { members.iter().map(|m| u64::from(m.1)).sum() };
    let whole = sum(all);
    (WHOLE * sum(well) * SPARE_PERCENT / 100).checked_div(whole).unwrap_or(0).min(WHOLE)
}

/// From what each can carry to the upper ends of their shares: each takes what the ones before
/// leave; if all together cannot carry everything, everything is divided in proportion.
fn shares(tiers: Vec<(Tier, u64)>) -> Vec<(Tier, u64)> {
    let able: u64 = tiers.iter().map(|(_, carries)| *carries).sum();
    let mut before = 0;
    let mut shared = Vec::with_capacity(tiers.len());
    for (tier, carries) in tiers {
        before += carries;
        let in_proportion = (before * WHOLE).checked_div(able).unwrap_or(0);
        let upto = if able >= WHOLE { before.min(WHOLE) } else { in_proportion };
        shared.push((tier, upto));
    }
    shared
}

/// Every member as often as its weight says (weights reduced by what they have in common), each at
/// equal distances, the first in the middle of its first stretch.
fn spread(members: &[(u16, u32)]) -> Vec<u16> {
    let common = members.iter().fold(0, |common, (_, weight)| divisor(common, *weight)).max(1);
    let mut points = Vec::new();
    for (index, weight) in members {
        let times = u64::from(weight / common);
        for nth in 0..times {
            points.push((((2 * nth + 1) << 32) / (2 * times), *index));
        }
    }
    points.sort_unstable();
    points.into_iter().map(|(_, index)| index).collect()
}

const fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// An evenly spread number below `bound`, from the upper half of one below 2⁶⁴.
const fn below(random: u64, bound: usize) -> usize {
    (((random >> 32) * bound as u64) >> 32) as usize
}
