//! Handshakes over a pipe with a client that trusts nothing but what it is told to.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

struct Files {
    _dir: tempfile::TempDir,
    cert: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

impl Files {
    fn pair(&self) -> (PathBuf, PathBuf) {
        (self.cert.clone(), self.key.clone())
    }
}

fn made_for(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Files {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = CertificateParams::new(names).expect("names").self_signed(&key).expect("signed");
    let dir = tempfile::tempdir().expect("a folder");
    let files = Files {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
        der: made.der().clone(),
        _dir: dir,
    };
    fs::write(&files.cert, made.pem()).expect("written");
    fs::write(&files.key, key.serialize_pem()).expect("written");
    files
}

fn made(names: &[&str]) -> Files {
    made_for(names, &rcgen::PKCS_ECDSA_P256_SHA256)
}

fn trusting(certificates: &[&Files], alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for files in certificates {
        roots.add(files.der.clone()).expect("a root");
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// A handshake for `name`: the certificate that came, and what the server saw.
async fn shake(
    acceptor: &Acceptor,
    config: &Arc<ClientConfig>,
    name: &'static str,
) -> io::Result<(CertificateDer<'static>, TlsFacts, Protocol, bool)> {
    let (client, server) = tokio::io::duplex(1 << 16);
    let name = ServerName::try_from(name).expect("a name");
    let connector = TlsConnector::from(Arc::clone(config));
    let (client, server) = tokio::join!(connector.connect(name, client), acceptor.accept(server));
    let (mut server, facts, protocol) = server?;
    let mut client = client?;
    // TLS 1.3 tickets come with the first data
    server.write_all(b"x").await?;
    server.flush().await?;
    client.read_u8().await?;
    let session = client.get_ref().1;
    let certificate = session.peer_certificates().expect("a chain")[0].clone().into_owned();
    let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    Ok((certificate, facts, protocol, resumed))
}

fn acceptor(files: &[&Files]) -> Acceptor {
    let pairs: Vec<_> = files.iter().map(|files| files.pair()).collect();
    let store = CertificateStore::load(&pairs).expect("good files");
    Acceptor::new(store, 1_000).expect("a configuration")
}

#[tokio::test]
async fn certificates_are_chosen_by_name() {
    let first = made(&["first.example"]);
    let shop = made(&["Shop.example", "*.shop.example"]);
    let exact = made(&["special.shop.example"]);
    let acceptor = acceptor(&[&first, &shop, &exact]);
    let client = Arc::new(trusting(&[&first, &shop, &exact], &[b"h2", b"http/1.1"]));
    for (name, expected) in [
        ("first.example", &first),
        ("shop.example", &shop),
        ("www.shop.example", &shop),
        ("special.shop.example", &exact),
    ] {
        let (certificate, facts, protocol, _) =
            shake(&acceptor, &client, name).await.expect("shaken");
        assert_eq!(certificate, expected.der, "{name}");
        assert_eq!(facts.server_name.as_deref(), Some(name));
        assert_eq!(facts.version, "TLSv1.3");
        assert!(facts.cipher.starts_with("TLS_AES_"), "{}", facts.cipher);
        assert_eq!(protocol, Protocol::Http2);
    }
    // a wildcard stands for one label; the default certificate is shown, and the client refuses
    assert!(shake(&acceptor, &client, "a.b.shop.example").await.is_err());
}

#[tokio::test]
async fn alpn_decides_and_its_absence_means_http1() {
    let files = made(&["a.example"]);
    let acceptor = acceptor(&[&files]);
    for (offered, expected) in [
        (vec![b"h2".as_slice()], Protocol::Http2),
        (vec![b"http/1.1".as_slice(), b"h2"], Protocol::Http2),
        (vec![b"http/1.1".as_slice()], Protocol::Http1),
        (vec![], Protocol::Http1),
    ] {
        let client = Arc::new(trusting(&[&files], &offered));
        let (_, _, protocol, _) = shake(&acceptor, &client, "a.example").await.expect("shaken");
        assert_eq!(protocol, expected, "{offered:?}");
    }
    let client = Arc::new(trusting(&[&files], &[b"smtp"]));
    assert!(shake(&acceptor, &client, "a.example").await.is_err());
}

#[tokio::test]
async fn replacing_changes_later_handshakes_and_sessions_resume() {
    let (old, new) = (made(&["a.example"]), made(&["a.example"]));
    let acceptor = acceptor(&[&old]);
    let client = Arc::new(trusting(&[&old, &new], &[]));
    let resumed = |result: io::Result<(CertificateDer<'static>, TlsFacts, Protocol, bool)>| {
        let (certificate, _, _, resumed) = result.expect("shaken");
        (certificate, resumed)
    };
    assert_eq!(resumed(shake(&acceptor, &client, "a.example").await), (old.der.clone(), false));
    assert_eq!(resumed(shake(&acceptor, &client, "a.example").await), (old.der.clone(), true));
    acceptor.clone().replace(CertificateStore::load(&[new.pair()]).expect("good files"));
    let fresh = Arc::new(trusting(&[&old, &new], &[]));
    assert_eq!(resumed(shake(&acceptor, &fresh, "a.example").await), (new.der.clone(), false));
}

#[tokio::test]
async fn tls_1_2_still_works_and_the_key_fits_the_client() {
    let rsa = made_for(&["a.example"], &rcgen::PKCS_RSA_SHA256);
    let ecdsa = made(&["a.example"]);
    let acceptor = acceptor(&[&rsa, &ecdsa]);
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| format!("{suite:?}").contains("ECDHE_ECDSA"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ecdsa.der.clone()).expect("a root");
    let client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (certificate, facts, ..) =
        shake(&acceptor, &Arc::new(client), "a.example").await.expect("shaken");
    assert_eq!(certificate, ecdsa.der);
    assert_eq!(facts.version, "TLSv1.2");
    assert!(facts.cipher.starts_with("TLS_ECDHE_ECDSA_"), "{}", facts.cipher);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_ends() {
    let files = made(&["a.example"]);
    let before = COUNTERS.handshakes_failed.load(Ordering::Relaxed);
    let (_client, server) = tokio::io::duplex(1 << 10);
    let error = acceptor(&[&files]).accept(server).await.expect_err("too late");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(COUNTERS.handshakes_failed.load(Ordering::Relaxed) > before);
}

#[test]
fn errors_name_the_file_and_the_reason() {
    let (good, other) = (made(&["a.example"]), made(&["b.example"]));
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let missing = dir.path().join("missing.pem");
    let empty = write("empty.pem", "");
    let locked = write("locked.pem", &pem("ENCRYPTED PRIVATE KEY"));
    let old_locked = write(
        "old.pem",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    let nonsense = write("nonsense.pem", &pem("CERTIFICATE"));
    let broken =
        write("broken.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    let bad_key = write("badkey.pem", &pem("PRIVATE KEY"));
    let cases = [
        (&missing, &good.key, "cannot read"),
        (&empty, &good.key, "contains no certificate"),
        (&nonsense, &good.key, "is not acceptable"),
        (&broken, &good.key, "not valid PEM"),
        (&good.cert, &missing, "cannot read"),
        (&good.cert, &empty, "contains no private key"),
        (&good.cert, &locked, "is encrypted"),
        (&good.cert, &old_locked, "is encrypted"),
        (&good.cert, &bad_key, "cannot be used"),
        (&good.cert, &other.key, "does not match"),
    ];
    for (cert, key, reason) in cases {
        let text = CertificateStore::load(&[(cert, key)]).expect_err(reason).to_string();
        assert!(text.contains(reason), "{text}");
        let fault = if cert == &good.cert { key } else { cert };
        assert!(text.contains(fault.to_str().expect("a text")), "{text}");
    }
    let none: [(PathBuf, PathBuf); 0] = [];
    assert!(matches!(CertificateStore::load(&none), Err(CertificateError::Empty)));
    let store = CertificateStore::load(&[good.pair()]).expect("good files");
    assert_eq!(store.names(), ["a.example"]);
}
