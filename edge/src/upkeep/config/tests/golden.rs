//! Mistakes and their messages: `mistakes.txt` holds pairs of input and output.
//!
//! To add one: write `=== name`, the input, `---`, and run with `SELVEDGE_BLESS=1`; then read
//! what was written as the person would who made the mistake.

use std::fmt::Write as _;
use std::path::Path;

use super::{read, surroundings};
use crate::upkeep::config::{reference, schema};

#[test]
fn every_mistake_has_its_message() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/upkeep/config/tests/mistakes.txt");
    let kept = std::fs::read_to_string(&path).expect("the mistakes are there");
    let (world, mut made, mut count) = (surroundings(), String::new(), 0);
    for mistake in kept.split("=== ").skip(1) {
        let (name, rest) = mistake.split_once('\n').expect("a name stands on its line");
        let (input, _) = rest.split_once("---\n").expect("input and output are separated");
        let output = match read(input, &world) {
            Ok(loaded) if loaded.warnings.is_empty() => panic!("{name}: no mistake was found"),
            Ok(loaded) => loaded.warnings.join("\n"),
            Err(refused) => refused.to_string(),
        };
        let _ = writeln!(made, "=== {name}\n{input}---\n{output}\n");
        count += 1;
    }
    assert!(count >= 25, "{count}");
    super::compare(&path, &made);
}

#[test]
fn the_manual_is_what_the_cards_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    super::compare(&path, &reference::manual());
}

#[test]
fn the_defaults_are_a_file_that_reads_as_nothing_said() {
    let site = super::SITE;
    let text = reference::defaults().replace("\n[[site]]\n", &format!("\n{site}"));
    let (said, unsaid) = (super::config(&text), super::config(super::SITE));
    assert_eq!(said, unsaid);
}

#[test]
fn the_schema_is_json_and_knows_every_option() {
    let text = schema::schema().to_string();
    let parsed: serde_json::Value = serde_json::from_str(&text).expect("the schema is JSON");
    let site = &parsed["properties"]["site"]["items"]["properties"];
    assert_eq!(site["ttl"]["properties"]["default"]["default"], "0s");
    assert_eq!(
        parsed["properties"]["node"]["properties"]["listen"]["default"][0],
        "127.0.0.1:8080"
    );
    assert_eq!(parsed["properties"]["admin"]["properties"]["tokens"]["type"], "array");
    for card in crate::upkeep::config::options::ALL {
        let mut at = &parsed;
        for part in card.path.split('.') {
            at = match part.strip_suffix("[]") {
                Some(name) => &at["properties"][name]["items"],
                None => &at["properties"][part],
            };
        }
        assert!(at["description"].is_string(), "{}", card.path);
    }
}
