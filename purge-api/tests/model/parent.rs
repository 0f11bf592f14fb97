//! A child that fetches from a parent: both apply the same purges, each in its own time.
//!
//! Every purge selects the one resource. The promise is the child's: it acknowledged a purge, so
//! whoever asks it later gets nothing older, although the parent may not have heard of the purge.
//! The product has no parents yet; the rules are checked before they are built.

use stateright::{Model, Property};

use crate::rule::Rule;

const PURGES: u8 = 2;
const REQUESTS: u8 = 3;

type Known = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub sent: u8,
    pub validated: u8,
    /// The ghost.
    pub bytes_know: Known,
    pub validation_knows: Known,
}

/// A fetch of the parent from the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fill {
    pub watermark: u8,
    pub knows: Known,
    /// The child's request waits for it.
    pub for_child: bool,
}

/// A fetch of the child from the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fetch {
    pub watermark: u8,
    pub knows: Known,
    pub base: Option<Record>,
    /// The parent was asked to go to the origin.
    pub bypass: bool,
    /// Purges that the child had acknowledged before the waiting request arrived.
    pub owed: Known,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct State {
    /// Hard or soft, in the order of the stream.
    pub purges: Vec<bool>,
    pub parent_at: u8,
    pub child_at: u8,
    pub acked: u8,
    pub parent: Option<Record>,
    pub child: Option<Record>,
    pub fill: Option<Fill>,
    pub fetch: Option<Fetch>,
    pub requests: u8,
    /// The parent's positions are of another ledger.
    pub foreign: bool,
    pub hit: bool,
    pub refused: bool,
    pub broken: bool,
}

/// What an answer of the parent says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stated {
    Nothing,
    /// A position, and whether it is of the child's ledger.
    Position(u8, bool),
    /// Sent to the origin after the child asked.
    AfterYou,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Purge { hard: bool },
    ParentApplies,
    ChildApplies,
    ChildAcknowledges,
    ParentFetches,
    ParentStores,
    ChildIsAsked,
    ParentAnswers { silent: bool },
    ParentJoins,
    ParentAnswers304,
    ParentAsksOrigin,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub without: Option<Rule>,
}

/// Above every position of the child's ledger.
const FOREIGN: u8 = 9;

impl Fleet {
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// What the child takes for the watermark of what its parent answered.
    fn taken(&self, own: u8, stated: Stated) -> u8 {
        match stated {
            Stated::Nothing if self.keeps(Rule::SilenceIsZero) => 0,
            Stated::Position(_, false) if self.keeps(Rule::LedgerIsCompared) => 0,
            Stated::Position(position, _) if self.keeps(Rule::MinimumOfBoth) => position.min(own),
            Stated::AfterYou | Stated::Nothing | Stated::Position(..) => own,
        }
    }

    /// The child has bytes from its parent.
    fn received(&self, state: &mut State, bytes_know: Known, stated: Stated) -> Option<()> {
        let fetch = state.fetch?;
        let sent = self.taken(fetch.watermark, stated);
        let record = Record { sent, validated: sent, bytes_know, validation_knows: bytes_know };
        self.deliver(state, record)
    }

    /// Serves and keeps what came, or asks again so that the parent cannot answer from its store.
    fn deliver(&self, state: &mut State, record: Record) -> Option<()> {
        let fetch = state.fetch?;
        let (hard, soft) = state.selects(record, state.child_at);
        if (hard || soft) && self.keeps(Rule::MinimumGovernsServing) && !fetch.bypass {
            state.refused = true;
            state.fetch = Some(state.fetching(None, true, fetch.owed));
            return Some(());
        }
        state.child = Some(record);
        state.give(record, fetch.owed, true);
        state.fetch = None;
        Some(())
    }

    fn asked(state: &mut State) -> Option<()> {
        state.requests += 1;
        let owed = (1 << state.acked) - 1;
        let mut base = None;
        if let Some(record) = state.child {
            let (hard, soft) = state.selects(record, state.child_at);
            if !hard && !soft {
                state.hit = true;
                state.give(record, owed, true);
                return Some(());
            }
            state.refused |= hard;
            base = Some(record).filter(|_| !hard);
        }
        if state.fetch.is_some() {
            return None; // One at a time; joining is checked in the model of a node.
        }
        state.fetch = Some(state.fetching(base, false, owed));
        Some(())
    }
}

impl State {
    fn all(&self) -> Known {
        (1 << self.purges.len()) - 1
    }

    fn fetching(&self, base: Option<Record>, bypass: bool, owed: Known) -> Fetch {
        Fetch { watermark: self.child_at, knows: self.all(), base, bypass, owed }
    }

    /// Hard and soft purges up to `at` that select a record.
    fn selects(&self, record: Record, at: u8) -> (bool, bool) {
        let later = |hard: bool, than: u8| {
            (than + 1..=at.min(self.purges.len() as u8))
                .any(|position| self.purges[usize::from(position) - 1] == hard)
        };
        (later(true, record.sent), later(false, record.validated))
    }

    fn give(&mut self, record: Record, owed: Known, is_fresh: bool) {
        for (at, hard) in self.purges.iter().enumerate() {
            let bit = 1 << at;
            let known = record.bytes_know | if *hard { 0 } else { record.validation_knows };
            self.broken |= owed & bit != 0 && known & bit == 0 && (*hard || is_fresh);
        }
    }

    fn stated(&self, position: u8) -> Stated {
        if self.foreign {
            Stated::Position(FOREIGN, false)
        } else {
            Stated::Position(position, true)
        }
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        [false, true].map(|foreign| State { foreign, ..State::default() }).into()
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let stream = state.purges.len() as u8;
        if stream < PURGES {
            steps.extend([true, false].map(|hard| Step::Purge { hard }));
        }
        if state.parent_at < stream {
            steps.push(Step::ParentApplies);
        }
        if state.child_at < stream {
            steps.push(Step::ChildApplies);
        }
        if state.acked < state.child_at {
            steps.push(Step::ChildAcknowledges);
        }
        steps.push(if state.fill.is_none() { Step::ParentFetches } else { Step::ParentStores });
        if state.requests < REQUESTS {
            steps.push(Step::ChildIsAsked);
        }
        let Some(fetch) = state.fetch else { return };
        if state.fill.is_some_and(|fill| fill.for_child) {
            return; // It waits for the parent's fetch.
        }
        steps.push(Step::ParentAsksOrigin);
        if !fetch.bypass {
            steps.extend([true, false].map(|silent| Step::ParentAnswers { silent }));
            steps.extend([Step::ParentJoins, Step::ParentAnswers304]);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut next = last.clone();
        let state = &mut next;
        match step {
            Step::Purge { hard } => state.purges.push(hard),
            Step::ParentApplies => state.parent_at += 1,
            Step::ChildApplies => state.child_at += 1,
            Step::ChildAcknowledges => state.acked += 1,
            Step::ParentFetches => {
                let (watermark, knows) = (state.parent_at, state.all());
                state.fill = Some(Fill { watermark, knows, for_child: false });
            }
            Step::ParentStores => {
                let fill = state.fill.take()?;
                state.parent = Some(Record {
                    sent: fill.watermark,
                    validated: fill.watermark,
                    bytes_know: fill.knows,
                    validation_knows: fill.knows,
                });
                if fill.for_child {
                    let used = self.keeps(Rule::ParentStatesUsed);
                    let stated = if used { fill.watermark } else { state.parent_at };
                    let stated = state.stated(stated);
                    self.received(state, fill.knows, stated)?;
                }
            }
            Step::ChildIsAsked => Self::asked(state)?,
            Step::ParentAnswers { silent } => {
                let record = state.parent?;
                if state.selects(record, state.parent_at) != (false, false) {
                    return None;
                }
                let stated = if silent { Stated::Nothing } else { state.stated(record.sent) };
                self.received(state, record.bytes_know, stated)?;
            }
            Step::ParentJoins => {
                let parent_at = state.parent_at;
                let fill = state.fill.as_mut()?;
                if fill.watermark < parent_at {
                    return None; // A purge came in between, and every purge selects.
                }
                fill.for_child = true;
            }
            Step::ParentAnswers304 => {
                let (record, fetch) = (state.parent?, state.fetch?);
                let base = fetch.base?;
                if state.selects(record, state.parent_at) != (false, false) {
                    return None;
                }
                let stated = state.stated(record.validated);
                let validated = if self.keeps(Rule::ValidationIsStated) {
                    self.taken(fetch.watermark, stated)
                } else {
                    fetch.watermark
                };
                let validation_knows = base.validation_knows | record.validation_knows;
                let validated = validated.max(base.validated);
                self.deliver(state, Record { validated, validation_knows, ..base })?;
            }
            Step::ParentAsksOrigin => {
                let knows = state.fetch?.knows;
                self.received(state, knows, Stated::AfterYou)?;
            }
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
