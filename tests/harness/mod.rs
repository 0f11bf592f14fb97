//! Actors for whole-program tests: a real node, scripted origins, clients that speak raw bytes.
//!
//! A test reads as a story: `origin.answers(…)`, `edge.get(…)`, one assertion at the end. Ports
//! are chosen by the kernel and read from the ready line; children die with the test.

pub mod certificates;
pub mod client;
pub mod config;
pub mod content;
pub mod curl;
pub mod edge;
pub mod http2;
pub mod latch;
pub mod nginx;
pub mod origin;
pub mod parts;
pub mod scrape;
pub mod strace;
pub mod temp;
pub mod tls;

pub use client::{Client, Ending, Response};
pub use config::ConfigFile;
pub use content::content;
pub use edge::Edge;
pub use latch::Latch;
pub use origin::{Origin, Request, Responder};

use std::time::{Duration, Instant};

/// How long a test waits for an event before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` yields a value; fails the test with `what` if it never does.
///
/// # Panics
/// When [`PATIENCE`] is over.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
