//! One fetch, and the origin that it asks.

use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use selvedge_cache::Clock as _;
use selvedge_cache::cache::Loaded;
use selvedge_cache::directory::Record;
use selvedge_cache::fill::{Content, FailureCode, FillPermit, FillWriter, Kept};
use selvedge_cache::head::StoredHead;
use selvedge_cache::invalidate::Watermark;
use selvedge_cache::policy::freshen::{Base, freshen};
use selvedge_cache::policy::storable::storable;
use selvedge_cache::policy::{NotStorable, OriginResponse, RequestFacts};

use super::ghost::{Body, Head, Sharing};
use super::{Flag, KEY, LANGUAGES, Who, World, now, request};

/// What the origin would answer now.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Raised when the content changes.
    pub version: u32,
    pub tags: Vec<&'static str>,
    pub varies: bool,
    pub sharing: Sharing,
    /// Length of the content, in bytes.
    pub length: usize,
    /// Says a length that differs by this from the truth; `None` says none.
    pub length_lie: Option<i64>,
}

impl Default for Origin {
    fn default() -> Self {
        let tags = vec!["a"];
        let (varies, sharing) = (false, Sharing::Plain);
        Self { version: 0, tags, varies, sharing, length: 40, length_lie: Some(0) }
    }
}

/// How a fetch is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A 304 if it can be one, else the content.
    Right,
    /// The content.
    Full,
    /// A 503.
    Error,
    /// The connection breaks before the head.
    Failure,
    /// Whoever fetched is gone.
    Dropped,
}

/// Where a fetch stands.
pub enum Stage {
    Queued,
    Sent { watermark: Watermark, sent: usize, base: Option<(Box<Record>, Loaded)> },
    Body { writer: Box<FillWriter>, rest: Bytes, head: Head, flag: Arc<Flag> },
    Over,
}

/// A fetch under way.
pub struct Fetch {
    pub who: Who,
    pub leader: Option<usize>,
    /// Changes of the directory before its request looked.
    pub epoch: u64,
    /// It lacks a part only: the purges before its request looked. Who looks after one more may
    /// find that part purged, and lacks the whole.
    part_of: Option<usize>,
    pub stage: Stage,
    permit: Option<FillPermit>,
    base: Option<Record>,
}

impl Fetch {
    pub fn new(
        permit: FillPermit,
        who: Who,
        leader: Option<usize>,
        base: Option<Record>,
        (epoch, purges): (u64, usize),
    ) -> Self {
        let part_of = permit.asked().is_some().then_some(purges);
        let (stage, permit) = (Stage::Queued, Some(permit));
        Self { who, leader, epoch, part_of, stage, permit, base }
    }

    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }
}

impl World {
    pub(super) fn start(&mut self, fetch: Fetch) -> usize {
        let (number, who, leader) = (self.fetches.len(), fetch.who, fetch.leader);
        self.note(|| format!("fetch {number} begins for {leader:?} {who:?}"));
        self.fetches.push(fetch);
        number
    }

    /// The request goes out; whether it was there to be sent.
    pub fn send(&mut self, number: usize) -> bool {
        let fetch = &mut self.fetches[number];
        let (Stage::Queued, Some(permit)) = (&fetch.stage, &mut fetch.permit) else { return false };
        let base = fetch.base.take().and_then(|record| {
            let loaded = now(self.cache.load(&record));
            // Its bytes may be gone, and then the record is, too.
            self.ghost.epoch += u64::from(loaded.is_none());
            Some((Box::new(record), loaded?))
        });
        let watermark = permit.sending();
        let sent = self.ghost.purges.len();
        fetch.stage = Stage::Sent { watermark, sent, base };
        self.note(|| format!("fetch {number} is sent after {sent} purges"));
        true
    }

    /// The head arrives, or does not.
    pub fn answer(&mut self, number: usize, answer: Answer) {
        let fetch = &mut self.fetches[number];
        if !matches!(fetch.stage, Stage::Sent { .. }) {
            return;
        }
        let stage = std::mem::replace(&mut fetch.stage, Stage::Over);
        let Stage::Sent { watermark, sent, base } = stage else { return };
        let permit = fetch.permit.take().expect("a fetch that was sent has its permit");
        self.note(|| format!("fetch {number} is answered: {answer:?}"));
        match answer {
            Answer::Right => match base.filter(|(record, _)| self.is_current(number, record)) {
                Some(base) => self.confirm(number, permit, &base, watermark, sent),
                None => self.fill(number, permit, watermark, sent),
            },
            Answer::Full => self.fill(number, permit, watermark, sent),
            Answer::Error => permit.erred(base.is_some()),
            Answer::Failure => permit.failed(FailureCode(1)),
            Answer::Dropped => drop(permit),
        }
    }

    /// Whether the origin would confirm a stored response.
    fn is_current(&self, number: usize, record: &Record) -> bool {
        let Some(head) = self.ghost.heads.get(&record.head) else { return false };
        let body = &self.ghost.bodies[head.body];
        let same_language = body.asked.language == self.fetches[number].who.language;
        body.version == self.origin.version && (same_language || !self.origin.varies)
    }

    fn fields(&self, who: Who) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = match self.origin.sharing {
            Sharing::Plain => "max-age=60",
            Sharing::Public => "max-age=60, public",
            Sharing::Short => "max-age=5, stale-while-revalidate=30, stale-if-error=60",
            Sharing::Spare => "max-age=5, stale-if-error=60",
            Sharing::Validated => "no-cache",
            Sharing::Brief => "max-age=0",
            Sharing::Private => "private",
        };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
        let language = if self.origin.varies { LANGUAGES[who.language] } else { "" };
        let etag = format!("\"{}{language}\"", self.origin.version);
        headers.insert(ETAG, HeaderValue::from_str(&etag).expect("digits and letters"));
        if self.origin.varies {
            headers.insert(VARY, HeaderValue::from_static("accept-language"));
        }
        for tag in &self.origin.tags {
            headers.append("cache-tag", HeaderValue::from_static(tag));
        }
        headers
    }

    /// The origin confirms what is stored.
    fn confirm(
        &mut self,
        number: usize,
        permit: FillPermit,
        (record, loaded): &(Box<Record>, Loaded),
        watermark: Watermark,
        sent: usize,
    ) {
        let (who, leader) = (self.fetches[number].who, self.fetches[number].leader);
        let (headers, facts) = asked(who);
        let time = self.clock.now();
        let confirmed = self.fields(who);
        let base = Base {
            status: loaded.head.status,
            headers: &loaded.head.headers,
            tags: &record.tags,
            tags_overflow: record.tags_overflow,
        };
        let update = OriginResponse {
            status: StatusCode::NOT_MODIFIED,
            headers: &confirmed,
            requested: time,
            received: time,
        };
        let freshened = freshen(&facts, &base, &update, &self.options);
        let request = request(&KEY, &facts, &headers, &self.options, watermark);
        let mut fresh = None;
        match freshened.storable {
            Ok(storable) => {
                let merged = StoredHead { status: base.status, headers: freshened.headers };
                let (inline, cache) = (&loaded.inline, &self.cache);
                fresh = cache.freshen(&request, record, inline, &merged, storable, watermark);
            }
            Err(_) => self.cache.forget(record),
        }
        self.ghost.epoch += 1;
        let Some(fresh) = fresh else {
            // The base cannot be used: ask once more, without it.
            let fetch = &mut self.fetches[number];
            (fetch.permit, fetch.stage) = (Some(permit), Stage::Queued);
            return;
        };
        let before = &self.ghost.heads[&record.head];
        let mut tags = before.tags.clone();
        tags.extend(&self.origin.tags);
        let sharing = self.origin.sharing;
        let authorized = who.authorized;
        let head = Head { body: before.body, validated: sent, tags, leader, authorized, sharing };
        self.ghost.heads.insert(fresh.head, head);
        permit.validated(fresh);
    }

    /// The origin sends its content.
    fn fill(&mut self, number: usize, permit: FillPermit, watermark: Watermark, sent: usize) {
        let (who, leader) = (self.fetches[number].who, self.fetches[number].leader);
        let (headers, facts) = asked(who);
        let time = self.clock.now();
        let fields = self.fields(who);
        let response = OriginResponse {
            status: StatusCode::OK,
            headers: &fields,
            requested: time,
            received: time,
        };
        let storable = match storable(&facts, &response, &self.options) {
            Ok(storable) => storable,
            Err(NotStorable::Authorization) => return drop(permit),
            Err(_) => return permit.not_storable(),
        };
        let request = request(&KEY, &facts, &headers, &self.options, watermark);
        let varied = self.cache.varied(&request, &storable, &fields);
        let kept = Kept { key: KEY, narrower: false };
        let length = self.origin.length;
        let declared = self.origin.length_lie.map(|lie| length.saturating_add_signed(lie as isize));
        let declared = declared.map(|declared| declared as u64);
        let (head, all) = ((fields, HeaderMap::new()), Content::Whole(declared));
        let Ok(writer) = permit.storable(kept, StatusCode::OK, head, all, storable, varied) else {
            return;
        };
        let bytes = content(self.ghost.bodies.len(), length);
        let Origin { version, tags, varies, sharing, .. } = self.origin.clone();
        let body = self.ghost.bodies.len();
        let rest = bytes.clone();
        let asked = who;
        self.ghost.bodies.push(Body {
            bytes,
            sent,
            asked,
            leader,
            varies,
            sharing,
            version,
            declared,
        });
        let authorized = who.authorized;
        let head = Head { body, validated: sent, tags, leader, authorized, sharing };
        self.ghost.fills.insert(writer.head().object, head.clone());
        let flag = Flag::raised();
        self.fetches[number].stage = Stage::Body { writer: Box::new(writer), rest, head, flag };
    }

    /// The origin sends at most `bytes` more, if the fill wants them. At its end the fill is
    /// finished. Whether something happened.
    pub fn piece(&mut self, number: usize, bytes: usize) -> bool {
        let fetch = &mut self.fetches[number];
        let Stage::Body { writer, rest, head, flag } = &mut fetch.stage else { return false };
        if !flag.is_raised() {
            return false;
        }
        match flag.poll(writer.ready()) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !rest.is_empty() => {
                writer.write(rest.split_to(bytes.min(rest.len())));
                return true;
            }
            Poll::Ready(Ok(())) => {
                let head = head.clone();
                let stage = std::mem::replace(&mut fetch.stage, Stage::Over);
                let Stage::Body { writer, .. } = stage else { return false };
                let finished = writer.finish();
                self.note(|| format!("fetch {number} ends: {}", finished.is_ok()));
                if let Ok(record) = finished {
                    self.ghost.epoch += 1;
                    self.ghost.heads.insert(record.head, head);
                }
            }
            Poll::Ready(Err(_)) => self.die(number),
        }
        true
    }

    /// The origin breaks off.
    pub fn die(&mut self, number: usize) {
        if let Stage::Body { .. } = self.fetches[number].stage {
            self.note(|| format!("fetch {number} breaks off"));
            let stage = std::mem::replace(&mut self.fetches[number].stage, Stage::Over);
            if let Stage::Body { writer, .. } = stage {
                writer.fail(FailureCode(2));
                // What came may stay as a part.
                self.ghost.epoch += 1;
            }
        }
    }

    /// One step of a fetch whose origin does what is asked; whether it made one.
    pub(super) fn hurry(&mut self, number: usize) -> bool {
        match self.fetches[number].stage {
            Stage::Queued => self.send(number),
            Stage::Sent { .. } => {
                self.answer(number, Answer::Right);
                true
            }
            Stage::Body { .. } => self.piece(number, 50_000),
            Stage::Over => false,
        }
    }

    /// A whole fetch, from sending to the end.
    pub fn serve(&mut self, number: usize) {
        while self.hurry(number) {}
    }

    /// A client is told to fetch: nobody else may be fetching what it could share.
    pub(super) fn check_leads(&mut self, client: usize) {
        let this = &self.clients[client];
        let twin = self.fetches.iter().position(|fetch| {
            let same = fetch.who.language == this.who.language
                && fetch.who.authorized == this.who.authorized
                && !this.who.no_cache
                && fetch.epoch == self.ghost.epoch
                && fetch.part_of.is_none_or(|before| before == self.ghost.purges.len());
            // A purge in between is a reason, whatever it selects; so is a solitary response.
            let purged = |sent: usize| sent < self.ghost.purges.len();
            same && match &fetch.stage {
                Stage::Queued => fetch.base.is_none(),
                Stage::Sent { sent, base, .. } => base.is_none() && !purged(*sent),
                Stage::Body { head, writer, .. } => {
                    let fresh = &writer.head().fresh;
                    let open = matches!(head.sharing, Sharing::Plain | Sharing::Public);
                    let shared = head.sharing == Sharing::Public || !this.who.authorized;
                    open && shared
                        && fresh.ttl_at(self.clock.now()) > 0
                        && !purged(self.ghost.bodies[head.body].sent)
                        && self.keeps(head.body)
                }
                Stage::Over => false,
            }
        });
        if let Some(twin) = twin {
            self.ghost.wrong(format!("client {client} fetches beside fetch {twin}"));
        }
    }

    /// Whether everybody could read a body along to its end.
    fn keeps(&self, body: usize) -> bool {
        let body = &self.ghost.bodies[body];
        let length = body.bytes.len();
        length <= selvedge_cache::store::CHUNK_BYTES
            && body.declared.is_none_or(|declared| declared == length as u64)
    }
}

/// The request that goes to the origin.
fn asked(who: Who) -> (HeaderMap, RequestFacts) {
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", HeaderValue::from_static(LANGUAGES[who.language]));
    (headers, RequestFacts { authorization: who.authorized, ..RequestFacts::default() })
}

/// Content in which every word says whose it is and where it stands.
fn content(body: usize, length: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(length + 8);
    let mut word = (body as u64) << 32;
    while bytes.len() < length {
        bytes.extend_from_slice(&word.to_le_bytes());
        word += 1;
    }
    bytes.truncate(length);
    bytes.freeze()
}
