//! Schemathesis reads the description of the admin plane and tries to prove it wrong.

use std::path::PathBuf;
use std::process::Command;

use harness::{Edge, Origin, parts};

/// As `tests/run install` leaves it in the target folder.
fn schemathesis() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let target = test.ancestors().nth(3).expect("target/PROFILE/deps/test");
    let program = target.join("openapi/bin/schemathesis");
    assert!(program.exists(), "{} is missing: tests/run install", program.display());
    program
}

#[test]
fn the_admin_plane_is_what_its_description_says() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    for tag in 0..3 {
        edge.purge(&format!("{{\"tag\":\"{tag}\"}}"));
    }
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/schemathesis.toml");
    let scratch = harness::temp::dir();
    let document = format!("http://{}/v1/openapi.json", edge.admin);
    let mut command: Command = parts::command(&schemathesis());
    let run = command
        .current_dir(scratch.path())
        .args(["--config-file", config, "run", &document])
        // The same requests each time; what it found once it finds again.
        .args(["--seed", "1", "--max-examples", "10", "--workers", "1", "--no-color"])
        .output()
        .expect("setpriv (util-linux) is installed");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    let tried = said.lines().find_map(|line| line.trim().split_once(" generated, "));
    let tried: usize = tried.and_then(|(number, _)| number.parse().ok()).expect("it counts");
    assert!(tried > 100, "{said}");
    assert_eq!(edge.admin("GET", "/healthz", "").status, 200);
}
