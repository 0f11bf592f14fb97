//! An uncacheable response: through the node and back from the origin.

use super::{HOT, Pair, cost_us, in_turn};
use crate::args::Args;
use crate::load::{Wanted, wrk};
use crate::report::{Report, Spread};
use crate::syscalls;

const CONNECTIONS: usize = 64;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let pair = Pair::start(args)?;
    let (node, bare) = (&pair.node, &pair.bare);
    let mut report = Report::new("pass");
    report.setting(format!(
        "{CONNECTIONS} keep-alive connections (wrk), {} rounds of {} s in turns; the origin shares \
         the load's core; one worker, access log and metrics on",
        args.rounds, args.seconds
    ));
    for (server, path) in [(bare, HOT), (node, "/pass")] {
        wrk(server.plain, Wanted::One(path), CONNECTIONS, 1)?;
    }
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let one = |server: &crate::process::Server, path| {
            cost_us(server, || wrk(server.plain, Wanted::One(path), CONNECTIONS, args.seconds))
        };
        let (bare_us, node_us) = in_turn(round, || one(bare, HOT), || one(node, "/pass"))?;
        eprintln!("round {round}: bare hit {bare_us:.2} us, pass {node_us:.2} us");
        rounds.push((bare_us, node_us));
    }
    report.row(
        "bare hyper hit, CPU per response",
        Spread::of(rounds.iter().map(|r| r.0))?.show(" us"),
    );
    report.row("node pass, CPU per response", Spread::of(rounds.iter().map(|r| r.1))?.show(" us"));
    let ratio = Spread::of(rounds.iter().map(|(bare, node)| node / bare))?;
    report.row("node pass / bare hyper hit, same round", ratio.show(""));
    let (requests, calls, tool) =
        syscalls::count(node, || wrk(node.plain, Wanted::One("/pass"), CONNECTIONS, args.seconds))?;
    let each = syscalls::each(&calls, requests);
    report.row("node pass, system calls per response", format!("{each:.3}"));
    report
        .note(format!("System calls ({tool}), pass: {}", syscalls::per_request(&calls, requests)));
    Ok(report)
}
