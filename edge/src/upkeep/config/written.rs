//! What was said, as it was said: settings with their places, before any meaning.

use super::card::Card;
use super::problem::Place;

/// A value and where it was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The value.
    pub said: Said,
    /// Its place.
    pub place: Place,
}

/// A value as TOML or the command line gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A string. Flags and variables say only these.
    Text(String),
    /// An integer; beyond 64 bits it is kept as text in `Other`.
    Integer(i64),
    /// `true` or `false`.
    Switch(bool),
    /// A list.
    List(Vec<Spoken>),
    /// An inline table: key, place of the key, value.
    Table(Vec<(String, Place, Spoken)>),
    /// A float, date or huge integer: no option takes these. In words.
    Other(&'static str),
}

impl Said {
    /// What it is, with an article.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Switch(_) => "a switch",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(words) => words,
        }
    }
}

/// The settings of one table: the root's tables together, or one of several tables.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Where the table begins.
    pub place: Place,
    /// Settings in the order of the text.
    pub settings: Vec<(&'static Card, Spoken)>,
    /// Tables of which several stand inside: `[[site.rule]]`.
    pub inner: Vec<Block>,
}

impl Block {
    /// What was said for a card.
    pub fn get(&self, card: &Card) -> Option<&Spoken> {
        self.settings.iter().find(|(set, _)| set.path == card.path).map(|(_, spoken)| spoken)
    }

    /// Says something for a card, in place of what was said before.
    pub fn set(&mut self, card: &'static Card, spoken: Spoken) {
        self.settings.retain(|(set, _)| set.path != card.path);
        self.settings.push((card, spoken));
    }

    /// Where a card was set, else where the table begins.
    pub fn place_of(&self, card: &Card) -> Place {
        self.get(card).map_or_else(|| self.place.clone(), |spoken| spoken.place.clone())
    }
}

/// Everything that was said.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Options of tables that stand once.
    pub root: Block,
    /// `[[tls]]`.
    pub tls: Vec<Block>,
    /// `[[admin.tokens]]`.
    pub tokens: Vec<Block>,
    /// `[[site]]`.
    pub sites: Vec<Block>,
    /// A table was unknown or had the wrong brackets: what is missing may have been meant there.
    pub misplaced: bool,
}

impl Written {
    /// The blocks of one of several tables, by its path (`site[]`).
    pub fn blocks(&mut self, path: &str) -> &mut Vec<Block> {
        match path {
            "tls[]" => &mut self.tls,
            "admin.tokens[]" => &mut self.tokens,
            _ => &mut self.sites,
        }
    }
}
