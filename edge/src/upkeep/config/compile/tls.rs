//! `[[tls]]`: certificates that can be used.

use std::path::PathBuf;

use crate::upkeep::config::model::{Node, TlsPair};
use crate::upkeep::config::options as o;
use crate::upkeep::config::pem;
use crate::upkeep::config::problem::{Place, Problems, Wrong};
use crate::upkeep::config::reader::Reader;
use crate::upkeep::config::surroundings::Surroundings;
use crate::upkeep::config::written::Written;

/// One certificate and its key: both files readable, both what they should be, made for each other.
pub(super) fn pair(reader: &mut Reader<'_>, surroundings: &dyn Surroundings) -> Option<TlsPair> {
    let cert = reader.path(&o::TLS_CERT);
    let key = reader.path(&o::TLS_KEY);
    let chain = cert
        .as_ref()
        .and_then(|file| usable(reader, &o::TLS_CERT, file, surroundings, pem::certificates));
    let secret =
        key.as_ref().and_then(|file| usable(reader, &o::TLS_KEY, file, surroundings, pem::key));
    let ((cert, _), (key, place)) = (cert?, key?);
    if let Err(wrong) = pem::matches(chain?, secret?) {
        reader.wrong(&o::TLS_KEY, place, wrong);
        return None;
    }
    Some(TlsPair { cert, key })
}

/// Reads a PEM file and what it should hold.
pub(super) fn usable<T>(
    reader: &mut Reader<'_>,
    card: &'static crate::upkeep::config::card::Card,
    (path, place): &(PathBuf, Place),
    surroundings: &dyn Surroundings,
    parse: impl Fn(&[u8]) -> Result<T, Wrong>,
) -> Option<T> {
    let read = surroundings.read(path, pem::PEM_BYTES_MAX).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "check the path; it is relative to the configuration file"
            }
            std::io::ErrorKind::PermissionDenied => "let the user of this process read it",
            _ => "write the path of a PEM file",
        };
        Wrong::new(message, help)
    });
    let parsed = read.and_then(|bytes| {
        parse(&bytes).map_err(|wrong| {
            Wrong::new(format!("{}: {}", path.display(), wrong.message), wrong.help)
        })
    });
    parsed.map_err(|wrong| reader.wrong(card, place.clone(), wrong)).ok()
}

/// TLS without a certificate is wrong; a certificate without TLS is odd.
pub(super) fn certificates_and_listeners_fit(
    node: &Node,
    written: &Written,
    problems: &mut Problems,
) {
    if !node.tls_listen.is_empty() && written.tls.is_empty() {
        let help = "write [[tls]] with cert and key, or give --cert FILE --key FILE";
        let place = written.root.place_of(&o::NODE_TLS_LISTEN);
        problems.add(place, Wrong::new("TLS needs a certificate", help));
    }
    if node.tls_listen.is_empty()
        && let Some(first) = written.tls.first()
    {
        let help = "write tls_listen = [\"[::]:443\"] in [node], or give --tls-listen ADDR";
        problems.warn(
            first.place.clone(),
            Wrong::new("the certificate is not used: nothing listens with TLS", help),
        );
    }
}
