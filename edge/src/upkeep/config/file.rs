//! The file as it is written: TOML text to settings with places.
//!
//! The shape of the file is the shape of the cards' paths, so a key is either a card, a table that
//! cards stand in, or unknown. All unknown keys and misplaced tables are found in one walk; syntax
//! errors too, as far as the parser recovers. Nothing is said here about values.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::options;
use super::problem::{Place, Problems, Wrong};
use super::unit::short;
use super::written::{Block, Said, Spoken, Written};

/// One of several tables may stand at most this often in a file.
pub const TABLES_MAX: usize = 10_000;

/// Reads a file's text; `None` when it is not TOML: after a syntax error the rest is guesswork, and
/// its problems would mislead.
pub fn read(text: &str, problems: &mut Problems) -> Option<Written> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = Place::File(error.span().unwrap_or(0..0));
        problems
            .add(place, Wrong::new(error.message().replace('\n', ", "), syntax_help(text, error)));
    }
    if !errors.is_empty() {
        return None;
    }
    let (mut written, mut root) = (Written::default(), Block::default());
    walk(document.get_ref(), "", &mut root, &mut written, problems);
    written.root = root;
    Some(written)
}

/// A word for the mistakes that the parser's own message does not explain.
fn syntax_help(text: &str, error: &toml::de::Error) -> &'static str {
    let Some(span) = error.span() else { return "" };
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    if value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        && error.message().contains("quot")
    {
        "put the value in quotes"
    } else if error.message().contains("duplicate key") {
        "every key stands once in its table; several sites, certificates or tokens are written [[…]]"
    } else {
        ""
    }
}

/// What a key is, by the cards.
enum Known {
    Setting(&'static super::card::Card),
    Table,
    Tables,
    Unknown,
}

fn known(path: &str) -> Known {
    if let Some(card) = options::find(path) {
        return Known::Setting(card);
    }
    let stands = |suffix: &str| {
        options::ALL
            .iter()
            .any(|card| card.path.strip_prefix(path).is_some_and(|rest| rest.starts_with(suffix)))
    };
    match (stands("."), stands("[].")) {
        (true, _) => Known::Table,
        (_, true) => Known::Tables,
        _ => Known::Unknown,
    }
}

fn walk(
    table: &DeTable<'_>,
    prefix: &str,
    block: &mut Block,
    written: &mut Written,
    problems: &mut Problems,
) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        // A quoted key may contain anything, also what looks like a path of ours.
        let plain = !key.get_ref().contains(['.', '[', ']']);
        let known = if plain { known(&path) } else { Known::Unknown };
        written.misplaced |= prefix.is_empty() && matches!(known, Known::Unknown);
        match known {
            Known::Setting(card) => block.settings.push((card, spoken(value))),
            Known::Table => match value.get_ref() {
                DeValue::Table(inner) => walk(inner, &path, block, written, problems),
                DeValue::Array(_) => problems.add(
                    Place::File(key.span()),
                    Wrong::new(
                        format!("`{}` stands once", shown(&path)),
                        format!("write [{}], with single brackets", shown(&path)),
                    ),
                ),
                _ => problems.add(Place::File(value.span()), not_a_table(&path, "[", "]")),
            },
            Known::Tables => several(key, value, &path, block, written, problems),
            Known::Unknown if problems.is_full() => {
                problems.add(Place::File(key.span()), Wrong::default());
            }
            Known::Unknown => problems.add(Place::File(key.span()), unknown(prefix, key.get_ref())),
        }
    }
}

/// `[[site]]` and the like.
fn several(
    key: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
    path: &str,
    outer: &mut Block,
    written: &mut Written,
    problems: &mut Problems,
) {
    let DeValue::Array(items) = value.get_ref() else {
        let place = match value.get_ref() {
            DeValue::Table(_) => key.span(),
            _ => value.span(),
        };
        written.misplaced = true;
        problems.add(Place::File(place), not_a_table(path, "[[", "]]"));
        return;
    };
    if items.len() > TABLES_MAX {
        let message = format!("more than {TABLES_MAX} tables [[{path}]]");
        problems
            .add(Place::File(key.span()), Wrong::new(message, "divide them among several nodes"));
        return;
    }
    let path = format!("{path}[]");
    for item in items {
        let DeValue::Table(inner) = item.get_ref() else {
            problems.add(Place::File(item.span()), not_a_table(&shown(&path), "[[", "]]"));
            continue;
        };
        let mut block = Block { place: Place::File(item.span()), ..Block::default() };
        walk(inner, &path, &mut block, written, problems);
        let is_nested = path.matches("[]").count() > 1;
        let blocks = if is_nested { &mut outer.inner } else { written.blocks(&path) };
        blocks.push(block);
    }
}

fn not_a_table(path: &str, open: &str, close: &str) -> Wrong {
    let path = shown(path);
    let message = if open == "[[" {
        format!("`{path}` may stand several times")
    } else {
        format!("`{path}` is a table")
    };
    Wrong::new(message, format!("write {open}{path}{close} on a line of its own"))
}

fn unknown(prefix: &str, key: &str) -> Wrong {
    let table = shown(prefix);
    let siblings = children(prefix);
    let message = match table.as_str() {
        "" => format!("unknown key `{}`", short(key)),
        _ => format!("unknown key `{}` in [{table}]", short(key)),
    };
    if let Some(near) = nearest(key, siblings.iter().copied()) {
        return Wrong::new(message, format!("did you mean `{near}`?"));
    }
    // A right key in a wrong table, or a table that was meant to be inside another.
    let elsewhere = options::ALL.iter().find(|card| card.key() == key);
    if let Some(card) = elsewhere {
        return Wrong::new(message, format!("`{key}` belongs in {}", brackets(card.table())));
    }
    let anywhere = options::ALL.iter().find(|card| nearest(key, [card.key()]).is_some());
    if let Some(card) = anywhere {
        let help =
            format!("did you mean `{}`, which belongs in {}?", card.key(), brackets(card.table()));
        return Wrong::new(message, help);
    }
    Wrong::new(message, format!("known here: {}", siblings.join(" ")))
}

/// Keys and tables that may stand directly in a table.
fn children(prefix: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for card in options::ALL {
        let rest = if prefix.is_empty() {
            Some(card.path)
        } else {
            card.path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'))
        };
        if let Some(name) = rest.and_then(|rest| rest.split(['.', '[']).next())
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// A path as the file writes it: `site.ttl` for `site[].ttl`.
fn shown(path: &str) -> String {
    path.replace("[]", "")
}

/// A table's heading: `[[site]]`, `[site.ttl]`.
pub fn brackets(table: &str) -> String {
    let name = shown(table);
    if table.ends_with("[]") { format!("[[{name}]]") } else { format!("[{name}]") }
}

fn spoken(value: &Spanned<DeValue<'_>>) -> Spoken {
    let said = match value.get_ref() {
        DeValue::String(text) => Said::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Said::Integer(number),
            Err(_) => Said::Other("a number beyond 64 bits"),
        },
        DeValue::Float(_) => Said::Other("a number with a fraction"),
        DeValue::Boolean(on) => Said::Switch(*on),
        DeValue::Datetime(_) => Said::Other("a date"),
        DeValue::Array(items) => Said::List(items.iter().map(spoken).collect()),
        DeValue::Table(table) => Said::Table(
            table
                .iter()
                .map(|(key, value)| {
                    (key.get_ref().to_string(), Place::File(key.span()), spoken(value))
                })
                .collect(),
        ),
    };
    Spoken { said, place: Place::File(value.span()) }
}

/// Reads a value as a card writes its default.
pub fn read_value(toml: &str) -> Option<Spoken> {
    let value = DeValue::parse(toml).ok()?;
    let mut spoken = spoken(&value);
    spoken.place = Place::Whole;
    Some(spoken)
}
