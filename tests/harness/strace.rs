//! A node under `strace`, which holds chosen system calls up before the kernel sees them.

use std::process::{Command, Stdio};

/// A command for the binary with these system calls injected into, in the words of `strace`
/// (`inject=fdatasync:delay_enter=1s`). Threads that make no such call run on undisturbed. Both
/// die with the test.
pub fn injected(options: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "strace", "-f", "-qqq", "-o", "/dev/null"]);
    command.args(options);
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(crate::edge::binary());
    command.env_remove("SELVEDGE_LOG").stdin(Stdio::null());
    command
}

/// The process that `strace` traces, when `pid` is one.
pub(crate) fn tracee(pid: u32) -> Option<u32> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().filter(|_| name.trim() == "strace")
}
