//! The gate: a strict reader of H1 messages that stands under hyper's parser.
//!
//! Every published request-smuggling attack needs two readers that disagree. hyper's parser is
//! laxer than RFC 9112 in places where laxness was exploited (bare LF, merged lengths, chunk
//! oddities), and it hides what it forgave. So the gate reads first, and releases only bytes that
//! every reader takes the same way: whole checked heads, then correctly framed content, one
//! request at a time. Nothing is repaired; the first breach ends the connection.
//!
//! Sans-I/O and incremental: each byte is looked at a bounded number of times however the input
//! is split, and splitting never changes the outcome (a property test says so).
//!
//! It knows bytes and limits. It does not know sockets, time, hyper or what a request is for.

use super::framing::BodyLength;
use crate::accept::{HeadLimits, Screen, Screened};
use crate::error::Cause;

mod chunks;
mod head;

use chunks::{Chunks, Progress};
use head::Head;

/// Empty lines that are skipped before a request line (RFC 9112 §2.2): some old clients end a
/// body with one.
const LEADING_LINES_MAX: u8 = 4;

/// The strict reader of one connection.
#[derive(Debug, Default)]
pub struct Gate {
    state: State,
    /// How far the unreleased bytes were searched for a line end.
    searched: usize,
    /// Where the line that is being read begins.
    line: usize,
}

#[derive(Debug)]
enum State {
    /// Before a request line; counts the empty lines that were skipped.
    Leading(u8),
    /// In the request line.
    RequestLine,
    /// In the fields.
    Fields(Head),
    /// So many content bytes are to come.
    Exact(u64),
    /// Chunked content.
    Chunked(Chunks),
    /// The request was released; the next may not be yet.
    Held,
    /// A rule was broken; nothing is released any more.
    Broken(Cause),
}

impl Default for State {
    fn default() -> Self {
        Self::Leading(0)
    }
}

impl Screen for Gate {
    fn inspect(&mut self, buffered: &[u8], limits: &HeadLimits) -> Screened {
        if buffered.is_empty() {
            return match self.state {
                State::Broken(cause) => Screened::Refuse(cause),
                _ => Screened::NeedMore,
            };
        }
        match &mut self.state {
            State::Leading(skipped) => match leading(buffered, *skipped) {
                Screened::Skip(bytes) => {
                    *skipped += 1;
                    Screened::Skip(bytes)
                }
                Screened::Refuse(cause) => self.broken(cause),
                Screened::NeedMore if buffered[0] != b'\r' => {
                    self.state = State::RequestLine;
                    self.head(buffered, limits)
                }
                other => other,
            },
            State::RequestLine | State::Fields(_) => self.head(buffered, limits),
            State::Exact(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffered.len());
                *left -= take as u64;
                if *left == 0 {
                    self.state = State::Held;
                    Screened::ReleaseEnd(take)
                } else {
                    Screened::Release(take)
                }
            }
            State::Chunked(chunks) => match chunks.advance(buffered, limits) {
                Progress::Good(0) => Screened::NeedMore,
                Progress::Good(bytes) => Screened::Release(bytes),
                Progress::End(bytes) => {
                    self.state = State::Held;
                    Screened::ReleaseEnd(bytes)
                }
                Progress::Broken(0, cause) => self.broken(cause),
                Progress::Broken(bytes, cause) => {
                    self.state = State::Broken(cause);
                    Screened::Release(bytes)
                }
            },
            State::Held => Screened::NeedMore,
            State::Broken(cause) => Screened::Refuse(*cause),
        }
    }

    fn next_request(&mut self) {
        if matches!(self.state, State::Held) {
            *self = Self::default();
        }
    }
}

impl Gate {
    fn broken(&mut self, cause: Cause) -> Screened {
        self.state = State::Broken(cause);
        Screened::Refuse(cause)
    }

    /// Reads lines until the head is complete, and releases it whole.
    fn head(&mut self, buffered: &[u8], limits: &HeadLimits) -> Screened {
        loop {
            let line_bytes_max = match self.state {
                State::RequestLine => limits.target_bytes_max.min(limits.head_bytes_max),
                _ => usize::MAX,
            };
            let Some(found) = memchr::memchr(b'\n', &buffered[self.searched..]) else {
                self.searched = buffered.len();
                // The end of this line is still to come, so it will be longer than this.
                if matches!(self.state, State::RequestLine) {
                    if buffered.len() >= line_bytes_max.saturating_add(2) {
                        return self.broken(Cause::TargetTooLong);
                    }
                } else if buffered.len() >= limits.head_bytes_max {
                    return self.broken(Cause::HeadTooLarge);
                }
                return Screened::NeedMore;
            };
            let start = std::mem::replace(&mut self.line, self.searched + found + 1);
            self.searched = self.line;
            if self.line - start > line_bytes_max.saturating_add(2) {
                return self.broken(Cause::TargetTooLong);
            }
            if self.line > limits.head_bytes_max {
                return self.broken(Cause::HeadTooLarge);
            }
            let Some(line) = buffered[start..self.line].strip_suffix(b"\r\n") else {
                return self.broken(Cause::Malformed);
            };
            match self.line(line, limits) {
                Ok(None) => {}
                Ok(Some(length)) => return self.release_head(length),
                Err(cause) => return self.broken(cause),
            }
        }
    }

    /// Takes one line into account; the empty line yields the length of the content.
    fn line(&mut self, line: &[u8], limits: &HeadLimits) -> Result<Option<BodyLength>, Cause> {
        match &mut self.state {
            State::Fields(head) if line.is_empty() => head.end().map(Some),
            State::Fields(head) => head.field_line(line, limits.fields_max).map(|()| None),
            _ => {
                self.state = State::Fields(Head::request_line(line)?);
                Ok(None)
            }
        }
    }

    fn release_head(&mut self, length: BodyLength) -> Screened {
        let bytes = self.line;
        (self.line, self.searched) = (0, 0);
        self.state = match length {
            BodyLength::Empty => {
                self.state = State::Held;
                return Screened::ReleaseEnd(bytes);
            }
            BodyLength::Exact(left) => State::Exact(left),
            BodyLength::Chunked => State::Chunked(Chunks::new()),
        };
        Screened::Release(bytes)
    }
}

/// What to do with an empty line before a request line. `NeedMore` for anything else.
fn leading(buffered: &[u8], skipped: u8) -> Screened {
    match buffered {
        [b'\r', b'\n', ..] if skipped < LEADING_LINES_MAX => Screened::Skip(2),
        [b'\r', _, ..] | [b'\n', ..] => Screened::Refuse(Cause::Malformed),
        _ => Screened::NeedMore,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod under_hyper;
