//! Fills that bring parts, against a store in memory.

use http::header::{CONTENT_RANGE, RANGE};

use super::*;
use crate::budget::Budget;
use crate::cache::Entry;
use crate::clock::ManualClock;
use crate::directory::Directory;
use crate::fill::{Content, FailureCode, FillWriter, HeadOutcome};
use crate::invalidate::{
    Invalidation, LedgerId, Live, Mode, Position, Scope, ScopeHash, TargetScopes,
};
use crate::policy::storable::storable;
use crate::policy::{Cause, Options, OriginResponse, RequestFacts, Verdict};
use crate::range::{Received, Trust};
use crate::store::{RamStore, Store};

const KEY: CacheKey = CacheKey([3; 32]);
const LENGTH: u64 = 300_000;

struct World {
    cache: Arc<Cache>,
    store: Arc<RamStore>,
    facts: RequestFacts,
    options: Options,
}

fn body() -> bytes::Bytes {
    (0..LENGTH).map(|at| (at * 31 % 251) as u8).collect()
}

fn headers(tag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
    headers.insert(ETAG, HeaderValue::from_str(tag).expect("test value"));
    headers
}

fn asking(range: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !range.is_empty() {
        headers.insert(RANGE, HeaderValue::from_str(range).expect("test value"));
    }
    headers
}

impl World {
    fn new(forward_ranges: bool) -> Self {
        let budget = Budget::new(64 << 20);
        let store = Arc::new(RamStore::default());
        let live = Arc::new(Live::new(LedgerId(1), Position(0)));
        let clock = Arc::new(ManualClock::at(Millis(1_800_000_000_000)));
        let directory = Directory::in_memory(&budget);
        let cache = Cache::new(directory, store.clone(), live, budget, clock);
        let options = Options { forward_ranges, ..Options::default() };
        Self { cache, store, facts: RequestFacts::default(), options }
    }

    fn request<'a>(&'a self, headers: &'a HeaderMap) -> Request<'a> {
        let target = TargetScopes { site: "s", host: "h", path: "/a", query: None };
        let (facts, options, arrival) = (&self.facts, &self.options, self.cache.watermark());
        Request { key: &KEY, facts, headers, target, options, arrival }
    }

    /// What a request meets: the cause, and the bytes that are lacking.
    fn meets(&self, range: &str) -> (Cause, Option<(u64, u64)>) {
        let headers = asking(range);
        let found = self.cache.lookup(&self.request(&headers));
        (found.judgement.cause, found.lacks.map(|lacks| (lacks.first, lacks.last)))
    }

    /// Starts the fetch of a request, and what the origin is to be asked for.
    fn lead(&self, range: &str) -> (crate::fill::FillPermit, Option<Record>, Option<RangeSpec>) {
        let headers = asking(range);
        let request = self.request(&headers);
        let found = self.cache.lookup(&request);
        let incomplete = found.incomplete().cloned();
        let Entry::Lead(mut permit, _) = self.cache.enter(&request, &found) else {
            panic!("nobody else fetches")
        };
        permit.sending();
        let asked = permit.asked();
        (permit, incomplete, asked)
    }

    /// The origin's answer to it: all (`content_range` is empty) or a part, with this tag.
    fn answer(&self, range: &str, content_range: &str, tag: &str) -> FillWriter {
        let (permit, base, _) = self.lead(range);
        let headers = headers(tag);
        let now = crate::Clock::now(&ManualClock::at(Millis(1_800_000_000_000)));
        let status = StatusCode::OK;
        let response = OriginResponse { status, headers: &headers, requested: now, received: now };
        let storable = storable(&self.facts, &response, &self.options).expect("it may be stored");
        let content = if content_range.is_empty() {
            Content::Whole(Some(LENGTH))
        } else {
            let mut head = HeaderMap::new();
            head.insert(CONTENT_RANGE, HeaderValue::from_str(content_range).expect("test value"));
            let received = Received::of(&head, None, Trust::Neither).expect("a part");
            Content::Part(received, base.map(Box::new))
        };
        permit
            .storable(status, (headers, HeaderMap::new()), content, storable, None)
            .expect("there is memory")
    }

    /// A part comes, all of it.
    fn store(&self, range: &str, first: u64, last: u64, tag: &str) -> Result<Record, PublishError> {
        let mut writer = self.answer(range, &format!("bytes {first}-{last}/{LENGTH}"), tag);
        writer.write(body().slice(first as usize..=last as usize));
        writer.finish()
    }

    fn purge(&self, path: &str, position: u64) {
        let scopes = vec![ScopeHash::of(&Scope::Url("h", path, None), None)];
        let (mode, position) = (Mode::Hard, Position(position));
        let accepted = Millis(1_800_000_000_000);
        self.cache.live.apply(&Invalidation { scopes, mode, position, accepted });
    }

    async fn read(&self, from: u64, to: u64) -> Option<Vec<u8>> {
        let headers = asking("");
        let record = self.cache.lookup(&self.request(&headers)).record?;
        let mut read = Vec::new();
        for mut reader in self.cache.readers(&record, from, to)? {
            while let Some(next) = std::future::poll_fn(|cx| reader.poll_next(cx, usize::MAX)).await
            {
                read.extend_from_slice(&next.ok()?);
            }
        }
        Some(read)
    }
}

#[tokio::test]
async fn s3_3_what_came_of_a_body_is_kept_only_with_a_strong_tag() {
    for (tag, kept) in [("\"a\"", true), ("W/\"a\"", false), ("a", false)] {
        let world = World::new(false);
        let mut writer = world.answer("", "", tag);
        writer.write(body().slice(..100_000));
        writer.fail(FailureCode(7));
        if !kept {
            assert_eq!(world.meets("bytes=0-9").0, Cause::NothingStored, "{tag}");
            continue;
        }
        assert_eq!(world.meets("bytes=0-99999"), (Cause::Fresh, None));
        assert_eq!(world.meets(""), (Cause::Partial, Some((100_000, LENGTH - 1))));
        assert_eq!(world.read(0, 100_000).await.as_deref(), Some(&body()[..100_000]));
        assert_eq!(world.read(0, 100_001).await, None);
    }
}

#[tokio::test]
async fn s3_4_parts_of_one_version_become_the_whole_and_of_two_never() {
    let world = World::new(true);
    world.store("bytes=0-99999", 0, 99_999, "\"a\"").expect("stored");
    world.store("bytes=-50000", 250_000, LENGTH - 1, "\"a\"").expect("stored");
    let (permit, _, asked) = world.lead("bytes=90000-259999");
    assert_eq!(asked, Some(RangeSpec::From { first: 100_000, last: Some(249_999) }));
    drop(permit);
    world.store("", 100_000, 249_999, "\"a\"").expect("stored");
    assert_eq!(world.meets(""), (Cause::Fresh, None));
    assert_eq!(world.read(0, LENGTH).await.as_deref(), Some(&body()[..]));

    let other = World::new(true);
    other.store("bytes=0-99999", 0, 99_999, "W/\"a\"").expect("stored");
    other.store("bytes=100000-", 100_000, LENGTH - 1, "W/\"a\"").expect("stored");
    assert_eq!(other.meets("bytes=0-9").0, Cause::Partial, "a weak tag combines nothing");
}

#[test]
fn s3_4_a_part_that_is_added_never_raises_the_watermark() {
    let world = World::new(true);
    world.store("bytes=0-999", 0, 999, "\"a\"").expect("stored");
    // A purge of something else: what is fetched from here on has a higher watermark.
    world.purge("/b", 1);
    let mut writer = world.answer("bytes=0-1999", &format!("bytes 1000-1999/{LENGTH}"), "\"a\"");
    world.purge("/a", 2);
    writer.write(body().slice(1000..2000));
    let record = writer.finish().expect("published");
    assert_eq!((record.sent, record.checked), (Position(0), Position(0)));
    assert_eq!(world.meets("bytes=1000-1999").0, Cause::HardPurged);
    // What was fetched after the purge does not heal what was before.
    let record = world.store("bytes=1000-1999", 1000, 1999, "\"a\"").expect("stored");
    assert_eq!((record.sent, record.stored_bytes()), (Position(2), 1000));
    assert_eq!(world.meets("bytes=1000-1999"), (Cause::Fresh, None));
    assert_eq!(world.meets("bytes=0-999").0, Cause::Partial);
}

#[test]
fn two_parts_that_arrive_at_once_are_both_kept() {
    let world = World::new(true);
    let mut first = world.answer("bytes=0-999", &format!("bytes 0-999/{LENGTH}"), "\"a\"");
    let mut second = world.answer("bytes=5000-5999", &format!("bytes 5000-5999/{LENGTH}"), "\"a\"");
    first.write(body().slice(..1000));
    second.write(body().slice(5000..6000));
    first.finish().expect("stored");
    second.finish().expect("stored");
    assert_eq!(world.meets("bytes=0-999,5000-5999"), (Cause::Fresh, None));
    assert_eq!(world.cache.directory.len(), 1);
}

#[test]
fn a_part_does_not_take_the_place_of_the_whole() {
    let world = World::new(false);
    let mut whole = world.answer("", "", "\"a\"");
    // Another fetch is under way for somebody who may not join it.
    let facts = RequestFacts { authorization: true, ..world.facts };
    let part = World { facts, ..World::new(false) };
    let part = World { cache: world.cache.clone(), store: world.store.clone(), ..part };
    let mut broken = {
        let headers = headers("\"a\"");
        let asked = asking("");
        let request = part.request(&asked);
        let found = part.cache.lookup(&request);
        let Entry::Lead(permit, _) = part.cache.enter(&request, &found) else { panic!("alone") };
        let now = Millis(1_800_000_000_000);
        let status = StatusCode::OK;
        let response = OriginResponse { status, headers: &headers, requested: now, received: now };
        let storable = storable(&world.facts, &response, &world.options).expect("storable");
        let content = Content::Whole(Some(LENGTH));
        permit.storable(status, (headers, HeaderMap::new()), content, storable, None).expect("room")
    };
    whole.write(body());
    whole.finish().expect("stored");
    broken.write(body().slice(..10));
    broken.fail(FailureCode(7));
    assert_eq!(world.meets(""), (Cause::Fresh, None));
}

#[tokio::test]
async fn a_whole_that_lost_a_chunk_asks_for_that_alone() {
    let world = World::new(false);
    let mut whole = world.answer("", "", "\"a\"");
    whole.write(body());
    let record = whole.finish().expect("stored");
    let chunk = CHUNK_BYTES as u64;
    world.store.forget(StoreKey { object: record.body, part: Part::Chunk(1) });
    assert!(world.cache.readers(&record, 0, LENGTH).is_none());
    world.cache.shrink(&record, &headers("\"a\""));
    assert_eq!(world.meets(""), (Cause::Partial, Some((chunk, 2 * chunk - 1))));
    assert_eq!(world.meets("bytes=0-9"), (Cause::Fresh, None));
    let (permit, base, asked) = world.lead("");
    assert_eq!(asked, Some(RangeSpec::From { first: chunk, last: Some(2 * chunk - 1) }));
    assert!(base.is_some());
    drop(permit);
    world.store("", chunk, 2 * chunk - 1, "\"a\"").expect("stored");
    assert_eq!(world.read(0, LENGTH).await.as_deref(), Some(&body()[..]));
}

#[tokio::test]
async fn s3_3_a_waiter_is_given_a_part_only_if_that_is_all_it_needs() {
    let world = World::new(true);
    let wide = asking("bytes=0-9999");
    let (found, narrow) = (world.cache.lookup(&world.request(&wide)), asking("bytes=10-19"));
    let Entry::Lead(permit, _lead) = world.cache.enter(&world.request(&wide), &found) else {
        panic!("nothing is under way")
    };
    let Entry::Follow(mut waiter) = world.cache.enter(&world.request(&narrow), &found) else {
        panic!("its bytes are asked for")
    };
    let elsewhere = asking("bytes=10000-10009");
    let Entry::Lead(..) = world.cache.enter(&world.request(&elsewhere), &found) else {
        panic!("its bytes are not asked for")
    };
    // The origin brings less than was asked for.
    let headers = headers("\"a\"");
    let now = Millis(1_800_000_000_000);
    let status = StatusCode::OK;
    let response = OriginResponse { status, headers: &headers, requested: now, received: now };
    let storable = storable(&world.facts, &response, &world.options).expect("storable");
    let mut head = HeaderMap::new();
    head.insert(CONTENT_RANGE, HeaderValue::from_static("bytes 0-14/300000"));
    let content = Content::Part(Received::of(&head, None, Trust::Neither).expect("a part"), None);
    let _writer = permit
        .storable(status, (headers, HeaderMap::new()), content, storable, None)
        .expect("there is memory");
    let HeadOutcome::Head(head) = waiter.head().await else { panic!("a head came") };
    let admits = |asked: &HeaderMap| world.cache.admits(&world.request(asked), &head);
    assert_eq!(admits(&narrow), crate::cache::Admission::Look);
    assert_eq!(admits(&asking("bytes=10-14")), crate::cache::Admission::Share);
    assert_eq!(admits(&asking("")), crate::cache::Admission::Look);
    let verdict = world.cache.lookup(&world.request(&narrow)).judgement.verdict;
    assert_eq!(verdict, Verdict::Absent, "nothing is stored before the end");
}
