//! A running node: the real binary, built once, spoken to over sockets.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;

use crate::client::{Client, Response};
use crate::eventually;

/// The binary under test. `SELVEDGE_TEST_BIN` names one that is built already.
///
/// # Panics
/// When it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("SELVEDGE_TEST_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// Builds with the profile that the test itself was built with, into the same target folder.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let profile_dir = test.parent().and_then(Path::parent).expect("target/PROFILE/deps/test");
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "selvedge", "--bin", "selvedge", "--profile", profile])
        .arg("--target-dir")
        .arg(profile_dir.parent().expect("target"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the binary does not build");
    profile_dir.join("selvedge")
}

/// A command for the binary that dies with this test.
pub fn command() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary());
    command.env_remove("SELVEDGE_LOG").stdin(Stdio::null());
    command
}

/// Runs the binary to its end: exit code, standard output, standard error.
///
/// # Panics
/// When it does not end: it is running where it should have refused to.
pub fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut child = command()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("setpriv (util-linux) is installed and the binary is built");
    let mut pipes = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let said = std::thread::spawn(move || {
        let mut text = (String::new(), String::new());
        let _not_text = pipes.1.read_to_string(&mut text.1);
        let _not_text = pipes.0.read_to_string(&mut text.0);
        text
    });
    let started = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            break status;
        }
        if started.elapsed() > crate::PATIENCE {
            let _already_gone = child.kill();
            let _status = child.wait();
            let (out, err) = said.join().expect("it only reads");
            panic!("{arguments:?} does not end\n{out}\n{err}");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    let (out, err) = said.join().expect("it only reads");
    (status.code().unwrap_or(-1), out, err)
}

/// A node that accepts connections.
#[derive(Debug)]
pub struct Edge {
    child: Child,
    /// The node itself, when the child only traces it.
    tracee: Option<u32>,
    /// First plain TCP listener.
    pub address: SocketAddr,
    /// First TLS listener, if there is one.
    pub tls: Option<SocketAddr>,
    /// Admin listener.
    pub admin: SocketAddr,
    /// The whole ready line.
    pub ready: Value,
    log: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<Vec<String>>>,
}

impl Edge {
    /// Starts `selvedge serve --listen 127.0.0.1:0 --admin 127.0.0.1:0` with more arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        all.extend(arguments);
        Self::start_with(&all, &[])
    }

    /// Starts a node in front of one origin.
    pub fn before(origin: &crate::Origin) -> Self {
        Self::start(&["--origin", &origin.url()])
    }

    /// Starts the binary with exactly these arguments and environment.
    ///
    /// # Panics
    /// When it ends before it is ready.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.args(arguments).envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// Starts from a configuration file that listens on port 0.
    pub fn configured(file: &Path) -> Self {
        let mut command = command();
        command.args([OsString::from("serve"), "--config".into(), file.into()]);
        Self::spawn(command)
    }

    /// Starts any program that writes a ready line: the binary, or one that embeds the library.
    ///
    /// # Panics
    /// When it ends before it is ready.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv (util-linux) is installed and the binary is built");
        let log = follow(child.stderr.take().expect("piped"));
        let stdout = follow(child.stdout.take().expect("piped"));
        let ready = eventually("the ready line", || {
            let lines = log.lock().expect("unpoisoned");
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the node ended with {status} before it was ready:\n{}", lines.join("\n"));
            }
            lines
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line["message"] == "ready")
        });
        let tcp = |list: &Value| {
            list.as_array()
                .into_iter()
                .flatten()
                .find_map(|address| address.as_str()?.parse::<SocketAddr>().ok())
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            address: tcp(&ready["listen"]).unwrap_or(nowhere),
            tls: tcp(&ready["tls"]),
            admin: ready["admin"].as_str().and_then(|a| a.parse().ok()).unwrap_or(nowhere),
            tracee: crate::strace::tracee(child.id()),
            child,
            ready,
            log,
            stdout,
        }
    }

    /// A new connection to the first plain listener.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// `GET` on a connection of its own, `Host: test.example`.
    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    /// `GET` with fields.
    pub fn get_with(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.client().request("GET", path, fields, b"")
    }

    /// A request to the admin listener.
    pub fn admin(&self, method: &str, path: &str, json: &str) -> Response {
        let fields: &[(&str, &str)] =
            if json.is_empty() { &[] } else { &[("Content-Type", "application/json")] };
        let host = self.admin.to_string();
        Client::connect(self.admin).request_to(&host, method, path, fields, json.as_bytes())
    }

    /// Purges and returns the position.
    ///
    /// # Panics
    /// When the purge is refused.
    pub fn purge(&self, selector: &str) -> u64 {
        let answer = self.admin("POST", "/v1/purges", selector);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["position"].as_u64().expect("a position")
    }

    /// Present metrics.
    pub fn metrics(&self) -> crate::scrape::Scrape {
        crate::scrape::Scrape::parse(&self.admin("GET", "/metrics", "").text())
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.tracee.unwrap_or_else(|| self.child.id())
    }

    /// Sends a signal by name, for example `HUP`.
    ///
    /// # Panics
    /// When there is no such process or signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Kills without warning and waits for the end.
    pub fn kill(mut self) {
        self.end();
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the node ends", || self.child.try_wait().expect("a child of ours"))
    }

    /// Stops gracefully and gives back the exit status.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for a line of the log that contains `words`, and gives it back.
    pub fn logged(&self, words: &str) -> String {
        eventually(&format!("the log says {words:?}"), || {
            self.log().into_iter().find(|line| line.contains(words))
        })
    }

    /// Log lines so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("unpoisoned").clone()
    }

    /// Standard output so far: the access log.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("unpoisoned").clone()
    }

    /// Peak resident memory, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// Resident memory now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the node runs");
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect("the kernel says it")
    }

    fn end(&mut self) {
        // A traced node first: what its tracer holds up must not happen when that is gone.
        if self.tracee.is_some() {
            let pid = self.pid().to_string();
            let _already_gone = Command::new("kill").args(["-KILL", &pid]).status();
        }
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- log of the node ---\n{}", self.log().join("\n"));
        }
    }
}

fn follow(from: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().expect("unpoisoned").push(line);
        }
    });
    lines
}
