//! Whether a certificate and its key can be used, told before any socket is opened.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::problem::Wrong;

/// Largest PEM file, in bytes: room for a bundle of roots.
pub const PEM_BYTES_MAX: u64 = 4 << 20;

/// The certificates of a chain.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if find(pem, b"PRIVATE KEY-----") => Err(Wrong::new(
            "this file holds a key, not a certificate",
            "`cert` is the file with -----BEGIN CERTIFICATE-----; this one belongs to `key`",
        )),
        Ok(_) => Err(Wrong::new(
            "no certificate in this file",
            "write a file in PEM form, with -----BEGIN CERTIFICATE-----",
        )),
        Err(error) => Err(Wrong::new(
            format!("the certificate cannot be read: {error}"),
            "make the file anew",
        )),
    }
}

/// A private key.
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Wrong> {
    if find(pem, b"BEGIN ENCRYPTED PRIVATE KEY") || find(pem, b"Proc-Type: 4,ENCRYPTED") {
        return Err(Wrong::new(
            "the key is encrypted",
            "write a key without a passphrase: openssl pkey -in encrypted.pem -out key.pem",
        ));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        if find(pem, b"BEGIN CERTIFICATE") {
            return Wrong::new(
                "this file holds a certificate, not a key",
                "`key` is the file with -----BEGIN PRIVATE KEY-----; this one belongs to `cert`",
            );
        }
        match error {
            rustls_pki_types::pem::Error::NoItemsFound => Wrong::new(
                "no private key in this file",
                "write a file in PEM form, with -----BEGIN PRIVATE KEY-----",
            ),
            error => Wrong::new(format!("the key cannot be read: {error}"), "make the file anew"),
        }
    })
}

/// Whether the key belongs to the chain's first certificate.
pub fn matches(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), Wrong> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match rustls::sign::CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Wrong::new(
            "the key does not belong to the certificate",
            "the first certificate of `cert` must be the one made for this key",
        )),
        Err(error) => Err(Wrong::new(
            format!("certificate and key cannot be used: {error}"),
            "keys may be RSA (2048 bits or more), ECDSA (P-256, P-384, P-521) or Ed25519",
        )),
    }
}

fn find(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}
