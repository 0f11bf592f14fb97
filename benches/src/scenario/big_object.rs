//! One object that is larger than memory, many readers at different speeds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::node;
use crate::args::Args;
use crate::origin::Origin;
use crate::report::Report;
use crate::throttled::{Ending, read};

const FAST: usize = 10;
const SLOW: usize = 40;
/// Speeds of slow readers, in bytes per second.
const SLOWEST: f64 = 0.1e6;
const QUICKEST: f64 = 20e6;
/// Slow readers leave after so many lengths of a measurement (60 s by default).
const STAYS: u64 = 30;
const PEAK_MIB_MAX: f64 = 600.0;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("big-object");
    let stay = Duration::from_secs(args.seconds * STAYS);
    report.setting(format!(
        "{} GiB, {FAST} readers at full speed, {SLOW} at 0.1–20 MB/s that leave after {} s, \
         --memory 256MiB, one worker",
        args.gib,
        stay.as_secs()
    ));
    for disk in [true, false] {
        one(args, disk, stay, &mut report)?;
    }
    Ok(report)
}

fn one(args: &Args, disk: bool, stay: Duration, report: &mut Report) -> anyhow::Result<()> {
    let name = if disk { "with --disk" } else { "memory only" };
    let folder = tempfile::tempdir()?;
    let path = folder.path().display().to_string();
    let mut more = vec!["--memory", "256MiB"];
    if disk {
        more.extend(["--disk", &path, "--disk-size", "8GiB"]);
    }
    let origin = Origin::start()?;
    let node = node(args, &origin, "/dev/null", &more)?;
    let started = Instant::now();
    let target = format!("/large/{}", args.gib << 30);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let endings = runtime.block_on(readers(node.plain, &target, stay));
    let count = |fast: bool, ending| {
        let wanted =
            |(is_fast, (end, _)): &&(bool, (Ending, u64))| *is_fast == fast && *end == ending;
        endings.iter().filter(wanted).count()
    };
    let mib = node.status_bytes("VmHWM")? as f64 / f64::from(1 << 20);
    report.goal(&format!("{name}: VmHWM in MiB"), format!("{mib:.0}"), mib, PEAK_MIB_MAX);
    let (all, ranges) = (origin.requests(), origin.ranges());
    let (what, whole) = (format!("{name}: origin requests for the whole"), all - ranges);
    if disk {
        report.goal(&what, whole.to_string(), whole as f64, 1.0);
    } else {
        // What can be kept nowhere is not shared either: each reader has its own, at its own pace.
        report.row(&what, whole.to_string());
    }
    report.row(&format!("{name}: origin requests for ranges"), ranges.to_string());
    for (who, fast) in [("fast", true), ("slow", false)] {
        let text = format!(
            "{} complete, {} left, {} cut",
            count(fast, Ending::Complete),
            count(fast, Ending::Left),
            count(fast, Ending::Cut)
        );
        report.row(&format!("{name}: {who} readers"), text);
    }
    let wrong = count(true, Ending::Wrong) + count(false, Ending::Wrong);
    report.goal(&format!("{name}: wrong bytes or answers"), wrong.to_string(), wrong as f64, 0.0);
    let counted = node.metric("selvedge_errors_total", "fell_behind")?;
    report.row(&format!("{name}: counted as fell_behind"), counted.to_string());
    let bytes: u64 = endings.iter().map(|(_, (_, bytes))| bytes).sum();
    let took = started.elapsed().as_secs_f64();
    report.row(
        &format!("{name}: delivered"),
        format!("{:.1} GiB in {took:.0} s", bytes as f64 / f64::from(1 << 30)),
    );
    let cpu = node.cpu_ns()? as f64 / 1e9;
    report.row(
        &format!("{name}: CPU per GB delivered"),
        format!("{:.2} s", cpu / (bytes as f64 / 1e9)),
    );
    Ok(())
}

async fn readers(address: SocketAddr, target: &str, stay: Duration) -> Vec<(bool, (Ending, u64))> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..FAST {
        let reader = read(address, target.to_owned(), None, None);
        tasks.spawn(async move { (true, reader.await) });
    }
    for number in 0..SLOW {
        // Evenly spread on a logarithmic scale.
        let share = number as f64 / (SLOW - 1) as f64;
        let rate = (SLOWEST * (QUICKEST / SLOWEST).powf(share)) as u64;
        let reader = read(address, target.to_owned(), Some(rate), Some(stay));
        tasks.spawn(async move { (false, reader.await) });
    }
    tasks.join_all().await
}
