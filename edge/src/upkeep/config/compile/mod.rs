//! From what was said to what it means.
//!
//! Every table has its leaf; here they are called in order, and what holds between tables is
//! checked: no host twice, a certificate for TLS, a token for an admin plane that others reach.
//! All problems are found in one run.

mod admin;
mod node;
mod origin;
mod rule;
mod site;
mod tls;

use std::collections::HashMap;
use std::path::Path;

use super::model::{Config, Site};
use super::options;
use super::problem::{Place, Problems, Wrong};
use super::reader::{Reader, Settings};
use super::surroundings::Surroundings;
use super::value::{HostPattern, Scope};
use super::written::{Block, Written};

/// Gives what was said its meaning; `folder` is where the file is. `None` only with problems.
pub fn compile(
    written: &Written,
    folder: &Path,
    surroundings: &dyn Surroundings,
    problems: &mut Problems,
) -> Option<Config> {
    let mut settings = Settings::new();
    let mut reader = Reader::new(&written.root, "", folder, problems, &mut settings);
    let node = node::node(&mut reader, surroundings.cores());
    let disk = node::disk(&mut reader);
    let limits = node::limits(&mut reader);
    let deadlines = node::deadlines(&mut reader);
    let hosts = admin::hosts(&mut reader);
    let purges_per_second = admin::purges_per_second(&mut reader);

    let mut tls = Vec::new();
    for (at, block) in written.tls.iter().enumerate() {
        let mut reader = Reader::new(block, &at.to_string(), folder, problems, &mut settings);
        tls.extend(tls::pair(&mut reader, surroundings));
    }
    let mut tokens = Vec::new();
    for (at, block) in written.tokens.iter().enumerate() {
        let name = name_of(block, &options::TOKEN_NAME, at);
        let mut reader = Reader::new(block, &name, folder, problems, &mut settings);
        tokens.extend(admin::token(&mut reader, surroundings));
    }
    let mut sites = Vec::new();
    for (at, block) in written.sites.iter().enumerate() {
        let name = name_of(block, &options::SITE_NAME, at);
        let mut reader = Reader::new(block, &name, folder, problems, &mut settings);
        sites.extend(site::site(&mut reader, surroundings));
    }

    let root = &written.root;
    if let Some(node) = &node {
        tls::certificates_and_listeners_fit(node, written, problems);
        admin::check_exposure(
            node,
            !written.tokens.is_empty(),
            root.place_of(&options::NODE_ADMIN),
            problems,
        );
    }
    names_are_unique(&written.tokens, &options::TOKEN_NAME, "token", problems);
    names_are_unique(&written.sites, &options::SITE_NAME, "site", problems);
    hosts_are_unique(&sites, problems);
    scopes_name_sites(written, &sites, problems);
    if written.sites.is_empty() && !written.misplaced {
        let help =
            "write [[site]] with name, hosts and origins, or give --origin http://127.0.0.1:8000";
        problems.add(Place::Whole, Wrong::new("no site: nothing to answer for", help));
    }
    let admin = super::model::Admin { hosts, tokens, purges_per_second };
    let sites = sites.into_iter().map(|read| read.site).collect();
    Some(Config { node: node?, disk, tls, limits, deadlines, admin, sites, settings })
        .filter(|_| problems.is_empty())
}

/// A site with the places of its hosts.
struct ReadSite {
    site: Site,
    places: Vec<Place>,
}

/// How a block is called in paths: its name, or its number when it has none.
fn name_of(block: &Block, card: &'static super::card::Card, at: usize) -> String {
    match block.get(card).map(|spoken| &spoken.said) {
        Some(super::written::Said::Text(name)) => name.clone(),
        _ => at.to_string(),
    }
}

fn names_are_unique(
    blocks: &[Block],
    card: &'static super::card::Card,
    what: &str,
    problems: &mut Problems,
) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for block in blocks {
        let Some(spoken) = block.get(card) else { continue };
        let super::written::Said::Text(name) = &spoken.said else { continue };
        if let Some(first) = seen.get(name.as_str()) {
            let wrong = Wrong::new(
                format!("two {what}s are named \"{}\"", super::unit::short(name)),
                "give each its own name",
            );
            problems.add_pair(
                spoken.place.clone(),
                wrong,
                (*first).clone(),
                "the first stands here",
            );
        } else {
            seen.insert(name, &spoken.place);
        }
    }
}

fn hosts_are_unique(sites: &[ReadSite], problems: &mut Problems) {
    let mut seen: HashMap<&HostPattern, (&str, &Place)> = HashMap::new();
    for ReadSite { site, places } in sites {
        for (host, place) in site.hosts.iter().zip(places) {
            let Some((first, also)) = seen.get(host) else {
                seen.insert(host, (&site.name, place));
                continue;
            };
            let message = if *first == site.name {
                format!("host \"{host}\" stands twice in site \"{first}\"")
            } else {
                format!("host \"{host}\" is claimed by the sites \"{first}\" and \"{}\"", site.name)
            };
            let wrong =
                Wrong::new(message, "a host belongs to one site: remove it from one of them");
            problems.add_pair(place.clone(), wrong, (*also).clone(), "the first stands here");
        }
    }
}

/// `purge:SITE` with a misspelt site would allow nothing, silently.
fn scopes_name_sites(written: &Written, sites: &[ReadSite], problems: &mut Problems) {
    if sites.len() != written.sites.len() {
        return; // A site with problems is not there to be named.
    }
    for block in &written.tokens {
        let Some(super::written::Said::List(items)) =
            block.get(&options::TOKEN_SCOPES).map(|s| &s.said)
        else {
            continue;
        };
        for item in items {
            let super::written::Said::Text(text) = &item.said else { continue };
            let Ok(Scope::PurgeSite(name)) = Scope::parse(text) else { continue };
            let names = || sites.iter().map(|read| read.site.name.as_str());
            if names().any(|known| known == name) {
                continue;
            }
            let near = super::nearest::nearest(&name, names());
            let help = near.map_or_else(
                || "write the name of a [[site]]".to_owned(),
                |near| format!("did you mean \"purge:{near}\"?"),
            );
            problems
                .add(item.place.clone(), Wrong::new(format!("no site is named \"{name}\""), help));
        }
    }
}
