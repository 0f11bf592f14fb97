//! An HTTP/1.1 client that hides nothing: bytes in, bytes out, how the connection ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::PATIENCE;

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// How the body of a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By its length or last chunk, or there was none.
    Clean,
    /// By the end of the connection, as an answer without length may.
    Close,
    /// The connection ended before the body did.
    Cut,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body bytes, chunk framing removed.
    pub body: Vec<u8>,
    /// How the body ended.
    pub ending: Ending,
    /// Interim responses that came before: status and fields.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
}

impl Response {
    /// The first field of that name, or an empty string.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// All fields of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Whether `Cache-Status` calls it a hit of ours.
    pub fn is_hit(&self) -> bool {
        self.field("cache-status").contains("selvedge; hit")
    }
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the peer accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a positive time-out");
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, buffer: Vec::new() }
    }

    /// Connects with the smallest receive buffer that the system gives: a client that does not read
    /// stops its peer after a few kilobytes and not after megabytes.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn narrow(address: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a small buffer");
        connect(&socket, &address).expect("the peer accepts");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a positive time-out");
        Self { stream, buffer: Vec::new() }
    }

    /// Connects; `None` when nobody listens there.
    pub fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream, buffer: Vec::new() })
    }

    /// Reads until these bytes were received, and leaves everything to be read.
    ///
    /// # Panics
    /// When the connection ends before.
    pub fn await_bytes(&mut self, bytes: &[u8]) {
        while !self.buffer.windows(bytes.len()).any(|here| here == bytes) {
            assert!(self.fill(), "the connection ended too early");
        }
    }

    /// Sends a request with `Host: test.example` and reads the answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.request_to("test.example", method, path, fields, body)
    }

    /// Sends a request to a host and reads the answer.
    pub fn request_to(
        &mut self,
        host: &str,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            head.extend(["Content-Length: ", body.len().to_string().as_str(), "\r\n"]);
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        self.send(&message);
        self.response(method == "HEAD")
    }

    /// Sends raw bytes; a peer that closed already is not an error here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes);
    }

    /// Ends our direction.
    pub fn finish(&mut self) {
        let _closed = self.stream.shutdown(Shutdown::Write);
    }

    /// Leaves at once: the kernel resets the connection, which the peer cannot take for a client
    /// that only finished sending.
    ///
    /// # Panics
    /// Never: lingering can be set on every TCP socket.
    pub fn abort(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))
            .expect("a TCP socket");
    }

    /// Limits how long a read may take.
    ///
    /// # Panics
    /// When `limit` is zero.
    pub fn patience(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("a positive time-out");
    }

    /// Reads one response.
    ///
    /// # Panics
    /// When the connection ends or stalls before its head is complete.
    pub fn response(&mut self, bodiless: bool) -> Response {
        self.try_response(bodiless).expect("a response before the connection ends")
    }

    /// Reads one response; `None` if the connection ends before its head is complete.
    pub fn try_response(&mut self, bodiless: bool) -> Option<Response> {
        let mut interim = Vec::new();
        loop {
            let (status, fields) = self.head()?;
            if (100..200).contains(&status) && status != 101 {
                interim.push((status, fields));
                continue;
            }
            let mut response =
                Response { status, fields, body: Vec::new(), ending: Ending::Clean, interim };
            if !bodiless && status != 204 && status != 304 && status != 101 {
                self.body(&mut response);
            }
            return Some(response);
        }
    }

    /// The head of the next message.
    pub fn head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if !self.fill() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some((status, fields))
    }

    fn body(&mut self, response: &mut Response) {
        let chunked = response.field("transfer-encoding").eq_ignore_ascii_case("chunked");
        let length = response.field("content-length").parse::<usize>().ok();
        response.ending = match (chunked, length) {
            (true, _) => self.chunks(&mut response.body),
            (false, Some(length)) => {
                while self.buffer.len() < length && self.fill() {}
                let here = length.min(self.buffer.len());
                response.body = self.buffer.drain(..here).collect();
                if here == length { Ending::Clean } else { Ending::Cut }
            }
            (false, None) => {
                while self.fill() {}
                response.body = std::mem::take(&mut self.buffer);
                Ending::Close
            }
        };
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Ending {
        loop {
            let Some(line) = self.line() else { return Ending::Cut };
            let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16);
            let size = size.expect("a chunk size in hexadecimal");
            if size == 0 {
                // Trailers, up to the empty line.
                loop {
                    match self.line() {
                        None => return Ending::Cut,
                        Some(line) if line.is_empty() => return Ending::Clean,
                        Some(_) => {}
                    }
                }
            }
            while self.buffer.len() < size + 2 {
                if !self.fill() {
                    body.append(&mut self.buffer);
                    return Ending::Cut;
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads some bytes of the next message, as they come; empty at the end.
    pub fn read_some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.fill();
        }
        std::mem::take(&mut self.buffer)
    }

    /// Everything until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the peer closed: nothing more comes, and the end is there.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    /// Reads more; `false` at the end of the connection.
    ///
    /// # Panics
    /// When nothing comes for too long.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 16_384];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!(
                    "nothing came for too long; so far: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                )
            }
            Err(_) => false,
        }
    }
}
