//! TLS toward origins: whom to trust, which name to ask for, whose fault a failed handshake is.
//!
//! rustls with aws-lc-rs, named explicitly: nothing depends on a process-wide default. Only
//! `http/1.1` is offered by ALPN, because only that is spoken.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::error::{Cause, Error};
use crate::origin::address::{OriginAddress, OriginHost};
use crate::origin::config::{OriginConfig, Trust};

/// Why a pool cannot speak TLS: one sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with authorities cannot be read.
    #[error("cannot read certificate authorities from {path}: {reason}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has none.
    #[error("this system has no certificate authorities; install them or name a file: {0}")]
    NoSystemAuthorities(String),
    /// A name that no certificate can carry.
    #[error("{0:?} cannot be the name in a certificate")]
    Name(String),
    /// rustls refused the settings.
    #[error("TLS settings are not usable: {0}")]
    Settings(#[from] rustls::Error),
}

/// Settings for connections to the origins of one pool.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match trust {
        Trust::System => system_roots()?,
        Trust::File(path) => Arc::new(roots_from(path)?),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The name that the origin's certificate must carry; `None` when it speaks no TLS.
pub fn server_name(origin: &OriginConfig) -> Result<Option<ServerName<'static>>, TlsError> {
    let OriginAddress::Net { tls: true, host, .. } = &origin.address else { return Ok(None) };
    let name = match (&origin.tls_name, host) {
        (Some(name), _) | (None, OriginHost::Name(name)) => {
            ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))?
        }
        (None, OriginHost::Ip(ip)) => ServerName::IpAddress((*ip).into()),
    };
    Ok(Some(name))
}

/// Whose fault a failed handshake is.
pub fn handshake_error(error: io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let cause = match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Cause::OriginCertificate
        }
        _ => Cause::OriginTls,
    };
    Error::with(cause, error)
}

/// Read once: there are hundreds, and every pool trusts the same.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemAuthorities(reasons.join("; ")));
    }
    if ignored > 0 || !found.errors.is_empty() {
        tracing::warn!(
            added,
            ignored,
            errors = found.errors.len(),
            "some authorities were skipped"
        );
    }
    Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone())
}

fn roots_from(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let fail = |reason: String| TlsError::Authorities { path: path.clone(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))? {
        let certificate = certificate.map_err(|e| fail(e.to_string()))?;
        roots.add(certificate).map_err(|e| fail(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fail("it holds no certificate".to_owned()));
    }
    Ok(roots)
}
