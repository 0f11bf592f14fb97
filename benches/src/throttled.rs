//! A client of a large object that reads at its own speed, checks what it gets, and may leave.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::origin::pattern;

/// Receive buffer of a reader: what the kernel keeps for it is not the node's memory.
const RECEIVE_BYTES: u32 = 128 * 1024;

/// How one reader fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything came, as it should be.
    Complete,
    /// It left.
    Left,
    /// The node ended the body before its end, visibly.
    Cut,
    /// Wrong bytes, or no proper answer: never right.
    Wrong,
}

/// Reads `path` at `bytes_per_s` (as fast as it can: `None`) and leaves after `stay`.
pub(crate) async fn read(
    address: SocketAddr,
    path: String,
    bytes_per_s: Option<u64>,
    stay: Option<Duration>,
) -> (Ending, u64) {
    match attempt(address, &path, bytes_per_s, stay).await {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("  reader: {error}");
            (Ending::Wrong, 0)
        }
    }
}

async fn attempt(
    address: SocketAddr,
    path: &str,
    bytes_per_s: Option<u64>,
    stay: Option<Duration>,
) -> anyhow::Result<(Ending, u64)> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 64 * 1024];
    let mut held = 0;
    let head_end = loop {
        let bytes = stream.read(&mut buffer[held..]).await?;
        anyhow::ensure!(bytes > 0, "closed before the head was whole");
        held += bytes;
        if let Some(at) = buffer[..held].windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
    anyhow::ensure!(head.starts_with("http/1.1 200 "), "not 200: {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: u64 = length.unwrap_or_default().parse()?;
    let started = Instant::now();
    let mut offset = 0;
    if !check(&buffer[head_end..held], &mut offset) {
        return Ok((Ending::Wrong, offset));
    }
    while offset < length {
        if stay.is_some_and(|stay| started.elapsed() >= stay) {
            return Ok((Ending::Left, offset));
        }
        if let Some(rate) = bytes_per_s {
            let due = Duration::from_secs_f64(offset as f64 / rate as f64);
            tokio::time::sleep_until((started + due).into()).await;
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok((Ending::Cut, offset)),
            Ok(bytes) if check(&buffer[..bytes], &mut offset) => {}
            Ok(_) => return Ok((Ending::Wrong, offset)),
        }
    }
    Ok((if offset == length { Ending::Complete } else { Ending::Wrong }, offset))
}

/// Compares the first and the last byte of a piece, and moves on.
fn check(piece: &[u8], offset: &mut u64) -> bool {
    let from = *offset;
    *offset += piece.len() as u64;
    match (piece.first(), piece.last()) {
        (Some(first), Some(last)) => *first == pattern(from) && *last == pattern(*offset - 1),
        _ => true,
    }
}
