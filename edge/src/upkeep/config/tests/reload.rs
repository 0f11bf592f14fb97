//! What a reload applies and what it leaves.

use super::{SITE, config, surroundings};
use crate::upkeep::config::{diff, keep_until_restart, options};

#[test]
fn a_change_says_from_what_to_what_and_when() {
    let old = config(SITE);
    let new = config(&format!("[node]\nmemory = \"64MiB\"\n{SITE}[site.ttl]\ndefault = \"60s\"\n"));
    let lines: Vec<_> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["node.memory: 256MiB → 64MiB (waits for a restart)", "site[shop].ttl.default: 0s → 1m"]
    );
    assert!(diff(&old, &config(&format!("[node]\nmemory = \"262144KiB\"\n{SITE}"))).is_empty());
}

#[test]
fn a_site_that_comes_or_goes_is_told() {
    let (one, two) = (
        config(SITE),
        config(&format!("{SITE}{}", SITE.replace("shop", "blog").replace('*', "b.example"))),
    );
    let changes = diff(&one, &two);
    assert!(
        changes.iter().any(|change| change.path == "site[blog].name" && change.before.is_none())
    );
    assert!(changes.iter().all(|change| change.applies_on_reload));
    assert_eq!(diff(&two, &one).len(), changes.len());
}

#[test]
fn what_needs_a_restart_keeps_its_old_value() {
    let old = config(SITE);
    let new = config(&format!(
        "[node]\nlisten = [\"127.0.0.1:1\"]\ntls_listen = [\"127.0.0.1:2\"]\nadmin = \"127.0.0.1:3\"\nmemory = \"64MiB\"\n\
         workers = 9\naccess_log = \"stdout\"\nconnections_max = 5\ndrain_deadline = \"1s\"\n[disk]\npath = \"/d\"\nsize = \"1GiB\"\n\
         [[tls]]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{SITE}"
    ));
    let waiting: Vec<_> =
        diff(&old, &new).into_iter().filter(|change| !change.applies_on_reload).collect();
    let cards = options::ALL.iter().filter(|card| !card.reloadable).count();
    assert_eq!(
        waiting.len(),
        cards,
        "the test must change every option that needs a restart: {waiting:?}"
    );
    let kept = keep_until_restart(&old, new);
    assert!(diff(&old, &kept).iter().all(|change| change.applies_on_reload));
    assert_eq!((kept.node.drain_ms, kept.tls.len()), (1000, 1));
    let mut node = kept.node.clone();
    node.drain_ms = old.node.drain_ms;
    assert_eq!((node, kept.disk), (old.node.clone(), old.disk.clone()));
}

#[test]
fn what_guards_an_address_that_stays_is_not_taken_away() {
    let guarded = format!(
        "[node]\ntls_listen = [\"127.0.0.1:2\"]\nadmin = \"0.0.0.0:3\"\n[[tls]]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n\
         [[admin.tokens]]\nname = \"ops\"\nsha256 = \"{}\"\nscopes = [\"purge\"]\n{SITE}",
        "0f".repeat(32)
    );
    let (old, new) = (config(&guarded), config(SITE));
    let kept = keep_until_restart(&old, new);
    assert!(!kept.node.admin.is_local() && kept.admin.tokens == old.admin.tokens);
    assert_eq!(kept.tls, old.tls);
    assert!(diff(&old, &kept).is_empty());
    let _ = surroundings();
}
