//! One request: the steps of an exchange as far as they concern the cache.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use selvedge_cache::cache::{Admission, Entry, Found};
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{FillHead, FillReader, HeadOutcome, ReadError, Waiter};
use selvedge_cache::invalidate::Watermark;
use selvedge_cache::policy::{RequestFacts, Verdict};
use selvedge_cache::reader::StoredReader;

use super::fetch::Fetch;
use super::ghost::{Given, Head};
use super::{Flag, KEY, LANGUAGES, Who, World, now, request};

/// As often an exchange looks again before it goes alone.
const LOOKS_MAX: u32 = 4;

/// Where a client stands.
enum At {
    Look,
    Await { waiter: Waiter, lead: Option<usize>, base: Option<Box<Record>> },
    Reading { reader: Reader, body: usize, offset: u64 },
    Over,
}

enum Reader {
    Inline(Bytes),
    Stored(StoredReader),
    Filling(FillReader),
}

/// How it ended for a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With a clean end.
    Whole,
    /// Visibly cut.
    Cut,
    /// It went to the origin without the cache.
    Alone,
    /// With an error in place of an answer.
    Error,
    /// It left.
    Left,
}

/// Somebody who asks.
pub struct Client {
    pub who: Who,
    pub facts: RequestFacts,
    pub headers: HeaderMap,
    pub arrival: Watermark,
    /// Purges acknowledged before it arrived.
    pub arrived: usize,
    pub end: Option<End>,
    /// The body that it was given, and how.
    pub given: Option<(usize, Given)>,
    flag: Arc<Flag>,
    looks: u32,
    at: At,
}

impl World {
    /// A request arrives; it is looked at when [`World::step`] says so.
    pub fn arrive(&mut self, who: Who) -> usize {
        let mut headers = HeaderMap::new();
        headers.insert("accept-language", HeaderValue::from_static(LANGUAGES[who.language]));
        let facts = RequestFacts {
            authorization: who.authorized,
            no_cache: who.no_cache,
            ..RequestFacts::default()
        };
        let client = self.clients.len();
        self.note(|| format!("client {client} arrives: {who:?}"));
        self.clients.push(Client {
            who,
            facts,
            headers,
            arrival: self.cache.watermark(),
            arrived: self.ghost.purges.len(),
            end: None,
            given: None,
            flag: Flag::raised(),
            looks: 0,
            at: At::Look,
        });
        client
    }

    /// A request arrives and goes as far as it can.
    pub fn ask(&mut self, who: Who) -> usize {
        let client = self.arrive(who);
        self.run(client);
        client
    }

    /// A client goes on until it waits.
    pub fn run(&mut self, client: usize) {
        while self.look_after(client) {}
    }

    /// A client that may go on makes one step; whether it did.
    pub fn look_after(&mut self, client: usize) -> bool {
        let this = &self.clients[client];
        if this.end.is_some() || !this.flag.is_raised() {
            return false;
        }
        self.step(client)
    }

    pub fn leave(&mut self, client: usize) {
        if self.clients[client].end.is_none() {
            self.note(|| format!("client {client} leaves"));
            self.finish(client, End::Left);
        }
    }

    fn finish(&mut self, client: usize, end: End) {
        self.note(|| format!("client {client}: {end:?}"));
        self.clients[client].at = At::Over;
        self.clients[client].end = Some(end);
    }

    fn step(&mut self, client: usize) -> bool {
        match std::mem::replace(&mut self.clients[client].at, At::Over) {
            At::Look => self.look(client),
            At::Await { waiter, lead, base } => return self.wait(client, waiter, lead, base),
            At::Reading { reader, body, offset } => {
                return self.read(client, reader, body, offset);
            }
            At::Over => return false,
        }
        true
    }

    fn look(&mut self, client: usize) {
        let this = &mut self.clients[client];
        this.looks += 1;
        if this.looks > LOOKS_MAX {
            return self.finish(client, End::Alone);
        }
        let this = &self.clients[client];
        let request = request(&KEY, &this.facts, &this.headers, &self.options, this.arrival);
        let mut found = self.cache.lookup(&request);
        let verdict = found.judgement.verdict;
        if verdict == (Verdict::Stale { refresh: true })
            && let Some(permit) = self.cache.enter_background(&request, &found)
        {
            let base = found.base().cloned();
            let who = this.who;
            let before = (self.ghost.epoch, self.ghost.purges.len());
            self.start(Fetch::new(permit, who, None, base, before));
        }
        match (verdict, found.record.take()) {
            (Verdict::Fresh, Some(record)) => self.give_stored(client, record, "hit"),
            (Verdict::Stale { .. }, Some(record)) => self.give_stored(client, record, "stale"),
            (Verdict::Bypass | Verdict::Unsatisfied, _) => self.finish(client, End::Alone),
            (_, record) => {
                found.record = record;
                self.enter(client, found);
            }
        }
    }

    fn enter(&mut self, client: usize, found: Found) {
        let this = &self.clients[client];
        let request = request(&KEY, &this.facts, &this.headers, &self.options, this.arrival);
        let at = match self.cache.enter(&request, &found) {
            Entry::Again => At::Look,
            Entry::Alone(_) => return self.finish(client, End::Alone),
            Entry::Follow(waiter) => {
                At::Await { waiter, lead: None, base: found.base().cloned().map(Box::new) }
            }
            Entry::Lead(permit, waiter) => {
                self.check_leads(client);
                let who = self.clients[client].who;
                let base = found.base().cloned();
                let before = (self.ghost.epoch, self.ghost.purges.len());
                let fetch = Fetch::new(permit, who, Some(client), base, before);
                let lead = Some(self.start(fetch));
                At::Await { waiter, lead, base: found.base().cloned().map(Box::new) }
            }
        };
        self.clients[client].at = at;
    }

    fn wait(
        &mut self,
        client: usize,
        mut waiter: Waiter,
        lead: Option<usize>,
        base: Option<Box<Record>>,
    ) -> bool {
        let Poll::Ready(outcome) = self.clients[client].flag.poll(waiter.head()) else {
            self.clients[client].at = At::Await { waiter, lead, base };
            return false;
        };
        let leads = lead.is_some();
        let this = &self.clients[client];
        let request = request(&KEY, &this.facts, &this.headers, &self.options, this.arrival);
        match outcome {
            HeadOutcome::Head(head) if leads => self.give_filling(client, waiter, &head, "fill"),
            HeadOutcome::Head(head) => match self.cache.admits(&request, &head) {
                Admission::Share => self.give_filling(client, waiter, &head, "joined"),
                Admission::Look => self.clients[client].at = At::Look,
                Admission::Alone => self.finish(client, End::Alone),
            },
            HeadOutcome::Validated(record) if leads => {
                self.give_stored(client, *record, "revalidated");
            }
            HeadOutcome::Validated(record) => match self.cache.admits_record(&request, &record) {
                Admission::Share => self.give_stored(client, *record, "joined validation"),
                Admission::Look => self.clients[client].at = At::Look,
                Admission::Alone => self.finish(client, End::Alone),
            },
            HeadOutcome::Released => self.finish(client, End::Alone),
            HeadOutcome::Erred => self.stand_in(client, base, End::Alone),
            HeadOutcome::Failed(_) => self.stand_in(client, base, End::Error),
        }
        true
    }

    fn stand_in(&mut self, client: usize, base: Option<Box<Record>>, otherwise: End) {
        let this = &self.clients[client];
        let request = request(&KEY, &this.facts, &this.headers, &self.options, this.arrival);
        match base.filter(|base| self.cache.stale_on_error(&request, base)) {
            Some(base) => self.give_stored(client, *base, "stale on error"),
            None => self.finish(client, otherwise),
        }
    }

    fn given(&self, client: usize, how: &'static str) -> Given {
        let this = &self.clients[client];
        let stale = how.starts_with("stale");
        Given { client, who: this.who, arrived: this.arrived, stale, how }
    }

    fn give_stored(&mut self, client: usize, record: Record, how: &'static str) {
        let Some(loaded) = now(self.cache.load(&record)) else {
            self.ghost.epoch += 1;
            self.clients[client].at = At::Look;
            return;
        };
        let reader = if record.inline {
            Reader::Inline(loaded.inline)
        } else {
            let mut readers = self.cache.readers(&record, 0, record.length).unwrap_or_default();
            let Some(reader) = readers.pop() else {
                self.cache.forget(&record);
                self.ghost.epoch += 1;
                self.clients[client].at = At::Look;
                return;
            };
            Reader::Stored(reader)
        };
        let head = self.ghost.heads.get(&record.head).cloned();
        self.give(client, head, reader, how);
    }

    fn give_filling(&mut self, client: usize, waiter: Waiter, head: &FillHead, how: &'static str) {
        let store = Arc::clone(&self.cache.store);
        let reader = Reader::Filling(waiter.read(store, head.object, 0, head.length));
        let head = self.ghost.fills.get(&head.object).cloned();
        self.give(client, head, reader, how);
    }

    fn give(&mut self, client: usize, head: Option<Head>, reader: Reader, how: &'static str) {
        let Some(head) = head else {
            self.ghost.wrong(format!("client {client} is given what nobody fetched"));
            return self.finish(client, End::Error);
        };
        self.note(|| format!("client {client} is given body {} ({how})", head.body));
        let given = self.given(client, how);
        self.ghost.check(given, &head);
        let this = &mut self.clients[client];
        this.given = Some((head.body, given));
        this.at = At::Reading { reader, body: head.body, offset: 0 };
    }

    fn read(&mut self, client: usize, mut reader: Reader, body: usize, offset: u64) -> bool {
        let polled = match &mut reader {
            Reader::Inline(bytes) if bytes.is_empty() => Poll::Ready(None),
            Reader::Inline(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Reader::Stored(reader) => {
                self.clients[client].flag.poll_with(|cx| reader.poll_next(cx, usize::MAX))
            }
            Reader::Filling(reader) => {
                self.clients[client].flag.poll_with(|cx| reader.poll_next(cx, usize::MAX))
            }
        };
        match polled {
            Poll::Pending => {
                self.clients[client].at = At::Reading { reader, body, offset };
                return false;
            }
            Poll::Ready(Some(Ok(piece))) => {
                self.ghost.check_piece(client, body, offset, &piece);
                let offset = offset + piece.len() as u64;
                self.clients[client].at = At::Reading { reader, body, offset };
            }
            Poll::Ready(None) => {
                self.ghost.check_end(client, body, offset);
                self.finish(client, End::Whole);
            }
            Poll::Ready(Some(Err(ReadError::Failed(_) | ReadError::FellBehind))) => {
                self.finish(client, End::Cut);
            }
        }
        true
    }
}
