//! The flags of `serve`, made from the cards.
//!
//! A flag takes what the file takes; it is kept as text here and given its meaning, with the same
//! messages, by `compile`.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::card::{Card, Fallback, Kind};
use super::options;

/// What the command line said: for each card that has a flag, the values given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags(Vec<(&'static Card, Vec<String>)>);

impl Flags {
    /// Says a flag by its name, as the command line would.
    ///
    /// # Panics
    /// When no card has this flag.
    #[must_use]
    pub fn with(mut self, flag: &str, values: &[&str]) -> Self {
        let card = options::ALL.iter().find(|card| card.flag == Some(flag));
        let card = card.expect("the flag is one of the cards");
        self.0.push((card, values.iter().map(|value| (*value).to_owned()).collect()));
        self
    }

    /// The values given for a card.
    pub fn get(&self, card: &Card) -> Option<&[String]> {
        self.0.iter().find(|(said, _)| said.path == card.path).map(|(_, values)| values.as_slice())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        options::ALL.iter().filter_map(|card| argument(card)).fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = options::ALL.iter().filter(|card| card.flag.is_some()).filter_map(|card| {
            let values = matches.get_many::<String>(card.path)?;
            Some((*card, values.cloned().collect()))
        });
        Ok(Self(said.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(card: &'static Card) -> Option<Arg> {
    let flag = card.flag?;
    let mut argument = Arg::new(card.path)
        .long(flag)
        .value_name(value_name(card.kind))
        .help(help(card))
        .action(if may_repeat(card) { ArgAction::Append } else { ArgAction::Set });
    if card.kind == Kind::AccessLog {
        // `--access-log` alone: standard output.
        argument = argument.num_args(0..=1).require_equals(true).default_missing_value("stdout");
    }
    Some(argument)
}

/// Lists repeat, and so do options of one of several tables: one table each time.
fn may_repeat(card: &Card) -> bool {
    card.many || card.path.contains("[]")
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Address => "ADDR",
        Kind::OriginUrl => "URL",
        Kind::Size { .. } => "SIZE",
        Kind::Wait { .. } | Kind::Lifetime { .. } => "DURATION",
        Kind::Count { .. } => "N",
        Kind::Path | Kind::Pem | Kind::AccessLog => "PATH",
        _ => "VALUE",
    }
}

fn help(card: &Card) -> String {
    let text = card.text.trim().replace("  ", " ");
    let default = match card.fallback {
        Fallback::Toml("[]") | Fallback::Required => String::new(),
        Fallback::Toml(toml) => format!(" [default: {}]", toml.trim_matches(['[', ']', '"'])),
        Fallback::Absent(words) | Fallback::Computed(words) => format!(" [default: {words}]"),
    };
    let repeat = if may_repeat(card) { " [repeatable]" } else { "" };
    let variable = card.variable().map(|name| format!(" [env: {name}]")).unwrap_or_default();
    format!("{text}{default}{repeat}{variable}")
}
