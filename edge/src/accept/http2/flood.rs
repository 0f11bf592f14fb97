//! Frames that cost us work and the peer nothing, and how many of them a connection may send.
//!
//! The `h2` crate limits CONTINUATION, small DATA and some resets, but answers any number of
//! SETTINGS and PING and reads any number of PRIORITY, WINDOW_UPDATE and unknown frames. So a
//! reader under it looks at the nine-byte frame headers (RFC 9113 §4.1) as they pass and takes
//! one token per frame from a bucket per [`FrameKind`]. Buckets refill with time, and some with
//! honest work: the more we send, the more WINDOW_UPDATE we expect.
//!
//! Sans-I/O: bytes and facts go in, a verdict comes out. Knows nothing of streams' states; a
//! frame that breaks the protocol is `h2`'s to refuse.

/// Length of the client's connection preface (RFC 9113 §3.4).
const PREFACE_BYTES: u8 = 24;
/// Length of a frame header.
const HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const FLAG_END_STREAM: u8 = 0x1;
const FLAG_END_HEADERS: u8 = 0x4;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// PRIORITY.
    Priority,
    /// `RST_STREAM`.
    Reset,
    /// SETTINGS, acknowledgements included.
    Settings,
    /// PING, acknowledgements included.
    Ping,
    /// `WINDOW_UPDATE`.
    WindowUpdate,
    /// DATA without content that does not end a stream.
    EmptyData,
    /// Frame types that we ignore.
    Unknown,
}

/// How many kinds there are.
const KINDS: usize = 7;

/// A bucket: how many at once, and how many per second after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Frames at once.
    pub burst: u32,
    /// Frames per second in the long run.
    pub per_second: u32,
}

/// The allowances of a connection. Beyond them it ends with `ENHANCE_YOUR_CALM`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FloodLimits {
    /// SETTINGS: a client sends one, and one acknowledgement.
    pub settings: Allowance,
    /// PING: keep-alives, and a round-trip probe now and then during transfers. Each 4 KiB
    /// that we send earn one more.
    pub ping: Allowance,
    /// PRIORITY: deprecated; old clients send a few per request, so each request earns 4.
    pub priority: Allowance,
    /// `WINDOW_UPDATE`: each 64 bytes that we send earn one more.
    pub window_update: Allowance,
    /// Empty DATA.
    pub empty_data: Allowance,
    /// `RST_STREAM`: people leave pages, players seek; rapid reset (CVE-2023-44487) needs far more.
    pub reset: Allowance,
    /// Unknown types (`PRIORITY_UPDATE` among them): each request earns 4.
    pub unknown: Allowance,
}

impl Default for FloodLimits {
    fn default() -> Self {
        Self {
            settings: Allowance { burst: 64, per_second: 1 },
            ping: Allowance { burst: 512, per_second: 50 },
            priority: Allowance { burst: 1_024, per_second: 100 },
            window_update: Allowance { burst: 4_096, per_second: 1_000 },
            empty_data: Allowance { burst: 64, per_second: 10 },
            reset: Allowance { burst: 512, per_second: 50 },
            unknown: Allowance { burst: 512, per_second: 50 },
        }
    }
}

impl FloodLimits {
    const fn of(&self, kind: FrameKind) -> Allowance {
        match kind {
            FrameKind::Priority => self.priority,
            FrameKind::Reset => self.reset,
            FrameKind::Settings => self.settings,
            FrameKind::Ping => self.ping,
            FrameKind::WindowUpdate => self.window_update,
            FrameKind::EmptyData => self.empty_data,
            FrameKind::Unknown => self.unknown,
        }
    }
}

/// What refills buckets. Only looked at when one is empty.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Earned {
    /// Milliseconds since the connection began.
    pub now_ms: u64,
    /// Bytes that we sent.
    pub bytes_sent: u64,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    tokens: u64,
    filled_ms: u64,
    filled_work: u64,
}

/// Reads frame headers out of the byte stream and keeps the buckets.
pub(super) struct FrameCensus {
    limits: FloodLimits,
    buckets: [Bucket; KINDS],
    requests: u64,
    preface_left: u8,
    head: [u8; HEAD_BYTES],
    head_have: u8,
    payload_left: u32,
    payload_is_data: bool,
    block_open: bool,
}

impl FrameCensus {
    pub fn new(limits: FloodLimits) -> Self {
        let mut buckets = [Bucket::default(); KINDS];
        for kind in [
            FrameKind::Priority,
            FrameKind::Reset,
            FrameKind::Settings,
            FrameKind::Ping,
            FrameKind::WindowUpdate,
            FrameKind::EmptyData,
            FrameKind::Unknown,
        ] {
            buckets[kind as usize].tokens = u64::from(limits.of(kind).burst);
        }
        Self {
            limits,
            buckets,
            requests: 0,
            preface_left: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            head_have: 0,
            payload_left: 0,
            payload_is_data: false,
            block_open: false,
        }
    }

    /// Looks at bytes that arrived; `Err` names the kind of which there were too many.
    pub fn feed(&mut self, mut bytes: &[u8], earned: impl Fn() -> Earned) -> Result<(), FrameKind> {
        let preface = bytes.len().min(self.preface_left as usize);
        self.preface_left -= preface as u8;
        bytes = &bytes[preface..];
        loop {
            let payload = bytes.len().min(self.payload_left as usize);
            self.payload_left -= payload as u32;
            bytes = &bytes[payload..];
            if bytes.is_empty() {
                return Ok(());
            }
            let have = self.head_have as usize;
            let take = bytes.len().min(HEAD_BYTES - have);
            self.head[have..have + take].copy_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if have + take < HEAD_BYTES {
                self.head_have += take as u8;
                return Ok(());
            }
            self.head_have = 0;
            self.frame(&earned)?;
        }
    }

    /// Whether something other than content is half received: the preface, a frame, a field block.
    pub const fn is_midway(&self) -> bool {
        self.head_have > 0
            || self.block_open
            || (self.payload_left > 0 && !self.payload_is_data)
            || (self.preface_left > 0 && self.preface_left < PREFACE_BYTES)
    }

    fn frame(&mut self, earned: &impl Fn() -> Earned) -> Result<(), FrameKind> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.payload_left = u32::from_be_bytes([0, a, b, c]);
        self.payload_is_data = kind == DATA;
        let counted = match kind {
            DATA if self.payload_left == 0 && flags & FLAG_END_STREAM == 0 => FrameKind::EmptyData,
            DATA => return Ok(()),
            HEADERS | CONTINUATION => {
                self.requests += u64::from(kind == HEADERS);
                self.block_open = flags & FLAG_END_HEADERS == 0;
                return Ok(());
            }
            2 => FrameKind::Priority,
            3 => FrameKind::Reset,
            4 => FrameKind::Settings,
            6 => FrameKind::Ping,
            8 => FrameKind::WindowUpdate,
            // PUSH_PROMISE from a client and GOAWAY: h2 ends or winds down the connection.
            5 | 7 => return Ok(()),
            _ => FrameKind::Unknown,
        };
        self.spend(counted, earned)
    }

    fn spend(&mut self, kind: FrameKind, earned: &impl Fn() -> Earned) -> Result<(), FrameKind> {
        let bucket = &mut self.buckets[kind as usize];
        if bucket.tokens == 0 {
            let allowance = self.limits.of(kind);
            let Earned { now_ms, bytes_sent } = earned();
            let work = match kind {
                FrameKind::WindowUpdate => bytes_sent / 64,
                FrameKind::Ping => bytes_sent / 4_096,
                FrameKind::Priority | FrameKind::Unknown => self.requests * 4,
                FrameKind::Reset | FrameKind::Settings | FrameKind::EmptyData => 0,
            };
            let elapsed_ms = now_ms.saturating_sub(bucket.filled_ms);
            let by_time = elapsed_ms.saturating_mul(u64::from(allowance.per_second)) / 1_000;
            let by_work = work.saturating_sub(bucket.filled_work);
            // Time is not idle capital: a long quiet connection earns one burst, not hours' worth.
            bucket.tokens = by_time.min(u64::from(allowance.burst)) + by_work;
            if bucket.tokens == 0 {
                return Err(kind);
            }
            bucket.filled_ms = now_ms;
            bucket.filled_work = work;
        }
        bucket.tokens -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, (payload.len() >> 8) as u8, payload.len() as u8, kind, flags];
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    fn begun() -> FrameCensus {
        let mut census = FrameCensus::new(FloodLimits::default());
        census.feed(PREFACE, Earned::default).expect("the preface is no frame");
        census
    }

    fn at(now_ms: u64, bytes_sent: u64) -> impl Fn() -> Earned {
        move || Earned { now_ms, bytes_sent }
    }

    /// How many of `kind` pass at one moment.
    fn pass(census: &mut FrameCensus, kind: u8, earned: impl Fn() -> Earned) -> u32 {
        let frame = frame(kind, 0, &[]); // the refused one leaves no payload to skip
        let passes = |_: &u32| census.feed(&frame, &earned).is_ok();
        (0..u32::MAX).take_while(passes).count() as u32
    }

    #[test]
    fn a_bucket_holds_its_burst_and_refills_with_time() {
        let mut census = begun();
        assert_eq!(pass(&mut census, 6, at(0, 0)), 512);
        assert_eq!(pass(&mut census, 6, at(1_000, 0)), 50);
        assert_eq!(pass(&mut census, 6, at(3_600_000, 0)), 512);
    }

    #[test]
    fn window_updates_are_earned_by_bytes_sent() {
        let mut census = begun();
        assert_eq!(pass(&mut census, 8, at(0, 0)), 4_096);
        assert_eq!(pass(&mut census, 8, at(0, 64 * 100)), 100);
        assert_eq!(pass(&mut census, 8, at(0, 64 * 100)), 0);
    }

    #[test]
    fn frames_are_found_when_bytes_come_one_by_one() {
        let mut census = FrameCensus::new(FloodLimits {
            settings: Allowance { burst: 2, per_second: 0 },
            ..FloodLimits::default()
        });
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(4, 0, &[0; 6]));
        bytes.extend(frame(0, 0, &[4; 300]));
        bytes.extend(frame(4, 1, &[]));
        bytes.extend(frame(4, 1, &[]));
        let refused = bytes.iter().position(|byte| census.feed(&[*byte], Earned::default).is_err());
        assert_eq!(refused, Some(bytes.len() - 1));
    }

    #[test]
    fn content_does_not_count_and_ends_do_not_either() {
        let mut census = begun();
        for _ in 0..10_000 {
            census.feed(&frame(0, 0, b"x"), Earned::default).expect("content is free");
            census.feed(&frame(0, FLAG_END_STREAM, b""), Earned::default).expect("an end is free");
        }
        assert_eq!(census.feed(&frame(0, 0, b""), Earned::default), Ok(()));
    }

    #[test]
    fn midway_is_a_block_or_frame_that_has_not_ended() {
        let mut census = begun();
        assert!(!census.is_midway());
        census.feed(&frame(HEADERS, 0, b"abc"), Earned::default).expect("fine");
        assert!(census.is_midway());
        let end = frame(CONTINUATION, FLAG_END_HEADERS, b"def");
        census.feed(&end[..10], Earned::default).expect("fine");
        assert!(census.is_midway());
        census.feed(&end[10..], Earned::default).expect("fine");
        assert!(!census.is_midway());
        census.feed(&frame(DATA, 0, b"abcdef")[..12], Earned::default).expect("fine");
        assert!(!census.is_midway(), "content has a deadline of its own");
    }
}
