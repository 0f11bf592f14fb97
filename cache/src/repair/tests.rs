use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ETAG, HeaderValue};
use parking_lot::Mutex;

use super::*;
use crate::budget::Budget;
use crate::fill::ReadError;
use crate::range::Representation;
use crate::reader::StoredReader;
use crate::store::{CHUNK_BYTES, Part, RamStore, Store, StoreKey};

/// A body of ten chunks and a bit, of which the store has what it is given.
struct Story {
    store: Arc<RamStore>,
    repairs: Arc<Repairs>,
    body: Vec<u8>,
    /// What origins were asked for and did not answer yet.
    asked: Arc<Mutex<Vec<(Missing, RepairWriter)>>>,
}

struct Origin(Arc<Mutex<Vec<(Missing, RepairWriter)>>>);

impl Refetch for Origin {
    fn refetch(&self, missing: Missing, repair: RepairWriter) {
        self.0.lock().push((missing, repair));
    }
}

const OBJECT: u64 = 7;

impl Story {
    fn with(chunks: impl IntoIterator<Item = u32>) -> Self {
        let body: Vec<u8> = (0..10 * CHUNK_BYTES + 99).map(|at| (at / 11) as u8).collect();
        let repairs = Repairs::new(Budget::new(64 << 20));
        let story = Self { store: Arc::default(), repairs, body, asked: Arc::default() };
        for chunk in chunks {
            let key = StoreKey { object: OBJECT, part: Part::Chunk(chunk) };
            story.store.put(key, story.chunk(chunk));
        }
        story
    }

    fn chunk(&self, number: u32) -> Bytes {
        let from = number as usize * CHUNK_BYTES;
        Bytes::copy_from_slice(&self.body[from..self.body.len().min(from + CHUNK_BYTES)])
    }

    fn reader(&self) -> StoredReader {
        let mut head = HeaderMap::new();
        head.insert(ETAG, HeaderValue::from_static("\"v1\""));
        let length = self.body.len() as u64;
        let of = Representation::of(&head, length).expect("a strong tag");
        let origin = Box::new(Origin(Arc::clone(&self.asked)));
        let store: Arc<dyn Store> = self.store.clone();
        let mender = Mender::new(Arc::clone(&self.repairs), store.clone(), of, OBJECT, origin);
        StoredReader::new(store, OBJECT, 0, length).mended(Some(mender))
    }

    /// Answers everything that was asked by now; says which bytes that was.
    fn answer(&self) -> Vec<(u64, u64)> {
        let asked = std::mem::take(&mut *self.asked.lock());
        let answer = |(missing, mut repair): (Missing, RepairWriter)| {
            let range = missing.range();
            for piece in self.body[range.first as usize..=range.last as usize].chunks(10_000) {
                repair.write(piece).expect("what was asked for");
            }
            (range.first, range.last)
        };
        asked.into_iter().map(answer).collect()
    }
}

/// The whole of a body, or what came before its end.
async fn read(reader: &mut StoredReader, bytes_max: usize) -> (Vec<u8>, Option<ReadError>) {
    let mut got = Vec::new();
    loop {
        match poll_fn(|cx| reader.poll_next(cx, bytes_max)).await {
            None => return (got, None),
            Some(Err(error)) => return (got, Some(error)),
            Some(Ok(piece)) => {
                assert!(piece.len() <= bytes_max);
                got.extend_from_slice(&piece);
            }
        }
    }
}

#[tokio::test]
async fn lost_chunks_are_fetched_once_for_all_who_read() {
    let story = Story::with([0, 1, 5]);
    let (mut one, mut other) = (story.reader(), story.reader());
    let mut both = pin!(async { tokio::join!(read(&mut one, 4_096), read(&mut other, 65_536)) });
    let mut asked = Vec::new();
    let (one, other) = poll_fn(|cx| {
        loop {
            if let Poll::Ready(done) = both.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            let more = story.answer();
            assert!(!more.is_empty(), "readers wait for nothing");
            asked.extend(more);
        }
    })
    .await;
    assert_eq!((one, other), ((story.body.clone(), None), (story.body.clone(), None)));
    let chunk = CHUNK_BYTES as u64;
    // Each gap once, by whoever came first; runs are four chunks long at first.
    let end = story.body.len() as u64 - 1;
    let runs = [(2 * chunk, 5 * chunk - 1), (6 * chunk, 10 * chunk - 1), (10 * chunk, end)];
    assert_eq!(asked, runs);
    assert_eq!(story.repairs.counts(), [3, 0, 0, 0]);
    assert_eq!(story.repairs.bytes(), 7 * chunk + 99);
    assert!(story.repairs.in_flight.lock().is_empty());
}

#[tokio::test]
async fn an_origin_that_refuses_once_is_not_asked_again_for_the_object() {
    let story = Story::with([0]);
    let mut reader = story.reader();
    let mut reading = pin!(read(&mut reader, usize::MAX));
    let read_by_first = poll_fn(|cx| {
        if let Poll::Ready(done) = reading.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        let (_, repair) = story.asked.lock().pop().expect("asked");
        repair.refused();
        reading.as_mut().poll(cx)
    })
    .await;
    let cut = (story.chunk(0).to_vec(), Some(ReadError::FellBehind));
    assert_eq!(read_by_first, cut);
    assert_eq!(read(&mut story.reader(), usize::MAX).await, cut);
    assert!(story.asked.lock().is_empty());
    assert_eq!(story.repairs.counts(), [0, 1, 0, 0]);
}

#[tokio::test]
async fn an_origin_that_breaks_off_is_asked_for_the_rest_a_few_times() {
    let story = Story::with([0]);
    let mut reader = story.reader();
    let mut reading = pin!(read(&mut reader, usize::MAX));
    let (got, error) = poll_fn(|cx| {
        loop {
            if let Poll::Ready(done) = reading.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            let (missing, mut repair) = story.asked.lock().pop().expect("asked");
            let first = missing.range().first as usize;
            if first < 3 * CHUNK_BYTES {
                // One chunk, and half of the next.
                let end = first + CHUNK_BYTES + CHUNK_BYTES / 2;
                repair.write(&story.body[first..end]).expect("what was asked for");
            }
        }
    })
    .await;
    assert_eq!(error, Some(ReadError::FellBehind));
    assert!(got == story.body[..3 * CHUNK_BYTES], "{} bytes", got.len());
    assert_eq!(story.repairs.counts(), [0, 0, 2 + u64::from(ASKS_MAX), 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_place_a_reader_waits_no_longer_than_its_patience() {
    let story = Story::with([0]);
    let _all = story.repairs.places.acquire_many(REPAIRS_MAX as u32).await.expect("open");
    let (_, error) = read(&mut story.reader(), usize::MAX).await;
    assert_eq!(error, Some(ReadError::FellBehind));
    assert_eq!(story.repairs.counts(), [0, 0, 0, 1]);
}
