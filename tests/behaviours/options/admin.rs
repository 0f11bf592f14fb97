//! The admin plane: its names, and who may do what.

use harness::Origin;

use super::scene::{SECRETS, Scene};
use super::{Group, row};

const DRY: &str = r#"{"tag":"x","dry_run":true}"#;
const PURGE: (&str, &str) = ("POST", "/v1/purges");
const FIRST: &str = SECRETS[0].1;
const SECOND: &str = SECRETS[1].1;

fn status(scene: &Scene, host: &str, token: &str, json: &str) -> String {
    scene.operator(host, token, PURGE, json).status.to_string()
}

/// A token that the file holds.
pub(super) fn group() -> Group {
    let origin = Origin::constant("x");
    // printf %s the-first-of-the-secrets | sha256sum, and the other.
    let first = "\"48a5d3eeb9310d85af2666014b04fc8e680187c2951ebf52c40384b1bc534c64\"";
    let second = "\"c882412860898ad0bab3ed0e1075680df6351b9540539b2318df9c8109c968c9\"";
    let mut group = Group::before(&[origin.url()], &[]);
    group.rows = vec![
        row("admin.hosts", ["[]", "[\"ops.example\"]"], ["421", "200"], |scene| {
            status(scene, "ops.example", FIRST, DRY)
        }),
        row(
            "admin.tokens[].name",
            ["\"anna\"", "\"bert\""],
            ["token:anna", "token:bert"],
            |scene| {
                let done = scene.operator("localhost", FIRST, PURGE, r#"{"tag":"x"}"#).json();
                let path = format!("/v1/purges/{}", done["position"]);
                let entry = scene.operator("localhost", FIRST, ("GET", &path), "").json();
                entry["who"].as_str().expect("somebody").to_owned()
            },
        ),
        row("admin.tokens[].sha256", [first, second], ["401", "200"], |scene| {
            status(scene, "localhost", SECOND, DRY)
        }),
        row("admin.tokens[].scopes", ["[\"purge\"]", "[\"read\"]"], ["200", "403"], |scene| {
            status(scene, "localhost", FIRST, DRY)
        }),
        row("admin.purges_per_second", ["1000000", "1"], ["200", "429"], |scene| {
            let answers = (0..50).map(|_| status(scene, "localhost", FIRST, DRY));
            answers.max().expect("fifty of them")
        }),
    ];
    group.actors = vec![Box::new(origin)];
    group
}

/// A token that the file only names.
pub(super) fn token_in_the_environment() -> Group {
    let origin = Origin::constant("x");
    let base = [("admin.tokens[].name", "\"ops\""), ("admin.tokens[].scopes", "[\"purge\"]")];
    let mut group = Group::before(&[origin.url()], &base);
    let values = SECRETS.map(|(variable, _)| format!("{variable:?}"));
    let values = [values[0].as_str(), values[1].as_str()];
    group.rows = vec![row("admin.tokens[].env", values, ["200 401", "401 200"], |scene| {
        let ask = |token| status(scene, "localhost", token, DRY);
        format!("{} {}", ask(FIRST), ask(SECOND))
    })];
    group.actors = vec![Box::new(origin)];
    group
}
