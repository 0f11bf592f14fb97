//! Resident bytes that the node needs for a stored object beyond the object.

use std::thread;

use super::node;
use crate::args::Args;
use crate::load::Client;
use crate::origin::{OBJECT_BYTES, Origin};
use crate::process::Server;
use crate::report::Report;

/// Two sizes: growth in steps (tables that double) must not hide between them.
const OBJECTS: [usize; 2] = [230_000, 300_000];
const CLIENTS: usize = 8;
/// The directory's share is an eighth: 1.5 GiB hold a million records.
const MEMORY: &str = "1536MiB";

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("memory-per-object");
    report.setting(format!(
        "objects of {OBJECT_BYTES} bytes with ten fields, put in by GET over {CLIENTS} \
         connections; --memory {MEMORY}, no disk, one worker, access log and metrics on"
    ));
    let sizes = args.objects.map_or(OBJECTS.to_vec(), |objects| vec![objects]);
    for objects in sizes {
        one(args, objects, &mut report)?;
    }
    report.note(
        "Bytes per object = (VmRSS after − VmRSS before − bodies) / objects. A pass over nothing \
         stored (the same number of requests for one object) precedes the first reading, so that \
         connections, buffers and code are in it.",
    );
    Ok(report)
}

fn one(args: &Args, objects: usize, report: &mut Report) -> anyhow::Result<()> {
    let origin = Origin::start()?;
    let node = node(args, &origin, "/dev/null", &["--memory", MEMORY])?;
    fill(&node, objects.min(20_000), |_| "/pass".to_owned())?;
    let empty = node.status_bytes("VmRSS")?;
    fill(&node, objects, |number| format!("/object/{number}"))?;
    let full = node.status_bytes("VmRSS")?;
    let before = origin.requests();
    let stored = node.metric("selvedge_store_entries", "memory")?;
    let evicted = node.metric("selvedge_store_evictions_total", "")?;
    fill(&node, objects, |number| format!("/object/{number}"))?;
    let missed = origin.requests() - before;
    let read = node.status_bytes("VmRSS")?;
    let each = (full as f64 - empty as f64) / objects as f64 - OBJECT_BYTES as f64;
    report.goal(
        &format!("{objects} objects: bytes per object beyond its body"),
        format!("{each:.0}"),
        each,
        700.0,
    );
    let again = (read as f64 - empty as f64) / objects as f64 - OBJECT_BYTES as f64;
    report.row("  the same, after each was a hit once", format!("{again:.0}"));
    report.row("  resident before / after", format!("{} / {} MiB", empty >> 20, full >> 20));
    report.row(
        "  stored / evicted / missed in a second pass",
        format!("{stored} / {evicted} / {missed}"),
    );
    for part in ["directory", "heads"] {
        let bytes = node.metric("selvedge_memory_bytes", &format!("\"{part}\""))?;
        let what = format!("  counted by the node: {part}, per object");
        report.row(&what, format!("{:.0}", bytes / objects as f64));
    }
    Ok(())
}

/// Asks for `count` paths over some connections at once.
fn fill(
    node: &Server,
    count: usize,
    path: impl Fn(usize) -> String + Send + Sync,
) -> anyhow::Result<()> {
    let address = node.plain;
    let path = &path;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let mut connection = Client::connect(address)?;
                    for number in (client..count).step_by(CLIENTS) {
                        let answer = connection.get(&path(number))?;
                        let whole = answer.status == 200 && answer.body.len() == OBJECT_BYTES;
                        anyhow::ensure!(whole, "a wrong answer: {}", answer.status);
                    }
                    Ok(())
                })
            })
            .collect();
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}
