//! From a file's name, flags and environment to a [`Config`], or to the text of a refusal.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

use super::flags::Flags;
use super::model::Config;
use super::problem::{Place, Problems, Wrong};
use super::render::{self, Text};
use super::surroundings::Surroundings;
use super::{compile, file, overlay, unit};

/// Largest configuration file, in bytes.
pub const FILE_BYTES_MAX: u64 = 8 << 20;

/// A configuration and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// To be logged, one each.
    pub warnings: Vec<String>,
}

/// Why there is no configuration: all problems, rendered. Exit code 1.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl StdError for Refused {}

/// Reads the file, if one is named, lays environment and flags over it and gives it its meaning.
pub fn load(
    path: Option<&Path>,
    flags: &Flags,
    surroundings: &dyn Surroundings,
) -> Result<Loaded, Refused> {
    let Some(path) = path else { return from_text(None, flags, surroundings) };
    let refuse = |message: String| Refused(format!("{}: error: {message}", path.display()));
    let bytes = surroundings
        .read(path, FILE_BYTES_MAX)
        .map_err(|error| refuse(format!("the configuration file cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = memchr::memchr_iter(b'\n', &error.as_bytes()[..at]).count() + 1;
        refuse(format!("line {line}: the file is not UTF-8 text\n  save it in UTF-8"))
    })?;
    from_text(Some((path, &text)), flags, surroundings)
}

/// As [`load`], with the text in hand.
pub fn from_text(
    written: Option<(&Path, &str)>,
    flags: &Flags,
    surroundings: &dyn Surroundings,
) -> Result<Loaded, Refused> {
    let name = written.map(|(path, _)| path.display().to_string()).unwrap_or_default();
    let (path, text) = written.unwrap_or((Path::new(""), ""));
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = Problems::default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let config = file::read(text, &mut problems).and_then(|mut said| {
        overlay::lay(&mut said, flags, surroundings, &mut problems);
        compile::compile(&said, folder, surroundings, &mut problems)
    });
    let file = Text { name: &unit::short(&name), text };
    match config {
        Some(config) if problems.is_empty() => {
            Ok(Loaded { config, warnings: render::warnings(&problems, file) })
        }
        _ => {
            if problems.is_empty() {
                // A value was missing without a message: a mistake of ours, but never silence.
                problems.add(Place::Whole, Wrong::new("the configuration has no meaning", ""));
            }
            Err(Refused(render::problems(&problems, file)))
        }
    }
}
