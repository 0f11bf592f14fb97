//! A certificate authority of the test's own.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Files that a server and its clients need.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What clients trust.
    pub ca: PathBuf,
    /// The server's chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Identity {
    /// Arguments that make a node listen with TLS under this identity.
    ///
    /// # Panics
    /// When the directory's name is not UTF-8.
    pub fn arguments(&self) -> [&str; 6] {
        let (cert, key) = (self.cert.to_str(), self.key.to_str());
        let utf8 = "a scratch directory has a plain name";
        ["--tls-listen", "127.0.0.1:0", "--cert", cert.expect(utf8), "--key", key.expect(utf8)]
    }
}

/// Makes an authority and a certificate for these names, as PEM files in `dir`.
///
/// # Panics
/// When the files cannot be written.
pub fn issue(dir: &Path, names: &[&str]) -> Identity {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "Selvedge tests");
    let key = KeyPair::generate().expect("a key can be made");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("valid parameters");

    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut server = CertificateParams::new(names).expect("valid names");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().expect("a key can be made");
    let cert = server.signed_by(&key, &authority).expect("valid parameters");

    let file = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a scratch directory takes files");
        path
    };
    Identity {
        ca: file("ca.pem", authority.pem()),
        cert: file("cert.pem", cert.pem()),
        key: file("key.pem", key.serialize_pem()),
    }
}
