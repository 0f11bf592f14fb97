//! Two HTTP/2 clients: an honest one on the `h2` crate, and one that writes any frame it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

/// An answer on a stream.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Fields.
    pub fields: HeaderMap,
    /// The content, or how far it came before the stream was reset.
    pub body: Vec<u8>,
    /// Why the stream was reset, if it was.
    pub reset: Option<h2::Reason>,
    /// Trailers.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The field of that name, or an empty string.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// Runs a story that needs a runtime, on this thread, within the patience of the tests.
///
/// # Panics
/// When the story takes too long.
pub fn run<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime
        .block_on(async { tokio::time::timeout(crate::PATIENCE * 2, story).await })
        .expect("the story ends in time")
}

/// Connects in clear text, with prior knowledge.
///
/// # Panics
/// When the peer does not speak HTTP/2.
pub async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("the peer accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    over(stream).await
}

/// Speaks HTTP/2 over a transport that is there already.
///
/// # Panics
/// When the peer does not speak HTTP/2.
pub async fn over<T>(transport: T) -> SendRequest<Bytes>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = h2::client::handshake(transport).await.expect("the peer speaks it");
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    send
}

/// Sends a request and reads the whole answer.
///
/// # Errors
/// When the stream or the connection ends before the head is there.
pub async fn exchange(
    send: &SendRequest<Bytes>,
    request: Request<()>,
    body: &[u8],
) -> Result<Answer, h2::Error> {
    let mut send = send.clone().ready().await?;
    let (response, mut content) = send.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        content.send_data(Bytes::copy_from_slice(body), true)?;
    }
    let (head, mut stream) = response.await?.into_parts();
    let mut body = BytesMut::new();
    let mut reset = None;
    while let Some(piece) = stream.data().await {
        match piece {
            Ok(piece) => {
                stream.flow_control().release_capacity(piece.len())?;
                body.extend_from_slice(&piece);
            }
            Err(error) => {
                reset = Some(error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR));
                break;
            }
        }
    }
    let trailers = if reset.is_none() { stream.trailers().await? } else { None };
    Ok(Answer { status: head.status, fields: head.headers, body: body.to_vec(), reset, trailers })
}

/// A request without content.
///
/// # Panics
/// When the parts are none of a request.
pub fn request(method: &str, url: &str, fields: &[(&str, &str)]) -> Request<()> {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request of the test")
}

/// `GET http://test.example/PATH`.
///
/// # Panics
/// When no answer comes.
pub async fn get(send: &SendRequest<Bytes>, path: &str) -> Answer {
    let url = format!("http://test.example{path}");
    exchange(send, request("GET", &url, &[]), b"").await.expect("an answer")
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream.
    pub stream: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

/// Frame types of RFC 9113 §6.
pub const DATA: u8 = 0;
/// HEADERS.
pub const HEADERS: u8 = 1;
/// `RST_STREAM`.
pub const RST_STREAM: u8 = 3;
/// SETTINGS.
pub const SETTINGS: u8 = 4;
/// PING.
pub const PING: u8 = 6;
/// GOAWAY.
pub const GOAWAY: u8 = 7;
/// CONTINUATION.
pub const CONTINUATION: u8 = 9;
/// Flag `END_STREAM`.
pub const END_STREAM: u8 = 1;
/// Flag `END_HEADERS`.
pub const END_HEADERS: u8 = 4;

/// A peer that keeps no rule by itself.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl RawPeer {
    /// Connects, sends the preface and these settings.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).expect("the peer accepts");
        stream.set_read_timeout(Some(crate::PATIENCE)).expect("a positive time-out");
        stream.set_write_timeout(Some(crate::PATIENCE)).expect("a positive time-out");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut peer = Self { stream, buffer: Vec::new() };
        peer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        peer.send(SETTINGS, 0, 0, &payload);
        peer
    }

    /// Writes a frame; `false` when the peer is gone.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload))
    }

    /// Writes bytes; `false` when the peer is gone.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Reads the next frame; `None` at the end of the connection.
    pub fn next_frame(&mut self) -> Option<Frame> {
        while self.buffer.len() < 9 {
            self.fill()?;
        }
        let length = u32::from_be_bytes([0, self.buffer[0], self.buffer[1], self.buffer[2]]);
        let whole = 9 + length as usize;
        while self.buffer.len() < whole {
            self.fill()?;
        }
        let bytes: Vec<u8> = self.buffer.drain(..whole).collect();
        let stream = u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) & 0x7fff_ffff;
        Some(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() })
    }

    /// Reads up to the first frame that `wanted` is about; `None` at the end of the connection.
    pub fn until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next_frame()?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    fn fill(&mut self) -> Option<()> {
        let mut piece = [0; 16_384];
        match self.stream.read(&mut piece) {
            Ok(length) if length > 0 => {
                self.buffer.extend_from_slice(&piece[..length]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the peer neither answers nor closes")
            }
            _ => None,
        }
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame of a test is short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of literals that enter no table (RFC 7541 §6.2.2); names and values as given.
///
/// # Panics
/// When a name or value has 127 bytes or more.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "a longer length needs more bytes");
            bytes.push(text.len() as u8);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}
