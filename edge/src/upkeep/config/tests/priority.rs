//! Flags, then environment, then file.

use std::path::Path;

use super::{SITE, surroundings};
use crate::upkeep::config::load::from_text;
use crate::upkeep::config::{AccessLog, Config, Flags, HostPattern};

fn said(text: Option<&str>, flags: Flags, variables: &[(&str, &str)]) -> Result<Config, String> {
    let mut world = surroundings();
    for (name, value) in variables {
        world.variables.insert((*name).to_owned(), (*value).to_owned());
    }
    let written = text.map(|text| (Path::new("edge.toml"), text));
    from_text(written, &flags, &world)
        .map(|loaded| loaded.config)
        .map_err(|refused| refused.to_string())
}

fn flags() -> Flags {
    Flags::default()
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let text =
        format!("[node]\nmemory = \"32MiB\"\nworkers = 1\nlisten = [\"127.0.0.1:1\"]\n{SITE}");
    let variables =
        [("SELVEDGE_MEMORY", "64MiB"), ("SELVEDGE_WORKERS", "2"), ("SELVEDGE_LIMITS_FIELDS", "50")];
    let config =
        said(Some(&text), flags().with("memory", &["128MiB"]), &variables).expect("it is right");
    assert_eq!(config.node.memory_bytes, 128 << 20);
    assert_eq!(config.node.workers.get(), 2);
    assert_eq!(config.limits.head.fields_max, 50);
    assert_eq!(config.node.listen[0].to_string(), "127.0.0.1:1");
}

#[test]
fn an_origin_flag_makes_the_default_site() {
    let config = said(None, flags().with("origin", &["http://a:1", "http://b:2"]), &[])
        .expect("it is right");
    assert_eq!((config.sites[0].name.as_str(), config.sites[0].origins.len()), ("default", 2));
    assert_eq!(config.sites[0].hosts, [HostPattern::Any]);
    let config =
        said(None, flags(), &[("SELVEDGE_ORIGIN", "http://a:1, http://b:2")]).expect("it is right");
    assert_eq!(config.sites[0].origins.len(), 2);
}

#[test]
fn an_origin_flag_replaces_the_origins_of_the_site_for_every_host() {
    let config =
        said(Some(SITE), flags().with("origin", &["http://a:1"]), &[]).expect("it is right");
    assert_eq!((config.sites.len(), config.sites[0].name.as_str()), (1, "shop"));
    assert_eq!(config.sites[0].origins[0].address.to_string(), "http://a:1");
    let named = SITE.replace("\"*\"", "\"shop.example\"");
    let config =
        said(Some(&named), flags().with("origin", &["http://a:1"]), &[]).expect("it is right");
    assert_eq!(config.sites[1].name, "default");
}

#[test]
fn lists_in_variables_are_separated_by_commas_and_an_empty_one_says_nothing() {
    let variables = [("SELVEDGE_LISTEN", "127.0.0.1:1, unix:/run/s.sock"), ("SELVEDGE_MEMORY", "")];
    let config = said(Some(SITE), flags(), &variables).expect("it is right");
    assert_eq!(config.node.listen.len(), 2);
    assert_eq!(config.node.memory_bytes, 256 << 20);
}

#[test]
fn certificates_of_flags_come_in_pairs_and_replace_the_files() {
    let base = flags().with("origin", &["http://a:1"]).with("tls-listen", &["127.0.0.1:0"]);
    let pair = base
        .clone()
        .with("cert", &["cert.pem", "other.pem"])
        .with("key", &["key.pem", "other-key.pem"]);
    assert_eq!(said(None, pair, &[]).expect("it is right").tls.len(), 2);
    let odd = base.clone().with("cert", &["cert.pem", "other.pem"]).with("key", &["key.pem"]);
    assert!(
        said(None, odd, &[])
            .expect_err("one key lacks")
            .starts_with("--cert: error: 2 certificates and 1 keys")
    );
    assert!(
        said(None, base, &[])
            .expect_err("none")
            .starts_with("--tls-listen: error: TLS needs a certificate")
    );
}

#[test]
fn a_wrong_flag_or_variable_is_named() {
    let wrong = |flags: Flags, variables: &[(&str, &str)]| {
        said(Some(SITE), flags, variables).expect_err("it is wrong")
    };
    assert_eq!(
        wrong(flags().with("memory", &["1MiB"]), &[]),
        "--memory: error: `node.memory`: 1MiB is too little\n  write at least \"16MiB\""
    );
    assert_eq!(
        wrong(flags(), &[("SELVEDGE_WORKERS", "two")]),
        "SELVEDGE_WORKERS: error: `node.workers`: \"two\" is not a whole number\n  write a number, 1 to 1024"
    );
    assert!(wrong(flags().with("disk-size", &["1GiB"]), &[]).contains("a size but no directory"));
    assert!(said(None, flags(), &[]).expect_err("no site").starts_with("error: no site"));
}

#[test]
fn the_access_log_of_a_flag_is_relative_to_where_we_are() {
    let config =
        said(Some(SITE), flags().with("access-log", &["./a.log"]), &[]).expect("it is right");
    assert_eq!(config.node.access_log, AccessLog::File("./a.log".into()));
}

#[test]
fn a_misspelt_variable_is_warned_of_and_a_strange_one_is_not() {
    let mut world = surroundings();
    world.variables.insert("SELVEDGE_MEMROY".into(), "1GiB".into());
    world.variables.insert("SELVEDGE_SERVICE_HOST".into(), "10.0.0.1".into());
    let loaded =
        from_text(Some((Path::new("edge.toml"), SITE)), &flags(), &world).expect("it is right");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].contains("did you mean SELVEDGE_MEMORY?"));
}
