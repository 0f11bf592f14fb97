//! `[site.origin]`, `[site.health]` and `[site.check]`.

use super::node::count;
use super::tls::usable;
use crate::origin::balance::Policy;
use crate::origin::health::check::{CheckKind, HttpCheck};
use crate::origin::{BalanceConfig, CheckConfig, OriginDeadlines, OriginLimits, PassiveConfig};
use crate::upkeep::config::card::Card;
use crate::upkeep::config::model::OriginOptions;
use crate::upkeep::config::options as o;
use crate::upkeep::config::pem;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::reader::{Reader, text};
use crate::upkeep::config::surroundings::Surroundings;
use crate::upkeep::config::value::{authority, check as value, cookie_name, parse_affinity};

/// Waits and bounds towards the origins.
pub(super) fn origin(reader: &mut Reader<'_>, surroundings: &dyn Surroundings) -> OriginOptions {
    let ca = reader.path(&o::ORIGIN_CA);
    if let Some(file) = &ca {
        usable(reader, &o::ORIGIN_CA, file, surroundings, pem::certificates);
    }
    let deadlines = OriginDeadlines {
        queue_ms: reader.wait_ms(&o::ORIGIN_QUEUE),
        resolve_ms: reader.wait_ms(&o::ORIGIN_RESOLVE),
        connect_ms: reader.wait_ms(&o::ORIGIN_CONNECT),
        tls_ms: reader.wait_ms(&o::ORIGIN_TLS),
        response_ms: reader.wait_ms(&o::ORIGIN_RESPONSE),
        body_ms: reader.wait_ms(&o::ORIGIN_BODY),
        whole_ms: reader.wait_ms(&o::ORIGIN_WHOLE),
        total_ms: reader.wait_ms(&o::ORIGIN_TOTAL),
        idle_ms: reader.wait_ms(&o::ORIGIN_IDLE),
    };
    let limits = OriginLimits {
        lifetime_ms: reader.wait_ms(&o::ORIGIN_LIFETIME),
        in_flight_max: count(reader, &o::ORIGIN_CONNECTIONS_MAX),
        queue_max: count(reader, &o::ORIGIN_QUEUE_MAX),
        idle_max: count(reader, &o::ORIGIN_IDLE_MAX),
        ..OriginLimits::default()
    };
    // What can never happen is a misunderstanding.
    if deadlines.response_ms > deadlines.total_ms && reader.has(&o::ORIGIN_RESPONSE) {
        let place = reader.place_of(&o::ORIGIN_RESPONSE);
        let help = "write a `total` of at least `response`";
        reader.wrong(
            &o::ORIGIN_RESPONSE,
            place,
            Wrong::new("after so long a wait no further attempt may begin (`total`)", help),
        );
    }
    OriginOptions {
        deadlines,
        limits,
        attempts_max: count(reader, &o::ORIGIN_ATTEMPTS_MAX) as u32,
        ca: ca.map(|(path, _)| path),
        retry_share_percent: count(reader, &o::ORIGIN_RETRY_SHARE) as u32,
        hedge: reader.switch(&o::ORIGIN_HEDGE),
        adaptive: reader.switch(&o::ORIGIN_ADAPTIVE),
        balance: balance(reader),
        hash_by: reader
            .one(&o::ORIGIN_HASH_BY, |s| parse_affinity(text(s, "key")?), ToString::to_string)
            .unwrap_or_default(),
        sticky: reader.one(&o::ORIGIN_STICKY, |s| cookie_name(text(s, "origin")?), Clone::clone),
        health: health(reader),
        check: check(reader),
    }
}

fn balance(reader: &mut Reader<'_>) -> BalanceConfig {
    // In the order of the card's words.
    let policies =
        [Policy::Quickest, Policy::LeastRequests, Policy::Turns, Policy::Random, Policy::Hash];
    let config = BalanceConfig {
        policy: policies[reader.choice(&o::ORIGIN_BALANCE)],
        panic_percent: count(reader, &o::ORIGIN_PANIC) as u32,
        slow_start_ms: reader.wait_ms(&o::ORIGIN_SLOW_START),
        hash_bound_percent: count(reader, &o::ORIGIN_HASH_BOUND) as u32,
    };
    if config.policy != Policy::Hash {
        needs(reader, &[&o::ORIGIN_HASH_BY, &o::ORIGIN_HASH_BOUND], "balance = \"hash\"");
    }
    if (1..100).contains(&config.hash_bound_percent) {
        let place = reader.place_of(&o::ORIGIN_HASH_BOUND);
        let wrong = Wrong::new(
            "below its fair share an origin could never be",
            "write 0 for no bound, or at least 100",
        );
        reader.wrong(&o::ORIGIN_HASH_BOUND, place, wrong);
    }
    config
}

fn health(reader: &mut Reader<'_>) -> PassiveConfig {
    let config = PassiveConfig {
        failures_to_eject: count(reader, &o::HEALTH_FAILURES) as u32,
        eject_base_ms: reader.wait_ms(&o::HEALTH_EJECT),
        eject_max_ms: reader.wait_ms(&o::HEALTH_EJECT_MAX),
        count_server_errors: reader.switch(&o::HEALTH_SERVER_ERRORS),
        outliers_percent: count(reader, &o::HEALTH_OUTLIERS) as u32,
        interval_ms: reader.wait_ms(&o::HEALTH_INTERVAL),
    };
    if config.outliers_percent == 0 {
        needs(reader, &[&o::HEALTH_INTERVAL], "outliers");
    }
    if config.eject_base_ms > config.eject_max_ms {
        let place = reader.place_of(&o::HEALTH_EJECT);
        let wrong = Wrong::new("the first time is longer than the longest", "raise `eject_max`");
        reader.wrong(&o::HEALTH_EJECT, place, wrong);
    }
    config
}

fn check(reader: &mut Reader<'_>) -> Option<CheckConfig> {
    let path = reader.one(&o::CHECK_PATH, |s| value::path(text(s, "/")?), Clone::clone);
    let host = reader.one(&o::CHECK_HOST, |s| authority(text(s, "a.example")?), Clone::clone);
    let statuses = reader.one(
        &o::CHECK_STATUS,
        |s| value::statuses(text(s, "200-399")?),
        |(first, last)| format!("{first}-{last}"),
    );
    let body = reader.one(
        &o::CHECK_BODY,
        |s| match text(s, "ok")? {
            "" => Err(Wrong::new("an empty text is in every content", "leave it out")),
            text => Ok(text.to_owned()),
        },
        Clone::clone,
    );
    let field = reader.one(
        &o::CHECK_FIELD,
        |s| value::field(text(s, "X-Ready: yes")?),
        |(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
    );
    let http = HttpCheck {
        path: path.unwrap_or_else(|| "/".to_owned()),
        host: host.and_then(|host| host.parse().ok()),
        status_min: statuses.map_or(200, |(first, _)| first),
        status_max: statuses.map_or(399, |(_, last)| last),
        body,
        field,
    };
    let interval_ms = reader.wait_ms(&o::CHECK_INTERVAL);
    let timeout_ms = reader.wait_ms(&o::CHECK_TIMEOUT);
    let rise = count(reader, &o::CHECK_RISE) as u32;
    let fall = count(reader, &o::CHECK_FALL) as u32;
    let of_http =
        [&o::CHECK_PATH, &o::CHECK_HOST, &o::CHECK_STATUS, &o::CHECK_BODY, &o::CHECK_FIELD];
    // The card's words: off, connect, http.
    let kind = match reader.choice(&o::CHECK_KIND) {
        0 => {
            let of_all = [&o::CHECK_INTERVAL, &o::CHECK_TIMEOUT, &o::CHECK_RISE, &o::CHECK_FALL];
            needs(reader, &of_http, "kind = \"http\"");
            needs(reader, &of_all, "kind = \"http\" or \"connect\"");
            return None;
        }
        1 => {
            needs(reader, &of_http, "kind = \"http\"");
            CheckKind::Connect
        }
        _ => CheckKind::Http(http),
    };
    Some(CheckConfig { kind, interval_ms, timeout_ms, rise, fall })
}

/// What is said and would have no effect is a misunderstanding.
fn needs(reader: &mut Reader<'_>, cards: &[&'static Card], other: &str) {
    for card in cards {
        if reader.differs(card) {
            let place = reader.place_of(card);
            let help = format!("write {other} beside it, or leave it out");
            reader.wrong(
                card,
                place,
                Wrong::new(format!("this has no effect without {other}"), help),
            );
        }
    }
}
