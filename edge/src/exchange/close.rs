//! The end of an exchange: the journal goes to telemetry exactly once, also when the client left.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{Method, StatusCode, Version};

use crate::accept::{Connection, Delivery, Received};
use crate::admit::Admitted;
use crate::error::{Cause, Error};
use crate::filter::{Context, Filters};
use crate::journal::{CacheOutcome, Journal, SiteIndex};
use crate::respond::OnClose;
use crate::telemetry::Telemetry;

/// A journal that begins with what the codec read; with names and texts if it will be `read`.
pub(super) fn journal(received: &Received, read: bool) -> Box<Journal> {
    let (head, connection) = (&received.head, &received.connection);
    let field = |name| if read { head.headers.get(name).cloned() } else { None };
    let host = if read { head.uri.authority().map(|a| a.as_str().to_owned()) } else { None };
    Box::new(Journal {
        method: head.method.clone(),
        version: head.version,
        host: host.unwrap_or_default(),
        target: if read { target(&head.uri) } else { String::new() },
        user_agent: field(http::header::USER_AGENT),
        referer: field(http::header::REFERER),
        ..blank(connection)
    })
}

/// The whole journal of a message that never became a request.
pub(super) fn refused(connection: &Connection, cause: Cause, sent_bytes: Option<u64>) -> Journal {
    let delivery = if sent_bytes.is_some() { Delivery::Complete } else { Delivery::ClientGone };
    Journal {
        status: cause.status(),
        error: Some(cause),
        body_bytes: sent_bytes.unwrap_or(0),
        delivery: Some(delivery),
        ..blank(connection)
    }
}

/// What is known before anything was read.
fn blank(connection: &Connection) -> Journal {
    Journal {
        started: Instant::now(),
        started_wall: SystemTime::now(),
        connection: connection.id,
        client: connection.peer.ip(),
        scheme: connection.scheme(),
        method: Method::from_bytes(b"-").expect("a token"),
        version: Version::HTTP_11,
        host: String::new(),
        target: String::new(),
        site: SiteIndex::default(),
        status: StatusCode::OK,
        cache: CacheOutcome::Error,
        detail: "",
        error: None,
        error_chain: None,
        origin: None,
        ttfb: None,
        body_bytes: 0,
        delivery: None,
        user_agent: None,
        referer: None,
    }
}

fn target(uri: &http::Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), |target| target.as_str().to_owned())
}

/// Adds what admission found out.
pub(super) fn admitted(journal: &mut Journal, admitted: &Admitted) {
    journal.client = admitted.client;
    if !journal.target.is_empty() {
        admitted.host().clone_into(&mut journal.host);
    }
}

/// Hands the journal over when the response is over.
#[derive(Debug)]
pub struct Closing {
    journal: Option<Box<Journal>>,
    telemetry: Arc<Telemetry>,
    log: Option<Box<(Filters, Context)>>,
}

impl Closing {
    pub(super) const fn new(journal: Box<Journal>, telemetry: Arc<Telemetry>) -> Self {
        Self { journal: Some(journal), telemetry, log: None }
    }

    /// Filters that want to see the journal at the end.
    #[must_use]
    pub(super) fn with_filters(mut self, filters: Filters, context: Context) -> Self {
        self.log = (!filters.is_empty()).then(|| Box::new((filters, context)));
        self
    }
}

impl OnClose for Closing {
    fn closed(&mut self, delivery: Delivery, body_bytes: u64, error: Option<&Error>) {
        let Some(mut journal) = self.journal.take() else { return };
        journal.delivery = Some(delivery);
        journal.body_bytes = body_bytes;
        if let Some(error) = error {
            journal.error = Some(error.cause);
            journal.error_chain = Some(error.chain());
        } else if delivery == Delivery::ClientGone && journal.error.is_none() {
            journal.error = Some(Cause::ClientGone);
        }
        if let Some((filters, context)) = self.log.as_deref_mut() {
            filters.iter().for_each(|filter| filter.log(context, &journal));
        }
        self.telemetry.finish(&journal);
    }
}
