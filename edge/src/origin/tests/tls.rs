//! `https://` origins: a certificate that fits, one that does not, and silence.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), issuer.pem()).expect("written");
        Self { issuer, file }
    }

    /// Serves one TLS connection under this name, with a plain response.
    async fn serve(&self, name: &str) -> (String, JoinHandle<Option<String>>) {
        self.serve_with(name, HELLO).await
    }

    /// Serves one TLS connection under this name, and ends it without saying so.
    async fn serve_with(
        &self,
        name: &str,
        response: &'static str,
    ) -> (String, JoinHandle<Option<String>>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .expect("a certificate");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let served = spawn_local(async move {
            let (stream, _) = listener.accept().await.expect("accept");
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
            let mut buffer = [0; 1024];
            let bytes = stream.read(&mut buffer).await.ok()?;
            stream.write_all(response.as_bytes()).await.ok()?;
            Some(String::from_utf8_lossy(&buffer[..bytes]).into_owned())
        });
        (format!("https://localhost:{port}"), served)
    }

    fn config(&self, url: String) -> PoolConfig {
        let mut config = config(&[url]);
        config.trust = Trust::File(self.file.path().to_owned());
        config
    }
}

#[tokio::test]
async fn a_certificate_that_fits_is_accepted_and_the_origin_is_asked_under_its_name() {
    on_a_core(async {
        let authority = Authority::new();
        let (url, served) = authority.serve("localhost").await;
        let (pool, _) = pool_of(authority.config(url.clone()));
        let (.., content) = fetch(&Connections::new(), &pool, get()).await.expect("a response");
        assert_eq!(content, "hello");
        let seen = served.await.expect("served").expect("a request");
        let host = url.strip_prefix("https://").expect("https");
        assert!(seen.contains(&format!("\r\nhost: {host}\r\n")), "{seen}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_name_is_a_certificate_error_unless_it_is_the_expected_one() {
    on_a_core(async {
        let authority = Authority::new();
        let (url, served) = authority.serve("other.example").await;
        let (pool, _) = pool_of(authority.config(url));
        let cause = cause_of(&Connections::new(), &pool, get()).await;
        assert_eq!(cause, Cause::OriginCertificate);
        assert_eq!(served.await.expect("served"), None);

        let (url, served) = authority.serve("other.example").await;
        let mut config = authority.config(url);
        config.origins[0].tls_name = Some("other.example".to_owned());
        let (pool, _) = pool_of(config);
        fetch(&Connections::new(), &pool, get()).await.expect("a response");
        served.await.expect("served").expect("a request");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_authority_is_a_certificate_error() {
    on_a_core(async {
        let (ours, theirs) = (Authority::new(), Authority::new());
        let (url, _served) = theirs.serve("localhost").await;
        let (pool, _) = pool_of(ours.config(url));
        let cause = cause_of(&Connections::new(), &pool, get()).await;
        assert_eq!(cause, Cause::OriginCertificate);
    })
    .await;
}

#[tokio::test]
async fn an_origin_that_speaks_no_tls_is_a_tls_error() {
    on_a_core(async {
        let authority = Authority::new();
        let origin = Scripted::new(vec![vec![send("HTTP/1.1 400 Bad Request\r\n\r\n")]]).await;
        let url = format!("https://{}", origin.address);
        let (pool, _) = pool_of(authority.config(url));
        assert_eq!(cause_of(&Connections::new(), &pool, get()).await, Cause::OriginTls);
        origin.played().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_has_a_deadline() {
    on_a_core(async {
        let authority = Authority::new();
        let origin = Scripted::new(vec![vec![Step::AwaitClose]]).await;
        let mut config = authority.config(format!("https://{}", origin.address));
        config.deadlines.tls_ms = 300;
        let (pool, _) = pool_of(config);
        let cause = cause_of(&Connections::new(), &pool, get()).await;
        assert_eq!(cause, Cause::OriginTlsTimeout);
        origin.played().await;
    })
    .await;
}

#[test]
fn authorities_that_cannot_be_read_are_told_with_their_file() {
    let empty = tempfile::NamedTempFile::new().expect("a file");
    for path in ["/nowhere/ca.pem".into(), empty.path().to_owned()] {
        let mut config = config(&["https://a.example".to_owned()]);
        config.trust = Trust::File(path.clone());
        let error = Pool::new(config, Arc::new(Unobserved)).expect_err("no authorities");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_tls_stream_that_ends_without_saying_so_is_not_whole() {
    on_a_core(async {
        let authority = Authority::new();
        let until_close = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhel";
        let (url, served) = authority.serve_with("localhost", until_close).await;
        let (pool, _) = pool_of(authority.config(url));
        assert_eq!(cause_of(&Connections::new(), &pool, get()).await, Cause::OriginBroke);
        served.await.expect("served").expect("a request");
    })
    .await;
}
