//! Flags and environment laid over the file: flags > environment > file.
//!
//! Both speak in texts; lists in a variable are separated by commas. `--origin` sets the origins
//! of the site that answers for every host, and adds one named `default` when there is none.
//! `--cert` and `--key`, in pairs, stand in place of the file's `[[tls]]`.

use super::card::Card;
use super::flags::Flags;
use super::nearest::nearest;
use super::options;
use super::problem::{Place, Problems, Wrong};
use super::surroundings::Surroundings;
use super::unit::short;
use super::written::{Block, Said, Spoken, Written};

/// Name of the site that `--origin` makes.
pub const DEFAULT_SITE: &str = "default";

/// Variables that are no options but belong to the command line.
pub const OTHER_VARIABLES: [(&str, &str); 3] = [
    ("SELVEDGE_CONFIG", "The configuration file (`--config`)."),
    ("SELVEDGE_LOG", "What is logged (`info`, `selvedge=debug`)."),
    ("SELVEDGE_TOKEN", "The token of `selvedge purge` (`--token`)."),
];

/// Lays flags and variables over what the file said.
pub fn lay(
    written: &mut Written,
    flags: &Flags,
    surroundings: &dyn Surroundings,
    problems: &mut Problems,
) {
    for card in options::ALL {
        let Some(said) = said_of(card, flags, surroundings) else { continue };
        if !card.path.contains("[]") {
            written.root.set(card, said.whole(card));
        }
    }
    lay_certificates(written, flags, surroundings, problems);
    if let Some(said) = said_of(&options::SITE_ORIGINS, flags, surroundings) {
        lay_origins(written, said.whole(&options::SITE_ORIGINS));
    }
    warn_of_unknown(surroundings, problems);
}

/// Texts that a flag or a variable said, and which.
struct Texts {
    place: Place,
    values: Vec<String>,
}

impl Texts {
    fn each(self) -> impl Iterator<Item = Spoken> {
        let place = self.place;
        self.values
            .into_iter()
            .map(move |text| Spoken { said: Said::Text(text), place: place.clone() })
    }

    fn whole(self, card: &Card) -> Spoken {
        let place = self.place.clone();
        let mut each: Vec<_> = self.each().collect();
        match each.pop() {
            Some(last) if !card.many => last,
            last => {
                each.extend(last);
                Spoken { said: Said::List(each), place }
            }
        }
    }
}

fn said_of(card: &Card, flags: &Flags, surroundings: &dyn Surroundings) -> Option<Texts> {
    if let (Some(flag), Some(values)) = (card.flag, flags.get(card)) {
        return Some(Texts { place: Place::Flag(flag), values: values.to_vec() });
    }
    let name = card.variable()?;
    // An empty variable says nothing: that is how scripts leave one out.
    let text = surroundings.variable(&name).filter(|text| !text.trim().is_empty())?;
    let values = if card.many || card.path.contains("[]") {
        text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    } else {
        vec![text.trim().to_owned()]
    };
    Some(Texts { place: Place::Variable(name), values })
}

fn lay_certificates(
    written: &mut Written,
    flags: &Flags,
    surroundings: &dyn Surroundings,
    problems: &mut Problems,
) {
    let said =
        |card| said_of(card, flags, surroundings).map(|texts| texts.each().collect::<Vec<_>>());
    let certs = said(&options::TLS_CERT).unwrap_or_default();
    let keys = said(&options::TLS_KEY).unwrap_or_default();
    if certs.len() != keys.len() {
        let place =
            certs.first().or(keys.first()).map_or(Place::Whole, |spoken| spoken.place.clone());
        let message = format!("{} certificates and {} keys", certs.len(), keys.len());
        problems.add(
            place,
            Wrong::new(message, "give one --key FILE for each --cert FILE, in the same order"),
        );
        return;
    }
    if certs.is_empty() {
        return;
    }
    let pair = |(cert, key): (Spoken, Spoken)| Block {
        place: cert.place.clone(),
        settings: vec![(&options::TLS_CERT, cert), (&options::TLS_KEY, key)],
        inner: Vec::new(),
    };
    written.tls = certs.into_iter().zip(keys).map(pair).collect();
}

fn lay_origins(written: &mut Written, origins: Spoken) {
    let answers_for_all = |site: &&mut Block| match site.get(&options::SITE_HOSTS).map(|s| &s.said)
    {
        Some(Said::List(hosts)) => hosts.iter().any(|host| host.said == Said::Text("*".to_owned())),
        _ => false,
    };
    if let Some(site) = written.sites.iter_mut().find(answers_for_all) {
        site.set(&options::SITE_ORIGINS, origins);
        return;
    }
    let place = origins.place.clone();
    let text = |text: &str| Spoken { said: Said::Text(text.to_owned()), place: place.clone() };
    let hosts = Spoken { said: Said::List(vec![text("*")]), place: place.clone() };
    let settings = vec![
        (&options::SITE_NAME as &'static Card, text(DEFAULT_SITE)),
        (&options::SITE_HOSTS, hosts),
        (&options::SITE_ORIGINS, origins),
    ];
    written.sites.push(Block { place, settings, inner: Vec::new() });
}

/// A misspelt variable is told, but is no error: others may set `SELVEDGE_…` too (an orchestrator
/// does, for a service of that name).
fn warn_of_unknown(surroundings: &dyn Surroundings, problems: &mut Problems) {
    let known: Vec<String> = options::ALL
        .iter()
        .filter_map(|card| card.variable())
        .chain(OTHER_VARIABLES.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
    for name in surroundings.variables() {
        if known.contains(&name) {
            continue;
        }
        if let Some(near) =
            nearest(&name["SELVEDGE_".len()..], known.iter().map(|k| &k["SELVEDGE_".len()..]))
        {
            let wrong =
                Wrong::new("no option has this variable", format!("did you mean SELVEDGE_{near}?"));
            problems.warn(Place::Variable(short(&name)), wrong);
        }
    }
}
