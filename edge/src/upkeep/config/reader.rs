//! Settings to values, by their cards: kind, bounds, default.
//!
//! Whatever is wrong becomes a problem at its place, and reading goes on with the default, so that
//! one run finds everything. Every value read is also noted in one normal form (`256MiB`), from
//! which differences and the admin view are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::card::{Card, Fallback, Kind};
use super::file;
use super::problem::{Place, Problems, Wrong};
use super::unit::{self, short};
use super::written::{Block, Said, Spoken};

/// The values in force, in normal form, by path with names (`site[shop].ttl.default`).
pub type Settings = BTreeMap<String, (&'static Card, String)>;

/// A list may hold at most this many items.
pub const ITEMS_MAX: usize = 10_000;

/// Reads the settings of one block.
pub struct Reader<'a> {
    block: &'a Block,
    /// Stands in place of `[]` in paths: `[shop]`; empty for tables that stand once.
    name: String,
    /// The same for the second `[]` of tables inside of such a table.
    inner: String,
    /// Paths are relative to this folder when the file says them.
    folder: &'a Path,
    /// Where problems go.
    pub problems: &'a mut Problems,
    settings: &'a mut Settings,
}

impl<'a> Reader<'a> {
    /// A reader of `block`, which is called `name` among its like.
    pub fn new(
        block: &'a Block,
        name: &str,
        folder: &'a Path,
        problems: &'a mut Problems,
        settings: &'a mut Settings,
    ) -> Self {
        let name = if name.is_empty() { String::new() } else { format!("[{name}]") };
        Self { block, name, inner: String::new(), folder, problems, settings }
    }

    /// How many tables stand inside of this one.
    pub fn inner_count(&self) -> usize {
        self.block.inner.len()
    }

    /// A reader of a table inside of this one, which is called by its number.
    pub fn inner(&mut self, at: usize) -> Reader<'_> {
        Reader {
            block: &self.block.inner[at],
            name: self.name.clone(),
            inner: format!("[{at}]"),
            folder: self.folder,
            problems: &mut *self.problems,
            settings: &mut *self.settings,
        }
    }

    /// Where the table begins.
    pub fn place(&self) -> Place {
        self.block.place.clone()
    }

    /// Where a card was set, else where its table begins.
    pub fn place_of(&self, card: &Card) -> Place {
        self.block.place_of(card)
    }

    /// Whether something was said for a card.
    pub fn has(&self, card: &Card) -> bool {
        self.block.get(card).is_some()
    }

    /// Whether something else than the default was said for a card.
    pub fn differs(&self, card: &'static Card) -> bool {
        let default = Self::default_of(card).map(|spoken| spoken.said);
        self.block.get(card).is_some_and(|spoken| Some(&spoken.said) != default.as_ref())
    }

    /// Adds a problem about a card.
    pub fn wrong(&mut self, card: &Card, place: Place, wrong: Wrong) {
        let path = card.path.replace("[]", "");
        let message = format!("`{path}`: {}", wrong.message);
        self.problems.add(place, Wrong { message, ..wrong });
    }

    /// What was said, or the default; a required option that is missing is a problem.
    fn spoken(&mut self, card: &'static Card) -> Option<Spoken> {
        if let Some(spoken) = self.block.get(card) {
            return Some(spoken.clone());
        }
        match card.fallback {
            Fallback::Required => {
                let help = format!("write {} = {}", card.key(), card.sample());
                let message = format!("{} has no `{}`", file::brackets(card.table()), card.key());
                self.problems.add(self.block.place.clone(), Wrong::new(message, help));
                None
            }
            _ => Self::default_of(card),
        }
    }

    fn default_of(card: &'static Card) -> Option<Spoken> {
        match card.fallback {
            Fallback::Toml(toml) => file::read_value(toml),
            _ => None,
        }
    }

    /// Reads one value; after a problem, the default.
    pub fn one<T>(
        &mut self,
        card: &'static Card,
        parse: impl Fn(&Spoken) -> Result<T, Wrong>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        debug_assert!(!card.many, "{} is a list", card.path);
        let spoken = self.spoken(card)?;
        let value = match parse(&spoken) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(card, spoken.place, wrong);
                Self::default_of(card).and_then(|spoken| parse(&spoken).ok())
            }
        }?;
        self.note(card, show(&value));
        Some(value)
    }

    /// Reads a list, with the place of every item; wrong items are left out.
    pub fn list<T>(
        &mut self,
        card: &'static Card,
        parse: impl Fn(&Spoken) -> Result<T, Wrong>,
        show: impl Fn(&T) -> String,
    ) -> Vec<(T, Place)> {
        debug_assert!(card.many, "{} is no list", card.path);
        let Some(spoken) = self.spoken(card) else { return Vec::new() };
        let items = match spoken.said {
            Said::List(items) => items,
            Said::Text(text) => {
                let help = format!("write {} = [\"{}\"]", card.key(), short(&text));
                self.wrong(card, spoken.place, Wrong::new("this is a list", help));
                return Vec::new();
            }
            other => {
                let help = format!("write {} = {}", card.key(), card.sample());
                let message = format!("this is a list, not {}", other.kind());
                self.wrong(card, spoken.place, Wrong::new(message, help));
                return Vec::new();
            }
        };
        if items.len() > ITEMS_MAX {
            self.wrong(
                card,
                spoken.place,
                Wrong::new(format!("more than {ITEMS_MAX} items"), "write fewer"),
            );
            return Vec::new();
        }
        if items.is_empty() && card.fallback == Fallback::Required {
            let help = format!("write {} = {}", card.key(), card.sample());
            self.wrong(card, spoken.place, Wrong::new("the list is empty", help));
            return Vec::new();
        }
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            match parse(&item) {
                Ok(value) => values.push((value, item.place)),
                Err(wrong) => self.wrong(card, item.place, wrong),
            }
        }
        let shown: Vec<_> = values.iter().map(|(value, _)| show(value)).collect();
        self.note(card, format!("[{}]", shown.join(", ")));
        values
    }

    /// Notes a value in normal form.
    pub fn note(&mut self, card: &'static Card, shown: String) {
        let path = card.path.replacen("[]", &self.name, 1).replacen("[]", &self.inner, 1);
        self.settings.insert(path, (card, shown));
    }

    /// A size, in bytes.
    pub fn size(&mut self, card: &'static Card) -> u64 {
        let Kind::Size { min, max } = card.kind else { unreachable!("{} is no size", card.path) };
        let parse = |spoken: &Spoken| {
            within(unit::parse_size(quantity(spoken, "64", "MiB")?)?, min, max, unit::show_size)
        };
        self.one(card, parse, |bytes| unit::show_size(*bytes)).unwrap_or(min)
    }

    /// A wait, in milliseconds.
    pub fn wait_ms(&mut self, card: &'static Card) -> u64 {
        let Kind::Wait { min_ms, max_ms } = card.kind else {
            unreachable!("{} is no wait", card.path)
        };
        let parse = |spoken: &Spoken| {
            within(unit::parse_ms(quantity(spoken, "30", "s")?)?, min_ms, max_ms, unit::show_ms)
        };
        self.one(card, parse, |ms| unit::show_ms(*ms)).unwrap_or(min_ms)
    }

    /// A lifetime, in whole seconds, if one is said or is the default.
    pub fn lifetime_s(&mut self, card: &'static Card) -> Option<u32> {
        let Kind::Lifetime { max_s } = card.kind else {
            unreachable!("{} is no lifetime", card.path)
        };
        let parse = |spoken: &Spoken| {
            let ms = unit::parse_ms(quantity(spoken, "30", "s")?)?;
            if !ms.is_multiple_of(1000) {
                let help =
                    format!("write \"{}s\"; HTTP counts lifetimes in seconds", ms.div_ceil(1000));
                return Err(Wrong::new("this is not a whole number of seconds", help));
            }
            let s = within(ms / 1000, 0, max_s, |s| unit::show_ms(s.saturating_mul(1000)))?;
            Ok(u32::try_from(s).unwrap_or(u32::MAX))
        };
        self.one(card, parse, |s| unit::show_ms(u64::from(*s) * 1000))
    }

    /// A whole number, if one is said or is the default.
    pub fn count(&mut self, card: &'static Card) -> Option<u64> {
        let Kind::Count { min, max } = card.kind else { unreachable!("{} is no count", card.path) };
        let parse = |spoken: &Spoken| {
            let number = match (&spoken.said, &spoken.place) {
                (Said::Integer(number), _) => u64::try_from(*number).ok(),
                (Said::Text(text), Place::File(_)) if text.trim().parse::<u64>().is_ok() => {
                    return Err(Wrong::new(
                        "a number stands without quotes",
                        format!("write {}", text.trim()),
                    ));
                }
                (Said::Text(text), Place::Flag(_) | Place::Variable(_)) => {
                    let Ok(number) = text.parse() else {
                        let message = format!("\"{}\" is not a whole number", short(text));
                        return Err(Wrong::new(message, format!("write a number, {min} to {max}")));
                    };
                    Some(number)
                }
                (other, _) => {
                    let message = format!("this is a whole number, not {}", other.kind());
                    return Err(Wrong::new(message, format!("write a number, {min} to {max}")));
                }
            };
            number.filter(|number| (min..=max).contains(number)).ok_or_else(|| {
                Wrong::new("the number is out of range", format!("write a number, {min} to {max}"))
            })
        };
        self.one(card, parse, u64::to_string)
    }

    /// `true` or `false`.
    pub fn switch(&mut self, card: &'static Card) -> bool {
        let parse = |spoken: &Spoken| match (&spoken.said, &spoken.place) {
            (Said::Switch(on), _) => Ok(*on),
            (Said::Text(text), Place::Flag(_) | Place::Variable(_)) if text == "true" => Ok(true),
            (Said::Text(text), Place::Flag(_) | Place::Variable(_)) if text == "false" => Ok(false),
            (other, _) => Err(Wrong::new(
                format!("this is `true` or `false`, not {}", other.kind()),
                "write true or false, without quotes",
            )),
        };
        self.one(card, parse, bool::to_string).unwrap_or(false)
    }

    /// One of the card's words, by its number.
    pub fn choice(&mut self, card: &'static Card) -> usize {
        let Kind::Choice(words) = card.kind else { unreachable!("{} is no choice", card.path) };
        let parse = |spoken: &Spoken| {
            let word = text(spoken, words[0])?;
            words.iter().position(|known| *known == word).ok_or_else(|| {
                let all: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                Wrong::new(
                    format!("\"{}\" is not known here", short(word)),
                    format!("write {}", all.join(" or ")),
                )
            })
        };
        self.one(card, parse, |at| words[*at].to_owned()).unwrap_or(0)
    }

    /// A path, made absolute against the file's folder if the file said it.
    pub fn path(&mut self, card: &'static Card) -> Option<(PathBuf, Place)> {
        let folder = self.folder;
        let parse = |spoken: &Spoken| {
            let said = text(spoken, "/path/to/file")?;
            resolve(said, &spoken.place, folder).map(|path| (path, spoken.place.clone()))
        };
        self.one(card, parse, |(path, _)| path.display().to_string())
    }

    /// The folder that paths of the file are relative to.
    pub fn folder(&self) -> &'a Path {
        self.folder
    }
}

/// A path as it was said: relative to the file if the file said it, else to where we were started.
pub fn resolve(said: &str, place: &Place, folder: &Path) -> Result<PathBuf, Wrong> {
    if said.is_empty() || said.contains('\0') {
        return Err(Wrong::new("this is no path", "write a path, such as \"/var/cache/selvedge\""));
    }
    Ok(if matches!(place, Place::File(_)) { folder.join(said) } else { PathBuf::from(said) })
}

/// A string.
pub fn text<'a>(spoken: &'a Spoken, sample: &str) -> Result<&'a str, Wrong> {
    match &spoken.said {
        Said::Text(text) => Ok(text),
        other => Err(Wrong::new(
            format!("this is a string, not {}", other.kind()),
            format!("write \"{sample}\""),
        )),
    }
}

/// The text of a quantity; a bare number says what it lacks.
fn quantity<'a>(spoken: &'a Spoken, number: &str, unit: &str) -> Result<&'a str, Wrong> {
    match &spoken.said {
        Said::Text(text) => Ok(text),
        Said::Integer(bare) if *bare >= 0 => {
            let help = format!("write \"{bare}{unit}\", in quotes and with the unit that is meant");
            Err(Wrong::new("a bare number has no unit", help))
        }
        other => {
            let kind =
                if matches!(other, Said::Integer(_)) { "a negative number" } else { other.kind() };
            let message = format!("this is a number with a unit in quotes, not {kind}");
            Err(Wrong::new(message, format!("write \"{number}{unit}\"")))
        }
    }
}

fn within(value: u64, min: u64, max: u64, show: impl Fn(u64) -> String) -> Result<u64, Wrong> {
    if value < min {
        return Err(Wrong::new(
            format!("{} is too little", show(value)),
            format!("write at least \"{}\"", show(min)),
        ));
    }
    if value > max {
        return Err(Wrong::new(
            format!("{} is too much", show(value)),
            format!("write at most \"{}\"", show(max)),
        ));
    }
    Ok(value)
}
