//! The connection's deadlines, decided from facts and the time.
//!
//! One timer serves a connection. After each turn the driver states what is so
//! ([`Facts`]) and is told when to look again, or which patience is at its end. Deadlines of
//! single streams (a request body, a closed window) live with the streams.
//!
//! Knows no sockets and no frames.

use std::time::Duration;

use tokio::time::Instant;

use crate::accept::ClientDeadlines;

/// What is so at the end of a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub now: Instant,
    /// Requests received so far.
    pub requests: u64,
    /// A frame or field block is half received.
    pub is_midway: bool,
    /// Streams are open.
    pub is_busy: bool,
    /// Bytes wait for the transport.
    pub is_waiting: bool,
    /// Bytes that the transport took so far.
    pub bytes_sent: u64,
    /// We said goodbye and await the peer's leave.
    pub is_leaving: bool,
    /// The connection is being torn down.
    pub is_condemned: bool,
}

/// Which patience ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alarm {
    /// No request, or no rest of one, in time.
    Head,
    /// Nothing was asked for `idle_ms`.
    Idle,
    /// The transport took nothing for `write_ms`.
    Write,
    /// The peer did not leave after our goodbye.
    Leave,
    /// The teardown itself does not end.
    Teardown,
}

/// Since when each condition has held.
pub(super) struct Watchdog {
    limits: ClientDeadlines,
    started: Instant,
    requests: u64,
    bytes_sent: u64,
    midway: Option<Instant>,
    idle: Option<Instant>,
    waiting: Option<Instant>,
    leaving: Option<Instant>,
    condemned: Option<Instant>,
}

impl Watchdog {
    pub const fn new(limits: ClientDeadlines, started: Instant) -> Self {
        Self {
            limits,
            started,
            requests: 0,
            bytes_sent: 0,
            midway: None,
            idle: None,
            waiting: None,
            leaving: None,
            condemned: None,
        }
    }

    /// When to look again if nothing happens before, or what is overdue.
    pub fn observe(&mut self, facts: Facts) -> Result<Option<Instant>, Alarm> {
        let Facts { now, .. } = facts;
        if facts.requests != self.requests {
            self.requests = facts.requests;
            self.idle = None;
            self.leaving = None;
        }
        if facts.bytes_sent != self.bytes_sent {
            self.bytes_sent = facts.bytes_sent;
            self.waiting = None;
        }
        note(&mut self.midway, facts.is_midway, now);
        note(&mut self.idle, !facts.is_busy && !facts.is_leaving, now);
        note(&mut self.waiting, facts.is_waiting, now);
        note(&mut self.leaving, facts.is_leaving && !facts.is_busy, now);
        note(&mut self.condemned, facts.is_condemned, now);
        let first = (facts.requests == 0 && !facts.is_leaving).then_some(self.started);

        let ClientDeadlines { head_ms, idle_ms, write_ms, linger_ms, .. } = self.limits;
        let mut next = None;
        for (since, patience_ms, alarm) in [
            (self.condemned, linger_ms, Alarm::Teardown),
            (self.waiting, write_ms, Alarm::Write),
            (first, head_ms, Alarm::Head),
            (self.midway, head_ms, Alarm::Head),
            (self.leaving, linger_ms, Alarm::Leave),
            (self.idle, idle_ms, Alarm::Idle),
        ] {
            let Some(since) = since else { continue };
            if facts.is_condemned && alarm != Alarm::Teardown {
                continue;
            }
            let due = since + Duration::from_millis(patience_ms);
            if due <= now {
                return Err(alarm);
            }
            next = Some(next.map_or(due, |next: Instant| next.min(due)));
        }
        Ok(next)
    }
}

fn note(since: &mut Option<Instant>, holds: bool, now: Instant) {
    if holds {
        since.get_or_insert(now);
    } else {
        *since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ClientDeadlines {
        ClientDeadlines {
            head_ms: 10,
            idle_ms: 100,
            write_ms: 50,
            linger_ms: 5,
            ..Default::default()
        }
    }

    fn quiet(now: Instant) -> Facts {
        Facts {
            now,
            requests: 1,
            is_midway: false,
            is_busy: false,
            is_waiting: false,
            bytes_sent: 0,
            is_leaving: false,
            is_condemned: false,
        }
    }

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_connection_without_a_request_ends_by_the_head_deadline() {
        let start = Instant::now();
        let mut dog = Watchdog::new(limits(), start);
        let facts = Facts { requests: 0, ..quiet(start) };
        assert_eq!(dog.observe(facts), Ok(Some(after(start, 10))));
        assert_eq!(dog.observe(Facts { now: after(start, 10), ..facts }), Err(Alarm::Head));
    }

    #[test]
    fn a_block_that_dribbles_has_the_head_deadline_too() {
        let start = Instant::now();
        let mut dog = Watchdog::new(limits(), start);
        assert!(dog.observe(Facts { is_busy: true, ..quiet(start) }).is_ok());
        let facts = Facts { is_busy: true, is_midway: true, ..quiet(after(start, 40)) };
        assert_eq!(dog.observe(facts), Ok(Some(after(start, 50))));
        assert_eq!(dog.observe(Facts { now: after(start, 50), ..facts }), Err(Alarm::Head));
    }

    #[test]
    fn idleness_begins_anew_with_each_request() {
        let start = Instant::now();
        let mut dog = Watchdog::new(limits(), start);
        assert_eq!(dog.observe(quiet(start)), Ok(Some(after(start, 100))));
        let again = Facts { requests: 2, ..quiet(after(start, 99)) };
        assert_eq!(dog.observe(again), Ok(Some(after(start, 199))));
        assert_eq!(dog.observe(Facts { now: after(start, 199), ..again }), Err(Alarm::Idle));
    }

    #[test]
    fn any_byte_taken_is_progress() {
        let start = Instant::now();
        let mut dog = Watchdog::new(limits(), start);
        let stuck = Facts { is_busy: true, is_waiting: true, ..quiet(start) };
        assert_eq!(dog.observe(stuck), Ok(Some(after(start, 50))));
        let moved = Facts { bytes_sent: 1, now: after(start, 49), ..stuck };
        assert_eq!(dog.observe(moved), Ok(Some(after(start, 99))));
        assert_eq!(dog.observe(Facts { now: after(start, 99), ..moved }), Err(Alarm::Write));
    }

    #[test]
    fn goodbye_waits_for_streams_and_then_not_for_long() {
        let start = Instant::now();
        let mut dog = Watchdog::new(limits(), start);
        let busy = Facts { is_leaving: true, is_busy: true, ..quiet(start) };
        assert_eq!(dog.observe(busy), Ok(None));
        let done = Facts { is_busy: false, now: after(start, 1000), ..busy };
        assert_eq!(dog.observe(done), Ok(Some(after(start, 1005))));
        assert_eq!(dog.observe(Facts { now: after(start, 1005), ..done }), Err(Alarm::Leave));
    }
}
