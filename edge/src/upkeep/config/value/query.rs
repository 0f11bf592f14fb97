//! How a site folds the query into its key, as people write it.

use crate::decide::KeyRules;
use crate::decide::key::NamePattern;
use crate::upkeep::config::nearest::nearest;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::unit::short;
use crate::upkeep::config::written::{Said, Spoken};

/// NamePatterns that one rule may name.
pub const PARAMETERS_MAX: usize = 256;

const HELP: &str =
    "write \"keep\", \"sort\", \"drop\", { keep = [\"page\"] } or { drop = [\"utm_*\"] }";

/// Reads a rule.
pub fn parse_query(spoken: &Spoken) -> Result<KeyRules, Wrong> {
    match &spoken.said {
        Said::Text(word) => match word.as_str() {
            "keep" => Ok(KeyRules::Exact),
            "sort" => Ok(KeyRules::Sort),
            "drop" => Ok(KeyRules::DropAll),
            other => Err(Wrong::new(format!("\"{}\" is no query rule", short(other)), HELP)),
        },
        Said::Table(entries) => match entries.as_slice() {
            [(key, _, list)] if key == "keep" => parameters(list).map(KeyRules::Keep),
            [(key, _, list)] if key == "drop" => parameters(list).map(KeyRules::Drop),
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

fn parameters(list: &Spoken) -> Result<Vec<NamePattern>, Wrong> {
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

fn parameter(item: &Spoken) -> Result<NamePattern, Wrong> {
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
    Ok(NamePattern::new(name, begins))
}
