//! Real parts from their packages: found, started on free ports, stopped with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::eventually;

/// The path of a program from a Debian package; fails with the install line.
///
/// # Panics
/// When it is not installed.
pub fn program(name: &str, package: &str) -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    places
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|place| place.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{name} is missing: apt-get install {package} (or run tests/run install)")
        })
}

/// A port that was free a moment ago. Only for parts that cannot say which port they were given.
///
/// # Panics
/// When no port is free.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket").port()
}

/// A command whose process dies with the thread that starts it.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A child that dies with the test.
#[derive(Debug)]
pub struct Part {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Part {
    /// Starts a program.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = command(program);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts what [`command`] made; both of its outputs are kept.
    ///
    /// # Panics
    /// When it does not start.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv (util-linux) is installed");
        let said = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().expect("piped"), &said);
        keep(child.stderr.take().expect("piped"), &said);
        Self { child, said }
    }

    /// Waits until it listens.
    ///
    /// # Panics
    /// When it ends instead.
    #[must_use]
    pub fn listening(mut self, address: SocketAddr) -> Self {
        eventually("the part listens", || {
            let connected = TcpStream::connect(address).ok();
            assert!(connected.is_some() || self.is_running(), "it ended:\n{}", self.said());
            connected
        });
        self
    }

    /// Waits for a line of output that `reads` understands.
    ///
    /// # Panics
    /// When it ends without such a line.
    pub fn line<T>(&mut self, what: &str, reads: impl Fn(&str) -> Option<T>) -> T {
        eventually(what, || {
            // Asked first: what it said before it ended is still looked at.
            let running = self.is_running();
            let found = self.lines().iter().find_map(|line| reads(line));
            assert!(found.is_some() || running, "it ended without {what}:\n{}", self.said());
            found
        })
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Output so far, both kinds.
    ///
    /// # Panics
    /// Never: the readers do not panic.
    pub fn lines(&self) -> Vec<String> {
        self.said.lock().expect("unpoisoned").clone()
    }

    fn said(&self) -> String {
        self.lines().join("\n")
    }

    /// Kills it without warning and waits for the end.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- output of a part ---\n{}", self.said());
        }
    }
}

fn keep(from: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            said.lock().expect("unpoisoned").push(line);
        }
    });
}

/// Runs what [`command`] made to its end and gives its standard output.
///
/// # Panics
/// When it does not start, or fails: with everything it said.
pub fn output(mut command: Command) -> Vec<u8> {
    let done = command.stdin(Stdio::null()).output().expect("setpriv (util-linux) is installed");
    assert!(
        done.status.success(),
        "{command:?}\n{}\n{}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stderr),
        String::from_utf8_lossy(&done.stdout)
    );
    done.stdout
}

/// Runs what [`command`] made to its end, giving it `input`, and gives its standard output.
///
/// # Panics
/// When it does not start, or fails.
pub fn filter(mut command: Command, input: Vec<u8>) -> Vec<u8> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("setpriv (util-linux) is installed");
    let mut stdin = child.stdin.take().expect("piped");
    // A part that ends early closes the pipe; its status says why.
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let done = child.wait_with_output().expect("a child of ours");
    let _closed_early = writing.join().expect("the writer does not panic");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{command:?}: {}\n{said}", done.status);
    done.stdout
}
