//! The command line: arguments and exit codes; nothing else.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use selvedge::node::Node;
use selvedge::telemetry::log;
use selvedge::upkeep::admin_client::Outcome;
use selvedge::upkeep::cli::{Command, CommandLine, DemoArgs, Serve};
use selvedge::upkeep::config::{Flags, Process, load};
use selvedge::upkeep::demo::Demo;
use selvedge::upkeep::{explain_command, purge_command, runtime};

/// Fewer page faults and less fragmentation than the system's allocator; measured in `benches/`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Serve(serve) => run(serve),
        Command::Demo(arguments) => demo(&arguments),
        Command::Check(check) => match load(Some(&check.file), &Flags::default(), &Process) {
            Ok(loaded) => {
                loaded.warnings.iter().for_each(|warning| eprintln!("{warning}"));
                println!("{}: valid, {} site(s)", check.file.display(), loaded.config.sites.len());
                ExitCode::SUCCESS
            }
            Err(refused) => fail(&refused.to_string()),
        },
        Command::Config { form } => {
            print!("{}", form.text());
            ExitCode::SUCCESS
        }
        Command::Purge(arguments) => ask(purge_command::run(&arguments)),
        Command::Explain(arguments) => ask(explain_command::run(&arguments)),
    }
}

/// Runs a command that asks a node.
fn ask(command: impl Future<Output = Outcome>) -> ExitCode {
    let runtime = match runtime::control() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let outcome = runtime.block_on(command);
    if outcome.code == 0 {
        println!("{}", outcome.message);
    } else {
        eprintln!("{}", outcome.message);
    }
    ExitCode::from(outcome.code)
}

fn run(serve: Serve) -> ExitCode {
    if let Err(error) = log::init() {
        return fail(&error.to_string());
    }
    let Serve { config, flags } = serve;
    let loaded = match load(config.as_deref(), &flags, &Process) {
        Ok(loaded) => loaded,
        Err(refused) => return fail(&refused.to_string()),
    };
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut node = Node::new(loaded.config);
    if let Some(file) = config {
        node = node.reread(Box::new(move || reread(&file, &flags)));
    }
    match node.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn demo(arguments: &DemoArgs) -> ExitCode {
    // The tour speaks for itself; what the node logs is shown to those who ask for it.
    if std::env::var_os(log::FILTER_ENV).is_some()
        && let Err(error) = log::init()
    {
        return fail(&error.to_string());
    }
    let Demo { config, guide, over, outcome } = match Demo::prepare(arguments) {
        Ok(demo) => demo,
        Err(failed) => return fail(&failed.to_string()),
    };
    let node = Node::new(config).until(over).on_ready(|addresses| {
        let plain = addresses.listen.first().expect("the demo has one plain listener");
        guide(plain, &addresses.admin);
    });
    if let Err(error) = node.run() {
        return fail(&error.to_string());
    }
    match outcome.result() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => fail(&failed.to_string()),
    }
}

fn reread(file: &Path, flags: &Flags) -> Result<selvedge::upkeep::config::Config, String> {
    let loaded = load(Some(file), flags, &Process).map_err(|refused| refused.to_string())?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(loaded.config)
}

fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
