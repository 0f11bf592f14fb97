//! Load from outside: wrk and h2load, and one plain request of our own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::process::{LOAD_CORE, pinned};

/// A response, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A keep-alive connection for small requests, one after the other.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: bench.example\r\n\r\n")?;
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.context("no content-length")?.1.parse()?;
        while self.buffer.len() < end + length {
            self.more()?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        Ok(Answer { status: status.context("no status")?, fields, body })
    }

    fn more(&mut self) -> anyhow::Result<()> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece)? {
            0 => bail!("the server closed the connection"),
            bytes => self.buffer.extend_from_slice(&piece[..bytes]),
        }
        Ok(())
    }
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    Client::connect(address)?.get(path)
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// The same path always.
    One(&'static str),
    /// So many small objects in turn.
    Many(usize),
}

impl Wanted {
    /// The target of the request with this number.
    pub(crate) fn path(self, number: u64) -> String {
        match self {
            Self::One(path) => path.to_owned(),
            Self::Many(objects) => format!("/object/{}", number % objects as u64 + 1),
        }
    }
}

/// wrk for a while; the number of responses. Fails if there was any other answer than 2xx.
pub(crate) fn wrk(
    address: SocketAddr,
    wanted: Wanted,
    connections: usize,
    seconds: u64,
) -> anyhow::Result<u64> {
    let mut command = pinned(LOAD_CORE, Path::new("wrk"));
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    let mut script = tempfile::NamedTempFile::new()?;
    if let Wanted::Many(objects) = wanted {
        writeln!(
            script,
            "local at = 0\nrequest = function()\n at = at % {objects} + 1\n \
             return wrk.format(nil, \"/object/\" .. at)\nend"
        )?;
        command.arg("-s").arg(script.path());
    }
    let first = wanted.path(0);
    command.args(["-H", "Host: bench.example", &format!("http://{address}{first}")]);
    let text = output(command, "wrk")?;
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk saw failures:\n{text}");
    }
    let line = text.lines().find(|line| line.contains(" requests in ")).context("wrk's count")?;
    Ok(line.split_whitespace().next().context("wrk's count")?.parse()?)
}

/// What h2load saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct H2 {
    pub(crate) requests: u64,
    /// Mean time of a request, in microseconds.
    pub(crate) mean_us: f64,
}

/// h2load with a number of requests over TLS.
pub(crate) fn h2load(
    address: SocketAddr,
    path: &str,
    (connections, streams): (usize, usize),
    requests: u64,
) -> anyhow::Result<H2> {
    let mut command = pinned(LOAD_CORE, Path::new("h2load"));
    command.args(["-t1", &format!("-c{connections}"), &format!("-m{streams}")]);
    command.args([&format!("-n{requests}"), &format!("https://{address}{path}")]);
    command.args(["-H", ":authority: bench.example"]);
    let text = output(command, "h2load")?;
    let counted = text.lines().find_map(|line| line.strip_prefix("status codes: "));
    let ok = counted.and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    anyhow::ensure!(ok == Some(requests), "h2load did not see {requests} times 2xx:\n{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("time for request:"));
    let mean = line.and_then(|rest| rest.split_whitespace().nth(2)).context("h2load's mean")?;
    Ok(H2 { requests, mean_us: microseconds(mean).context("h2load's mean")? })
}

/// `123us`, `4.5ms` or `1.2s`, in microseconds.
fn microseconds(text: &str) -> Option<f64> {
    let at = text.find(char::is_alphabetic)?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

fn output(mut command: std::process::Command, name: &str) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{name} is missing"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{name} failed:\n{text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_h2load_are_read_in_every_unit() {
        assert_eq!(microseconds("123us"), Some(123.0));
        assert_eq!(microseconds("4.50ms"), Some(4500.0));
        assert_eq!(microseconds("2s"), Some(2e6));
        assert_eq!(microseconds("fast"), None);
    }
}
