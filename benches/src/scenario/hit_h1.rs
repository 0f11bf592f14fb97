//! A 1 KiB memory hit over keep-alive HTTP/1.1.

use super::{HOT, Pair, cost_us, in_turn};
use crate::args::Args;
use crate::load::wrk;
use crate::report::{Report, Spread};
use crate::syscalls;

const CONNECTIONS: usize = 64;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let pair = Pair::start(args)?;
    let (node, bare) = (&pair.node, &pair.bare);
    let mut report = Report::new("hit-h1");
    report.setting(format!(
        "{CONNECTIONS} keep-alive connections (wrk), {} rounds of {} s in turns, {} fields, one \
         worker, access log and metrics on",
        args.rounds, args.seconds, pair.fields
    ));
    for server in [bare, node] {
        wrk(server.plain, HOT, CONNECTIONS, 1)?;
    }
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let one = |server| cost_us(server, || wrk(server.plain, HOT, CONNECTIONS, args.seconds));
        let (bare_us, node_us) = in_turn(round, || one(bare), || one(node))?;
        eprintln!("round {round}: bare {bare_us:.2} us, node {node_us:.2} us");
        rounds.push((bare_us, node_us));
    }
    report.row("bare hyper, CPU per response", Spread::of(rounds.iter().map(|r| r.0))?.show(" us"));
    report.row("node, CPU per response", Spread::of(rounds.iter().map(|r| r.1))?.show(" us"));
    let ratio = Spread::of(rounds.iter().map(|(bare, node)| node / bare))?;
    report.goal("node / bare hyper, same round", ratio.show(""), ratio.median, 1.3);

    for (name, server) in [("bare hyper", bare), ("node", node)] {
        let (requests, calls, tool) =
            syscalls::count(server, || wrk(server.plain, HOT, CONNECTIONS, args.seconds))?;
        let each = syscalls::each(&calls, requests);
        let what = format!("{name}, system calls per response");
        if name == "node" {
            report.goal(&what, format!("{each:.3}"), each, 2.05);
        } else {
            report.row(&what, format!("{each:.3}"));
        }
        report.note(format!(
            "System calls ({tool}), {name}: {}",
            syscalls::per_request(&calls, requests)
        ));
    }
    report.note(
        "Calls that belong to a connection (accept4, epoll_ctl, setsockopt, close, shutdown) are \
         listed and not in the sum.",
    );
    report.row("lines that the access log lost", lost(node)?);
    anyhow::ensure!(pair.origin.requests() == 1, "the origin was asked during hits");
    Ok(report)
}

fn lost(node: &crate::process::Server) -> anyhow::Result<String> {
    Ok(node.metric("selvedge_access_log_dropped_total", "")?.to_string())
}
