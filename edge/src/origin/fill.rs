//! Origin body → fill writer, at the pace of the slower side.

use std::pin::Pin;

use http_body::Body as _;
use selvedge_cache::fill::{FailureCode, FillWriter};

use super::OriginBody;
use crate::error::{Cause, Error};

/// Moves a whole body into the cache. On any failure the fill is broken off, which every reader
/// sees; nothing is stored.
pub async fn pump(mut writer: FillWriter, mut body: OriginBody) -> Result<(), Error> {
    loop {
        if writer.ready().await.is_err() {
            writer.fail(FailureCode(Cause::ClientGone.code()));
            return Ok(());
        }
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            // Trailers are not stored: a later hit could not tell whether they still hold.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    writer.write(data);
                }
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
