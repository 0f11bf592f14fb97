//! Names to addresses, kept current, without making requests wait for it.
//!
//! The system's resolver tells no lifetimes, so an answer counts as current for a floor of time.
//! After that it is still used while one question is under way in the background, and it goes on
//! being used if the question fails: an origin that was reachable a minute ago most likely still
//! is, whatever the name server says. Only when nothing is known does a request wait, and all
//! that wait share one question. A failure with nothing to fall back on is remembered briefly.
//!
//! [`Machine`] decides, with time as an argument; [`Resolver`] asks.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_cache::Millis;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::config::wait;
use crate::error::{Cause, Error};

/// How long an answer is current, in milliseconds.
const CURRENT_MS: u64 = 30_000;
/// How long an answer is used after that while no newer one can be had, in milliseconds.
const STALE_MS: u64 = 3_600_000;
/// Between a failed question and the next, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 32;

/// Addresses of one name, at least one.
pub type Addresses = Arc<[SocketAddr]>;

/// Asks for the addresses of a name.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// All addresses of `host`, each with `port`.
    fn lookup(&self, host: &str, port: u16) -> LookupFuture;
}

/// The question under way.
pub type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The system's resolver, on the runtime's blocking threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str, port: u16) -> LookupFuture {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

// === the machine ===

/// What is known of one name.
#[derive(Debug, Default)]
pub struct Machine {
    known: Option<(Addresses, Millis)>,
    /// A question is under way; after this point it counts as lost.
    asking_until: Option<Millis>,
    failed_at: Option<Millis>,
}

/// What to do about a name now.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Use these.
    Use(Addresses),
    /// Use these, and ask in the background.
    UseAndAsk(Addresses),
    /// Ask, then look again.
    Ask,
    /// Somebody asks: wait, then look again.
    Wait,
    /// The last answer was that there is none, a moment ago.
    Failed,
}

impl Machine {
    /// Decides at `now`. Whoever is told to ask owes [`Machine::answered`] within `patience_ms`.
    pub fn step(&mut self, now: Millis, patience_ms: u64) -> Step {
        if self.asking_until.is_some_and(|until| now >= until) {
            self.asking_until = None;
        }
        let asking = self.asking_until.is_some();
        let rests = self.failed_at.is_some_and(|at| now < at.plus_ms(RETRY_MS));
        let step = match &self.known {
            Some((addresses, at)) if now < at.plus_ms(CURRENT_MS) => Step::Use(addresses.clone()),
            Some((addresses, at)) if now < at.plus_ms(CURRENT_MS + STALE_MS) => {
                if asking || rests {
                    Step::Use(addresses.clone())
                } else {
                    Step::UseAndAsk(addresses.clone())
                }
            }
            _ if asking => Step::Wait,
            _ if rests => Step::Failed,
            _ => Step::Ask,
        };
        if matches!(step, Step::Ask | Step::UseAndAsk(_)) {
            self.asking_until = Some(now.plus_ms(patience_ms.saturating_mul(2)));
        }
        step
    }

    /// The answer to a question; no addresses is a failure.
    pub fn answered(&mut self, mut addresses: Vec<SocketAddr>, now: Millis) {
        self.asking_until = None;
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            self.failed_at = Some(now);
        } else {
            self.failed_at = None;
            self.known = Some((interleave(addresses).into(), now));
        }
    }
}

/// IPv6 and IPv4 in turn, beginning with the family that the resolver put first (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else { return addresses };
    let (mut ours, mut others): (Vec<_>, Vec<_>) =
        addresses.into_iter().rev().partition(|address| address.is_ipv6() == first);
    let mut mixed = Vec::with_capacity(ours.len() + others.len());
    while !ours.is_empty() || !others.is_empty() {
        mixed.extend(ours.pop());
        mixed.extend(others.pop());
    }
    mixed
}

// === the asking ===

/// Keeps the addresses of one name for all cores.
#[derive(Debug)]
pub struct Resolver {
    host: String,
    port: u16,
    patience_ms: u64,
    lookup: Arc<dyn Lookup>,
    machine: Mutex<Machine>,
    answered: Notify,
    epoch: Instant,
}

impl Resolver {
    /// Nothing is asked before the first request needs it. `patience_ms` bounds each question.
    pub fn new(host: String, port: u16, patience_ms: u64, lookup: Arc<dyn Lookup>) -> Arc<Self> {
        let (machine, answered, epoch) = (Mutex::default(), Notify::new(), Instant::now());
        Arc::new(Self { host, port, patience_ms, lookup, machine, answered, epoch })
    }

    /// Addresses to connect to.
    pub async fn addresses(self: &Arc<Self>) -> Result<Addresses, Error> {
        let give_up = Instant::now() + wait(self.patience_ms);
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            let step = self.machine.lock().step(self.now(), self.patience_ms);
            match step {
                Step::Use(addresses) => return Ok(addresses),
                Step::UseAndAsk(addresses) => {
                    self.ask();
                    return Ok(addresses);
                }
                Step::Failed => {
                    return Err(Error::with(
                        Cause::OriginDns,
                        format!("no address for {}", self.host),
                    ));
                }
                Step::Ask => self.ask(),
                Step::Wait => {}
            }
            if timeout_at(give_up, answered).await.is_err() {
                return Err(Error::with(
                    Cause::OriginDnsTimeout,
                    format!("no answer about {} within {} ms", self.host, self.patience_ms),
                ));
            }
        }
    }

    /// Asks in a task of its own, so that a client that leaves does not end everyone's question.
    fn ask(self: &Arc<Self>) {
        let resolver = self.clone();
        tokio::spawn(async move {
            let question = resolver.lookup.lookup(&resolver.host, resolver.port);
            let patience = wait(resolver.patience_ms);
            let addresses = match timeout(patience, question).await {
                Ok(Ok(addresses)) => addresses,
                Ok(Err(error)) => {
                    tracing::warn!(host = resolver.host, %error, "cannot resolve an origin's name");
                    Vec::new()
                }
                Err(_) => {
                    tracing::warn!(host = resolver.host, "no answer about an origin's name");
                    Vec::new()
                }
            };
            resolver.machine.lock().answered(addresses, resolver.now());
            resolver.answered.notify_waiters();
        });
    }

    fn now(&self) -> Millis {
        Millis(self.epoch.elapsed().as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_answer_is_current_then_stale_then_gone() {
        let mut machine = Machine::default();
        let one: Addresses = vec![at("10.0.0.1:80")].into();
        assert_eq!(machine.step(Millis(0), 10), Step::Ask);
        assert_eq!(machine.step(Millis(1), 10), Step::Wait);
        machine.answered(one.to_vec(), Millis(5));
        assert_eq!(machine.step(Millis(6), 10), Step::Use(one.clone()));
        let later = Millis(5 + CURRENT_MS);
        assert_eq!(machine.step(later, 10), Step::UseAndAsk(one.clone()));
        assert_eq!(machine.step(later, 10), Step::Use(one.clone()));
        machine.answered(Vec::new(), later);
        assert_eq!(machine.step(later.plus_ms(1), 10), Step::Use(one.clone()), "stale is served");
        assert_eq!(machine.step(later.plus_ms(RETRY_MS), 10), Step::UseAndAsk(one));
        assert_eq!(machine.step(later.plus_ms(STALE_MS), 10), Step::Ask);
    }

    #[test]
    fn a_failure_rests_and_a_lost_question_is_asked_again() {
        let mut machine = Machine::default();
        machine.step(Millis(0), 10);
        machine.answered(Vec::new(), Millis(1));
        assert_eq!(machine.step(Millis(2), 10), Step::Failed);
        assert_eq!(machine.step(Millis(1 + RETRY_MS), 10), Step::Ask);
        assert_eq!(machine.step(Millis(1 + RETRY_MS + 20), 10), Step::Ask);
    }

    #[test]
    fn families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"].map(at).to_vec();
        let wanted = ["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"].map(at).to_vec();
        assert_eq!(interleave(given), wanted);
    }

    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Lookup for Counting {
        fn lookup(&self, _: &str, port: u16) -> LookupFuture {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok(vec![([127, 0, 0, 1], port).into()])
            })
        }
    }

    #[tokio::test]
    async fn all_that_wait_share_one_question() {
        let counting = Arc::new(Counting::default());
        let resolver = Resolver::new("a.example".into(), 9, 1_000, counting.clone());
        let asked = (0..10).map(|_| resolver.addresses());
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(*answer.expect("an address"), [at("127.0.0.1:9")]);
        }
        assert_eq!(counting.0.load(Ordering::SeqCst), 1);
    }

    #[derive(Debug)]
    struct Silent;

    impl Lookup for Silent {
        fn lookup(&self, _: &str, _: u16) -> LookupFuture {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_a_deadline() {
        let resolver = Resolver::new("a.example".into(), 9, 1_000, Arc::new(Silent));
        let error = resolver.addresses().await.expect_err("silence");
        assert_eq!(error.cause, Cause::OriginDnsTimeout);
    }
}
