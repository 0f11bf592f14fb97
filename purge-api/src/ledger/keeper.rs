//! The one thread that appends.
//!
//! Whatever waits when the thread turns is committed together: one `fsync` for all (group
//! commit). After it, and in ledger order, each entry goes into the live map, and only then is
//! it acknowledged. Reads of the audit trail pass through the same thread: they see exactly what
//! is durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use selvedge_cache::invalidate::{Live, Position};
use tokio::sync::oneshot;

use super::entry::{Entry, NewEntry};
use super::frame::TEXT_BYTES_MAX;
use super::log::{AppendFailure, COMMIT_BYTES_MAX, Log};
use super::repeat::{Repeats, Seen};
use super::{AppendError, Appended, Limits, Shared};
use crate::selector::KeyRules;

/// Pause before a poisoned file is written anew without being asked. It doubles with every
/// failure, up to [`MEND_PAUSE_MAX`].
const MEND_PAUSE: Duration = Duration::from_secs(1);
const MEND_PAUSE_MAX: Duration = Duration::from_mins(1);
/// Most text of one page of the audit trail, in bytes.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// A purge that waits for its position.
pub(super) struct Waiting {
    pub purge: NewEntry,
    /// Length of its text in the ledger.
    pub text_bytes: usize,
    pub reply: oneshot::Sender<Result<Appended, AppendError>>,
}

/// What the thread is asked for.
pub(super) enum Command {
    Append(Waiting),
    Page { after: Position, count_max: usize, reply: oneshot::Sender<std::io::Result<Vec<Entry>>> },
    Compact { floor: Position, reply: oneshot::Sender<std::io::Result<Position>> },
    Rules { rules: Arc<dyn KeyRules>, reply: oneshot::Sender<std::io::Result<()>> },
    Stop,
}

/// The thread's own state.
pub(super) struct Keeper {
    pub log: Log,
    pub live: Arc<Live>,
    /// Rules of today, and those of before: exchanges that began under them may still run.
    pub rules: (Arc<dyn KeyRules>, Option<Arc<dyn KeyRules>>),
    pub repeats: Repeats,
    pub limits: Limits,
    pub shared: Arc<Shared>,
    /// Failures in a row of writing a poisoned file anew.
    pub mends_failed: u32,
}

impl Keeper {
    /// Serves commands until it is told to stop or nobody can ask any more.
    pub fn run(mut self, commands: &Receiver<Command>) {
        let mut stop = false;
        while !stop {
            let first = match self.wait(commands) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.mend();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut appends, mut others, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Append(waiting) => {
                        bytes += waiting.text_bytes;
                        appends.push(waiting);
                    }
                    other => others.push(other),
                }
                let is_full = bytes + 2 * TEXT_BYTES_MAX > COMMIT_BYTES_MAX
                    || appends.len() + others.len() >= TURN_MAX;
                next = if is_full { None } else { commands.try_recv().ok() };
            }
            if !appends.is_empty() {
                self.commit(appends);
            }
            for command in others {
                stop |= self.answer(command);
            }
            self.publish();
        }
    }

    fn wait(&self, commands: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        if self.log.is_poisoned() {
            let pause = MEND_PAUSE * 2u32.pow(self.mends_failed.min(6));
            commands.recv_timeout(pause.min(MEND_PAUSE_MAX))
        } else {
            commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    /// Answers whatever is no append; whether it was the last command.
    fn answer(&mut self, command: Command) -> bool {
        match command {
            Command::Append(_) => unreachable!("appends are committed together"),
            Command::Page { after, count_max, reply } => {
                let _ = reply.send(self.log.page(after, count_max, PAGE_BYTES_MAX));
            }
            Command::Compact { floor, reply } => {
                let is_worth_it = self.log.is_worth_rewriting(floor);
                let done = if is_worth_it { self.rewrite(floor) } else { Ok(()) };
                let _ = reply.send(done.map(|()| self.log.floor()));
            }
            Command::Rules { rules, reply } => {
                let _ = reply.send(self.derive_anew(rules));
            }
            Command::Stop => return true,
        }
        false
    }

    /// Appends, makes durable, puts in force, acknowledges: in this order.
    fn commit(&mut self, waiting: Vec<Waiting>) {
        if self.log.is_poisoned() {
            self.mend();
        }
        if self.log.is_poisoned() {
            let why = AppendError::Disk("the ledger's file cannot be written anew".to_owned());
            return refuse(waiting.into_iter().map(|one| one.reply), &why);
        }
        let mut batch: Vec<NewEntry> = Vec::new();
        let mut replies: Vec<Vec<oneshot::Sender<_>>> = Vec::new();
        for one in waiting {
            let twin = one.purge.idempotency_key.as_ref().and_then(|key| {
                let is_same = |other: &NewEntry| other.idempotency_key.as_ref() == Some(key);
                batch.iter().position(|other| is_same(other) && other.who == one.purge.who)
            });
            let seen = match twin {
                Some(at) if !batch[at].asks_the_same(&one.purge) => Seen::Other,
                _ => self.repeats.seen(&one.purge),
            };
            match (seen, twin) {
                (Seen::Before(position), _) => {
                    let _ = one.reply.send(Ok(Appended { position, repeated: true }));
                }
                (Seen::Other, _) => {
                    let _ = one.reply.send(Err(AppendError::KeyReused));
                }
                (Seen::New, Some(at)) => replies[at].push(one.reply),
                (Seen::New, None) => {
                    batch.push(one.purge);
                    replies.push(vec![one.reply]);
                }
            }
        }
        if batch.is_empty() {
            return;
        }
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        match self.log.append(&batch) {
            Ok(entries) => {
                for (entry, replies) in entries.iter().zip(replies) {
                    self.put_in_force(entry);
                    for (nth, reply) in replies.into_iter().enumerate() {
                        let _ = reply
                            .send(Ok(Appended { position: entry.position, repeated: nth > 0 }));
                    }
                }
                self.keep_bounds();
            }
            Err(failure) => {
                self.shared.failures.fetch_add(1, Ordering::Relaxed);
                let why = match failure {
                    AppendFailure::Refused(why) => why,
                    AppendFailure::InDoubt(why, entries) => {
                        for entry in &entries {
                            self.live.select(&entry.invalidation(&self.rules()));
                        }
                        why
                    }
                };
                tracing::error!(%why, purges = batch.len(), "purges were not made durable");
                let why = AppendError::Disk(why.to_string());
                refuse(replies.into_iter().flatten(), &why);
            }
        }
    }

    fn put_in_force(&mut self, entry: &Entry) {
        self.live.apply(&entry.invalidation(&self.rules()));
        self.repeats.remember(entry);
    }

    /// Writes a poisoned file anew; entries that were in doubt are in force afterwards.
    fn mend(&mut self) {
        match self.rewrite(self.log.floor()) {
            Ok(()) => {
                self.mends_failed = 0;
                tracing::info!("the purge ledger was written anew and takes purges again");
            }
            Err(why) => {
                self.mends_failed = self.mends_failed.saturating_add(1);
                tracing::error!(%why, "the purge ledger cannot be written anew yet: it takes no purges");
            }
        }
        self.publish();
    }

    fn rewrite(&mut self, floor: Position) -> std::io::Result<()> {
        if floor <= self.log.floor() && !self.log.is_poisoned() {
            return Ok(());
        }
        let recovered = self.log.rewrite(floor)?;
        for entry in &recovered {
            self.put_in_force(entry);
        }
        self.live.raise_floor(self.log.floor());
        Ok(())
    }

    /// Puts every entry in force under new rules, beside the old ones: more, never less. From
    /// here on entries are derived under both.
    fn derive_anew(&mut self, rules: Arc<dyn KeyRules>) -> std::io::Result<()> {
        let old = std::mem::replace(&mut self.rules.0, rules);
        self.rules.1 = Some(old);
        let fresh = Arc::clone(&self.rules.0);
        self.log.replay(|entry| self.live.rederive(&entry.invalidation(&[&*fresh])))
    }

    /// Compacts when the file or the live map outgrew its bound, although nobody said that it
    /// may: whatever was fetched before the new floor is fetched again. That costs, and holds.
    fn keep_bounds(&mut self) {
        let is_over = self.log.bytes() > self.limits.file_bytes_max
            || self.live.scopes() > self.limits.scopes_max;
        if !is_over {
            return;
        }
        let (floor, tail) = (self.log.floor().0, self.log.tail().position.0);
        let middle = Position(floor + (tail - floor).div_ceil(2));
        match self.rewrite(middle) {
            Ok(()) => tracing::warn!(
                floor = middle.0,
                "the purge ledger outgrew its bound: what was stored before its floor is purged"
            ),
            Err(why) => tracing::error!(%why, "the purge ledger outgrew its bound"),
        }
    }

    fn rules(&self) -> Vec<&dyn KeyRules> {
        let mut rules: Vec<&dyn KeyRules> = vec![&*self.rules.0];
        rules.extend(self.rules.1.as_deref());
        rules
    }

    fn publish(&self) {
        self.shared.bytes.store(self.log.bytes(), Ordering::Relaxed);
        self.shared.is_poisoned.store(self.log.is_poisoned(), Ordering::Relaxed);
    }
}

/// Most commands that one turn takes.
const TURN_MAX: usize = 1024;

fn refuse(
    replies: impl Iterator<Item = oneshot::Sender<Result<Appended, AppendError>>>,
    why: &AppendError,
) {
    for reply in replies {
        let _ = reply.send(Err(why.clone()));
    }
}
