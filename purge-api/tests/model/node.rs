//! One node: a ledger, fetches, a memory, a disk, and crashes.
//!
//! Positions are places in the log, from 1. A response's scopes are a set of bits: its URL and the
//! tags that it has or ever had.

use stateright::{Model, Property};

use crate::rule::Rule;

/// Selected by every purge of the URL.
pub const URL: u8 = 1;
/// The tags that the origin gives.
pub const TAGS: [u8; 2] = [2, 4];

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Purges, at most.
    pub purges: u8,
    /// Requests, at most.
    pub requests: u8,
    /// A response is stored, in memory and on disk, when it begins.
    pub stored: bool,
    /// Stale responses are used while they are validated; otherwise their reader waits.
    pub stale_is_used: bool,
    /// What may happen once.
    pub crash: bool,
    pub expiry: bool,
    pub change_of_tag: bool,
    pub compaction: bool,
}

const NOTHING: Scenario = Scenario {
    purges: 1,
    requests: 2,
    stored: false,
    stale_is_used: true,
    crash: false,
    expiry: false,
    change_of_tag: false,
    compaction: false,
};

impl Scenario {
    /// Checked to the end with all rules.
    pub const EXHAUSTIVE: [Self; 6] = [
        Self { purges: 2, requests: 3, ..NOTHING },
        Self { purges: 2, stored: true, expiry: true, stale_is_used: false, ..NOTHING },
        Self { stored: true, expiry: true, change_of_tag: true, requests: 3, ..NOTHING },
        Self { stored: true, expiry: true, stale_is_used: false, requests: 3, ..NOTHING },
        Self { crash: true, compaction: true, requests: 3, ..NOTHING },
        Self { purges: 2, stored: true, crash: true, ..NOTHING },
    ];
    /// Where each rule that is left out is missed.
    pub const REFUTING: [Self; 6] = [
        Self { purges: 1, requests: 2, ..NOTHING },
        Self { stored: true, expiry: true, requests: 3, change_of_tag: true, ..NOTHING },
        Self { crash: true, compaction: true, requests: 2, ..NOTHING },
        Self { purges: 2, crash: true, requests: 2, ..NOTHING },
        Self { purges: 2, ..NOTHING },
        Self { stored: true, expiry: true, stale_is_used: false, ..NOTHING },
    ];
}

/// A set of purges, by the order in which they were accepted: what the ghost knows.
type Known = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Purge {
    pub scope: u8,
    pub hard: bool,
    pub position: u8,
    pub acked: bool,
}

/// A stored response, or one on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub id: u8,
    pub sent: u8,
    pub validated: u8,
    /// As the node keeps them.
    pub scopes: u8,
    pub expired: bool,
    /// The ghost: what was known when bytes and validation were asked for, and every scope it had.
    pub bytes_know: Known,
    pub validation_knows: Known,
    pub true_scopes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fetch {
    pub is_sent: bool,
    pub watermark: u8,
    pub knows: Known,
    pub base: Option<Record>,
}

/// A request that waits for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Waiter {
    pub fetch: u8,
    pub leads: bool,
    pub arrival: u8,
    /// The ghost: purges acknowledged before it arrived.
    pub owed: Known,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct State {
    pub purges: Vec<Purge>,
    /// Indices into `purges`, in the order of the log.
    pub log: Vec<u8>,
    pub synced: u8,
    pub in_force: u8,
    /// Entries up to here are forgotten; what was fetched below `floor` counts as purged.
    pub forgotten: u8,
    pub floor: u8,
    pub memory: Option<Record>,
    pub disk: Option<Record>,
    pub fetches: [Option<Fetch>; 2],
    pub waiters: Vec<Waiter>,
    pub requests: u8,
    pub next_id: u8,
    pub tag: u8,
    pub crashed: bool,
    pub has_expired: bool,
    pub changed_tag: bool,
    pub compacted: bool,
    /// For the checks that the model is not empty.
    pub hit: bool,
    pub refused: bool,
    pub broken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Append { scope: u8, hard: bool },
    Sync,
    Force,
    Acknowledge(u8),
    Request,
    Send(u8),
    Resume(u8),
    Full(u8),
    NotModified(u8),
    Error(u8),
    Expire,
    ChangeTag,
    ToDisk,
    Compact,
    Crash { kept: u8 },
}

/// The model.
#[derive(Clone, Debug)]
pub struct Node {
    pub scenario: Scenario,
    pub without: Option<Rule>,
}

/// What selects a response.
#[derive(Clone, Copy, Default)]
struct Selected {
    hard: bool,
    soft: bool,
}

impl Node {
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The comparison of the live map.
    fn compare(&self, state: &State, scopes: u8, sent: u8, validated: u8) -> Selected {
        let mut selected = Selected { hard: sent < state.floor, soft: false };
        for scope in [URL, TAGS[0], TAGS[1]].into_iter().filter(|scope| scopes & scope != 0) {
            let (mut hard, mut soft) = (0, 0);
            for position in state.forgotten + 1..=state.in_force.min(state.log.len() as u8) {
                let purge = state.purges[usize::from(state.log[usize::from(position) - 1])];
                if purge.scope != scope {
                    continue;
                }
                if purge.hard {
                    hard = position;
                } else {
                    soft = position;
                }
                if !self.keeps(Rule::HardBesideSoft) {
                    if purge.hard { soft = 0 } else { hard = 0 }
                }
            }
            selected.hard |= hard > sent;
            selected.soft |= soft > validated;
        }
        selected
    }

    fn compare_record(&self, state: &State, record: Record) -> Selected {
        if !self.keeps(Rule::LookupCompares) {
            return Selected::default();
        }
        self.compare(state, record.scopes, record.sent, record.validated)
    }

    /// A fetch that is to be sent; what is stored is its base, unless a hard purge selects it.
    fn fetch(&self, state: &State) -> Fetch {
        let base = state.memory.filter(|record| {
            !self.keeps(Rule::NoHardBase) || !self.compare_record(state, *record).hard
        });
        Fetch { is_sent: false, watermark: 0, knows: 0, base }
    }

    /// Whether a request may wait for a fetch whose tags nobody knows yet.
    fn may_join(&self, state: &State, fetch: &Fetch) -> bool {
        let selected = self.compare(state, URL, fetch.watermark, fetch.watermark);
        let selects = selected.hard || (selected.soft && self.keeps(Rule::JoinComparesSoft));
        !fetch.is_sent || !self.keeps(Rule::JoinCompares) || !selects
    }

    /// A request is looked up, for the first time or again.
    fn look(&self, state: &mut State, arrival: u8, owed: Known) -> Option<()> {
        if let Some(record) = state.memory {
            let selected = self.compare_record(state, record);
            state.refused |= selected.hard;
            let stale = record.expired || selected.soft;
            if !selected.hard && (!stale || self.scenario.stale_is_used) {
                state.hit = true;
                state.give(record, owed, !stale);
                if stale {
                    // Refreshed behind the reader's back, unless somebody asks already.
                    let asks =
                        state.fetches.iter().flatten().any(|fetch| self.may_join(state, fetch));
                    if let Some(free) = state.fetches.iter().position(Option::is_none)
                        && !asks
                    {
                        state.fetches[free] = Some(self.fetch(state));
                    }
                }
                return Some(());
            }
        }
        let may_join = |fetch: &Option<Fetch>| fetch.is_some_and(|it| self.may_join(state, &it));
        let joined = state.fetches.iter().position(may_join);
        let (fetch, leads) = match joined {
            Some(fetch) => (fetch, false),
            None => (state.fetches.iter().position(Option::is_none)?, true),
        };
        if leads {
            state.fetches[fetch] = Some(self.fetch(state));
        }
        state.waiters.push(Waiter { fetch: fetch as u8, leads, arrival, owed });
        state.waiters.sort_unstable();
        Some(())
    }

    /// Those who wait for a fetch leave it; `give` says who is answered, others look again.
    fn release(
        &self,
        state: &mut State,
        fetch: u8,
        mut give: impl FnMut(&mut State, &Waiter) -> bool,
    ) -> Option<()> {
        let (those, others) = state.waiters.iter().partition(|waiter| waiter.fetch == fetch);
        state.waiters = others;
        state.fetches[usize::from(fetch)] = None;
        let those: Vec<Waiter> = those;
        for waiter in those {
            if !give(state, &waiter) {
                self.look(state, waiter.arrival, waiter.owed)?;
            }
        }
        Some(())
    }

    fn full(&self, state: &mut State, at: u8) -> Option<()> {
        let fetch = state.fetches[usize::from(at)]?;
        let watermark =
            if self.keeps(Rule::WatermarkAtSend) { fetch.watermark } else { state.in_force };
        state.next_id += 1;
        let scopes = URL | TAGS[usize::from(state.tag)];
        let record = Record {
            id: state.next_id,
            sent: watermark,
            validated: watermark,
            scopes,
            expired: false,
            bytes_know: fetch.knows,
            validation_knows: fetch.knows,
            true_scopes: scopes,
        };
        let replaces = state.memory.is_none_or(|stored| {
            stored.sent <= record.sent || self.compare_record(state, stored).hard
        });
        if replaces {
            state.memory = Some(record);
        }
        self.release(state, at, |state, waiter| {
            let known = if self.keeps(Rule::JoinComparesTags) { scopes } else { URL };
            let known = if self.keeps(Rule::JoinCompares) { known } else { 0 };
            let selected = self.compare(state, known, watermark, watermark);
            let soft = selected.soft && self.keeps(Rule::JoinComparesSoft);
            let may = waiter.leads || waiter.arrival <= watermark || !(selected.hard || soft);
            if may {
                state.give(record, waiter.owed, true);
            }
            may
        })
    }

    fn not_modified(&self, state: &mut State, at: u8) -> Option<()> {
        let fetch = state.fetches[usize::from(at)]?;
        let asked_about = fetch.base?;
        let base = if self.keeps(Rule::OwnBase) { asked_about } else { state.memory? };
        let selected = self.compare(state, base.scopes, base.sent, u8::MAX);
        // Without the rule of the base, a 304 would be asked for to use the bytes once more.
        if selected.hard && self.keeps(Rule::BaseIsCompared) && self.keeps(Rule::NoHardBase) {
            return self.release(state, at, |_, _| false);
        }
        let scopes = URL | TAGS[usize::from(state.tag)];
        let union = if self.keeps(Rule::UnionOfTags) { base.scopes | scopes } else { scopes };
        let merged = Record {
            validated: fetch.watermark,
            scopes: union,
            expired: false,
            // The ghost knows about which bytes the origin was asked.
            validation_knows: if base.id == asked_about.id {
                fetch.knows
            } else {
                base.validation_knows
            },
            true_scopes: base.true_scopes | scopes,
            ..base
        };
        if state.memory.is_some_and(|stored| stored.id == base.id) {
            state.memory = Some(merged);
        }
        self.release(state, at, |state, waiter| {
            let selected = self.compare(state, merged.scopes, merged.sent, merged.validated);
            let may = waiter.leads
                || waiter.arrival <= fetch.watermark
                || !(selected.hard || selected.soft)
                || !self.keeps(Rule::WaitersCompare);
            if may {
                state.give(merged, waiter.owed, true);
            }
            may
        })
    }

    fn error(&self, state: &mut State, at: u8) -> Option<()> {
        let fetch = state.fetches[usize::from(at)]?;
        self.release(state, at, |state, waiter| {
            if let Some(base) = fetch.base
                && (!self.keeps(Rule::StaleOnErrorCompares)
                    || !self.compare(state, base.scopes, base.sent, u8::MAX).hard)
            {
                state.give(base, waiter.owed, false);
            }
            true
        })
    }

    fn send(&self, state: &mut State, at: u8) -> Option<()> {
        let watermark =
            if self.keeps(Rule::WatermarkInForce) { state.in_force } else { state.log.len() as u8 };
        let knows = state.all();
        let fetch = state.fetches[usize::from(at)].as_mut()?;
        (fetch.is_sent, fetch.watermark, fetch.knows) = (true, watermark, knows);
        Some(())
    }

    fn crash(&self, state: &mut State, kept: u8) {
        state.log.truncate(usize::from(kept));
        state.synced = kept;
        state.in_force = if self.keeps(Rule::ReplayBeforeServing) { kept } else { 0 };
        if !self.keeps(Rule::FloorIsDurable) {
            state.floor = 0;
        }
        state.memory = state.disk;
        state.fetches = [None; 2];
        state.waiters.clear();
        state.crashed = true;
    }
}

impl State {
    /// The ghost judges an answer.
    fn give(&mut self, record: Record, owed: Known, is_fresh: bool) {
        for (at, purge) in self.purges.iter().enumerate() {
            let bit = 1 << at;
            if owed & bit == 0 || record.true_scopes & purge.scope == 0 {
                continue;
            }
            let knows = if purge.hard {
                record.bytes_know & bit != 0
            } else {
                !is_fresh || (record.bytes_know | record.validation_knows) & bit != 0
            };
            self.broken |= !knows;
        }
    }

    fn all(&self) -> Known {
        ((1_u16 << self.purges.len()) - 1) as u8
    }

    fn owed(&self) -> Known {
        let acked = self.purges.iter().enumerate().filter(|(_, purge)| purge.acked);
        acked.fold(0, |owed, (at, _)| owed | 1 << at)
    }
}

impl Model for Node {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let scopes = URL | TAGS[0];
        let record = Record {
            id: 0,
            sent: 0,
            validated: 0,
            scopes,
            expired: false,
            bytes_know: 0,
            validation_knows: 0,
            true_scopes: scopes,
        };
        let stored = self.scenario.stored.then_some(record);
        vec![State { memory: stored, disk: stored, ..State::default() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let scenario = &self.scenario;
        if (state.purges.len() as u8) < scenario.purges {
            for scope in [URL, TAGS[0], TAGS[1]] {
                steps.extend([true, false].map(|hard| Step::Append { scope, hard }));
            }
        }
        let log = state.log.len() as u8;
        let forceable = if self.keeps(Rule::SyncBeforeForce) { state.synced } else { log };
        if state.synced < log {
            steps.push(Step::Sync);
        }
        if state.in_force < forceable {
            steps.push(Step::Force);
        }
        for (at, purge) in state.purges.iter().enumerate() {
            if !purge.acked && state.log.contains(&(at as u8)) && purge.position <= state.in_force {
                steps.push(Step::Acknowledge(at as u8));
            }
        }
        if state.requests < scenario.requests {
            steps.push(Step::Request);
        }
        for (at, fetch) in state.fetches.iter().enumerate() {
            let at = at as u8;
            match fetch {
                None => {}
                Some(fetch) if !fetch.is_sent => steps.push(Step::Send(at)),
                Some(fetch) => {
                    steps.extend([Step::Full(at), Step::Error(at)]);
                    if fetch.base.is_some() {
                        steps.push(Step::NotModified(at));
                    }
                    if fetch.watermark < state.in_force {
                        steps.push(Step::Resume(at));
                    }
                }
            }
        }
        if scenario.expiry && !state.has_expired && state.memory.is_some() {
            steps.push(Step::Expire);
        }
        if scenario.change_of_tag && !state.changed_tag {
            steps.push(Step::ChangeTag);
        }
        if scenario.crash && !state.crashed {
            if state.disk != state.memory {
                steps.push(Step::ToDisk);
            }
            steps.extend((state.synced..=log).map(|kept| Step::Crash { kept }));
        }
        if scenario.compaction && !state.compacted && state.in_force > 0 {
            steps.push(Step::Compact);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        let state = &mut next;
        match step {
            Step::Append { scope, hard } => {
                state.log.push(state.purges.len() as u8);
                let position = state.log.len() as u8;
                state.purges.push(Purge { scope, hard, position, acked: false });
            }
            Step::Sync => state.synced = state.log.len() as u8,
            Step::Force => state.in_force += 1,
            Step::Acknowledge(at) => state.purges[usize::from(at)].acked = true,
            Step::Request => {
                state.requests += 1;
                let (arrival, owed) = (state.in_force, state.owed());
                self.look(state, arrival, owed)?;
            }
            Step::Send(at) => self.send(state, at)?,
            Step::Resume(at) => {
                if self.keeps(Rule::ResumeKeepsWatermark) {
                    return None;
                }
                state.fetches[usize::from(at)].as_mut()?.watermark = state.in_force;
            }
            Step::Full(at) => self.full(state, at)?,
            Step::NotModified(at) => self.not_modified(state, at)?,
            Step::Error(at) => self.error(state, at)?,
            Step::Expire => {
                state.has_expired = true;
                state.memory.as_mut()?.expired = true;
            }
            Step::ChangeTag => (state.changed_tag, state.tag) = (true, 1),
            Step::ToDisk => state.disk = state.memory,
            Step::Compact => {
                state.compacted = true;
                state.forgotten = state.in_force;
                if self.keeps(Rule::FloorBeforeForgetting) {
                    state.floor = state.in_force;
                }
            }
            Step::Crash { kept } => self.crash(state, kept),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the promise", |_, state: &State| !state.broken),
            Property::sometimes("a hit", |_, state: &State| state.hit),
            Property::sometimes("a purged response is not used", |_, state: &State| state.refused),
        ]
    }
}
