//! Real parts from their packages: found, started on free ports, stopped with the test.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::eventually;

/// The path of a program from a Debian package; fails with the install line.
///
/// # Panics
/// When it is not installed.
pub fn program(name: &str, package: &str) -> std::path::PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/bin"];
    places
        .iter()
        .map(|place| std::path::Path::new(place).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{name} is missing: apt-get install {package} (or run tests/run)")
        })
}

/// A port that was free a moment ago.
///
/// # Panics
/// When no port is free.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket").port()
}

/// A child that dies with the test.
#[derive(Debug)]
pub struct Part(Child);

impl Part {
    /// Starts a program.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(program: &std::path::Path, arguments: &[&str]) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv (util-linux) is installed");
        Self(child)
    }

    /// Waits until it listens.
    #[must_use]
    pub fn listening(self, address: SocketAddr) -> Self {
        eventually("the part listens", || TcpStream::connect(address).ok());
        self
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _status = self.0.wait();
    }
}
