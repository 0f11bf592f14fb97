//! `[node]`, `[disk]`, `[limits]`, `[deadlines]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::accept::listener::ListenAddress;
use crate::accept::{ClientDeadlines, HeadLimits};
use crate::upkeep::config::card::{Card, Kind};
use crate::upkeep::config::model::{AccessLog, Disk, Limits, Node};
use crate::upkeep::config::nearest::nearest;
use crate::upkeep::config::options as o;
use crate::upkeep::config::problem::{Place, Wrong};
use crate::upkeep::config::reader::{Reader, resolve, text};
use crate::upkeep::config::unit::short;
use crate::upkeep::config::value::{parse_address, parse_peer};
use crate::upkeep::config::written::Spoken;

/// `[node]`.
pub(super) fn node(reader: &mut Reader<'_>, cores: usize) -> Option<Node> {
    let listen = addresses(reader, &o::NODE_LISTEN);
    let tls_listen = addresses(reader, &o::NODE_TLS_LISTEN);
    if listen.is_empty() && tls_listen.is_empty() {
        let help = "write listen = [\"127.0.0.1:8080\"]";
        let place = reader.place_of(&o::NODE_LISTEN);
        reader.wrong(&o::NODE_LISTEN, place, Wrong::new("the node listens nowhere", help));
    }
    let admin = reader.one(&o::NODE_ADMIN, address, ToString::to_string);
    unique_addresses(reader, &listen, &tls_listen, admin.as_ref());
    let memory_bytes = reader.size(&o::NODE_MEMORY);
    let workers = reader.count(&o::NODE_WORKERS).map_or(cores, |workers| workers as usize);
    reader.note(&o::NODE_WORKERS, workers.to_string());
    let folder = reader.folder();
    let log = move |spoken: &_| access_log(spoken, folder);
    let access_log = reader.one(&o::NODE_ACCESS_LOG, log, ToString::to_string);
    let trusted = reader.list(
        &o::NODE_TRUSTED_PROXIES,
        |s| parse_peer(text(s, "10.0.0.0/8")?),
        ToString::to_string,
    );
    Some(Node {
        listen: listen.into_iter().map(|(address, _)| address).collect(),
        tls_listen: tls_listen.into_iter().map(|(address, _)| address).collect(),
        admin: admin?,
        memory_bytes,
        workers: NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN),
        access_log: access_log?,
        connections_max: count(reader, &o::NODE_CONNECTIONS_MAX),
        drain_ms: reader.wait_ms(&o::NODE_DRAIN_DEADLINE),
        trusted_proxies: trusted.into_iter().map(|(peer, _)| peer).collect(),
    })
}

/// `[disk]`.
pub(super) fn disk(reader: &mut Reader<'_>) -> Option<Disk> {
    let path: Option<PathBuf> = reader.path(&o::DISK_PATH).map(|(path, _)| path);
    let size_bytes = reader.size(&o::DISK_SIZE);
    if path.is_none() && reader.has(&o::DISK_SIZE) && !reader.has(&o::DISK_PATH) {
        let place = reader.place_of(&o::DISK_SIZE);
        let wrong = Wrong::new(
            "there is a size but no directory",
            "write path = \"/var/cache/selvedge\" in [disk], or give --disk DIR",
        );
        reader.wrong(&o::DISK_SIZE, place, wrong);
    }
    path.map(|path| Disk { path, size_bytes })
}

/// `[limits]`.
pub(super) fn limits(reader: &mut Reader<'_>) -> Limits {
    let head = HeadLimits {
        target_bytes_max: reader.size(&o::LIMITS_TARGET_BYTES) as usize,
        head_bytes_max: reader.size(&o::LIMITS_HEAD_BYTES) as usize,
        fields_max: count(reader, &o::LIMITS_FIELDS),
    };
    if head.target_bytes_max > head.head_bytes_max {
        let place = reader.place_of(&o::LIMITS_TARGET_BYTES);
        let help = "write a target_bytes of at most head_bytes";
        reader.wrong(
            &o::LIMITS_TARGET_BYTES,
            place,
            Wrong::new("a target cannot be longer than its head", help),
        );
    }
    Limits { head, body_bytes_max: reader.size(&o::LIMITS_BODY_BYTES) }
}

/// `[deadlines]`.
pub(super) fn deadlines(reader: &mut Reader<'_>) -> ClientDeadlines {
    ClientDeadlines {
        handshake_ms: reader.wait_ms(&o::DEADLINES_HANDSHAKE),
        head_ms: reader.wait_ms(&o::DEADLINES_HEAD),
        body_ms: reader.wait_ms(&o::DEADLINES_BODY),
        idle_ms: reader.wait_ms(&o::DEADLINES_IDLE),
        write_ms: reader.wait_ms(&o::DEADLINES_WRITE),
        linger_ms: reader.wait_ms(&o::DEADLINES_LINGER),
    }
}

/// A count that always has a value: its card has a default.
pub(super) fn count(reader: &mut Reader<'_>, card: &'static Card) -> usize {
    let Kind::Count { min, .. } = card.kind else { unreachable!("{} is no count", card.path) };
    reader.count(card).unwrap_or(min) as usize
}

fn address(spoken: &Spoken) -> Result<ListenAddress, Wrong> {
    parse_address(text(spoken, "127.0.0.1:8080")?)
}

fn addresses(reader: &mut Reader<'_>, card: &'static Card) -> Vec<(ListenAddress, Place)> {
    reader.list(card, address, ToString::to_string)
}

/// Two listeners on one address: the second bind would fail, with a worse message.
fn unique_addresses(
    reader: &mut Reader<'_>,
    listen: &[(ListenAddress, Place)],
    tls_listen: &[(ListenAddress, Place)],
    admin: Option<&ListenAddress>,
) {
    let admin_place = reader.place_of(&o::NODE_ADMIN);
    let all: Vec<(&ListenAddress, &Place)> = listen
        .iter()
        .chain(tls_listen)
        .map(|(address, place)| (address, place))
        .chain(admin.map(|address| (address, &admin_place)))
        .filter(|(address, _)| !matches!(address, ListenAddress::Tcp { port: 0, .. }))
        .collect();
    let mut seen = std::collections::HashMap::new();
    for (address, place) in all {
        let Some(first) = seen.insert(address, place) else { continue };
        let message = format!("two listeners on {address}");
        // The admin plane comes last; by default it has no place of its own.
        if *place == Place::Whole {
            let help = format!(
                "the admin plane answers on {address} unless `admin` in [node] or --admin says otherwise"
            );
            reader.problems.add(first.clone(), Wrong::new(message, help));
        } else {
            let wrong = Wrong::new(message, "give each its own address");
            reader.problems.add_pair(place.clone(), wrong, first.clone(), "the first stands here");
        }
    }
}

/// `off`, `stdout` or a path with a slash.
fn access_log(spoken: &Spoken, folder: &std::path::Path) -> Result<AccessLog, Wrong> {
    match text(spoken, "stdout")? {
        "off" => Ok(AccessLog::Off),
        "stdout" => Ok(AccessLog::Stdout),
        path if path.contains('/') => resolve(path, &spoken.place, folder).map(AccessLog::File),
        word => {
            let help = match nearest(word, ["off", "stdout"]) {
                Some(near) => format!(
                    "did you mean \"{near}\"? A file is written with a slash, as \"./{}\"",
                    short(word)
                ),
                None => format!("write \"off\", \"stdout\", or \"./{}\" for a file", short(word)),
            };
            Err(Wrong::new(format!("\"{}\" is no place for a log", short(word)), help))
        }
    }
}
