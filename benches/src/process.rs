//! A server under measurement: started on its own core, asked of the kernel what it costs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::args::Args;

/// The core of the server; load generator and origin have the other one.
pub(crate) const SERVER_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// How long a server may take until it is ready.
const START_LIMIT: Duration = Duration::from_mins(1);

pub(crate) struct Server {
    child: Child,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

/// Cores of the machine, as they were before this program moved to one of them.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// A command that dies with this process and runs on one core (all cores if there is only one).
pub(crate) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if cores() > 1 {
        command.args(["taskset", "-c", &core.to_string()]);
    }
    command.arg(program).stdin(Stdio::null());
    command
}

/// Moves this thread, and those that it will start, to the load's core.
pub(crate) fn leave_the_server_its_core() -> anyhow::Result<()> {
    if cores() == 1 {
        eprintln!("one core only: server and load share it, the numbers mean little");
        return Ok(());
    }
    let me = std::process::id().to_string();
    let mut command = Command::new("taskset");
    command.args(["-c", "-p", &LOAD_CORE.to_string(), &me]).stdout(Stdio::null());
    anyhow::ensure!(command.status().context("taskset (util-linux)")?.success(), "taskset failed");
    Ok(())
}

impl Server {
    /// Starts a program that writes a JSON line with `"message":"ready"` and its addresses.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        let mut command = pinned(SERVER_CORE, program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("setpriv and taskset (util-linux)")?;
        let stderr = child.stderr.take().expect("it is piped");
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                match serde_json::from_str::<Value>(&line) {
                    Ok(line) if line["message"] == "ready" => drop(tell.send(line)),
                    Ok(line) if line["level"] == "INFO" => {}
                    _ => eprintln!("  | {line}"),
                }
            }
        });
        let Ok(ready) = told.recv_timeout(START_LIMIT) else {
            drop((child.kill(), child.wait()));
            bail!("{} did not become ready", program.display());
        };
        let first = |list: &Value| list[0].as_str().and_then(|text| text.parse().ok());
        Ok(Self {
            plain: first(&ready["listen"]).context("no plain listener")?,
            tls: first(&ready["tls"]),
            admin: ready["admin"].as_str().and_then(|text| text.parse().ok()),
            child,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Time on the processor of all threads that live, in nanoseconds. The kernel counts run time
    /// here, interrupts that were handled meanwhile included; ticks would be too coarse.
    pub(crate) fn cpu_ns(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(sum)
    }

    /// A size of `/proc/PID/status`, in bytes.
    pub(crate) fn status_bytes(&self, name: &str) -> anyhow::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.with_context(|| format!("no {name}"))? * 1024)
    }

    /// The sum of a metric over its labels that contain `with`.
    pub(crate) fn metric(&self, name: &str, with: &str) -> anyhow::Result<f64> {
        let admin = self.admin.context("no admin plane")?;
        let page = crate::load::get(admin, "/metrics")?;
        let text = String::from_utf8_lossy(&page.body).into_owned();
        let lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let values = lines.filter(|rest| rest.starts_with(['{', ' ']) && rest.contains(with));
        Ok(values.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The node's binary: the one that was named, or built now.
pub(crate) fn node(args: &Args) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.node {
        return Ok(path.clone());
    }
    let me = std::env::current_exe()?;
    let target = me.parent().and_then(Path::parent).context("target/PROFILE/selvedge-benches")?;
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "-p", "selvedge", "--bin", "selvedge", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    anyhow::ensure!(status.success(), "the node does not build");
    Ok(target.join("release/selvedge"))
}
