//! How a site folds the query into its key.

use std::fmt;

use crate::upkeep::config::nearest::nearest;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;
use crate::upkeep::config::written::{Said, Spoken};

/// Parameters that one rule may name.
pub const PARAMETERS_MAX: usize = 256;

/// What of the query is in the key (and is sent to the origin).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum QueryFold {
    /// As it is.
    #[default]
    Keep,
    /// Sorted by name.
    Sort,
    /// Nothing.
    Drop,
    /// Only these parameters.
    Only(Vec<Parameter>),
    /// All but these.
    Without(Vec<Parameter>),
}

/// A parameter's name, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name, or what it begins with.
    pub name: String,
    /// It was written `name*`.
    pub begins: bool,
}

impl Parameter {
    /// Whether a parameter's name fits.
    pub fn fits(&self, name: &str) -> bool {
        if self.begins { name.starts_with(&self.name) } else { name == self.name }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.begins { "*" } else { "" })
    }
}

impl fmt::Display for QueryFold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |list: &[Parameter]| {
            list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Sort => f.write_str("sort"),
            Self::Drop => f.write_str("drop"),
            Self::Only(list) => write!(f, "{{ keep = [{}] }}", names(list)),
            Self::Without(list) => write!(f, "{{ drop = [{}] }}", names(list)),
        }
    }
}

const HELP: &str =
    "write \"keep\", \"sort\", \"drop\", { keep = [\"page\"] } or { drop = [\"utm_*\"] }";

/// Reads a rule.
pub fn parse_query(spoken: &Spoken) -> Result<QueryFold, Wrong> {
    match &spoken.said {
        Said::Text(word) => match word.as_str() {
            "keep" => Ok(QueryFold::Keep),
            "sort" => Ok(QueryFold::Sort),
            "drop" => Ok(QueryFold::Drop),
            other => Err(Wrong::new(format!("\"{}\" is no query rule", short(other)), HELP)),
        },
        Said::Table(entries) => match entries.as_slice() {
            [(key, _, list)] if key == "keep" => parameters(list).map(QueryFold::Only),
            [(key, _, list)] if key == "drop" => parameters(list).map(QueryFold::Without),
            [(key, ..)] => Err(Wrong::new(
                format!("unknown key `{}`", short(key)),
                nearest(key, ["keep", "drop"])
                    .map_or(HELP.to_owned(), |near| format!("did you mean `{near}`?")),
            )),
            _ => Err(Wrong::new("either `keep` or `drop`, and nothing else", HELP)),
        },
        other => Err(Wrong::new(format!("this is a query rule, not {}", other.kind()), HELP)),
    }
}

fn parameters(list: &Spoken) -> Result<Vec<Parameter>, Wrong> {
    let Said::List(items) = &list.said else {
        return Err(Wrong::new("the parameters are a list", HELP));
    };
    if items.is_empty() {
        return Err(Wrong::new(
            "the list of parameters is empty",
            "write \"keep\" for all parameters or \"drop\" for none",
        ));
    }
    if items.len() > PARAMETERS_MAX {
        return Err(Wrong::new(
            format!("more than {PARAMETERS_MAX} parameters"),
            "name beginnings, as in \"utm_*\"",
        ));
    }
    items.iter().map(parameter).collect()
}

fn parameter(item: &Spoken) -> Result<Parameter, Wrong> {
    let Said::Text(text) = &item.said else {
        return Err(Wrong::new(
            format!("a parameter's name is a string, not {}", item.said.kind()),
            HELP,
        ));
    };
    let (name, begins) = text.strip_suffix('*').map_or((text.as_str(), false), |name| (name, true));
    if name.is_empty()
        || name.contains(['*', '&', '=', '?', '#', ' '])
        || name.chars().any(char::is_control)
    {
        let message = format!("\"{}\" is no parameter's name", short(text));
        return Err(Wrong::new(
            message,
            "write the name as it stands in the URL; a `*` may stand at its end",
        ));
    }
    Ok(Parameter { name: name.to_owned(), begins })
}
