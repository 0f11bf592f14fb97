//! A 1 KiB memory hit over keep-alive HTTP/1.1: of one object, and of very many.

use super::{HOT, Pair, cost_us, in_turn};
use crate::args::Args;
use crate::load::{Client, Wanted, wrk};
use crate::report::{Report, Spread};
use crate::{instructions, syscalls};

const CONNECTIONS: usize = 64;

/// Objects beside the hot one: far more than any table of a thread holds.
const OBJECTS: usize = 20_000;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let pair = Pair::start(args)?;
    let mut report = Report::new("hit-h1");
    report.setting(format!(
        "{CONNECTIONS} keep-alive connections (wrk), {} rounds of {} s in turns, {} fields, one \
         worker, access log and metrics on",
        args.rounds, args.seconds, pair.fields
    ));
    compare(args, &pair, &mut report, Wanted::One(HOT))?;
    calls(args, &pair, &mut report)?;
    anyhow::ensure!(pair.origin.requests() == 1, "the origin was asked during hits");

    let many = Wanted::Many(args.objects.unwrap_or(OBJECTS));
    fill(&pair, many)?;
    let stored = pair.origin.requests();
    compare(args, &pair, &mut report, many)?;
    anyhow::ensure!(pair.origin.requests() == stored, "the origin was asked during hits");

    executed(args, &pair, &mut report)?;
    report.row("lines that the access log lost", lost(&pair.node)?);
    Ok(report)
}

/// CPU per response of both servers, in turns.
fn compare(args: &Args, pair: &Pair, report: &mut Report, wanted: Wanted) -> anyhow::Result<()> {
    let (node, bare) = (&pair.node, &pair.bare);
    for server in [bare, node] {
        wrk(server.plain, wanted, CONNECTIONS, 1)?;
    }
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let one = |server| cost_us(server, || wrk(server.plain, wanted, CONNECTIONS, args.seconds));
        let (bare_us, node_us) = in_turn(round, || one(bare), || one(node))?;
        eprintln!("round {round}: bare {bare_us:.2} us, node {node_us:.2} us");
        rounds.push((bare_us, node_us));
    }
    let what = match wanted {
        Wanted::One(_) => String::new(),
        Wanted::Many(objects) => format!("{objects} objects: "),
    };
    let us = |of: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(of));
    report.row(&format!("{what}bare hyper, CPU per response"), us(|round| round.0)?.show(" us"));
    report.row(&format!("{what}node, CPU per response"), us(|round| round.1)?.show(" us"));
    let ratio = us(|(bare, node)| node / bare)?;
    let name = format!("{what}node / bare hyper, same round");
    report.goal(&name, ratio.show(""), ratio.median, 1.3);
    Ok(())
}

/// System calls per response of both servers.
fn calls(args: &Args, pair: &Pair, report: &mut Report) -> anyhow::Result<()> {
    for (name, server) in [("bare hyper", &pair.bare), ("node", &pair.node)] {
        let (requests, calls, tool) = syscalls::count(server, || {
            wrk(server.plain, Wanted::One(HOT), CONNECTIONS, args.seconds)
        })?;
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
    Ok(())
}

/// Instructions per response of both servers, outside the kernel.
fn executed(args: &Args, pair: &Pair, report: &mut Report) -> anyhow::Result<()> {
    let (bare, orders) = &pair.bare_words;
    let hot = |number| Wanted::One(HOT).path(number);
    let Some(bare) = instructions::count(bare, orders, &[], hot)? else {
        report.note("Instructions were not counted: valgrind is missing.");
        return Ok(());
    };
    report.row("bare hyper, instructions per response", format!("{bare:.0}"));
    let (node, words) = (crate::process::node(args)?, &pair.node_words);
    let many = Wanted::Many(1_000);
    for (name, wanted) in [("node", Wanted::One(HOT)), ("node, 1000 objects", many)] {
        let warm: Vec<String> = match wanted {
            Wanted::One(_) => Vec::new(),
            Wanted::Many(objects) => {
                (0..objects as u64).map(|number| wanted.path(number)).collect()
            }
        };
        let counted = instructions::count(&node, words, &warm, |number| wanted.path(number))?;
        let what = format!("{name}, instructions per response");
        report.row(&what, counted.map_or_else(String::new, |counted| format!("{counted:.0}")));
    }
    Ok(())
}

/// Puts every wanted object into the node.
fn fill(pair: &Pair, wanted: Wanted) -> anyhow::Result<()> {
    let Wanted::Many(objects) = wanted else { return Ok(()) };
    let mut client = Client::connect(pair.node.plain)?;
    for number in 0..objects as u64 {
        let answer = client.get(&wanted.path(number))?;
        anyhow::ensure!(answer.status == 200, "not stored: {answer:?}");
    }
    Ok(())
}

fn lost(node: &crate::process::Server) -> anyhow::Result<String> {
    Ok(node.metric("selvedge_access_log_dropped_total", "")?.to_string())
}
