//! May this request be sent once more, and where?
//!
//! A pure decision. What counts is how far the failed attempt went ([`Stage`]), whether the
//! request may reach an origin twice without harm (RFC 9110 §9.2.2), and whether its content is
//! still there to be sent. A kept-alive connection that closes before the first byte of an answer
//! was most likely closed before it saw the request (RFC 9112 §9.3.1): the same origin gets it
//! again on a fresh connection, and that is no mark against the origin.
//!
//! Knows no connections and no clocks: elapsed time is an argument.

use http::Method;

use crate::error::{Cause, Fault, Stage};

/// Bounds of sending again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RetryConfig {
    /// Attempts in all, the first included; each at another origin. 1 never tries another.
    pub attempts_max: u32,
    /// Times that a request which may have reached an origin is sent to another one.
    pub resends_max: u32,
    /// Requests that may go out once more (retries and hedges) at a time, in percent of those that
    /// are live; a few always may.
    pub share_percent: u32,
    /// A request that is later than most is sent to a second origin beside the first.
    pub hedge: bool,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { attempts_max: 3, resends_max: 1, share_percent: 50, hedge: false }
    }
}

/// What is left of the request's content after the attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// There is none.
    Empty,
    /// There is some, and not a byte of it was taken.
    Whole,
    /// Some of it is gone.
    Consumed,
}

/// A failed attempt and what went before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The request may reach an origin twice without harm.
    pub idempotent: bool,
    /// What is left of the content.
    pub content: Content,
    /// How far it went.
    pub stage: Stage,
    /// Why it failed.
    pub cause: Cause,
    /// The connection had carried another exchange before.
    pub reused: bool,
    /// Attempts so far, this one included, second tries on fresh connections excluded.
    pub attempts: u32,
    /// Times that the request was sent again although it may have reached an origin.
    pub resends: u32,
    /// Milliseconds since the first attempt began.
    pub elapsed_ms: u64,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The failure is the answer.
    GiveUp,
    /// It would have been tried elsewhere, but too many are already.
    Spent,
    /// The same origin, on a connection made for it.
    Fresh,
    /// Another origin; `resend` when the request may have reached the one before.
    Next {
        /// Counts against `resends_max`.
        resend: bool,
    },
}

/// Decides.
pub fn decide(config: &RetryConfig, total_ms: u64, failed: &Failed) -> Decision {
    if failed.elapsed_ms >= total_ms || !is_worth_trying_elsewhere(failed.cause) {
        return Decision::GiveUp;
    }
    let resend = match failed.stage {
        Stage::Unsent if failed.content == Content::Consumed => return Decision::GiveUp,
        Stage::Unsent => false,
        Stage::Sent if failed.idempotent && failed.content == Content::Empty => true,
        Stage::Sent | Stage::Answered => return Decision::GiveUp,
    };
    if failed.reused && failed.cause == Cause::OriginBroke {
        return Decision::Fresh;
    }
    let spent = failed.attempts >= config.attempts_max;
    if spent || (resend && failed.resends >= config.resends_max) {
        return Decision::GiveUp;
    }
    Decision::Next { resend }
}

/// Methods that may reach an origin twice without harm (RFC 9110 §9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

/// Failures of the client and of this node would be the same at every origin.
fn is_worth_trying_elsewhere(cause: Cause) -> bool {
    cause.fault() == Fault::Origin && cause != Cause::NoOrigin
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET_UNSENT: Failed = Failed {
        idempotent: true,
        content: Content::Empty,
        stage: Stage::Unsent,
        cause: Cause::OriginRefused,
        reused: false,
        attempts: 1,
        resends: 0,
        elapsed_ms: 0,
    };
    const POST_SENT: Failed = Failed {
        idempotent: false,
        content: Content::Consumed,
        stage: Stage::Sent,
        cause: Cause::OriginBroke,
        ..GET_UNSENT
    };

    fn decided(failed: Failed) -> Decision {
        decide(&RetryConfig::default(), 1_000, &failed)
    }

    #[test]
    fn what_was_not_sent_may_always_go_elsewhere_while_its_content_is_whole() {
        assert_eq!(decided(GET_UNSENT), Decision::Next { resend: false });
        let post = Failed { idempotent: false, content: Content::Whole, ..GET_UNSENT };
        assert_eq!(decided(post), Decision::Next { resend: false });
        assert_eq!(decided(Failed { content: Content::Consumed, ..post }), Decision::GiveUp);
    }

    #[test]
    fn a_post_is_never_sent_twice() {
        assert_eq!(decided(POST_SENT), Decision::GiveUp);
        for content in [Content::Empty, Content::Whole, Content::Consumed] {
            for reused in [false, true] {
                assert_eq!(decided(Failed { content, reused, ..POST_SENT }), Decision::GiveUp);
            }
        }
    }

    #[test]
    fn a_get_that_was_sent_goes_elsewhere_once() {
        let sent = Failed { stage: Stage::Sent, cause: Cause::OriginBroke, ..GET_UNSENT };
        assert_eq!(decided(sent), Decision::Next { resend: true });
        assert_eq!(decided(Failed { resends: 1, ..sent }), Decision::GiveUp);
        assert_eq!(decided(Failed { stage: Stage::Answered, ..sent }), Decision::GiveUp);
        assert_eq!(decided(Failed { content: Content::Whole, ..sent }), Decision::GiveUp);
    }

    #[test]
    fn a_stale_connection_is_replaced_even_when_attempts_are_spent() {
        let stale = Failed {
            stage: Stage::Sent,
            cause: Cause::OriginBroke,
            reused: true,
            attempts: 9,
            resends: 9,
            ..GET_UNSENT
        };
        assert_eq!(decided(stale), Decision::Fresh);
        let timeout = Failed { cause: Cause::OriginResponseTimeout, ..stale };
        assert_eq!(decided(timeout), Decision::GiveUp);
    }

    #[test]
    fn limits_and_foreign_faults_end_it() {
        assert_eq!(decided(Failed { attempts: 3, ..GET_UNSENT }), Decision::GiveUp);
        assert_eq!(decided(Failed { elapsed_ms: 1_000, ..GET_UNSENT }), Decision::GiveUp);
        for cause in [Cause::ClientGone, Cause::BodyTooLarge, Cause::Overloaded, Cause::NoOrigin] {
            assert_eq!(decided(Failed { cause, ..GET_UNSENT }), Decision::GiveUp);
        }
    }
}
