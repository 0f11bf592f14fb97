//! How fast, compared with what, in one run.
//!
//! A number alone says nothing: the machine, the kernel and whoever else uses it are in it. So
//! each scenario runs the node and a **bare hyper server** that sends the same bytes, in turns, on
//! the same core, and the figure is their ratio in the same round. Where counting is possible
//! (system calls, resident bytes, requests at the origin) it is preferred to time.
//!
//! This program is also its own parts: it starts itself again as the bare server.
//!
//! ```text
//! cargo run --release -p selvedge-benches -- hit-h1
//! ```

mod args;
mod bare;
mod instructions;
mod load;
mod origin;
mod policy;
mod process;
mod report;
mod scenario;
mod syscalls;
mod throttled;

use std::process::ExitCode;

use args::{Args, Scenario};

/// The node's own allocator, for the bare server too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if std::env::args().nth(1).as_deref() == Some(bare::WORD) {
        words.next();
        return done(bare::run(words.next().unwrap_or_default().as_str()));
    }
    if std::env::args().nth(1).as_deref() == Some(policy::WORD) {
        return done(policy::run(words.skip(1)));
    }
    match Args::parse(words) {
        Ok(args) => done(run(&args)),
        Err(why) => {
            eprintln!("{why}\n\n{}", args::USAGE);
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let scenarios: &[Scenario] =
        if args.scenario == Scenario::All { &Scenario::EACH } else { &[args.scenario] };
    if args.scenario == Scenario::Verdict {
        // Needs no node.
        return scenario::verdict::run(args)?.publish(args);
    }
    let args = &Args { node: Some(process::node(args)?), ..args.clone() };
    process::leave_the_server_its_core()?;
    for scenario in scenarios {
        let report = match scenario {
            Scenario::HitH1 => scenario::hit_h1::run(args)?,
            Scenario::HitH2 => scenario::hit_h2::run(args)?,
            Scenario::BigObject => scenario::big_object::run(args)?,
            Scenario::MemoryPerObject => scenario::memory::run(args)?,
            Scenario::Pass => scenario::pass::run(args)?,
            Scenario::Purge => scenario::purge::run(args)?,
            Scenario::Verdict => scenario::verdict::run(args)?,
            Scenario::All => continue,
        };
        report.publish(args)?;
    }
    Ok(())
}

fn done(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
