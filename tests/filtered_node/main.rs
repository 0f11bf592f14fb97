//! A node with filters of its own, as an embedder builds one: about what the manual promises.
//!
//! Three sites are looked for in the configuration: `heads` gets a filter that stands at every
//! phase of a head, `bodies` one that changes contents both ways, `slow` one that asks somebody
//! else. `tests/behaviours/filters.rs` starts this program and looks from outside.

use std::process::ExitCode;
use std::sync::Arc;

use selvedge::node::Node;
use selvedge::upkeep::config::{Flags, Process, load};

mod filters;

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("usage: filtered-node FILE");
        return ExitCode::FAILURE;
    };
    let loaded = match load(Some(file.as_ref()), &Flags::default(), &Process) {
        Ok(loaded) => loaded,
        Err(refused) => {
            eprintln!("{refused}");
            return ExitCode::FAILURE;
        }
    };
    let node = Node::new(loaded.config)
        .filter("heads", Arc::new(filters::Heads))
        .filter("heads", Arc::new(filters::Second))
        .filter("bodies", Arc::new(filters::Bodies))
        .filter("slow", Arc::new(filters::Asking));
    match node.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
