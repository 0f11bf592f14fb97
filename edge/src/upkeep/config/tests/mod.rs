//! Tests of the whole: text in, configuration or message out.

mod anything;
mod examples;
mod golden;
mod meaning;
mod priority;
mod reload;

use std::path::Path;

use super::load::{Loaded, Refused, from_text};
use super::surroundings::Scripted;
use super::{Config, Flags};

/// Surroundings with two certificates and their keys beside the configuration.
fn surroundings() -> Scripted {
    let mut world = Scripted::default();
    for name in ["cert", "other"] {
        let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example")]);
        let made = made.expect("a self-signed certificate can be made");
        world.files.insert(format!("{name}.pem"), made.cert.pem().into_bytes());
        let key = made.signing_key.serialize_pem().into_bytes();
        world.files.insert(
            format!("{}.pem", name.replace("cert", "key").replace("other", "other-key")),
            key,
        );
    }
    world.files.insert("empty.pem".to_owned(), Vec::new());
    world
}

fn read(text: &str, world: &Scripted) -> Result<Loaded, Refused> {
    from_text(Some((Path::new("edge.toml"), text)), &Flags::default(), world)
}

fn config(text: &str) -> Config {
    match read(text, &surroundings()) {
        Ok(loaded) => loaded.config,
        Err(refused) => panic!("{refused}"),
    }
}

/// A site, to which tests put the rest before or after.
const SITE: &str =
    "[[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigins = [\"http://127.0.0.1:8000\"]\n";

/// Compares with a file of the project, or writes it when `SELVEDGE_BLESS` is set.
fn compare(path: &Path, made: &str) {
    if std::env::var_os("SELVEDGE_BLESS").is_some() {
        std::fs::write(path, made).expect("the project's files can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == made,
        "{} is not what is made now; look, then SELVEDGE_BLESS=1:\n{made}",
        path.display()
    );
}
