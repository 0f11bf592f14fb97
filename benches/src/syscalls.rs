//! System calls of a server while something happens: counted, so no clock is in it.
//!
//! `perf stat` counts in the kernel and slows nothing down. Where it is not allowed, `strace -c`
//! counts too; the server is then some twenty times slower, and what happens so often per second
//! (the access log's writer) weighs more per response than it does in truth.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::Server;

/// Calls by name.
pub(crate) type Calls = BTreeMap<String, u64>;

/// What `perf` is asked for by name; [`REST`] is everything else.
const NAMED: [&str; 16] = [
    "accept4",
    "close",
    "epoll_ctl",
    "epoll_wait",
    "futex",
    "madvise",
    "read",
    "recvfrom",
    "recvmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "write",
    "writev",
];

/// Calls without a name of their own.
const REST: &str = "others";

/// Calls that belong to a connection and not to a response on it.
const PER_CONNECTION: [&str; 6] =
    ["accept4", "close", "epoll_ctl", "setsockopt", "shutdown", "socket"];

/// Counts the calls of all threads of `server` while `act` runs; says with which tool.
pub(crate) fn count<T>(
    server: &Server,
    act: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Calls, &'static str)> {
    if let Some(perf) = start_perf(server)? {
        let result = act();
        let text = stop(perf)?;
        return Ok((result?, parse_perf(&text), "perf"));
    }
    let file = tempfile::NamedTempFile::new()?;
    let strace = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(file.path())
        .args(["-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("neither perf nor strace can be used")?;
    attached(server)?;
    let result = act();
    stop(strace)?;
    Ok((result?, parse_strace(&std::fs::read_to_string(file.path())?), "strace"))
}

/// Calls per response, without those that belong to a connection.
pub(crate) fn each(calls: &Calls, responses: u64) -> f64 {
    let of_responses = calls.iter().filter(|(name, _)| !PER_CONNECTION.contains(&name.as_str()));
    of_responses.map(|(_, count)| count).sum::<u64>() as f64 / responses as f64
}

/// A `perf stat` that counts already; `None` where it is missing or not allowed.
fn start_perf(server: &Server) -> anyhow::Result<Option<Child>> {
    let named = NAMED.map(|name| format!("syscalls:sys_enter_{name}"));
    let events = format!("raw_syscalls:sys_enter,{}", named.join(","));
    let started = Command::new("perf")
        .args(["stat", "-x,", "-e", &events, "-p", &server.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut perf) = started else { return Ok(None) };
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid()))?.count();
    let wanted = threads * (NAMED.len() + 1);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        if perf.try_wait()?.is_some() {
            return Ok(None);
        }
        let files = std::fs::read_dir(format!("/proc/{}/fd", perf.id())).into_iter().flatten();
        let counters = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        let counters = counters.filter(|link| link.to_string_lossy().contains("perf_event"));
        if counters.count() >= wanted {
            return Ok(Some(perf));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    drop((perf.kill(), perf.wait()));
    Ok(None)
}

/// Ends a tool that reports when it is interrupted; what it said.
fn stop(tool: Child) -> anyhow::Result<String> {
    let stopped = Command::new("kill").args(["-INT", &tool.id().to_string()]).status()?;
    anyhow::ensure!(stopped.success(), "the counting tool could not be stopped");
    Ok(String::from_utf8_lossy(&tool.wait_with_output()?.stderr).into_owned())
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

/// Lines of `perf stat -x,`: count, unit, event and more.
fn parse_perf(text: &str) -> Calls {
    let mut calls = Calls::new();
    let (mut all, mut named) = (0, 0);
    for line in text.lines() {
        let mut columns = line.split(',');
        let Some(count) = columns.next().and_then(|count| count.parse::<u64>().ok()) else {
            continue;
        };
        match columns.nth(1).map(|event| event.trim_start_matches("syscalls:sys_enter_")) {
            Some("raw_syscalls:sys_enter") => all = count,
            Some(name) => {
                named += count;
                calls.insert(name.to_owned(), count);
            }
            None => {}
        }
    }
    calls.insert(REST.to_owned(), all - named.min(all));
    calls
}

/// The table of `strace -c`: the fourth column is the count, the last the name.
fn parse_strace(table: &str) -> Calls {
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (count, name) = (words.get(3)?.parse().ok()?, *words.last()?);
        (name != "total").then(|| (name.to_owned(), count))
    });
    rows.collect()
}

/// The calls that are made at least once in two thousand responses, per response.
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
    fn counts_of_perf_are_read_and_the_rest_is_what_has_no_name() {
        let text = "211,,raw_syscalls:sys_enter,1,100.00,,\n100,,syscalls:sys_enter_writev,1,100.00,,\n\
                    101,,syscalls:sys_enter_accept4,1,100.00,,\n<not counted>,,x,0,0,,\n";
        let calls = parse_perf(text);
        assert_eq!(calls.get("writev"), Some(&100));
        assert_eq!(calls.get(REST), Some(&10));
        assert!((each(&calls, 100) - 1.1).abs() < 1e-9);
    }

    #[test]
    fn the_table_is_read_with_and_without_errors() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     60.00    0.1           3           100         7 recvfrom\n\
                     40.00    0.1           3           101           writev\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00   0.2           3           201         7 total\n";
        let calls = parse_strace(table);
        assert_eq!(calls.get("recvfrom"), Some(&100));
        assert_eq!(calls.get("writev"), Some(&101));
        assert_eq!(calls.len(), 2);
    }
}
