//! The scenarios, and the pair of servers that most of them compare.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args::Args;
use crate::load;
use crate::origin::{OBJECT_BYTES, Origin};
use crate::process::{self, Server};

pub(crate) mod big_object;
pub(crate) mod hit_h1;
pub(crate) mod hit_h2;
pub(crate) mod memory;
pub(crate) mod pass;
pub(crate) mod purge;
pub(crate) mod verdict;

/// The node and the bare server, sending the same bytes for a hit.
pub(crate) struct Pair {
    pub(crate) node: Server,
    pub(crate) bare: Server,
    pub(crate) origin: Origin,
    /// Fields of a hit, `date` included.
    pub(crate) fields: usize,
    /// The command line of another such node, and of another such bare server.
    pub(crate) node_words: Vec<String>,
    pub(crate) bare_words: (PathBuf, Vec<String>),
    orders: serde_json::Value,
    _folder: tempfile::TempDir,
}

/// The object that everybody asks for.
pub(crate) const HOT: &str = "/object/1";

impl Pair {
    pub(crate) fn start(args: &Args) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let origin = Origin::start()?;
        let (cert, key) = certificate(folder.path())?;
        let log = folder.path().join("access.log").display().to_string();
        let more = ["--tls-listen", "127.0.0.1:0", "--cert", &cert, "--key", &key];
        let node_words = words(&origin, &log, &more);
        let node = Server::start(&process::node(args)?, &node_words)?;
        let warm = || load::get(node.plain, HOT);
        warm()?;
        let hit = warm()?;
        anyhow::ensure!(hit.status == 200 && hit.body.len() == OBJECT_BYTES, "no hit: {hit:?}");
        anyhow::ensure!(origin.requests() == 1, "the second request was no hit");
        let fields: Vec<_> = hit.fields.iter().filter(|(name, _)| name != "date").collect();
        let orders = json!({
            "fields": fields.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "body_bytes": OBJECT_BYTES,
            "cert": cert,
            "key": key,
        });
        let me = std::env::current_exe()?;
        let bare_words = (me, vec![crate::bare::WORD.to_owned(), orders.to_string()]);
        let bare = Server::start(&bare_words.0, &bare_words.1)?;
        let fields = fields.len() + 1;
        Ok(Self { node, bare, origin, fields, node_words, bare_words, orders, _folder: folder })
    }
}

impl Pair {
    /// The node's own HTTP/2 before the same answer; with `flush_each` it collects nothing.
    pub(crate) fn codec(&self, flush_each: bool) -> anyhow::Result<Server> {
        let mut orders = self.orders.clone();
        orders["flush_each"] = flush_each.into();
        let words = [crate::bare::WORD.to_owned(), orders.to_string()];
        Server::start(&self.bare_words.0, &words)
    }
}

/// A node with one worker, with its access log on (metrics always are).
pub(crate) fn node(
    args: &Args,
    origin: &Origin,
    log: &str,
    more: &[&str],
) -> anyhow::Result<Server> {
    Server::start(&process::node(args)?, &words(origin, log, more))
}

/// The command line of a node.
fn words(origin: &Origin, log: &str, more: &[&str]) -> Vec<String> {
    let (url, log) = (origin.url(), format!("--access-log={log}"));
    let base = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"];
    let own = ["--origin", url.as_str(), log.as_str()];
    base.iter().chain(&own).chain(more).map(|word| (*word).to_owned()).collect()
}

/// CPU microseconds of `server` per response while `act` answers some.
pub(crate) fn cost_us(
    server: &Server,
    act: impl FnOnce() -> anyhow::Result<u64>,
) -> anyhow::Result<f64> {
    let before = server.cpu_ns()?;
    let responses = act()?;
    anyhow::ensure!(responses > 0, "no response");
    Ok((server.cpu_ns()? - before) as f64 / 1000.0 / responses as f64)
}

/// One measurement of each, in an order that changes from round to round.
pub(crate) fn in_turn(
    round: usize,
    mut first: impl FnMut() -> anyhow::Result<f64>,
    mut second: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<(f64, f64)> {
    if round.is_multiple_of(2) {
        let one = first()?;
        Ok((one, second()?))
    } else {
        let two = second()?;
        Ok((first()?, two))
    }
}

/// A self-signed certificate in two files.
fn certificate(folder: &Path) -> anyhow::Result<(String, String)> {
    let made = rcgen::generate_simple_self_signed(["bench.example".to_owned()])?;
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((cert.display().to_string(), key.display().to_string()))
}
