//! The surface, asked the way operators, scripts and hostile pages ask.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use selvedge_cache::Millis;
use selvedge_cache::invalidate::{LedgerId, Mode, ScopeHash, Selection};

use super::*;
use crate::auth::{Token, TokenScope};
use crate::ledger::Limits;
use crate::ledger::disk::HeapDir;
use crate::selector::{PlainRules, Selector, SelectorKind};

struct Seven;

impl Estimate for Seven {
    fn estimate<'a>(
        &'a self,
        selector: &'a Selector,
        scopes: Vec<ScopeHash>,
    ) -> Pin<Box<dyn Future<Output = Selection> + Send + 'a>> {
        assert_eq!((selector.kind(), scopes.len()), (SelectorKind::Host, 1));
        Box::pin(async { Selection { responses: 7, bytes: 700, is_exact: true } })
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl PurgeWatch for Heard {
    fn purged(&self, selector: SelectorKind, mode: Mode, _: Duration) {
        self.0.lock().push(format!("{} {}", selector.name(), mode_name(mode)));
    }
    fn refused(&self, status: u16) {
        self.0.lock().push(status.to_string());
    }
}

struct Surface {
    api: PurgeApi,
    heard: Arc<Heard>,
}

const SECRET: &str = "a-secret-of-twenty-b";

fn surface(scope: Option<&str>) -> Surface {
    let rules: Arc<dyn KeyRules> = Arc::new(PlainRules);
    let dir = Box::new(HeapDir::default());
    let opened = Ledger::start(dir, || Ok(LedgerId(255)), Arc::clone(&rules), Limits::MEMORY)
        .expect("opens");
    let token = |scope| {
        let scopes = vec![TokenScope::parse(scope).expect("a scope")];
        Token::from_secret("t", SECRET, scopes).expect("long enough")
    };
    let access = (Tokens::new(scope.map(token).into_iter().collect()), KnownHosts::default());
    let heard = Arc::new(Heard::default());
    let watch: Arc<dyn PurgeWatch> = Arc::<Heard>::clone(&heard);
    let api =
        PurgeApi::new(opened.ledger, rules, access, Arc::new(Seven), watch, "here".to_owned());
    Surface { api, heard }
}

fn post(body: &str) -> Request<Bytes> {
    Request::post("/v1/purges")
        .header("host", "localhost:9901")
        .header("content-type", "application/json; charset=utf-8")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .expect("a request")
}

fn get(target: &str) -> Request<Bytes> {
    Request::get(target).body(Bytes::new()).expect("a request")
}

fn with(mut request: Request<Bytes>, name: &'static str, value: &'static str) -> Request<Bytes> {
    request.headers_mut().insert(name, HeaderValue::from_static(value));
    request
}

impl Surface {
    async fn ask(&self, request: Request<Bytes>) -> (u16, Value) {
        let caller = Caller { peer: "127.0.0.1".into(), is_unix: false, now: Millis(5) };
        let response = self.api.handle(request, &caller).await;
        let document = serde_json::from_slice(response.body()).expect("JSON");
        (response.status().as_u16(), document)
    }
}

#[tokio::test]
async fn a_purge_is_answered_with_its_position_and_can_be_read_again() {
    let surface = surface(None);
    let (status, done) = surface.ask(post(r#"{"tag":"t","site":"s","soft":true}"#)).await;
    let expected = json!({"position":1,"ledger":"00000000000000ff","durable":false,"selector":{"tag":"t","site":"s"},"mode":"soft"});
    assert_eq!((status, done), (200, expected));
    let (status, entry) = surface.ask(get("/v1/purges/1")).await;
    assert_eq!((status, &entry["who"]), (200, &json!("peer:127.0.0.1")));
    assert_eq!(entry["applied_by"], json!(["here"]));
    assert_eq!(surface.ask(get("/v1/purges/2")).await.0, 404);
    surface.ask(post(r#"{"everything":true}"#)).await;
    let (_, page) = surface.ask(get("/v1/purges?after=0&limit=1")).await;
    assert_eq!((&page["next"], &page["position"]), (&json!(1), &json!(2)));
    let (_, page) = surface.ask(get("/v1/purges?after=1")).await;
    assert_eq!((&page["next"], &page["purges"][0]["position"]), (&json!(null), &json!(2)));
    assert_eq!(*surface.heard.0.lock(), ["tag soft", "404", "everything hard"]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name_and_appends_nothing() {
    let surface = surface(None);
    for (body, status, field) in [
        ("{", 400, json!(null)),
        ("[]", 400, json!(null)),
        (r#"{"url":"/a"}"#, 422, json!("url")),
        (r#"{"url":"http://h/","tag":"t"}"#, 422, json!("tag")),
        (r#"{"tag":"t","hard":true}"#, 422, json!("hard")),
    ] {
        let (got, problem) = surface.ask(post(body)).await;
        assert_eq!((got, &problem["field"]), (status, &field), "{body}");
    }
    let rebound = with(post(r#"{"tag":"t"}"#), "host", "evil.example");
    assert_eq!(surface.ask(rebound).await.0, 421);
    let form = with(post(r#"{"tag":"t"}"#), "content-type", "text/plain");
    assert_eq!(surface.ask(form).await.0, 415);
    let page = with(post(r#"{"tag":"t"}"#), "sec-fetch-site", "cross-site");
    assert_eq!(surface.ask(page).await.0, 403);
    let large = format!(r#"{{"tag":"{}"}}"#, "t".repeat(BODY_BYTES_MAX));
    assert_eq!(surface.ask(post(&large)).await.0, 413);
    let mut delete = get("/v1/purges");
    *delete.method_mut() = Method::DELETE;
    assert_eq!(surface.ask(delete).await.0, 405);
    assert_eq!(surface.ask(get("/v1/purges?before=1")).await.0, 400);
    assert_eq!(surface.api.ledger().live().position(), Position(0));
}

#[tokio::test]
async fn a_dry_run_counts_and_appends_nothing() {
    let surface = surface(None);
    let (status, found) = surface.ask(post(r#"{"host":"h","dry_run":true}"#)).await;
    assert_eq!((status, &found["responses"], &found["as_of"]), (200, &json!(7), &json!(0)));
    assert_eq!(surface.api.ledger().live().position(), Position(0));
}

#[tokio::test]
async fn tokens_decide_who_may_purge_what() {
    let site = surface(Some("purge:shop"));
    assert_eq!(site.ask(post(r#"{"tag":"t"}"#)).await.0, 401);
    let by = |request| with(request, "authorization", "Bearer a-secret-of-twenty-b");
    let wrong = with(post(r#"{"tag":"t"}"#), "authorization", "Bearer a-secret-of-twenty-c");
    assert_eq!(site.ask(wrong).await.0, 401);
    assert_eq!(site.ask(by(post(r#"{"tag":"t"}"#))).await.0, 403);
    assert_eq!(site.ask(by(post(r#"{"site":"blog"}"#))).await.0, 403);
    assert_eq!(site.ask(by(post(r#"{"tag":"t","site":"shop"}"#))).await.0, 200);
    assert_eq!(site.ask(by(post(r#"{"site":"shop"}"#))).await.0, 200);
    assert_eq!(site.ask(by(get("/v1/purges"))).await.0, 403);
    let (status, entry) = site.ask(by(get("/v1/purges/1"))).await;
    assert_eq!((status, &entry["who"]), (200, &json!("token:t")));
    let read = surface(Some("read"));
    assert_eq!(read.ask(by(post(r#"{"everything":true}"#))).await.0, 403);
    assert_eq!(read.ask(by(get("/v1/purges"))).await.0, 200);
    assert_eq!(read.ask(get("/v1/purges")).await.0, 401);
}

#[tokio::test]
async fn a_retry_with_its_key_says_that_it_repeats() {
    let surface = surface(None);
    let keyed = |body| with(post(body), "idempotency-key", "\"k1\"");
    assert_eq!(surface.ask(keyed(r#"{"tag":"t"}"#)).await.1.get("repeated"), None);
    let (status, again) = surface.ask(keyed(r#"{"tag":"t"}"#)).await;
    assert_eq!((status, &again["position"], &again["repeated"]), (200, &json!(1), &json!(true)));
    let (status, other) = surface.ask(keyed(r#"{"tag":"u"}"#)).await;
    assert_eq!((status, &other["field"]), (422, &json!("Idempotency-Key")));
}

#[tokio::test]
async fn a_compacted_entry_is_gone_and_a_closed_ledger_is_unavailable() {
    let surface = surface(None);
    surface.ask(post(r#"{"tag":"t"}"#)).await;
    surface.api.ledger().compact(Position(1)).await.expect("compacts");
    assert_eq!(surface.ask(get("/v1/purges/1")).await.0, 410);
    surface.api.ledger().close();
    assert_eq!(surface.ask(post(r#"{"tag":"t"}"#)).await.0, 503);
    assert_eq!(surface.ask(get("/v1/purges")).await.0, 503);
}
