//! The examples teach, so they must be right.

use std::path::Path;

use super::surroundings;
use crate::upkeep::config::load::load;
use crate::upkeep::config::{Flags, Site};

/// Reads an example with the certificates it speaks of.
fn example(name: &str) -> Vec<Site> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let path = folder.join(name);
    let mut world = surroundings();
    let text = std::fs::read(&path).expect("the example is there");
    world.files.insert(path.display().to_string(), text);
    for (name, file) in [
        ("shop.pem", "cert.pem"),
        ("shop-key.pem", "key.pem"),
        ("blog.pem", "other.pem"),
        ("blog-key.pem", "other-key.pem"),
    ] {
        let bytes = world.files[file].clone();
        world.files.insert(folder.join(name).display().to_string(), bytes);
    }
    world.variables.insert("SHOP_PURGE_TOKEN".to_owned(), "0123456789abcdef".to_owned());
    match load(Some(&path), &Flags::default(), &world) {
        Ok(loaded) => {
            assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
            loaded.config.sites
        }
        Err(refused) => panic!("{refused}"),
    }
}

#[test]
fn every_example_is_right() {
    let sites: Vec<usize> = [
        "01-hello.toml",
        "02-two-origins.toml",
        "03-purge-by-tag.toml",
        "04-tls.toml",
        "05-lifetimes.toml",
    ]
    .iter()
    .map(|name| example(name).len())
    .collect();
    assert_eq!(sites, [1, 2, 1, 2, 1]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).expect("the examples are there");
    let tomls = files
        .filter_map(Result::ok)
        .filter(|file| file.path().extension().is_some_and(|e| e == "toml"));
    assert_eq!(tomls.count(), 5, "an example that no test reads");
}
