//! Crates that must not be linked, and versions below which known holes are open.

use crate::{read, top};

/// Name and why.
const BANNED: [(&str, &str); 6] = [
    ("ring", "a second TLS provider: rustls panics when two are in the tree"),
    ("openssl-sys", "a second TLS stack"),
    ("native-tls", "a second TLS stack"),
    ("reqwest", "its client pool re-sends silently; ours is origin/pool"),
    ("serde_yaml", "archived"),
    ("chrono", "httpdate and the internal timeline are enough"),
];

/// Name, least version, what was fixed in it.
const LEAST: [(&str, [u32; 3], &str); 6] = [
    ("hyper", [1, 11, 0], "content-length before transfer-encoding stays in the map"),
    ("h2", [0, 4, 16], "unbounded empty DATA frames"),
    ("rustls", [0, 23, 18], "RUSTSEC-2024-0399"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0104"),
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("foyer", [0, 22, 6], "eviction list corrupted by a racing remove"),
];

fn packages() -> Vec<(String, String)> {
    let lock: toml::Value =
        toml::from_str(&read(&top().join("Cargo.lock"))).expect("Cargo.lock is TOML");
    lock["package"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            let text = |key: &str| package[key].as_str().expect("a string").to_owned();
            (text("name"), text("version"))
        })
        .collect()
}

fn is_linked(name: &str) -> bool {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "-e", "normal,build", "-i", name])
        .current_dir(top())
        .output()
        .expect("cargo runs");
    String::from_utf8_lossy(&tree.stdout).contains(name)
}

#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let packages = packages();
    for (name, why) in BANNED {
        // The lock file also lists optional crates that no feature turns on; only what is linked
        // counts.
        let locked = packages.iter().any(|(found, _)| found == name);
        assert!(!(locked && is_linked(name)), "{name} is banned: {why}");
    }
}

#[test]
fn no_crate_is_older_than_the_fix_it_needs() {
    for (name, version) in packages() {
        let Some((_, least, why)) = LEAST.iter().find(|(wanted, ..)| *wanted == name) else {
            continue;
        };
        let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        assert!(parts.as_slice() >= least.as_slice(), "{name} {version} is too old: {why}");
    }
}
