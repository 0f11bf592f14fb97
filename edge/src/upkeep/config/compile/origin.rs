//! `[site.origin]`.

use super::node::count;
use super::tls::usable;
use crate::upkeep::config::model::OriginOptions;
use crate::upkeep::config::options as o;
use crate::upkeep::config::pem;
use crate::upkeep::config::problem::Wrong;
use crate::upkeep::config::reader::Reader;
use crate::upkeep::config::surroundings::Surroundings;

/// Waits and bounds towards the origins.
pub(super) fn origin(reader: &mut Reader<'_>, surroundings: &dyn Surroundings) -> OriginOptions {
    let ca = reader.path(&o::ORIGIN_CA);
    if let Some(file) = &ca {
        usable(reader, &o::ORIGIN_CA, file, surroundings, pem::certificates);
    }
    let options = OriginOptions {
        queue_ms: reader.wait_ms(&o::ORIGIN_QUEUE),
        resolve_ms: reader.wait_ms(&o::ORIGIN_RESOLVE),
        connect_ms: reader.wait_ms(&o::ORIGIN_CONNECT),
        tls_ms: reader.wait_ms(&o::ORIGIN_TLS),
        response_ms: reader.wait_ms(&o::ORIGIN_RESPONSE),
        body_ms: reader.wait_ms(&o::ORIGIN_BODY),
        whole_ms: reader.wait_ms(&o::ORIGIN_WHOLE),
        total_ms: reader.wait_ms(&o::ORIGIN_TOTAL),
        idle_ms: reader.wait_ms(&o::ORIGIN_IDLE),
        lifetime_ms: reader.wait_ms(&o::ORIGIN_LIFETIME),
        connections_max: count(reader, &o::ORIGIN_CONNECTIONS_MAX),
        queue_max: count(reader, &o::ORIGIN_QUEUE_MAX),
        idle_max: count(reader, &o::ORIGIN_IDLE_MAX),
        attempts_max: count(reader, &o::ORIGIN_ATTEMPTS_MAX) as u32,
        ca: ca.map(|(path, _)| path),
    };
    // What can never happen is a misunderstanding.
    if options.response_ms > options.total_ms && reader.has(&o::ORIGIN_RESPONSE) {
        let place = reader.place_of(&o::ORIGIN_RESPONSE);
        let help = "write a `total` of at least `response`";
        reader.wrong(
            &o::ORIGIN_RESPONSE,
            place,
            Wrong::new("after so long a wait no further attempt may begin (`total`)", help),
        );
    }
    options
}
