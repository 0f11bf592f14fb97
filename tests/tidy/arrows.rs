//! Arrows point one way: inside `edge/src` a folder imports only folders that stand before it.
//!
//! Rationale: the folder names stand in the order in which a request meets them. A phase that
//! knows a later one cannot be read, tested or changed alone. There is no exception list: the
//! files that join folders (`exchange`, `node`, `main`, `lib`) are no folders of a phase.

use std::path::Path;

use crate::{files, read, top};

const ORDER: [&str; 9] =
    ["accept", "admit", "decide", "lookup", "origin", "respond", "telemetry", "tunnel", "upkeep"];
const WORDS: [&str; 4] = ["error", "filter", "hop", "journal"];
const JOINERS: [&str; 2] = ["exchange", "node"];

/// Names that a source text reaches by `crate::NAME`.
fn reached(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 1;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ if depth > 1 => {}
                        ',' => names.push(std::mem::take(&mut name)),
                        c => name.push(c),
                    }
                    if depth == 0 {
                        break;
                    }
                }
                names.push(name);
            }
            None => names.push(rest.to_owned()),
        }
    }
    names
        .into_iter()
        .map(|name| name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .collect::<Vec<_>>()
        .join("\n")
}

fn folder_of(path: &Path, source: &Path) -> String {
    let inside = path.strip_prefix(source).expect("below edge/src");
    let first = inside.iter().next().expect("a file name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn a_folder_of_the_edge_imports_only_folders_before_it() {
    let source = top().join("edge/src");
    let mut wrong = Vec::new();
    for path in files(&source, &[".rs"]) {
        let from = folder_of(&path, &source);
        let place = ORDER.iter().position(|name| *name == from);
        if place.is_none() && !WORDS.contains(&from.as_str()) {
            continue;
        }
        for to in reached(&without_comments(&read(&path))) {
            let allowed = match (place, ORDER.iter().position(|name| *name == to)) {
                (Some(place), Some(target)) => target <= place,
                (None, Some(_)) => false,
                (_, None) => !JOINERS.contains(&to.as_str()),
            };
            if !allowed {
                wrong.push(format!("{} imports {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that run back up:\n{}", wrong.join("\n"));
}

#[test]
fn the_cache_knows_no_server_no_metrics_and_no_configuration() {
    let manifest = read(&top().join("cache/Cargo.toml"));
    for name in ["hyper", "h2", "rustls", "metrics", "toml", "clap", "axum", "async-nats"] {
        let named = manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(name));
        assert!(!named, "cache/Cargo.toml names {name}");
    }
}

#[test]
fn the_reader_of_imports_sees_groups_and_single_names() {
    assert_eq!(reached("use crate::{admit::X, error};"), ["admit", "error"]);
    assert_eq!(reached("use crate::decide::key::{A, B}; x_crate::no"), ["decide"]);
}
