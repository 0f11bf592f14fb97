//! Certificates made on the spot, and clients that believe them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

/// A self-signed certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    /// For clients that shall believe it.
    pub der: CertificateDer<'static>,
    cert_pem: String,
    key_pem: String,
}

/// Makes a certificate for these names; `label` is its common name, to tell two apart.
///
/// # Panics
/// Never with names that are names.
pub fn make(label: &str, names: &[&str]) -> Certificate {
    signed(label, names, &KeyPair::generate().expect("a key can be made"))
}

/// Two certificates over one key.
///
/// # Panics
/// Never with names that are names.
pub fn make_two(labels: [&str; 2], names: &[&str]) -> (Certificate, Certificate) {
    let key = KeyPair::generate().expect("a key can be made");
    (signed(labels[0], names, &key), signed(labels[1], names, &key))
}

fn signed(label: &str, names: &[&str], key: &KeyPair) -> Certificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names of a test are names");
    params.distinguished_name.push(DnType::CommonName, label);
    let made = params.self_signed(key).expect("a certificate can be made");
    Certificate { der: made.der().clone(), cert_pem: made.pem(), key_pem: key.serialize_pem() }
}

impl Certificate {
    /// Writes `NAME.pem` and `NAME.key` into a folder and gives back the `[[tls]]` table.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn install(&self, folder: &Path, name: &str) -> String {
        std::fs::write(folder.join(format!("{name}.pem")), &self.cert_pem).expect("written");
        std::fs::write(folder.join(format!("{name}.key")), &self.key_pem).expect("written");
        format!("[[tls]]\ncert = \"{name}.pem\"\nkey = \"{name}.key\"\n")
    }
}

/// An origin that speaks TLS with this certificate and answers every request with `x`, until the
/// test ends.
///
/// # Panics
/// When no port is free.
pub fn origin(certificate: &Certificate) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der.clone()], key)
        .expect("a certificate and its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).expect("a valid configuration");
                let mut stream = StreamOwned::new(connection, stream);
                let mut head = [0; 4096];
                // One read takes the whole of so small a request.
                while stream.read(&mut head).is_ok_and(|length| length > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
                    let _gone = stream.write_all(answer);
                }
            });
        }
    });
    address
}

/// What a client believes and offers.
///
/// # Panics
/// Never: the provider knows its own versions.
pub fn client(trusted: &[&Certificate], alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.der.clone()).expect("a certificate of ours");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A TLS connection that blocks.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Connects and shakes hands with `name` as SNI.
///
/// # Errors
/// What the handshake says.
///
/// # Panics
/// When nobody listens there.
pub fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<Tls> {
    let mut stream = TcpStream::connect(address).expect("the peer accepts");
    stream.set_read_timeout(Some(crate::PATIENCE)).expect("a positive time-out");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut connection =
        ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// `GET` over TLS on a connection that is closed after it: the whole answer as text.
///
/// # Panics
/// When the connection breaks.
pub fn get(tls: &mut Tls, host: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).expect("the peer reads");
    let mut answer = Vec::new();
    tls.read_to_end(&mut answer).expect("the peer answers and says close_notify");
    String::from_utf8_lossy(&answer).into_owned()
}
