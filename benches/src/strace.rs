//! System calls of a server while something happens: counted, so no clock is in it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::Server;

/// Calls by name.
pub(crate) type Calls = BTreeMap<String, u64>;

/// Counts the calls of all threads of `server` while `act` runs.
pub(crate) fn count<T>(
    server: &Server,
    act: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Calls)> {
    let file = tempfile::NamedTempFile::new()?;
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(file.path())
        .args(["-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("strace is missing")?;
    attached(server)?;
    let result = act();
    let stopped = Command::new("kill").args(["-INT", &strace.id().to_string()]).status()?;
    anyhow::ensure!(stopped.success(), "strace could not be stopped");
    strace.wait()?;
    let calls = parse(&std::fs::read_to_string(file.path())?);
    Ok((result?, calls))
}

/// Waits until every thread has a tracer.
fn attached(server: &Server) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let mut all = true;
        for task in std::fs::read_dir(format!("/proc/{}/task", server.pid()))? {
            let status = std::fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            all &= !status.contains("TracerPid:\t0\n");
        }
        if all {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < Duration::from_secs(10), "strace does not attach");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The table of `strace -c`: the fourth column is the count, the last the name.
fn parse(table: &str) -> Calls {
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (count, name) = (words.get(3)?.parse().ok()?, *words.last()?);
        (name != "total").then(|| (name.to_owned(), count))
    });
    rows.collect()
}

/// The calls that are more than one in ten thousand, per request.
pub(crate) fn per_request(calls: &Calls, requests: u64) -> String {
    let mut rows: Vec<(&String, f64)> =
        calls.iter().map(|(name, count)| (name, *count as f64 / requests as f64)).collect();
    rows.retain(|(_, share)| *share >= 0.0005);
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let shown: Vec<String> =
        rows.iter().map(|(name, share)| format!("{name} {share:.3}")).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_with_and_without_errors() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     60.00    0.1           3           100         7 recvfrom\n\
                     40.00    0.1           3           101           writev\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00   0.2           3           201         7 total\n";
        let calls = parse(table);
        assert_eq!(calls.get("recvfrom"), Some(&100));
        assert_eq!(calls.get("writev"), Some(&101));
        assert_eq!(calls.len(), 2);
    }
}
