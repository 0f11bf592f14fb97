//! The real cache, moved by hand: lookup, policy, fills and directory of `selvedge-cache` over a
//! clock of the test's own. It does in one thread what an exchange and its fetch do.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use selvedge::lookup::Way;
use selvedge_cache::budget::Budget;
use selvedge_cache::cache::{Cache, Entry, Found, Request};
use selvedge_cache::clock::ManualClock;
use selvedge_cache::directory::{Directory, Record};
use selvedge_cache::fill::{Content, FailureCode, FillPermit, Kept};
use selvedge_cache::head::{self, StoredHead};
use selvedge_cache::invalidate::{LedgerId, Live, Position, TargetScopes};
use selvedge_cache::key::KeyParts;
use selvedge_cache::policy::cache_control::request_facts;
use selvedge_cache::policy::freshen::{Base, freshen};
use selvedge_cache::policy::invalidation::{invalidates, same_host_targets};
use selvedge_cache::policy::storable::storable;
use selvedge_cache::policy::validation::{Conditional, ValidationReply, read_reply};
use selvedge_cache::policy::{MethodClass, Options, OriginResponse, RequestFacts, Verdict};
use selvedge_cache::store::{Part, RamStore, Store as _, StoreKey};
use selvedge_cache::{CacheKey, Clock as _, Millis};

use super::fields::Fields;
use super::model;
use super::model::{Decision, Delivery};

/// The cache and its clock.
pub struct Cached {
    cache: Arc<Cache>,
    store: Arc<RamStore>,
    clock: Arc<ManualClock>,
    options: Options,
}

/// A request as the cache takes it.
struct Asked {
    key: CacheKey,
    facts: RequestFacts,
    headers: HeaderMap,
    path: &'static str,
}

/// A fetch under way.
pub struct Fetching {
    permit: FillPermit,
    base: Option<Record>,
    requested: Millis,
}

impl Cached {
    pub fn new(start_s: u64) -> Self {
        let budget = Budget::new(16 << 20);
        let clock = Arc::new(ManualClock::at(Millis(start_s * 1000)));
        let store = Arc::new(RamStore::default());
        let live = Arc::new(Live::new(LedgerId(1), Position(0)));
        let directory = Directory::in_memory(&budget);
        let cache =
            Cache::new(directory, store.clone(), live, budget, clock.clone(), Arc::default());
        Self { cache, store, clock, options: Options::default() }
    }

    pub fn pass_s(&self, seconds: u64) {
        self.clock.pass_ms(seconds * 1000);
    }

    fn asked(&self, request: &model::Request) -> Asked {
        let headers = header_map(&request.fields);
        let method = Method::from_bytes(request.method.as_bytes()).expect("a token");
        let facts = request_facts(&method, &headers, false, &self.options);
        let parts =
            KeyParts { site: "s", scheme: "http", host: "h", path: request.path, query: None };
        Asked { key: CacheKey::of(&parts), facts, headers, path: request.path }
    }

    fn request<'a>(&'a self, asked: &'a Asked) -> Request<'a> {
        Request {
            key: &asked.key,
            facts: &asked.facts,
            headers: &asked.headers,
            target: target(asked.path),
            options: &self.options,
            arrival: self.cache.watermark(),
        }
    }

    /// What is done with a request, and the fetch that it begins: its own, or one behind it.
    pub fn ask(&self, request: &model::Request) -> (Decision, Option<Fetching>) {
        let asked = self.asked(request);
        let request = self.request(&asked);
        let found = self.cache.lookup(&request);
        let verdict = found.judgement.verdict;
        match (Way::of(verdict, found.record.is_some(), &asked.facts), &found.record) {
            (Way::Stored(_), Some(record)) => {
                let (head, body) = self.load(record);
                let refresh = verdict == Verdict::Stale { refresh: true };
                let fetching = if refresh { self.behind(&request, &found) } else { None };
                let age_s = found.judgement.age_s.expect("something is stored");
                let fields = fields_of(&head.headers);
                (Decision::Stored { body, age_s, fields, refresh }, fetching)
            }
            (Way::Unsatisfied, _) => (Decision::Unsatisfied, None),
            (Way::Pass, _) => (Decision::Alone, None),
            (Way::Fetch | Way::Stored(_), _) => {
                let Entry::Lead(permit, _waiter) = self.cache.enter(&request, &found) else {
                    panic!("nobody else fetches");
                };
                let fetching = self.fetching(permit, found.record.clone());
                let conditional = self.conditional(&fetching);
                let text = |value: &Option<HeaderValue>| value.as_ref().map(text);
                let etag = text(&conditional.if_none_match);
                let modified = text(&conditional.if_modified_since);
                (Decision::Fetch { etag, modified }, Some(fetching))
            }
        }
    }

    fn behind(&self, request: &Request<'_>, found: &Found) -> Option<Fetching> {
        let permit = self.cache.enter_background(request, found)?;
        Some(self.fetching(permit, found.record.clone()))
    }

    fn fetching(&self, mut permit: FillPermit, base: Option<Record>) -> Fetching {
        permit.sending();
        Fetching { permit, base, requested: self.clock.now() }
    }

    /// Whether the fetch asks with a condition.
    pub fn is_conditional(&self, fetching: &Fetching) -> bool {
        !self.conditional(fetching).is_empty()
    }

    fn conditional(&self, fetching: &Fetching) -> Conditional {
        let head = fetching.base.as_ref().map(|record| self.load(record).0.headers);
        Conditional::from_stored(&head.iter().collect::<Vec<_>>())
    }

    /// The origin answered, or (`None`) did not. Gives the fetch back if it must ask once more.
    pub fn fetched(
        &self,
        request: &model::Request,
        fetching: Fetching,
        answer: Option<&model::Response>,
    ) -> (Delivery, Option<Fetching>) {
        let asked = self.asked(request);
        let request = self.request(&asked);
        let conditional = self.conditional(&fetching);
        let Fetching { permit, base, requested } = fetching;
        let stand_in = |otherwise| match &base {
            Some(base) if self.cache.stale_on_error(&request, base) => self.delivery(base),
            _ => otherwise,
        };
        let Some(answer) = answer else {
            permit.failed(FailureCode(1));
            return (stand_in(Delivery::Failure), None);
        };
        let received = self.clock.now();
        let (status, headers) = (status(answer.status), header_map(&answer.fields));
        let response = OriginResponse { status, headers: &headers, requested, received };
        let offered = base.as_ref().map(|record| self.load(record).0.headers);
        let offered: Vec<&HeaderMap> = offered.iter().collect();
        match (read_reply(status, &headers, &conditional, &offered), &base) {
            (ValidationReply::NotModified { .. }, Some(record)) => {
                match self.freshen(&asked, record, &response, &permit) {
                    Some(fresh) => {
                        let delivery = self.delivery(&fresh);
                        permit.validated(fresh);
                        (delivery, None)
                    }
                    None => (Delivery::AskAgain, Some(self.fetching(permit, None))),
                }
            }
            (ValidationReply::Contradiction, _) if !conditional.is_empty() => {
                (Delivery::AskAgain, Some(self.fetching(permit, None)))
            }
            (ValidationReply::ServerError, Some(_)) => {
                permit.erred(true);
                (stand_in(Delivery::Origin), None)
            }
            _ => {
                self.store(&asked, &response, answer.body, permit);
                (Delivery::Origin, None)
            }
        }
    }

    fn store(&self, asked: &Asked, response: &OriginResponse<'_>, body: u32, permit: FillPermit) {
        // Dropped without a word, a permit leaves no memory of a URL that is not stored.
        // Fetches ask with GET, whatever method found a response stale.
        let facts = RequestFacts { method: MethodClass::Get, ..asked.facts };
        let Ok(storable) = storable(&facts, response, &self.options) else { return };
        let mut headers = response.headers.clone();
        for name in &storable.omitted_fields {
            headers.remove(name);
        }
        let body = Bytes::from(body.to_string());
        let whole = Content::Whole(Some(body.len() as u64));
        let varied = self.cache.varied(&self.request(asked), &storable, response.headers);
        let kept = Kept { key: asked.key, narrower: false };
        let heads = (headers, HeaderMap::new());
        let writer = permit.storable(kept, response.status, heads, whole, storable, varied);
        let mut writer = writer.expect("there is memory for one fill");
        writer.write(body);
        writer.finish().expect("nothing purges here");
    }

    fn freshen(
        &self,
        asked: &Asked,
        record: &Record,
        update: &OriginResponse<'_>,
        permit: &FillPermit,
    ) -> Option<Record> {
        let (head, body) = self.load(record);
        let base = Base {
            status: head.status,
            headers: &head.headers,
            tags: &record.tags,
            tags_overflow: record.tags_overflow,
        };
        let freshened = freshen(&asked.facts, &base, update, &self.options);
        let Ok(storable) = freshened.storable else {
            self.cache.forget(record);
            return None;
        };
        let mut headers = freshened.headers;
        for name in &storable.omitted_fields {
            headers.remove(name);
        }
        let merged = StoredHead { status: head.status, headers };
        let inline = Bytes::from(body.to_string());
        let (request, sent) = (self.request(asked), permit.sent());
        self.cache.freshen(&request, record, &inline, &merged, storable, sent)
    }

    /// The origin answered a request that went alone.
    pub fn passed(&self, request: &model::Request, answer: Option<&model::Response>) -> Delivery {
        let asked = self.asked(request);
        if invalidates(asked.facts.method, answer.map(|answer| status(answer.status))) {
            self.cache.local.invalidate(target(asked.path).url());
            let headers = answer.map(|answer| header_map(&answer.fields)).unwrap_or_default();
            for (path, query) in same_host_targets(&target(asked.path), &headers) {
                let scopes =
                    TargetScopes { path: &path, query: query.as_deref(), ..target(asked.path) };
                self.cache.local.invalidate(scopes.url());
            }
        }
        let request = self.request(&asked);
        let is_safe = matches!(request.facts.method, MethodClass::Get | MethodClass::Head);
        match (answer, is_safe) {
            (Some(_), _) => Delivery::Origin,
            (None, true) => match self.cache.lookup(&request).record {
                Some(base) if self.cache.stale_on_error(&request, &base) => self.delivery(&base),
                _ => Delivery::Failure,
            },
            (None, false) => Delivery::Failure,
        }
    }

    fn delivery(&self, record: &Record) -> Delivery {
        let (head, body) = self.load(record);
        let now = self.clock.now();
        Delivery::Stored { body, age_s: record.fresh.age_at(now), fields: fields_of(&head.headers) }
    }

    fn load(&self, record: &Record) -> (StoredHead, u32) {
        let key = StoreKey { object: record.head, part: Part::Head };
        let block = self.store.peek(key).expect("nothing is evicted");
        let (head, inline) = head::decode_again(&block).expect("what was written is read");
        let body = std::str::from_utf8(&inline).ok().and_then(|text| text.parse().ok());
        (head, body.expect("a body is a number"))
    }
}

fn target(path: &str) -> TargetScopes<'_> {
    TargetScopes { site: "s", host: "h", path, query: None }
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).expect("a code of the story")
}

fn header_map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name of the story");
        map.append(name, HeaderValue::from_str(value).expect("a value of the story"));
    }
    map
}

fn text(value: &HeaderValue) -> String {
    value.to_str().expect("a value of the story").to_owned()
}

fn fields_of(headers: &HeaderMap) -> Fields {
    let lines = headers.iter().filter(|(name, _)| *name != http::header::AGE);
    let mut fields: Fields = lines.map(|(name, value)| (name.to_string(), text(value))).collect();
    fields.sort();
    fields
}
