//! curl: a client that others wrote, and the one for HTTP/2 and TLS.

use std::path::Path;

use serde_json::Value;

use crate::parts;

/// What curl saw.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// HTTP version as curl prints it: `1.1`, `2`.
    pub version: String,
    /// Body, content codings removed only if curl was asked to.
    pub body: Vec<u8>,
    fields: Value,
}

impl Answer {
    /// The first field of that name (lower case), or an empty string.
    pub fn field(&self, name: &str) -> &str {
        self.fields[name][0].as_str().unwrap_or("")
    }

    /// Whether `Cache-Status` calls it a hit of ours.
    pub fn is_hit(&self) -> bool {
        self.field("cache-status").contains("selvedge; hit")
    }
}

/// Runs curl for one URL.
///
/// # Panics
/// When curl fails: its message is in the panic.
pub fn curl(arguments: &[&str]) -> Answer {
    let mut command = parts::command(&parts::program("curl", "curl"));
    command
        .args(["--silent", "--show-error", "--disable", "--noproxy", "*", "--max-time", "20"])
        .args(["--write-out", "%{stderr}{\"info\":%{json},\"fields\":%{header_json}}"])
        .args(arguments);
    let done = command.output().expect("setpriv (util-linux) is installed");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{command:?}: {}\n{said}", done.status);
    let said: Value = serde_json::from_str(&said).expect("curl writes JSON");
    Answer {
        status: said["info"]["http_code"]
            .as_u64()
            .and_then(|code| code.try_into().ok())
            .unwrap_or(0),
        version: said["info"]["http_version"].as_str().unwrap_or("").to_owned(),
        body: done.stdout,
        fields: said["fields"].clone(),
    }
}

/// Fetches many URLs on as few connections as curl needs, each into its file.
///
/// # Panics
/// When a transfer fails or a status is 400 or above.
pub fn fetch_all<'a>(arguments: &[&str], transfers: impl Iterator<Item = (String, &'a Path)>) {
    let mut config = String::new();
    for (url, into) in transfers {
        let quoted = url.replace('\\', "\\\\").replace('"', "\\\"");
        let output = into.display().to_string();
        config.extend(["url = \"", quoted.as_str(), "\"\noutput = \"", output.as_str(), "\"\n"]);
    }
    let mut command = parts::command(&parts::program("curl", "curl"));
    command
        .args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--fail-early", "--fail"])
        .args(["--globoff", "--path-as-is", "--max-time", "20"])
        .args(arguments)
        .args(["--config", "-"]);
    parts::filter(command, config.into_bytes());
}
