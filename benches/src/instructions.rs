//! Instructions of a server per response: no clock is in it, and no neighbour.
//!
//! `callgrind` counts what the process executes outside the kernel, all threads together. The
//! server is some fifty times slower meanwhile, so it is one of its own, and a few thousand
//! requests over one connection, one after the other, are enough: the count hardly varies.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::Client;
use crate::process::Server;

/// Requests before counting begins.
const WARM_UP: usize = 300;
/// Requests that are counted.
const COUNTED: u64 = 2_000;
/// How long valgrind may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Instructions per response of `program`, which is started for it; `path` gives the target of
/// each request. `None` where there is no valgrind.
pub(crate) fn count(
    program: &Path,
    arguments: &[String],
    warm: &[String],
    path: impl Fn(u64) -> String,
) -> anyhow::Result<Option<f64>> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("counts");
    let words = [
        "--quiet".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", out.display()),
        program.display().to_string(),
    ];
    let words: Vec<String> = words.iter().chain(arguments).cloned().collect();
    let server = Server::start(Path::new("valgrind"), &words)?;
    let mut client = Client::connect(server.plain)?;
    for path in warm {
        client.get(path)?;
    }
    for number in 0..WARM_UP {
        client.get(&path(number as u64))?;
    }
    control(&server, "-z")?;
    for number in 0..COUNTED {
        let answer = client.get(&path(number))?;
        anyhow::ensure!(answer.status == 200, "a request failed: {answer:?}");
    }
    control(&server, "-d")?;
    let dump = out.with_extension("1");
    let began = Instant::now();
    loop {
        let text = std::fs::read_to_string(&dump).unwrap_or_default();
        if let Some(total) = total(&text) {
            return Ok(Some(total as f64 / COUNTED as f64));
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "callgrind wrote no counts");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Tells the callgrind of `server` something.
fn control(server: &Server, what: &str) -> anyhow::Result<()> {
    let mut command = Command::new("callgrind_control");
    command.args([what, &server.pid().to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().context("callgrind_control (valgrind)")?;
    anyhow::ensure!(status.success(), "callgrind_control {what} failed");
    Ok(())
}

/// The sum of a dump, which is its last line: `totals: 123`.
pub(crate) fn total(dump: &str) -> Option<u64> {
    let line = dump.trim_end().lines().next_back()?;
    line.strip_prefix("totals:")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_counts_when_it_is_whole() {
        assert_eq!(total("events: Ir\nsummary: 12\nfn=(1)\n1 12\n\ntotals: 12\n"), Some(12));
        assert_eq!(total("events: Ir\nsummary: 12\nfn=(1)\n1 12\n"), None);
    }
}
