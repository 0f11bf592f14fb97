//! nginx from Debian as an origin: one process that serves a tree of files.

use std::net::SocketAddr;
use std::path::Path;

use crate::parts::{self, Part};
use crate::temp::Dir;

/// How often another port is tried when someone took the first.
const TRIES_MAX: u32 = 8;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    part: Part,
    /// Where it listens.
    pub address: SocketAddr,
    _scratch: Dir,
}

impl Nginx {
    /// Serves the files below `root`, fresh for an hour, with gzip for who accepts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn serving(root: &Path) -> Self {
        let program = parts::program("nginx", "nginx-light");
        for _ in 0..TRIES_MAX {
            let scratch = crate::temp::dir();
            let address = SocketAddr::from(([127, 0, 0, 1], parts::free_port()));
            let config = scratch.path().join("nginx.conf");
            std::fs::write(&config, configuration(scratch.path(), root, address))
                .expect("a scratch directory takes files");
            let mut command = parts::command(&program);
            command.arg("-e").arg("stderr").arg("-p").arg(scratch.path()).arg("-c").arg(&config);
            let mut part = Part::spawn(command);
            let up = crate::eventually("nginx listens or ends", || {
                if !part.is_running() {
                    return Some(false);
                }
                std::net::TcpStream::connect(address).ok().map(|_| true)
            });
            if up {
                return Self { part, address, _scratch: scratch };
            }
            let said = part.lines().join("\n");
            assert!(said.contains("Address already in use"), "nginx does not start:\n{said}");
        }
        panic!("no free port for nginx in {TRIES_MAX} tries");
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills it without warning.
    pub fn kill(self) {
        self.part.kill();
    }
}

/// A single process, so that killing it kills all of it.
fn configuration(scratch: &Path, root: &Path, address: SocketAddr) -> String {
    let (scratch, root) = (scratch.display(), root.display());
    format!(
        "daemon off; master_process off; pid {scratch}/pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {scratch}/1; proxy_temp_path {scratch}/2; fastcgi_temp_path {scratch}/3;
  uwsgi_temp_path {scratch}/4; scgi_temp_path {scratch}/5;
  types {{ text/html html; text/css css; text/plain txt; image/svg+xml svg; image/png png;
          application/javascript js; application/gzip gz; }}
  default_type application/octet-stream;
  sendfile on; keepalive_requests 100000;
  etag on; expires 1h;
  gzip on; gzip_static off; gzip_types *; gzip_vary on; gzip_min_length 256; gzip_proxied any;
  server {{ listen {address}; root {root}; }}
}}
"
    )
}
