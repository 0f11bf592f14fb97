//! Documents name files that exist; modules open with their idea.

use crate::{files, read, top};

/// Things in backquotes or links that look like files of this project.
fn named_files(text: &str) -> Vec<String> {
    let ticked = text.split('`').skip(1).step_by(2);
    let linked = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split(')').next());
    ticked
        .chain(linked)
        .map(|name| name.split(['#', ' ']).next().unwrap_or("").trim_start_matches("./"))
        .filter(|name| {
            let ending = [".rs", ".md", ".toml"].iter().any(|ending| name.ends_with(ending));
            ending
                && name.contains('/')
                && !name.contains("://")
                && !name.contains(['*', '<', '{'])
                && !name.starts_with('/')
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_file_that_a_document_names_exists() {
    let top = top();
    let mut missing = Vec::new();
    for document in files(&top, &[".md"]) {
        let beside = document.parent().expect("a file has a folder");
        for name in named_files(&read(&document)) {
            if !top.join(&name).exists() && !beside.join(&name).exists() {
                missing.push(format!("{} names {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Things in backquotes that look like the names of tests: many words, joined, without a path.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|name| {
        let words = name.split('_').count();
        words >= 4
            && !name.starts_with("selvedge_")
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

#[test]
fn every_test_that_a_document_names_exists() {
    let top = top();
    let mut written = std::collections::HashSet::new();
    for member in ["edge", "cache", "purge-api", "tests", "benches"] {
        for path in files(&top.join(member), &[".rs"]) {
            let text = read(&path);
            written.extend(text.match_indices("fn ").map(|(at, _)| {
                let name = text[at + 3..].chars();
                name.take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
            }));
        }
    }
    let mut missing = Vec::new();
    for document in files(&top.join("docs"), &[".md"]) {
        for name in named_tests(&read(&document)).filter(|name| !written.contains(*name)) {
            missing.push(format!("{} names {name}", document.display()));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_module_opens_with_its_idea() {
    let top = top();
    let mut silent = Vec::new();
    for member in ["edge/src", "cache/src", "purge-api/src", "tests", "benches"] {
        for path in files(&top.join(member), &[".rs"]) {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let is_test = name.ends_with("tests.rs");
            if !is_test && !read(&path).starts_with("//!") {
                silent.push(path.display().to_string());
            }
        }
    }
    assert!(silent.is_empty(), "no front page in:\n{}", silent.join("\n"));
}

#[test]
fn nothing_is_left_to_be_written() {
    let top = top();
    // Put together here so that this file does not find itself.
    let marks = [["To be", " written"].concat(), ["todo", "!("].concat(), ["FIX", "ME"].concat()];
    for path in files(&top, &[".rs", ".md", ".toml"]) {
        let text = read(&path);
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} says {mark}", path.display());
        }
    }
}
