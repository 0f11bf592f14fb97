//! A node whose configuration changes option by option.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Edge, Response, eventually};
use selvedge::upkeep::config::options::TABLES;

/// Secrets that tokens of the tests are made of, by the variables that hold them.
pub(super) const SECRETS: [(&str, &str); 2] = [
    ("OPTIONS_FIRST", "the-first-of-the-secrets"),
    ("OPTIONS_SECOND", "the-second-of-the-secrets"),
];

/// Which values are in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first ones: what should not end is given a moment to do so.
    First,
    /// One of the second: what should end has time, but less than the defaults would take.
    Changed,
}

/// A running node and its file.
pub(super) struct Scene {
    pub(super) edge: Edge,
    pub(super) stage: Stage,
    file: harness::ConfigFile,
    reloads: usize,
    paths: AtomicUsize,
}

impl Scene {
    pub(super) fn start(settings: &[(&'static str, String)]) -> Self {
        let file = harness::ConfigFile::new("", "");
        file.write(&text(settings));
        let path = file.path().to_str().expect("a plain name");
        let edge = Edge::start_with(&["serve", "--config", path], &SECRETS);
        Self { edge, stage: Stage::First, file, reloads: 0, paths: AtomicUsize::new(0) }
    }

    /// A second node, started with settings that a first one waits to be restarted for.
    pub(super) fn restart(settings: &[(&'static str, String)]) -> Self {
        Self { stage: Stage::Changed, ..Self::start(settings) }
    }

    /// Reloads; the line of the log about `option`.
    pub(super) fn reload(&mut self, settings: &[(&'static str, String)], option: &str) -> String {
        self.file.write(&text(settings));
        let before = self.edge.log().len();
        self.edge.signal("HUP");
        self.reloads += 1;
        let lines = eventually(&format!("a reload with another {option}"), || {
            let log = self.edge.log();
            let refused = log.iter().find(|line| line.contains("reload refused"));
            assert!(refused.is_none(), "{option}: {refused:?}");
            let done = log.iter().filter(|line| line.contains("\"reloaded\"")).count();
            (done == self.reloads).then(|| log[before..].to_vec())
        });
        let told = lines.iter().find(|line| {
            line.split_once("reload: ")
                .and_then(|(_, change)| change.split_once(": "))
                .is_some_and(|(path, _)| without_names(path) == option)
        });
        told.unwrap_or_else(|| panic!("no word of {option}: {lines:#?}")).clone()
    }

    /// How long to wait for something to end.
    pub(super) fn patience(&self) -> Duration {
        match self.stage {
            Stage::First => Duration::from_millis(500),
            Stage::Changed => Duration::from_secs(4),
        }
    }

    /// A path nobody asked for.
    pub(super) fn path(&self, start: &str) -> String {
        format!("{start}/{}", self.paths.fetch_add(1, Ordering::SeqCst))
    }

    /// The status of an answer to these bytes; `closed` without one, `open` when nothing comes.
    pub(super) fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = connect(self.edge.address);
        stream.write_all(bytes).expect("a buffer of the kernel");
        self.status(&mut stream)
    }

    /// The status of what comes next on a connection.
    pub(super) fn status(&self, stream: &mut TcpStream) -> String {
        stream.set_read_timeout(Some(self.patience())).expect("a positive time-out");
        let mut start = [0; "HTTP/1.1 200".len()];
        match stream.read_exact(&mut start) {
            Ok(()) => String::from_utf8_lossy(&start[9..]).into_owned(),
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                "open".to_owned()
            }
            Err(_) => "closed".to_owned(),
        }
    }

    /// Asks with a token.
    pub(super) fn operator(
        &self,
        host: &str,
        token: &str,
        (method, path): (&str, &str),
        json: &str,
    ) -> Response {
        let authorization = format!("Bearer {token}");
        let mut fields = vec![("Authorization", authorization.as_str())];
        if !json.is_empty() {
            fields.push(("Content-Type", "application/json"));
        }
        let mut client = harness::Client::connect(self.edge.admin);
        client.request_to(host, method, path, &fields, json.as_bytes())
    }
}

/// Whether the peer ends the connection: `closed`, or `open` while nothing but bytes comes.
pub(super) fn ends(stream: &mut TcpStream, patience: Duration) -> &'static str {
    stream.set_read_timeout(Some(patience)).expect("a positive time-out");
    let mut scratch = [0; 4096];
    loop {
        match stream.read(&mut scratch) {
            Ok(0) => return "closed",
            Ok(_) => {}
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return "open";
            }
            Err(_) => return "closed",
        }
    }
}

/// A plain connection.
pub(super) fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("the node accepts")
}

/// The path of a setting as its card has it: `site[].ttl.max` of `site[all].ttl.max`.
fn without_names(path: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for letter in path.chars() {
        inside = (inside || letter == '[') && letter != ']';
        if !inside || letter == '[' {
            kept.push(letter);
        }
    }
    kept
}

/// A configuration file; the last value of an option counts.
fn text(settings: &[(&'static str, String)]) -> String {
    let settings: BTreeMap<&str, &String> =
        settings.iter().map(|(option, value)| (*option, value)).collect();
    let mut text = String::new();
    for table in TABLES {
        let keys: Vec<String> = settings
            .iter()
            .filter(|(option, value)| {
                !value.is_empty() && option.rsplit_once('.').is_some_and(|(at, _)| at == table.path)
            })
            .map(|(option, value)| {
                let (_, key) = option.rsplit_once('.').expect("filtered above");
                format!("{key} = {value}\n")
            })
            .collect();
        let nested = table.path.ends_with("[]");
        let name = table.path.replace("[]", "");
        match (keys.is_empty(), nested) {
            (true, _) => {}
            (false, true) => text.extend(["[[", &name, "]]\n", &keys.concat()]),
            (false, false) => text.extend(["[", &name, "]\n", &keys.concat()]),
        }
    }
    text
}
