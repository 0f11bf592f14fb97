//! Every option: what it changes, seen at a socket, and when the change takes effect.
//!
//! A row per option says two values and what a client, an origin or the operator sees of each.
//! The option's own card decides how it is proved. Reloadable: a node starts with the first
//! values, and one SIGHUP per row brings the second in force. Waiting for a restart: the SIGHUP
//! changes nothing and the log says so; a node that starts with the second value shows it. A card
//! without a row fails the first test here, so no option can be added that nobody has seen work.

mod admin;
mod choice;
mod client;
mod health;
mod node;
mod origin;
mod scene;
mod site;

use std::any::Any;
use std::collections::BTreeSet;
use std::thread;

use selvedge::upkeep::config::options;

use scene::{Scene, Stage};

/// One option: two values, and what is seen of each.
struct Row {
    /// The option, as its card writes it.
    option: &'static str,
    /// First and second value, in TOML; an empty one leaves the option out.
    values: [String; 2],
    /// What else changes with it, because it cannot change alone.
    with: Vec<(&'static str, String)>,
    /// Asks the node; in words.
    look: Box<dyn Fn(&Scene) -> String + Sync>,
    /// What is seen under the first and under the second value.
    seen: [&'static str; 2],
}

fn row(
    option: &'static str,
    values: [&str; 2],
    seen: [&'static str; 2],
    look: impl Fn(&Scene) -> String + Sync + 'static,
) -> Row {
    let values = values.map(str::to_owned);
    Row { option, values, with: Vec::new(), look: Box::new(look), seen }
}

impl Row {
    fn with(mut self, option: &'static str, value: String) -> Self {
        self.with.push((option, value));
        self
    }
}

/// Rows that share a node, and what is configured around them.
struct Group {
    base: Vec<(&'static str, String)>,
    rows: Vec<Row>,
    /// Origins and folders, which live as long as the group.
    actors: Vec<Box<dyn Any>>,
}

impl Group {
    /// A node in front of these origins, with further settings.
    fn before(origins: &[String], base: &[(&'static str, &str)]) -> Self {
        let mut settings = vec![
            ("node.listen", "[\"127.0.0.1:0\"]".to_owned()),
            ("node.admin", "\"127.0.0.1:0\"".to_owned()),
            ("node.workers", "1".to_owned()),
            ("site[].name", "\"all\"".to_owned()),
            ("site[].hosts", "[\"*\"]".to_owned()),
            ("site[].origins", format!("{origins:?}")),
        ];
        settings.extend(base.iter().map(|(option, value)| (*option, (*value).to_owned())));
        Self { base: settings, rows: Vec::new(), actors: Vec::new() }
    }

    /// The configuration with the first values, but the second ones where `changed` says so.
    fn settings(&self, changed: impl Fn(&Row) -> bool) -> Vec<(&'static str, String)> {
        let mut settings = self.base.clone();
        for row in &self.rows {
            let second = changed(row);
            settings.push((row.option, row.values[usize::from(second)].clone()));
            if second {
                settings.extend(row.with.iter().cloned());
            }
        }
        settings
    }

    /// Proves every row.
    fn prove(&self) {
        let mut scene = Scene::start(&self.settings(|_| false));
        thread::scope(|threads| {
            for row in &self.rows {
                let scene = &scene;
                threads.spawn(move || assert_eq!((row.look)(scene), row.seen[0], "{}", row.option));
            }
        });
        scene.stage = Stage::Changed;
        for row in &self.rows {
            let reloadable = options::find(row.option).expect("a card").reloadable;
            let told = scene.reload(&self.settings(|other| other.option == row.option), row.option);
            assert_eq!(!told.contains("waits for a restart"), reloadable, "{told}");
            let seen = row.seen[usize::from(reloadable)];
            assert_eq!((row.look)(&scene), seen, "{} after a reload", row.option);
        }
        let waits = |row: &Row| !options::find(row.option).expect("a card").reloadable;
        if self.rows.iter().any(waits) {
            let restarted = Scene::restart(&self.settings(waits));
            for row in self.rows.iter().filter(|row| waits(row)) {
                assert_eq!((row.look)(&restarted), row.seen[1], "{} after a start", row.option);
            }
        }
    }
}

/// The groups; each is built with actors of its own.
const GROUPS: &[fn() -> Group] = &[
    node::group,
    node::memory,
    node::drain,
    node::tls,
    client::limits,
    client::deadlines,
    admin::group,
    admin::token_in_the_environment,
    site::group,
    site::name,
    site::rule,
    origin::waits,
    origin::connections,
    origin::places,
    origin::attempts,
    origin::connecting,
    origin::handshakes,
    choice::choosing,
    choice::hashing,
    choice::bounding,
    choice::coming_back,
    choice::panicking,
    health::failures,
    health::server_errors,
    health::ejections,
    health::longest_ejection,
    health::outliers,
    health::intervals,
    health::checks,
    health::answers,
    health::falling,
    health::rising,
    health::check_intervals,
    health::check_timeouts,
    health::repeating,
    health::hedging,
    health::adapting,
];

#[test]
fn every_option_has_a_row() {
    let rows: Vec<&str> = GROUPS
        .iter()
        .flat_map(|group| group().rows)
        .map(|row| row.option)
        .chain([origin::RESOLVE])
        .collect();
    let proved: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(proved.len(), rows.len(), "a row stands twice");
    let cards: BTreeSet<&str> = options::ALL.iter().map(|card| card.path).collect();
    assert_eq!(proved, cards, "rows and cards");
}

macro_rules! proofs {
    ($($name:ident = $group:path;)*) => {$(
        #[test]
        fn $name() {
            $group().prove();
        }
    )*};
}

proofs! {
    what_the_process_listens_on_and_uses = node::group;
    memory = node::memory;
    the_deadline_of_a_drain = node::drain;
    certificates = node::tls;
    limits_of_what_clients_send = client::limits;
    deadlines_of_clients = client::deadlines;
    the_admin_plane_and_its_tokens = admin::group;
    a_token_in_the_environment = admin::token_in_the_environment;
    rules_of_a_site = site::group;
    the_identity_of_a_site = site::name;
    a_rule_of_a_site = site::rule;
    waits_for_an_origin = origin::waits;
    kept_connections_to_an_origin = origin::connections;
    places_at_an_origin = origin::places;
    attempts_at_several_origins = origin::attempts;
    connecting_to_an_origin = origin::connecting;
    handshakes_with_an_origin = origin::handshakes;
    which_origin_is_chosen = choice::choosing;
    what_a_hash_is_made_of = choice::hashing;
    how_much_of_one_key_an_origin_takes = choice::bounding;
    an_origin_that_comes_back = choice::coming_back;
    a_tier_that_is_mostly_down = choice::panicking;
    failures_of_an_origin = health::failures;
    server_errors_of_an_origin = health::server_errors;
    how_long_an_origin_is_left_alone = health::ejections;
    how_long_an_origin_is_left_alone_at_most = health::longest_ejection;
    an_origin_that_stands_out = health::outliers;
    how_often_origins_are_compared = health::intervals;
    checks_of_an_origin = health::checks;
    what_a_check_asks_and_takes_for_right = health::answers;
    how_many_failed_checks_count = health::falling;
    how_many_passed_checks_count = health::rising;
    how_often_an_origin_is_checked = health::check_intervals;
    how_long_a_check_may_take = health::check_timeouts;
    how_much_may_be_tried_again = health::repeating;
    a_second_try_beside_a_late_one = health::hedging;
    how_many_requests_an_origin_is_given = health::adapting;
}
