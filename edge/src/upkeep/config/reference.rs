//! The options as people read them: the manual, all defaults as a file, the list of variables.

use std::fmt::Write as _;

use super::card::{Card, Fallback};
use super::file::brackets;
use super::options::{self, TABLES};
use super::overlay::OTHER_VARIABLES;

/// `docs/configuration.md`.
pub fn manual() -> String {
    let mut out = String::from(INTRODUCTION);
    for table in TABLES {
        let _ = write!(out, "\n## `{}`\n\n{}\n\n", brackets(table.path), table.text);
        for card in options::in_table(table.path) {
            card_in_manual(&mut out, card);
        }
    }
    out.push_str("\n## Environment\n\n| Variable | Option |\n|---|---|\n");
    for (name, meaning) in variables() {
        let _ = writeln!(out, "| `{name}` | {meaning} |");
    }
    out
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from the option cards by `selvedge config manual`; edit edge/src/upkeep/config/options.rs. -->

One TOML file, given by `selvedge serve --config edge.toml`; `selvedge check edge.toml` tells all
problems with line and column and exits with 1. Flags come before the environment, the environment
before the file.

- **Sizes** are a whole number and a unit: `B KB MB GB KiB MiB GiB`, as in `\"256MiB\"`.
- **Durations** are a whole number and a unit: `ms s m h d`, as in `\"30s\"`.
- **Paths** are relative to the file; those of flags and variables, to the working directory.
- **Lists in variables** are separated by commas.
- **Reload** (SIGHUP): an option with \"reload\" applies to what comes afterwards; one with
  \"restart\" keeps its old value, which the log names.
";

fn card_in_manual(out: &mut String, card: &Card) {
    let default = match card.fallback {
        Fallback::Required => "required".to_owned(),
        Fallback::Absent(words) | Fallback::Computed(words) => format!("default: {words}"),
        Fallback::Toml(toml) => format!("default: `{toml}`"),
    };
    let when = if card.reloadable { "reload" } else { "restart" };
    let _ = write!(out, "- **`{}`** ({}; {default}; {when}", card.key(), card.kind_in_words());
    if let Some(flag) = card.flag {
        let _ = write!(out, "; `--{flag}`");
    }
    let _ = writeln!(out, ")<br>\n  {}", sentence(card));
}

/// A card's text in one line.
pub fn sentence(card: &Card) -> String {
    card.text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tables that a file need not have and that mean something by standing there.
const OPTIONAL_TABLES: [&str; 4] = ["disk", "tls[]", "admin.tokens[]", "site[].rule[]"];

/// All options with their defaults, as a file: with a site filled in it is right, and says what an
/// empty one says.
pub fn defaults() -> String {
    let mut out =
        String::from("# Every option with its default; what has none stands behind `#`.\n");
    for table in TABLES {
        let off = if OPTIONAL_TABLES.contains(&table.path) { "# " } else { "" };
        let _ = write!(out, "\n# {}\n{off}{}\n", table.text, brackets(table.path));
        for card in options::in_table(table.path) {
            let _ = writeln!(out, "# {} ({})", sentence(card), card.kind_in_words());
            let key = card.key();
            let _ = match card.fallback {
                Fallback::Toml(toml) => writeln!(out, "{off}{key} = {toml}"),
                Fallback::Required => writeln!(out, "# {key} = {}  # required", card.sample()),
                Fallback::Absent(words) | Fallback::Computed(words) => {
                    writeln!(out, "# {key} = {}  # default: {words}", card.sample())
                }
            };
        }
    }
    out
}

/// Every variable and what it says.
pub fn variables() -> Vec<(String, String)> {
    let cards = options::ALL.iter().filter_map(|card| {
        let path = card.path.replace("[]", "");
        Some((card.variable()?, format!("`{path}`: {}", sentence(card))))
    });
    let others =
        OTHER_VARIABLES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    cards.chain(others).collect()
}

/// The variables as text for a terminal.
pub fn variables_text() -> String {
    let mut out = String::new();
    for (name, meaning) in variables() {
        let _ = writeln!(out, "{name}\n    {meaning}");
    }
    out
}
