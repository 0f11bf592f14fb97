//! A configuration file that a test writes and rewrites.

use std::path::{Path, PathBuf};

use crate::Edge;

/// A file in a scratch folder of its own, with listeners on ports of the kernel's choice.
#[derive(Debug)]
pub struct ConfigFile {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl ConfigFile {
    /// Writes a file: `node` are further lines of `[node]`, `rest` are the other tables.
    pub fn new(node: &str, rest: &str) -> Self {
        let folder = crate::temp::dir();
        let path = folder.path().join("edge.toml");
        let file = Self { folder, path };
        file.rewrite(node, rest);
        file
    }

    /// Writes the file anew, with the same listeners.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn rewrite(&self, node: &str, rest: &str) {
        let missing = |key: &str, line: &'static str| {
            if node.lines().any(|line| line.starts_with(key)) { "" } else { line }
        };
        let listen = missing("listen", "listen = [\"127.0.0.1:0\"]\n");
        let admin = missing("admin", "admin = \"127.0.0.1:0\"\n");
        let workers = missing("workers", "workers = 2\n");
        self.write(&format!("[node]\n{listen}{admin}{workers}{node}\n{rest}\n"));
    }

    /// Writes exactly this text, in one step: a reader sees the old file or the new one.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn write(&self, text: &str) {
        let beside = self.folder.path().join("edge.toml.new");
        std::fs::write(&beside, text).expect("a scratch folder takes a small file");
        std::fs::rename(&beside, &self.path).expect("a file can be renamed");
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, for files that stand beside it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a node with it.
    pub fn start(&self) -> Edge {
        Edge::configured(&self.path)
    }
}

/// One site for every host, named `all`, with these origins and further lines.
pub fn site(origins: &[&crate::Origin], more: &str) -> String {
    let urls: Vec<String> = origins.iter().map(|origin| format!("{:?}", origin.url())).collect();
    format!("[[site]]\nname = \"all\"\nhosts = [\"*\"]\norigins = [{}]\n{more}\n", urls.join(", "))
}
