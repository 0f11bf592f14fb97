//! Signals as a stream of wishes: drain, stop at once, reload.
//!
//! The first SIGTERM or SIGINT drains; the second means that whoever sent it will not wait. SIGHUP
//! reloads. From the moment [`Signals::listen`] returns none of them ends the process by itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::StreamExt as _;
use tokio::signal::unix;

/// What is wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop accepting, let open exchanges finish, then end.
    Drain,
    /// End now.
    Stop,
    /// Read the configuration again.
    Reload,
}

/// Which kind of signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrived {
    /// SIGTERM, SIGINT.
    End,
    /// SIGHUP.
    HangUp,
}

/// What arrivals mean, one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Meaning {
    draining: bool,
}

impl Meaning {
    /// `None`: nothing is wished (a reload while the node drains).
    fn of(&mut self, arrived: Arrived) -> Option<Signal> {
        let draining = self.draining;
        self.draining |= arrived == Arrived::End;
        match (arrived, draining) {
            (Arrived::End, false) => Some(Signal::Drain),
            (Arrived::End, true) => Some(Signal::Stop),
            (Arrived::HangUp, false) => Some(Signal::Reload),
            (Arrived::HangUp, true) => None,
        }
    }
}

/// The stream of signals; it never ends.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    meaning: Meaning,
}

impl Signals {
    /// Takes the signals over. Needs a tokio runtime with I/O; before it, SIGTERM and SIGHUP end
    /// the process as they always do.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(unix::SignalKind::terminate())?,
            interrupt: unix::signal(unix::SignalKind::interrupt())?,
            hang_up: unix::signal(unix::SignalKind::hangup())?,
            meaning: Meaning::default(),
        })
    }

    /// The next wish.
    pub async fn wished(&mut self) -> Signal {
        match self.next().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        let this = self.get_mut();
        loop {
            let arrived = if this.terminate.poll_recv(cx).is_ready()
                || this.interrupt.poll_recv(cx).is_ready()
            {
                Arrived::End
            } else if this.hang_up.poll_recv(cx).is_ready() {
                Arrived::HangUp
            } else {
                return Poll::Pending;
            };
            if let Some(signal) = this.meaning.of(arrived) {
                return Poll::Ready(Some(signal));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_drains_the_second_stops_and_a_draining_node_does_not_reload() {
        let mut meaning = Meaning::default();
        assert_eq!(meaning.of(Arrived::HangUp), Some(Signal::Reload));
        assert_eq!(meaning.of(Arrived::End), Some(Signal::Drain));
        assert_eq!(meaning.of(Arrived::HangUp), None);
        assert_eq!(meaning.of(Arrived::End), Some(Signal::Stop));
        assert_eq!(meaning.of(Arrived::End), Some(Signal::Stop));
    }

    #[tokio::test]
    async fn a_real_hang_up_wishes_a_reload() {
        let mut signals = Signals::listen().expect("signals can be taken over");
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)
            .expect("a process may signal itself");
        assert_eq!(signals.wished().await, Signal::Reload);
    }
}
