//! The part that is measured by `verdict`: one decision, again and again, in a process of its own.
//!
//! Run under callgrind it is counted, run plainly it is timed; what a decision costs is the
//! difference between many and few, so that start and preparation are not in it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, VARY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use selvedge_cache::budget::Budget;
use selvedge_cache::cache::{Cache, Entry, Request};
use selvedge_cache::clock::ManualClock;
use selvedge_cache::directory::Directory;
use selvedge_cache::fill::Content;
use selvedge_cache::invalidate::{LedgerId, Live, Position, PurgeState, TargetScopes};
use selvedge_cache::key::KeyParts;
use selvedge_cache::policy::cache_control::request_facts;
use selvedge_cache::policy::reuse::judge;
use selvedge_cache::policy::storable::storable;
use selvedge_cache::policy::{Options, OriginResponse, RequestFacts};
use selvedge_cache::store::RamStore;
use selvedge_cache::{CacheKey, Millis};

/// First word of the command line of this part.
pub(crate) const WORD: &str = "part-policy";

const NOW: Millis = Millis(1_800_000_000_000);

/// What is measured.
pub(crate) const EACH: [&str; 4] = ["verdict", "lookup", "copy", "store"];

/// Does `what` so many times and prints the nanoseconds of all.
pub(crate) fn run(mut words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let what = words.next().unwrap_or_default();
    let times: u64 = words.next().unwrap_or_default().parse()?;
    let stage = Stage::new();
    let mut step: Box<dyn FnMut(u64)> = match what.as_str() {
        "verdict" => Box::new(stage.verdict()),
        "lookup" => Box::new(move |_| stage.lookup()),
        "copy" => Box::new(move |_| drop(black_box(stage.copy()))),
        "store" => Box::new(move |number| stage.store(number)),
        _ => anyhow::bail!("{what:?} is nothing to measure"),
    };
    step(0);
    let began = Instant::now();
    (1..=times).for_each(|number| step(number));
    println!("{}", began.elapsed().as_nanos());
    Ok(())
}

/// A cache with one stored response of 1 KiB, and a request for it.
struct Stage {
    cache: Arc<Cache>,
    options: Options,
    facts: RequestFacts,
    request: HeaderMap,
    response: HeaderMap,
    body: Bytes,
}

const fn target() -> TargetScopes<'static> {
    TargetScopes { site: "shop", host: "shop.example", path: "/a/page", query: Some("q=1") }
}

fn key(number: u64) -> CacheKey {
    let number = number.to_string();
    let (host, path) = ("shop.example", "/a/page");
    CacheKey::of(&KeyParts { site: "shop", scheme: "https", host, path, query: Some(&number) })
}

impl Stage {
    fn new() -> Self {
        let budget = Budget::new(256 << 20);
        let clock = Arc::new(ManualClock::at(NOW));
        let live = Arc::new(Live::new(LedgerId(1), Position(0)));
        let store = Arc::new(RamStore::default());
        let cache = Cache::new(Directory::in_memory(&budget), store, live, budget, clock);
        let options = Options::default();
        let request: HeaderMap =
            [(http::header::ACCEPT_ENCODING, "gzip, br"), (http::header::USER_AGENT, "x")]
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .into_iter()
                .collect();
        let response: HeaderMap = [
            (CACHE_CONTROL, "public, max-age=600, stale-while-revalidate=60"),
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (DATE, "Fri, 15 Jan 2027 08:00:00 GMT"),
            (ETAG, "\"0123456789abcdef\""),
            (LAST_MODIFIED, "Thu, 14 Jan 2027 08:00:00 GMT"),
            (VARY, "Accept-Encoding"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .into_iter()
        .collect();
        let facts = request_facts(&Method::GET, &request, false, &options);
        let body = Bytes::from(vec![b'x'; 1024]);
        let stage = Self { cache, options, facts, request, response, body };
        stage.store(0);
        stage
    }

    fn request<'a>(&'a self, key: &'a CacheKey) -> Request<'a> {
        Request {
            key,
            facts: &self.facts,
            headers: &self.request,
            target: target(),
            options: &self.options,
            arrival: self.cache.watermark(),
        }
    }

    /// The verdict on a fresh hit, alone.
    fn verdict(&self) -> impl FnMut(u64) + use<> {
        let (facts, options, purges) = (self.facts, self.options.clone(), PurgeState::default());
        let fresh = storable(&facts, &self.answer(), &options).expect("it may be stored").fresh;
        move |number| {
            let stored = black_box(Some((&fresh, Millis::MAX)));
            let now = NOW.plus_ms(number % 1000);
            black_box(judge(black_box(&facts), stored, &purges, now, &options));
        }
    }

    /// The whole lookup of a hit that varies: key, directory, selecting fields, ledger, verdict.
    fn lookup(&self) {
        let key = key(0);
        let found = self.cache.lookup(&self.request(&key));
        assert!(black_box(found).record.is_some());
    }

    fn answer(&self) -> OriginResponse<'_> {
        let headers = &self.response;
        OriginResponse { status: StatusCode::OK, headers, requested: NOW, received: NOW }
    }

    /// What storing cannot do without: the fields and the body, copied.
    fn copy(&self) -> (HeaderMap, Bytes) {
        (self.response.clone(), Bytes::copy_from_slice(&self.body))
    }

    /// Storing as a fetch does it, under one of a thousand keys.
    fn store(&self, number: u64) {
        let key = key(number % 1000);
        let request = self.request(&key);
        let found = self.cache.lookup(&request);
        let Entry::Lead(mut permit, _waiter) = self.cache.enter(&request, &found) else { return };
        permit.sending();
        let storable = storable(&self.facts, &self.answer(), &self.options);
        let storable = storable.expect("it may be stored");
        let varied = self.cache.varied(&request, &storable, &self.response);
        let (headers, body) = self.copy();
        let heads = (headers, HeaderMap::new());
        let whole = Content::Whole(Some(body.len() as u64));
        let writer = permit.storable(StatusCode::OK, heads, whole, storable, varied);
        let mut writer = writer.expect("there is memory for one fill");
        writer.write(body);
        writer.finish().expect("nothing purges here");
    }
}
