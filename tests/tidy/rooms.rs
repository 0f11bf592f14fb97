//! Small rooms: a file that makes one scroll to understand is cut by idea.

use crate::{files, read, top};

/// Longest file, in lines, tests at its end not counted.
const LINES_MAX: usize = 500;

/// Half of the files are at most this long.
const MEDIAN_MAX: usize = 200;

fn length(text: &str) -> usize {
    text.split("#[cfg(test)]").next().unwrap_or(text).lines().count()
}

#[test]
fn no_room_is_too_long_and_half_of_them_are_short() {
    let top = top();
    let mut lengths = Vec::new();
    for member in ["edge/src", "cache/src", "purge-api/src"] {
        for path in files(&top.join(member), &[".rs"]) {
            let lines = length(&read(&path));
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
            lengths.push(lines);
        }
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MEDIAN_MAX, "the median room has {median} lines");
}

#[test]
fn the_top_level_is_the_agreed_one() {
    let agreed = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "benches",
        "cache",
        "docs",
        "edge",
        "purge-api",
        "target",
        "tests",
    ];
    for entry in std::fs::read_dir(top()).expect("the workspace").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || agreed.contains(&name.as_str()), "{name} at the top");
    }
}
