//! The suite `http-cache-tests`: its own origin, and `run.mjs` that makes its requests.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::parts::{self, Part};
use serde_json::Value;

use super::nodes::Door;

/// What a test claims.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The RFC demands it.
    Required,
    /// A good cache does it.
    Optimal,
    /// A question without a right answer.
    Check,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Required, Self::Optimal, Self::Check];

    /// The suite's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optimal => "optimal",
            Self::Check => "check",
        }
    }
}

/// What came of one test.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The suite's id.
    pub id: String,
    /// What it claims.
    pub kind: Kind,
    /// The suite's sentence.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// What the suite said, if it did not.
    pub said: String,
}

/// The installed suite with its origin running.
#[derive(Debug)]
pub struct Suite {
    package: PathBuf,
    node: PathBuf,
    port: u16,
    _origin: Part,
    _scratch: harness::temp::Dir,
}

impl Suite {
    /// Starts the origin.
    pub fn start() -> Self {
        let package = installed();
        let node = parts::program("node", "nodejs");
        let scratch = harness::temp::dir();
        let mut command = parts::command(&node);
        command
            .arg(package.join("server/server.mjs"))
            .current_dir(&package)
            .env("npm_config_protocol", "http")
            .env("npm_config_port", "0")
            .env("npm_config_pidfile", scratch.path().join("pid"));
        let mut origin = Part::spawn(command);
        let port = origin.line("the suite's origin listens", |line| {
            let address = line.strip_prefix("Listening on ")?;
            address.trim_end_matches('/').rsplit_once(':')?.1.parse().ok()
        });
        Self { package, node, port, _origin: origin, _scratch: scratch }
    }

    /// Where the origin listens.
    pub fn origin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs the tests with these ids, or all, against a cache.
    ///
    /// # Panics
    /// When the runner fails as a whole.
    pub fn run(&self, door: &Door, at_once: usize, ids: &[String]) -> Vec<Outcome> {
        let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/run.mjs");
        let mut command: Command = parts::command(&self.node);
        let protocol = if door.is_h2 { "h2" } else { "h1" };
        command.arg(runner).arg(&self.package).args([&door.base, protocol, &at_once.to_string()]);
        command.args(ids);
        if let Some(ca) = &door.ca {
            command.env("NODE_EXTRA_CA_CERTS", ca);
        }
        let output = parts::output(command);
        String::from_utf8_lossy(&output).lines().map(outcome).collect()
    }
}

fn outcome(line: &str) -> Outcome {
    let line: Value = serde_json::from_str(line).expect("a line of JSON per test");
    let text = |name: &str| line[name].as_str().expect("run.mjs writes it").to_owned();
    let kind = text("kind");
    Outcome {
        id: text("id"),
        kind: Kind::ALL.into_iter().find(|it| it.name() == kind).expect("one of three kinds"),
        name: text("name"),
        passed: line["passed"].as_bool().expect("run.mjs writes it"),
        said: text("said"),
    }
}

/// The package, as `tests/run install` leaves it in the target folder.
fn installed() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let target = test.ancestors().nth(3).expect("target/PROFILE/deps/test");
    let package = target.join("conformance/node_modules/http-cache-tests");
    assert!(
        package.join("server/server.mjs").exists(),
        "{} is missing: run tests/run install",
        package.display()
    );
    package
}
