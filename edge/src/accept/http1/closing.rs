//! The last words of a connection.
//!
//! A socket closed with unread input is reset, and a reset may overtake the answer. So after a
//! last answer whose request was not read to its end, our side is closed first and what still
//! arrives is thrown away for a while (RFC 9112 §9.6).

use std::io;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::refusal;
use crate::accept::ClientDeadlines;
use crate::error::Cause;

/// Most input that is thrown away while lingering, in bytes.
const LINGER_BYTES_MAX: usize = 256 * 1024;
/// Size of one such read, in bytes.
const LINGER_READ_BYTES: usize = 16 * 1024;

/// Answers a message that never became a request, and closes; the length of the answer's content
/// if it was taken.
pub(super) async fn refuse<IO>(io: &mut IO, cause: Cause, deadlines: ClientDeadlines) -> Option<u64>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (answer, content_bytes) = refusal::response(cause, SystemTime::now());
    let write = async {
        io.write_all(&answer).await?;
        io.flush().await
    };
    let limit = Duration::from_millis(deadlines.write_ms);
    let taken = matches!(timeout(limit, write).await, Ok(Ok(())));
    if taken {
        close(io, true, deadlines).await;
    }
    taken.then_some(content_bytes)
}

/// Closes our side; with `linger`, waits a bounded while for the peer to close its own.
pub(super) async fn close<IO>(io: &mut IO, linger: bool, deadlines: ClientDeadlines)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let until = Instant::now() + Duration::from_millis(deadlines.linger_ms);
    if matches!(timeout_at(until, io.shutdown()).await, Ok(Ok(()))) && linger {
        // Whatever ends it, there is nothing left to do: the peer closed, broke off or dawdled.
        let _ = timeout_at(until, discard(io)).await;
    }
}

async fn discard<IO: AsyncRead + Unpin>(io: &mut IO) -> io::Result<()> {
    let mut scratch = vec![0; LINGER_READ_BYTES];
    let mut discarded = 0;
    while discarded < LINGER_BYTES_MAX {
        match io.read(&mut scratch).await? {
            0 => break,
            bytes => discarded += bytes,
        }
    }
    Ok(())
}
