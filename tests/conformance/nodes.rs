//! The ways to run a node that must not make a difference.

use std::path::PathBuf;
use std::process::ExitStatus;

use harness::{ConfigFile, Edge, tls};

/// Where the suite's client knocks.
#[derive(Debug)]
pub struct Door {
    /// Base URL.
    pub base: String,
    /// The certificate that it must believe.
    pub ca: Option<PathBuf>,
    /// It speaks HTTP/2.
    pub is_h2: bool,
}

/// One node, with whatever stands behind it.
#[derive(Debug)]
pub struct Nodes {
    front: Edge,
    _parent: Option<Edge>,
    files: Vec<ConfigFile>,
}

impl Nodes {
    /// A node with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        Self { front: Edge::start(arguments), _parent: None, files: Vec::new() }
    }

    /// A node whose site has these further lines.
    pub fn with_site(origin: &str, more: &str) -> Self {
        let file = ConfigFile::new("memory = \"64MiB\"", &site(origin, more));
        Self { front: file.start(), _parent: None, files: vec![file] }
    }

    /// A node that also listens with TLS.
    pub fn with_tls(origin: &str) -> Self {
        let file = ConfigFile::new("", "");
        let pair = tls::make("suite", &["127.0.0.1"]).install(file.folder(), "pair");
        let site = site(origin, "");
        file.rewrite("tls_listen = [\"127.0.0.1:0\"]\nmemory = \"64MiB\"", &[pair, site].concat());
        Self { front: file.start(), _parent: None, files: vec![file] }
    }

    /// A node whose origin is a node, which leaves it the fields that speak to caches.
    pub fn behind_a_parent(origin: &str) -> Self {
        let file = ConfigFile::new("", &site(origin, "keep_tags = true"));
        let parent = file.start();
        let front = Edge::start(&["--origin", &format!("http://{}", parent.address)]);
        Self { front, _parent: Some(parent), files: vec![file] }
    }

    /// The plain listener.
    pub fn plain(&self) -> Door {
        Door { base: format!("http://{}", self.front.address), ca: None, is_h2: false }
    }

    /// The TLS listener.
    pub fn tls(&self, is_h2: bool) -> Door {
        let address = self.front.tls.expect("it was told to listen with TLS");
        let ca = self.files.first().map(|file| file.folder().join("pair.pem"));
        Door { base: format!("https://{address}"), ca, is_h2 }
    }

    /// Stops the node gracefully.
    pub fn stop(self) -> ExitStatus {
        self.front.stop()
    }
}

fn site(origin: &str, more: &str) -> String {
    format!("[[site]]\nname = \"all\"\nhosts = [\"*\"]\norigins = [{origin:?}]\n{more}\n")
}
