//! The same hit over HTTP/2 and TLS: many streams at once, and one alone.

use super::{HOT, Pair, cost_us, in_turn};
use crate::args::Args;
use crate::load::h2load;
use crate::report::{Report, Spread};
use crate::syscalls::{self, Calls};

const CROWD: (usize, usize) = (10, 32);
const ALONE: (usize, usize) = (1, 1);
/// How much later a lone response may be for waiting for the end of its turn: nothing, give or take
/// what two runs of one program differ by.
const LATER_MAX: f64 = 1.03;
/// Responses of a measurement per second asked for.
const CROWD_RATE: u64 = 60_000;
const ALONE_RATE: u64 = 2_500;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let pair = Pair::start(args)?;
    let (node, bare) = (&pair.node, &pair.bare);
    let address = |server: &crate::process::Server| server.tls.expect("both listen for TLS");
    let (crowd, alone) = (CROWD_RATE * args.seconds, ALONE_RATE * args.seconds);
    let mut report = Report::new("hit-h2");
    report.setting(format!(
        "h2load over TLS, 10 connections x 32 streams, {crowd} responses per measurement; alone: \
         1 x 1, {alone} responses; {} rounds in turns, {} fields, one worker, access log and \
         metrics on",
        args.rounds, pair.fields
    ));
    for server in [bare, node] {
        h2load(address(server), HOT, CROWD, CROWD_RATE / 2)?;
    }
    let (collected, flushed) = (pair.codec(false)?, pair.codec(true)?);
    let (mut many, mut lone, mut turns) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let one = |server| {
            let load = || Ok(h2load(address(server), HOT, CROWD, crowd)?.requests);
            cost_us(server, load)
        };
        let (bare_us, node_us) = in_turn(round, || one(bare), || one(node))?;
        let late = |server| Ok(h2load(address(server), HOT, ALONE, alone)?.mean_us);
        let (bare_late, node_late) = in_turn(round, || late(bare), || late(node))?;
        eprintln!(
            "round {round}: bare {bare_us:.2} us, node {node_us:.2} us; alone {bare_late:.0} us, \
             {node_late:.0} us"
        );
        turns.push(in_turn(round, || late(&flushed), || late(&collected))?);
        many.push((bare_us, node_us));
        lone.push((bare_late, node_late));
    }
    report.row("bare hyper, CPU per response", Spread::of(many.iter().map(|r| r.0))?.show(" us"));
    report.row("node, CPU per response", Spread::of(many.iter().map(|r| r.1))?.show(" us"));
    let ratio = Spread::of(many.iter().map(|(bare, node)| node / bare))?;
    report.goal("node / bare hyper, same round", ratio.show(""), ratio.median, 0.75);
    report.row(
        "bare hyper, lone stream, mean time",
        Spread::of(lone.iter().map(|r| r.0))?.show(" us"),
    );
    report.row("node, lone stream, mean time", Spread::of(lone.iter().map(|r| r.1))?.show(" us"));
    let ratio = Spread::of(lone.iter().map(|(bare, node)| node / bare))?;
    report.row("lone stream, node / bare hyper", ratio.show(""));
    for (what, at) in [("a write at each flush", 0), ("one write per turn", 1)] {
        let times = turns.iter().map(|pair: &(f64, f64)| [pair.0, pair.1][at]);
        let what = format!("the node's HTTP/2 alone, lone stream, {what}");
        report.row(&what, Spread::of(times)?.show(" us"));
    }
    let ratio = Spread::of(turns.iter().map(|(flushed, collected)| collected / flushed))?;
    let what = "lone stream, one write per turn / a write at each flush";
    report.goal(what, ratio.show(""), ratio.median, LATER_MAX);

    for (name, server) in [("bare hyper", bare), ("node", node)] {
        let (load, calls, tool) =
            syscalls::count(server, || h2load(address(server), HOT, CROWD, crowd))?;
        let each = writes(&calls) as f64 / load.requests as f64;
        let what = format!("{name}, writes per response");
        if name == "node" {
            report.goal(&what, format!("{each:.3}"), each, 0.15);
        } else {
            report.row(&what, format!("{each:.3}"));
        }
        report.note(format!(
            "System calls ({tool}), {name}: {}",
            syscalls::per_request(&calls, load.requests)
        ));
        let (load, calls, tool) =
            syscalls::count(server, || h2load(address(server), HOT, ALONE, 500))?;
        report.note(format!(
            "System calls of a lone stream ({tool}), {name}: {}",
            syscalls::per_request(&calls, load.requests)
        ));
    }
    report.note(
        "The node's HTTP/2 alone: the codec before a fixed answer, so that nothing but the moment of \
         writing differs between the two.",
    );
    Ok(report)
}

fn writes(calls: &Calls) -> u64 {
    let names = ["write", "writev", "sendto", "sendmsg"];
    names.iter().filter_map(|name| calls.get(*name)).sum()
}
