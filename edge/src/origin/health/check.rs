//! Checks that the node makes by itself: what is asked, when, and what the answers mean.
//!
//! A verdict changes only after several answers in a row (`rise`, `fall`): one lost packet is no
//! outage. An origin is trusted before its first check, so that a node that starts serves at
//! once. Intervals are jittered: nodes of a fleet that started together must not ask together.
//!
//! Pure; [`pool::checks`](crate::origin::pool) asks.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

/// What is asked, and what is right.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CheckConfig {
    /// How it is asked.
    pub kind: CheckKind,
    /// Between two checks of one origin, in milliseconds.
    pub interval_ms: u64,
    /// A whole check: name, connection, TLS, answer, in milliseconds.
    pub timeout_ms: u64,
    /// Passed checks in a row that bring an origin back.
    pub rise: u32,
    /// Failed checks in a row that take an origin away.
    pub fall: u32,
}

/// How an origin is checked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CheckKind {
    /// A connection (and a TLS handshake, with `https://`) is enough.
    Connect,
    /// A request.
    Http(HttpCheck),
}

/// A request and what its answer must be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HttpCheck {
    /// What is asked for.
    pub path: String,
    /// Under which host; `None`: the pool's, or the origin's own name.
    pub host: Option<HeaderValue>,
    /// Least status that is right.
    pub status_min: u16,
    /// Greatest status that is right.
    pub status_max: u16,
    /// What the first [`BODY_BYTES_MAX`] bytes of the content must contain.
    pub body: Option<String>,
    /// A field that must be there, and with which value.
    pub field: Option<(HeaderName, HeaderValue)>,
}

/// Content of an answer that is looked at, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

impl HttpCheck {
    /// Whether the head of an answer is right; else what is wrong with it.
    pub fn head(&self, status: StatusCode, headers: &http::HeaderMap) -> Result<(), String> {
        if !(self.status_min..=self.status_max).contains(&status.as_u16()) {
            return Err(format!("status {}", status.as_u16()));
        }
        match &self.field {
            Some((name, value)) if !headers.get_all(name).iter().any(|found| found == value) => {
                Err(format!("the field {name} is missing or says something else"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the content is right.
    pub fn content(&self, content: &[u8]) -> Result<(), String> {
        match &self.body {
            Some(wanted) if memchr::memmem::find(content, wanted.as_bytes()).is_none() => {
                Err(format!("the content does not contain {wanted:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// Answers in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Answers in a row that speak against what is believed.
    against: u32,
}

/// What one answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Stays,
    /// It is up now.
    Up,
    /// It is down now.
    Down,
}

impl Verdict {
    /// Takes one answer of an origin that `is_down` so far, or is not.
    pub fn answer(&mut self, is_down: bool, passed: bool, config: &CheckConfig) -> Turn {
        if passed != is_down {
            self.against = 0;
            return Turn::Stays;
        }
        self.against += 1;
        let enough = if passed { config.rise } else { config.fall };
        if self.against < enough {
            return Turn::Stays;
        }
        self.against = 0;
        if passed { Turn::Up } else { Turn::Down }
    }
}

/// The wait before the next check: the interval, give or take a tenth.
pub fn next_ms(interval_ms: u64, entropy: u64) -> u64 {
    let tenth = interval_ms / 10;
    interval_ms - tenth + entropy % (2 * tenth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rise: u32, fall: u32) -> CheckConfig {
        let (interval_ms, timeout_ms) = (1_000, 100);
        CheckConfig { kind: CheckKind::Connect, interval_ms, timeout_ms, rise, fall }
    }

    #[test]
    fn a_verdict_changes_after_several_answers_in_a_row() {
        let config = config(2, 3);
        let mut verdict = Verdict::default();
        let (mut told, mut is_down) = (Vec::new(), false);
        for answer in "..xx.xxx.x..".chars() {
            let turn = verdict.answer(is_down, answer == '.', &config);
            is_down = turn == Turn::Down || (is_down && turn == Turn::Stays);
            told.push(turn);
        }
        let changes: Vec<_> =
            told.iter().enumerate().filter(|(_, turn)| **turn != Turn::Stays).collect();
        assert_eq!(changes, [(7, &Turn::Down), (11, &Turn::Up)]);
    }

    #[test]
    fn status_field_and_content_must_be_right() {
        let check = HttpCheck {
            path: "/".into(),
            host: None,
            status_min: 200,
            status_max: 299,
            body: Some("up".into()),
            field: Some((HeaderName::from_static("x-ready"), HeaderValue::from_static("yes"))),
        };
        let mut headers = http::HeaderMap::new();
        assert!(check.head(StatusCode::OK, &headers).is_err());
        headers.insert("x-ready", HeaderValue::from_static("yes"));
        assert_eq!(check.head(StatusCode::OK, &headers), Ok(()));
        assert_eq!(check.head(StatusCode::FOUND, &headers), Err("status 302".into()));
        assert_eq!(check.content(b"all is up"), Ok(()));
        assert!(check.content(b"down").expect_err("wrong").contains("\"up\""));
    }

    #[test]
    fn intervals_are_spread_around_what_was_asked_for() {
        assert_eq!((next_ms(1_000, 0), next_ms(1_000, 200)), (900, 1_100));
        assert!((0..500).all(|entropy| (900..=1_100).contains(&next_ms(1_000, entropy * 7_919))));
        assert_eq!(next_ms(5, 77), 5);
    }
}
