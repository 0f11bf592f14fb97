//! What the process says of itself, on stderr: text for people on a terminal, JSON otherwise.
//!
//! `SELVEDGE_LOG` filters (`info` by default; `warn,selvedge::origin=debug` and the like). The
//! line `ready` is not an event: scripts wait for exactly its form, so it is printed by
//! [`ready_line`] whatever the filter says.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// The environment variable of the filter.
pub const FILTER_ENV: &str = "SELVEDGE_LOG";

/// The filter when the variable is not set or empty.
pub const FILTER_DEFAULT: &str = "info";

/// Where the events of the disk engine come from; to see them, name it in the filter.
const ENGINE: &str = "foyer";
const ENGINE_OFF: &str = ",foyer=off";

/// How lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Form {
    /// Text if stderr is a terminal.
    pub fn of_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error("{FILTER_ENV}: {0}")]
    Filter(String),
    /// Something else in this process has set up logging.
    #[error("logging is already set up in this process")]
    Taken,
}

/// Sets up logging for the process, once, with the filter of the environment.
pub fn init() -> Result<(), LogError> {
    let directives = std::env::var(FILTER_ENV).unwrap_or_default();
    let filter = filter(&directives)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match Form::of_stderr() {
        Form::Text => builder.with_target(false).try_init(),
        Form::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    }
    .map_err(|_| LogError::Taken)
}

fn filter(directives: &str) -> Result<EnvFilter, LogError> {
    let directives = directives.trim();
    let directives = if directives.is_empty() { FILTER_DEFAULT } else { directives };
    // The disk engine writes a line for every value that it cannot read: a broken disk would flood
    // the log. We count its errors and say ourselves when the tier goes out of use.
    let quiet = if directives.contains(ENGINE) { "" } else { ENGINE_OFF };
    format!("{directives}{quiet}")
        .parse()
        .map_err(|error| LogError::Filter(format!("{directives:?}: {error}")))
}

#[derive(Serialize)]
struct Ready<'a> {
    message: &'static str,
    listen: &'a [String],
    tls: &'a [String],
    admin: Option<&'a str>,
}

/// Prints that connections are accepted, with the addresses as they were really bound: one line
/// on stderr, `{"message":"ready","listen":[…],"tls":[…],"admin":…}` when that is no terminal.
pub fn ready_line(listen: &[String], tls: &[String], admin: Option<&str>) -> io::Result<()> {
    let line = ready(Form::of_stderr(), listen, tls, admin);
    // One write, so that no event of another thread gets between.
    io::stderr().lock().write_all(line.as_bytes())
}

fn ready(form: Form, listen: &[String], tls: &[String], admin: Option<&str>) -> String {
    match form {
        Form::Json => {
            let mut line = serde_json::to_string(&Ready { message: "ready", listen, tls, admin })
                .expect("strings can always be written as JSON");
            line.push('\n');
            line
        }
        Form::Text => {
            let parts = [
                (!listen.is_empty()).then(|| format!("listening on {}", listen.join(", "))),
                (!tls.is_empty()).then(|| format!("TLS on {}", tls.join(", "))),
                admin.map(|admin| format!("admin on {admin}")),
            ];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            format!("ready: {}\n", parts.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_has_exactly_this_form() {
        let listen = ["127.0.0.1:8080".to_owned(), "unix:/run/selvedge.sock".to_owned()];
        assert_eq!(
            ready(Form::Json, &listen, &[], Some("127.0.0.1:9901")),
            "{\"message\":\"ready\",\"listen\":[\"127.0.0.1:8080\",\"unix:/run/selvedge.sock\"],\
             \"tls\":[],\"admin\":\"127.0.0.1:9901\"}\n"
        );
        assert_eq!(
            ready(Form::Json, &[], &listen[..1], None),
            "{\"message\":\"ready\",\"listen\":[],\"tls\":[\"127.0.0.1:8080\"],\"admin\":null}\n"
        );
        assert_eq!(
            ready(Form::Text, &listen, &[], Some("127.0.0.1:9901")),
            "ready: listening on 127.0.0.1:8080, unix:/run/selvedge.sock; admin on 127.0.0.1:9901\n"
        );
    }

    #[test]
    fn a_filter_that_is_not_understood_is_told_not_ignored() {
        assert!(filter("").is_ok() && filter(" warn,selvedge::origin=debug ").is_ok());
        let error = filter("selvedge=lound").expect_err("no such level").to_string();
        assert!(error.starts_with("SELVEDGE_LOG: \"selvedge=lound\": "), "{error}");
    }
}
