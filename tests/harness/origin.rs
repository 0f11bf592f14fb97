//! A scripted origin: a handler sees each request as its socket received it and writes raw bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as the origin's socket received it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Every byte of the head, up to and with the empty line.
    pub raw_head: Vec<u8>,
    /// Method.
    pub method: String,
    /// Target as sent.
    pub target: String,
    /// Fields in order, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Body, framing removed.
    pub body: Vec<u8>,
    /// Body as it came: chunk lines, extensions and trailers included.
    pub raw_body: Vec<u8>,
    /// Number of the request at this origin, from 0.
    pub number: usize,
}

impl Request {
    /// The first field of that name, or an empty string.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// How many fields of that name there are.
    pub fn count(&self, name: &str) -> usize {
        self.fields.iter().filter(|(n, _)| n == name).count()
    }
}

/// The origin's side of a connection, for the handler.
#[derive(Debug)]
pub struct Responder<'a> {
    stream: &'a mut TcpStream,
    keep: bool,
    /// The request was a `HEAD`: its answer has no content.
    is_head: bool,
}

impl Responder<'_> {
    /// Sends raw bytes. An edge that went away is not an error here.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.stream.write_all(bytes.as_ref());
    }

    /// Sends raw bytes; `false` if the peer is gone.
    pub fn try_raw(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A whole response with `Content-Length`; for `HEAD`, its head alone.
    pub fn send(&mut self, status: u16, fields: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if status != 304 && status != 204 {
            head.extend(["Content-Length: ", body.len().to_string().as_str(), "\r\n"]);
        }
        head.push_str("\r\n");
        self.raw(head);
        if !self.is_head {
            self.raw(body);
        }
    }

    /// `200` that is fresh for a minute.
    pub fn cacheable(&mut self, body: impl AsRef<[u8]>) {
        self.send(200, &[("Cache-Control", "max-age=60")], body);
    }

    /// Closes after this answer.
    pub fn close(&mut self) {
        self.keep = false;
        let _gone = self.stream.shutdown(Shutdown::Both);
    }

    /// Resets the connection: unread input makes the kernel send RST.
    pub fn break_off(&mut self) {
        self.close();
    }

    /// Waits until the peer closes.
    pub fn until_closed(&mut self) {
        let mut byte = [0; 1024];
        while matches!(self.stream.read(&mut byte), Ok(n) if n > 0) {}
        self.keep = false;
    }
}

type Handler = dyn Fn(&Request, &mut Responder<'_>) + Send + Sync;

/// A listening origin.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<Request>>,
    next: AtomicUsize,
    connections: AtomicUsize,
    closed: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Origin {
    /// An origin that answers with `handler`.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(handler: impl Fn(&Request, &mut Responder<'_>) + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), handler)
    }

    /// An origin on a certain address: one that comes back.
    ///
    /// # Panics
    /// When the address is taken.
    pub fn start_at(
        address: SocketAddr,
        handler: impl Fn(&Request, &mut Responder<'_>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            next: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                if let Ok(copy) = stream.try_clone() {
                    accepting.open.lock().expect("unpoisoned").push(copy);
                }
                let shared = Arc::clone(&accepting);
                thread::spawn(move || {
                    shared.serve(stream);
                    shared.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// An origin whose every answer is this one, fresh for a minute.
    pub fn constant(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::start(move |_, to| to.cacheable(&body))
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far.
    ///
    /// # Panics
    /// When a handler panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("unpoisoned").clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.shared.next.load(Ordering::SeqCst)
    }

    /// How many connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of them are closed again.
    pub fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Stops: the port refuses, open connections break.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then closes the listener.
        let _woken = TcpStream::connect(self.address);
        for stream in self.shared.open.lock().expect("unpoisoned").drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        crate::eventually("the origin's port is closed", || {
            TcpStream::connect(self.address).is_err().then_some(())
        });
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let _nagle = stream.set_nodelay(true);
        let mut buffer = Vec::new();
        while let Some(mut request) = read_request(&mut stream, &mut buffer) {
            request.number = self.next.fetch_add(1, Ordering::SeqCst);
            self.requests.lock().expect("unpoisoned").push(request.clone());
            let is_head = request.method == "HEAD";
            let mut responder = Responder { stream: &mut stream, keep: true, is_head };
            (self.handler)(&request, &mut responder);
            if !responder.keep {
                return;
            }
        }
    }
}

fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(stream, buffer)?;
    };
    let raw_head: Vec<u8> = buffer.drain(..end).collect();
    let text = String::from_utf8_lossy(&raw_head).into_owned();
    let mut lines = text.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let fields: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let (mut body, mut raw_body) = (Vec::new(), Vec::new());
    if field("transfer-encoding").is_some() {
        loop {
            let line = take_line(stream, buffer)?;
            raw_body.extend_from_slice(format!("{line}\r\n").as_bytes());
            let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            while buffer.len() < size + 2 {
                more(stream, buffer)?;
            }
            raw_body.extend_from_slice(&buffer[..size + 2]);
            body.extend(buffer.drain(..size));
            buffer.drain(..2);
        }
        // Trailers, up to the empty line.
        loop {
            let line = take_line(stream, buffer)?;
            raw_body.extend_from_slice(format!("{line}\r\n").as_bytes());
            if line.is_empty() {
                break;
            }
        }
    } else if let Some(length) = field("content-length").and_then(|text| text.parse().ok()) {
        while buffer.len() < length {
            more(stream, buffer)?;
        }
        body = buffer.drain(..length).collect();
        raw_body.clone_from(&body);
    }
    Some(Request { raw_head, method, target, fields, body, raw_body, number: 0 })
}

fn take_line(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = buffer.windows(2).position(|two| two == b"\r\n") {
            let line: Vec<u8> = buffer.drain(..at + 2).collect();
            return Some(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        more(stream, buffer)?;
    }
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 16_384];
    match stream.read(&mut piece) {
        Ok(length) if length > 0 => {
            buffer.extend_from_slice(&piece[..length]);
            Some(())
        }
        _ => None,
    }
}
