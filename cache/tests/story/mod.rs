//! A cache with clients, an origin and an operator, all moved by hand.
//!
//! Everything that happens is a call on [`World`], so that a story is a list of calls: written
//! down (`weakenings.rs`) or drawn from a seed (`fills.rs`). No threads, no real time; whoever
//! waits is only looked at again when its waker was called, so a lost wake-up is a client that
//! never ends. What must hold is checked against [`ghost`], which knows every purge, every body
//! and when its fetch was sent, and nothing of how the cache keeps its word.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod client;
pub mod fetch;
pub mod ghost;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http::HeaderMap;
use selvedge_cache::budget::{Budget, Class};
use selvedge_cache::cache::{Cache, Request};
use selvedge_cache::clock::ManualClock;
use selvedge_cache::directory::Directory;
use selvedge_cache::invalidate::{
    Invalidation, LedgerId, Live, Mode, Position, Scope, ScopeHash, TargetScopes, Watermark,
};
use selvedge_cache::policy::{Options, RequestFacts};
use selvedge_cache::store::{Faulty, RamStore};
use selvedge_cache::{CacheKey, Clock as _, Millis};

use client::Client;
use fetch::{Fetch, Origin};
use ghost::{Ghost, Purge, Selector};

/// What the only URL of a story is.
pub const TARGET: TargetScopes<'static> =
    TargetScopes { site: "s", host: "h", path: "/a", query: None };

/// Who asks, as far as the cache can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Index into [`LANGUAGES`].
    pub language: usize,
    pub authorized: bool,
    pub no_cache: bool,
}

/// Values of the selecting field.
pub const LANGUAGES: [&str; 2] = ["de", "en"];

/// A cache and everybody around it.
pub struct World {
    pub cache: Arc<Cache>,
    pub clock: Arc<ManualClock>,
    pub store: Arc<Faulty<RamStore>>,
    pub options: Options,
    pub origin: Origin,
    pub clients: Vec<Client>,
    pub fetches: Vec<Fetch>,
    pub ghost: Ghost,
    /// What happened, if somebody wants to read it.
    pub trace: Option<Vec<String>>,
}

impl World {
    pub fn new(memory_bytes: usize) -> Self {
        let budget = Budget::new(memory_bytes);
        let clock = Arc::new(ManualClock::at(Millis(1_800_000_000_000)));
        let store = Arc::new(Faulty::new(RamStore::default(), []));
        let live = Arc::new(Live::new(LedgerId(1), Position(0)));
        let directory = Directory::in_memory(&budget);
        let cache =
            Cache::new(directory, store.clone(), live, budget, clock.clone(), Arc::default());
        Self {
            cache,
            clock,
            store,
            options: Options::default(),
            origin: Origin::default(),
            clients: Vec::new(),
            fetches: Vec::new(),
            ghost: Ghost::default(),
            trace: None,
        }
    }

    /// The same world for the next story: what is shared by all keys stays.
    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// A purge is appended, durable, applied and acknowledged.
    pub fn purge(&mut self, selector: Selector, mode: Mode) {
        let number = self.ghost.purges.len();
        self.note(|| format!("purge {number}: {selector:?} {mode:?}"));
        if selector == Selector::UnsafeMethod {
            self.cache.local.invalidate(TARGET.url());
        } else {
            let scope = match selector {
                Selector::Tag(tag) => Scope::Tag(tag),
                Selector::Everything => Scope::Everything,
                Selector::Url | Selector::UnsafeMethod => Scope::Url("h", "/a", None),
            };
            let entry = Invalidation {
                scopes: vec![ScopeHash::of(&scope, None)],
                mode,
                position: Position(self.cache.live.position().0 + 1),
                accepted: self.clock.now(),
            };
            self.cache.live.apply(&entry);
        }
        self.ghost.purges.push(Purge { selector, mode });
    }

    /// Time passes.
    pub fn pass_ms(&mut self, ms: u64) {
        self.note(|| format!("{ms} ms pass"));
        self.clock.pass_ms(ms);
    }

    /// Somebody takes a value out of the store.
    pub fn evict(&mut self, nth: usize) {
        let keys = self.store.inner().keys();
        if let Some(key) = keys.get(nth.checked_rem(keys.len()).unwrap_or(0)) {
            self.note(|| format!("{key:?} is evicted"));
            selvedge_cache::store::Store::forget(&*self.store, *key);
        }
    }

    /// Lets everybody go on until nothing moves, with an origin that answers everything.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for fetch in 0..self.fetches.len() {
                moved |= self.hurry(fetch);
            }
            for client in 0..self.clients.len() {
                moved |= self.look_after(client);
            }
            if !moved {
                break;
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].end.is_none() {
                self.ghost.wrong(format!("client {client} waits for ever"));
            }
        }
        let (in_flight, held) =
            (self.cache.fills.in_flight(), self.cache.budget.used_bytes(Class::Fills));
        if (in_flight, held) != (0, 0) {
            self.ghost.wrong(format!("{in_flight} fills and {held} bytes are never given back"));
        }
    }
}

/// A request as the cache sees it.
pub fn request<'a>(
    key: &'a CacheKey,
    facts: &'a RequestFacts,
    headers: &'a HeaderMap,
    options: &'a Options,
    arrival: Watermark,
) -> Request<'a> {
    Request { key, facts, headers, target: TARGET, options, arrival }
}

/// The key of the only URL.
pub const KEY: CacheKey = CacheKey([7; 32]);

/// Remembers that its waker was called.
#[derive(Debug)]
pub struct Flag(AtomicBool);

impl Flag {
    pub fn raised() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Looks at `future` once. It must be safe to drop while it waits.
    pub fn poll<T>(self: &Arc<Self>, future: impl Future<Output = T>) -> Poll<T> {
        self.poll_with(|cx| pin!(future).poll(cx))
    }

    /// The same for what is no future. Who is ready may go on at once.
    pub fn poll_with<T>(
        self: &Arc<Self>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(self));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.0.store(true, Ordering::SeqCst);
        }
        polled
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The value of a future of the store, which never waits in these stories.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match Flag::raised().poll(future) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a store in memory does not wait"),
    }
}
