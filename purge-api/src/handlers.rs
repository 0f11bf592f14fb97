//! The HTTP surface over a ledger.
//!
//! Without a server: a request comes in with its whole body, a response goes out. Checks stand
//! in the order in which they cost and tell least: call, caller, form, meaning, right.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use parking_lot::RwLock;
use selvedge_cache::invalidate::Position;
use serde_json::{Value, json};

use crate::api::{
    BODY_BYTES_MAX, Call, Caller, Estimate, KEY_BYTES_MAX, NoCall, PurgeWatch, entry_json,
    ledger_hex, page_query, purged_json,
};
use crate::auth::{Authorized, Tokens, Unauthorized};
use crate::hosts::KnownHosts;
use crate::ledger::{AppendError, Ledger, NewEntry};
use crate::problem::{Problem, answer};
use crate::rate::Rates;
use crate::selector::{BodyError, FieldError, KeyRules, PurgeRequest, mode_name};

/// What the surface stands on.
pub struct PurgeApi {
    ledger: Arc<Ledger>,
    rules: RwLock<Arc<dyn KeyRules>>,
    access: RwLock<Arc<(Tokens, KnownHosts)>>,
    estimate: Arc<dyn Estimate>,
    watch: Arc<dyn PurgeWatch>,
    /// Name of this node in answers.
    node: String,
    rates: Rates,
}

impl PurgeApi {
    /// A surface. `rules` are those that the ledger was opened with.
    pub fn new(
        ledger: Arc<Ledger>,
        rules: Arc<dyn KeyRules>,
        access: (Tokens, KnownHosts),
        estimate: Arc<dyn Estimate>,
        watch: Arc<dyn PurgeWatch>,
        node: String,
    ) -> Self {
        let (rules, access) = (RwLock::new(rules), RwLock::new(Arc::new(access)));
        let rates = Rates::default();
        Self { ledger, rules, access, estimate, watch, node, rates }
    }

    /// The ledger.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Brings changed key rules in force for selectors, old and new. Await it before the rules
    /// take effect for requests.
    pub async fn change_rules(&self, rules: Arc<dyn KeyRules>) -> std::io::Result<()> {
        self.ledger.change_rules(Arc::clone(&rules)).await?;
        *self.rules.write() = rules;
        Ok(())
    }

    /// Brings other tokens and names in force: a reload.
    pub fn change_access(&self, tokens: Tokens, hosts: KnownHosts) {
        *self.access.write() = Arc::new((tokens, hosts));
    }

    /// Brings another rate in force: purges and dry runs of one caller, per second.
    pub fn change_rate(&self, per_s: u32) {
        self.rates.change(per_s);
    }

    /// Recognises a caller: also for routes beside purges.
    pub fn authorize(&self, fields: &HeaderMap, caller: &Caller) -> Result<Authorized, Problem> {
        let access = Arc::clone(&self.access.read());
        access.0.authorize(fields, &caller.peer).map_err(|why| {
            let detail = match why {
                Unauthorized::Missing => "Send the field Authorization: Bearer TOKEN, once.",
                Unauthorized::Wrong => "No such token is configured.",
            };
            Problem::new(StatusCode::UNAUTHORIZED, "A token is needed.", detail)
                .about("Authorization")
        })
    }

    /// Refuses what changes something but comes from a browser that was led here.
    pub fn check_intent(&self, fields: &HeaderMap, caller: &Caller) -> Result<(), Problem> {
        if !caller.is_unix && !self.access.read().1.knows(fields) {
            let detail = "The Host is neither loopback nor configured as a name of this surface.";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "Unknown host.", detail)
                .about("Host"));
        }
        let site = fields.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            let detail = "A page of another origin asked the browser to send this.";
            return Err(
                Problem::new(StatusCode::FORBIDDEN, "Refused.", detail).about("Sec-Fetch-Site")
            );
        }
        let kind = fields.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let essence = kind.split(';').next().unwrap_or("").trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let detail = "Send Content-Type: application/json.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "JSON is needed.", detail).about("Content-Type"));
        }
        Ok(())
    }

    /// Answers one request. `request` has its whole body, which the server bounds too.
    pub async fn handle(&self, request: Request<Bytes>, caller: &Caller) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let done = match Call::of(&head.method, head.uri.path()) {
            Ok(Call::Purge) => self.purge(&head.headers, &body, caller).await,
            Ok(Call::List) => self.list(&head, caller).await,
            Ok(Call::One(position)) => self.one(&head.headers, position, caller).await,
            Ok(Call::Options(allow)) => return options(allow),
            Err(NoCall::Path) => {
                let detail = "Positions are whole numbers: /v1/purges/17.";
                Err(Problem::new(StatusCode::NOT_FOUND, "Nothing here.", detail))
            }
            Err(NoCall::Method(allow)) => return self.refuse_method(allow),
        };
        match done {
            Ok(document) => answer(StatusCode::OK, &document),
            Err(problem) => {
                self.watch.refused(problem.status.as_u16());
                problem.into_response()
            }
        }
    }

    fn refuse_method(&self, allow: &'static str) -> Response<Bytes> {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        self.watch.refused(status.as_u16());
        let detail = format!("This path takes {allow}.");
        let mut response =
            Problem::new(status, "This method is not allowed here.", detail).into_response();
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        response
    }

    async fn purge(
        &self,
        fields: &HeaderMap,
        body: &[u8],
        caller: &Caller,
    ) -> Result<Value, Problem> {
        let started = Instant::now();
        self.check_intent(fields, caller)?;
        let who = self.authorize(fields, caller)?;
        self.rates.take(who.who(), caller.now).map_err(|wait_ms| {
            let detail = "This caller asks for purges faster than `admin.purges_per_second`.";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many purges.", detail)
                .again_in_ms(wait_ms)
        })?;
        if body.len() > BODY_BYTES_MAX {
            let detail = "A purge has at most 65536 bytes; send several.";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large.", detail));
        }
        let idempotency_key = idempotency_key(fields)?;
        let asked = PurgeRequest::parse(body).map_err(body_problem)?;
        let selector = asked.selector;
        if !who.may_purge(selector.only_site()) {
            let detail = "This token may not purge this. A token with purge:SITE purges with \
                          \"site\":\"SITE\" beside the selector, or alone.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "Not allowed.", detail));
        }
        let rules = Arc::clone(&self.rules.read());
        let scopes = selector.scopes(&*rules).map_err(field_problem)?;
        let written = selector.to_json();
        if asked.dry_run {
            let as_of = self.ledger.live().position();
            let found = self.estimate.estimate(&selector, scopes).await;
            return Ok(json!({
                "dry_run": true,
                "as_of": as_of.0,
                "selector": written,
                "mode": mode_name(asked.mode),
                "responses": found.responses,
                "bytes": found.bytes,
                "exact": found.is_exact,
            }));
        }
        let (kind, mode) = (selector.kind(), asked.mode);
        let (accepted, who) = (caller.now, who.who().to_owned());
        let from = Some(caller.peer.clone());
        let entry = NewEntry { accepted, mode, selector, who, from, idempotency_key };
        let done = self.ledger.append(entry).await.map_err(append_problem)?;
        if !done.repeated {
            self.watch.purged(kind, mode, started.elapsed());
        }
        let ledger = self.ledger.live().ledger();
        let durable = self.ledger.is_durable();
        Ok(purged_json(ledger, done.position, &written, mode, done.repeated, durable))
    }

    async fn list(&self, head: &http::request::Parts, caller: &Caller) -> Result<Value, Problem> {
        let who = self.authorize(&head.headers, caller)?;
        if !who.may_read() {
            let detail = "The audit trail needs a token with the scope read or purge.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "Not allowed.", detail));
        }
        let (after, limit) = page_query(head.uri.query()).map_err(|(field, why)| {
            Problem::new(StatusCode::BAD_REQUEST, "A wrong query.", why).about(&field)
        })?;
        let entries = self.ledger.page(after, limit).await.map_err(|why| read_problem(&why))?;
        let live = self.ledger.live();
        let last = entries.last().map(|entry| entry.position);
        Ok(json!({
            "ledger": ledger_hex(live.ledger()),
            "floor": live.floor().0,
            "position": live.position().0,
            "purges": entries.iter().map(|entry| entry_json(entry, &self.node)).collect::<Vec<_>>(),
            "next": last.filter(|last| *last < live.position()).map(|last| last.0),
        }))
    }

    async fn one(
        &self,
        fields: &HeaderMap,
        position: Position,
        caller: &Caller,
    ) -> Result<Value, Problem> {
        let who = self.authorize(fields, caller)?;
        let entry = self.ledger.entry(position).await.map_err(|why| read_problem(&why))?;
        let site = entry.as_ref().and_then(|entry| entry.purge.selector.only_site());
        if !who.may_read_entry(site) {
            let detail = "This entry needs a token with the scope read or purge.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "Not allowed.", detail));
        }
        let live = self.ledger.live();
        match entry {
            Some(entry) => {
                let mut document = entry_json(&entry, &self.node);
                document["ledger"] = ledger_hex(live.ledger()).into();
                Ok(document)
            }
            None if position.0 > 0 && position <= live.floor() => {
                let detail = "This purge is older than everything that is stored: it was in force \
                              and its entry was compacted away.";
                Err(Problem::new(StatusCode::GONE, "Compacted away.", detail))
            }
            None => {
                let detail = format!("The last purge in force is {}.", live.position().0);
                Err(Problem::new(StatusCode::NOT_FOUND, "No such purge.", detail))
            }
        }
    }
}

fn options(allow: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The `Idempotency-Key`, with or without the quotes of a structured field string.
fn idempotency_key(fields: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut lines = fields.get_all("idempotency-key").iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().unwrap_or("");
    let key = text.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(text);
    if key.is_empty() || key.len() > KEY_BYTES_MAX || lines.next().is_some() {
        let detail = "Send one key of 1 to 255 printable ASCII bytes.";
        return Err(
            Problem::new(StatusCode::BAD_REQUEST, "A wrong key.", detail).about("Idempotency-Key")
        );
    }
    Ok(Some(key.to_owned()))
}

fn body_problem(why: BodyError) -> Problem {
    match why {
        BodyError::NotJson(detail) => {
            Problem::new(StatusCode::BAD_REQUEST, "The body is no JSON object.", detail)
        }
        BodyError::Field(why) => field_problem(why),
    }
}

fn field_problem(why: FieldError) -> Problem {
    let title = "The purge has a wrong meaning.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, title, why.message).about(&why.field)
}

fn append_problem(why: AppendError) -> Problem {
    let (status, detail) = match why {
        AppendError::Busy | AppendError::Stopped => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("Not purged: {why}. Send it again."))
        }
        AppendError::Disk(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("Not acknowledged: {why}. It may come in force later; send it again."),
        ),
        AppendError::KeyReused => {
            let detail = "This key was sent before with another purge.".to_owned();
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Problem::new(status, "The key is taken.", detail).about("Idempotency-Key");
        }
        AppendError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "Send several purges.".to_owned()),
    };
    Problem::new(status, "The purge is not in force.", detail)
}

fn read_problem(why: &std::io::Error) -> Problem {
    tracing::error!(%why, "the purge ledger cannot be read");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The ledger cannot be read.", why.to_string())
}

#[cfg(test)]
mod tests;
