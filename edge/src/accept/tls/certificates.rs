//! Certificates chosen by the name that the client asks for.
//!
//! A [`CertificateStore`] is immutable: loading makes a new one, whole or not at all, and the
//! acceptor swaps it in. A name may have several certificates (ECDSA and RSA); the first whose
//! key the client's signature schemes allow is taken, in the order of the configuration.
//! Order of choice: exact name, then the wildcard of one label (RFC 6125 §6.4.3), then the
//! first certificate of all, so that a client without SNI gets an answer to judge for itself.
//!
//! Knows no sites: whether a host is served is decided after the handshake.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why certificates could not be loaded. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not PEM where it should be.
    #[error("{} is not valid PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// There is no certificate in the certificate file.
    #[error("{} contains no certificate (a section `BEGIN CERTIFICATE` in PEM is expected)", path.display())]
    NoCertificate {
        /// The certificate file.
        path: PathBuf,
    },
    /// The first certificate cannot be understood.
    #[error("the first certificate in {} is not acceptable: {reason}", path.display())]
    BadCertificate {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no private key in the key file.
    #[error("{} contains no private key (a section `BEGIN PRIVATE KEY` in PEM is expected)", path.display())]
    NoKey {
        /// The key file.
        path: PathBuf,
    },
    /// The private key is protected by a passphrase.
    #[error("the private key in {} is encrypted; store it without a passphrase", path.display())]
    EncryptedKey {
        /// The key file.
        path: PathBuf,
    },
    /// The kind of key is not supported.
    #[error("the private key in {} cannot be used: {reason}", path.display())]
    BadKey {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Key and certificate do not belong together.
    #[error("the private key in {} does not match the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// No pair of files was named.
    #[error("TLS needs at least one certificate")]
    Empty,
}

/// Certificates with their keys, by name.
#[derive(Debug)]
pub struct CertificateStore {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what follows the `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    all: Vec<Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// Loads pairs of a certificate chain and its private key, both PEM files.
    pub fn load<P: AsRef<Path>>(pairs: &[(P, P)]) -> Result<Self, CertificateError> {
        let provider = super::provider();
        let mut store = Self { exact: HashMap::new(), wildcard: HashMap::new(), all: Vec::new() };
        for (certificate, key) in pairs {
            store.add(certificate.as_ref(), key.as_ref(), &provider)?;
        }
        if store.all.is_empty() {
            return Err(CertificateError::Empty);
        }
        Ok(store)
    }

    /// The names that certificates were found for, sorted.
    pub fn names(&self) -> Vec<String> {
        let wildcards = self.wildcard.keys().map(|name| format!("*.{name}"));
        let mut names: Vec<_> = self.exact.keys().cloned().chain(wildcards).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |keys: &[Arc<CertifiedKey>]| {
            keys.iter()
                .find(|it| it.key.choose_scheme(hello.signature_schemes()).is_some())
                .cloned()
        };
        hello
            .server_name()
            .and_then(|name| usable(self.named(&name.to_ascii_lowercase())))
            .or_else(|| usable(&self.all))
    }

    /// Certificates for a name in lower case; none if only the default fits.
    fn named(&self, name: &str) -> &[Arc<CertifiedKey>] {
        self.exact
            .get(name)
            .or_else(|| self.wildcard.get(name.split_once('.')?.1))
            .map_or(&[], Vec::as_slice)
    }

    fn add(
        &mut self,
        certificate: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> Result<(), CertificateError> {
        let chain = read_chain(certificate)?;
        let bad_certificate = |reason: String| CertificateError::BadCertificate {
            path: certificate.to_owned(),
            reason,
        };
        // The chain outlives the parsed view of its first certificate only as a copy.
        let first = chain[0].clone();
        let parsed = webpki::EndEntityCert::try_from(&first)
            .map_err(|error| bad_certificate(error.to_string()))?;

        let signing_key =
            provider.key_provider.load_private_key(read_key(key)?).map_err(|error| {
                CertificateError::BadKey { path: key.to_owned(), reason: error.to_string() }
            })?;
        let certified = CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(CertificateError::Mismatch {
                    certificate: certificate.to_owned(),
                    key: key.to_owned(),
                });
            }
            Err(error) => return Err(bad_certificate(error.to_string())),
        }

        let certified = Arc::new(certified);
        for name in parsed.valid_dns_names() {
            let name = name.to_ascii_lowercase();
            let keys = match name.strip_prefix("*.") {
                Some(parent) => self.wildcard.entry(parent.to_owned()).or_default(),
                None => self.exact.entry(name).or_default(),
            };
            keys.push(Arc::clone(&certified));
        }
        self.all.push(certified);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

fn pem_error(path: &Path, error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Pem { path: path.to_owned(), reason: error.to_string() }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| pem_error(path, error))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let pem = read(path)?;
    let contains = |mark: &[u8]| memchr::memmem::find(&pem, mark).is_some();
    // PKCS #8 (RFC 5958 §3) and the older OpenSSL way (RFC 1421 §4.6.1.1).
    if contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::EncryptedKey { path: path.to_owned() });
    }
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Ok(key),
        Err(rustls_pki_types::pem::Error::NoItemsFound) => {
            Err(CertificateError::NoKey { path: path.to_owned() })
        }
        Err(error) => Err(pem_error(path, error)),
    }
}
