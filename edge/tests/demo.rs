//! The demo is the first thing that a newcomer runs: it must hold, on any port, and end when told.

use std::process::Command;

#[test]
fn the_tour_holds_and_ends_by_itself() {
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--exit"])
        // Meant for `serve`; the demo is not bent by it.
        .env("SELVEDGE_ORIGIN", "http://127.0.0.1:1")
        .env_remove("SELVEDGE_LOG")
        .output()
        .expect("the binary can be run");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("\nEverything held, in "), "{said}");
}

#[test]
fn an_address_that_is_taken_is_told_in_a_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge"))
        .args(["demo", "--listen", &address, "--admin", "127.0.0.1:0", "--exit"])
        .output()
        .expect("the binary can be run");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complained}");
    assert!(complained.contains(&address), "{complained}");
}
