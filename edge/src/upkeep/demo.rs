//! `selvedge demo`: a node, a small origin of its own, and a guided tour that one can watch.
//!
//! Problem: a reader of the README should see a cache at work within a minute, and should not have
//! to believe anything. So every number that is printed comes from a response or from `/metrics`
//! of this run, and the tour checks each of its own sentences: one that does not hold ends the
//! process with exit code 1.
//!
//! Idea: a [`Demo`] is what any embedder has to bring: a configuration, something to call when the
//! node accepts connections, and a future that ends the node. The caller (`main.rs`) builds the
//! node of it; this folder only ever speaks to the node over sockets:
//!
//! ```text
//! Node::new(demo.config).on_ready(demo.guide).until(demo.over).run()
//! ```
//!
//! The node has two sites before the same origin: `tour`, which only the guide asks for, so that
//! its numbers are its own, and `demo`, which answers for every other host and is left to play with.
//!
//! In reading order: `origin`, `client`, `crowd`, `page`, `tour`.

mod client;
mod crowd;
mod origin;
mod page;
mod tour;

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;

use super::cli::DemoArgs;
use super::config::load::from_text;
use super::config::{Config, Flags, Process, Surroundings};
use origin::Origin;
use tour::{Stage, Tour};

/// The host that only the guide asks for.
const TOUR_HOST: &str = "tour.example";

/// The longest a tour may take.
const TOUR_WAIT: Duration = Duration::from_mins(1);

/// Why the demo failed: a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(String);

impl Failed {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// How the tour ended; asked for when the node has ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    told: Arc<OnceLock<Result<(), Failed>>>,
    must_end: bool,
}

impl Outcome {
    /// Whether everything held. A tour that was interrupted is no failure, unless the demo was
    /// started to end by itself.
    pub fn result(&self) -> Result<(), Failed> {
        match self.told.get() {
            Some(told) => told.clone(),
            None if self.must_end => Err(Failed::new("The tour was interrupted.")),
            None => Ok(()),
        }
    }
}

/// What is called with the addresses of the running node: plain listener and admin plane.
pub type Guide = Box<dyn FnOnce(&str, &str) + Send>;

/// What ends the node.
pub type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A demo that is about to begin: the parts that its node is made of.
pub struct Demo {
    /// The node's configuration.
    pub config: Config,
    /// To be called when the node accepts connections.
    pub guide: Guide,
    /// Comes true when the node should drain: the tour failed, or is over and nothing follows it.
    pub over: Over,
    /// How it went.
    pub outcome: Outcome,
}

impl Demo {
    /// Starts the origin and makes the rest.
    pub fn prepare(args: &DemoArgs) -> Result<Self, Failed> {
        let origin = Origin::start()
            .map_err(|error| Failed::new(format!("The built-in origin cannot start: {error}.")))?;
        let config = config(args, &origin)?;
        let told = Arc::new(OnceLock::new());
        let (tell, heard) = oneshot::channel();
        let must_end = args.exit;
        let outcome = Outcome { told: Arc::clone(&told), must_end };
        let over = Box::pin(async move {
            // A guide that died without a word has failed, too.
            let held = heard.await.unwrap_or(false);
            if held && !must_end {
                std::future::pending::<()>().await;
            }
        });
        let guide = Box::new(move |plain: &str, admin: &str| {
            let (plain, admin) = (plain.to_owned(), admin.to_owned());
            let stage = Stage { plain, admin, origin, stays_up: !must_end };
            let guided = std::thread::Builder::new().name("demo-tour".to_owned());
            let life = move || {
                let result = walk(&stage);
                let held = result.is_ok();
                told.set(result).expect("one tour tells once");
                let listening = tell.send(held).is_ok();
                // The origin lives as long as its stage: until the process ends.
                if listening && held && !must_end {
                    loop {
                        std::thread::park();
                    }
                }
            };
            if let Err(error) = guided.spawn(life) {
                say(&format!("The guide's thread cannot start: {error}."));
            }
        });
        Ok(Self { config, guide, over, outcome })
    }
}

/// The tour, with a runtime of its own on this thread.
fn walk(stage: &Stage) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::new(format!("The guide's runtime cannot start: {error}.")))?;
    runtime.block_on(async {
        match tokio::time::timeout(TOUR_WAIT, Tour::new(stage).walk()).await {
            Ok(result) => result,
            Err(_) => Err(Failed::new("The tour took more than a minute.")),
        }
    })
}

/// The configuration, as a file would say it.
fn config(args: &DemoArgs, origin: &Origin) -> Result<Config, Failed> {
    let url = format!("http://{}", origin.address());
    let text = format!(
        "[[site]]\nname = \"tour\"\nhosts = [\"{TOUR_HOST}\"]\norigins = [\"{url}\"]\n\
         [[site]]\nname = \"demo\"\nhosts = [\"*\"]\norigins = [\"{url}\"]\n"
    );
    let flags =
        Flags::default().with("listen", &[args.listen.as_str()]).with("admin", &[&args.admin]);
    from_text(Some((Path::new("demo.toml"), &text)), &flags, &Undisturbed)
        .map(|loaded| loaded.config)
        .map_err(|refused| Failed::new(refused.to_string()))
}

/// The process without its environment: variables that are meant for `serve` do not bend the tour.
struct Undisturbed;

impl Surroundings for Undisturbed {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        Process.read(path, bytes_max)
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn variables(&self) -> Vec<String> {
        Vec::new()
    }

    fn cores(&self) -> usize {
        Process.cores()
    }
}

/// One line of the guide. A reader that has left does not end the demo.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _reader_gone = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> DemoArgs {
        DemoArgs { listen: "127.0.0.1:0".to_owned(), admin: "127.0.0.1:0".to_owned(), exit: true }
    }

    #[test]
    fn the_demo_has_a_site_of_its_own_for_the_tour() {
        let demo = Demo::prepare(&args()).expect("it can be prepared");
        let names: Vec<_> = demo.config.sites.iter().map(|site| site.name.as_str()).collect();
        assert_eq!(names, ["tour", "demo"]);
    }

    #[test]
    fn an_address_that_is_none_is_told() {
        let args = DemoArgs { listen: "nowhere".to_owned(), ..args() };
        assert!(Demo::prepare(&args).is_err());
    }

    #[tokio::test]
    async fn a_guide_that_is_lost_ends_the_demo() {
        let demo = Demo::prepare(&args()).expect("it can be prepared");
        drop(demo.guide);
        demo.over.await;
        assert!(demo.outcome.result().is_err(), "it was to end by itself and did not get there");
    }
}
