//! Origin body → fill writer, at the pace of the slower side.

use std::pin::Pin;

use http_body::Body as _;
use selvedge_cache::fill::{FailureCode, FillWriter};
use selvedge_cache::store::CHUNK_BYTES;

use super::OriginBody;
use crate::error::{Cause, Error};

/// Moves a whole body into the cache. On any failure the fill is broken off, which every reader
/// sees; nothing is stored.
pub async fn pump(mut writer: FillWriter, mut body: OriginBody) -> Result<(), Error> {
    loop {
        if writer.ready().await.is_err() {
            abandon(writer);
            return Ok(());
        }
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            // Trailers are not stored: a later hit could not tell whether they still hold.
            Some(Ok(frame)) => {
                let Ok(mut data) = frame.into_data() else { continue };
                // A read buffer can hold more than the window behind the writer: one piece of
                // that size would leave the fastest reader behind.
                while data.len() > CHUNK_BYTES {
                    writer.write(data.split_to(CHUNK_BYTES));
                    if writer.ready().await.is_err() {
                        abandon(writer);
                        return Ok(());
                    }
                }
                writer.write(data);
            }
            None => break,
            Some(Err(error)) => {
                writer.fail(FailureCode(error.cause.code()));
                return Err(error);
            }
        }
    }
    if let Err(reason) = writer.finish() {
        tracing::debug!(?reason, "a response was delivered but not stored");
    }
    Ok(())
}

/// Nobody wants the rest, and it is not worth fetching.
fn abandon(writer: FillWriter) {
    writer.fail(FailureCode(Cause::ClientGone.code()));
}
