//! The admin plane over real sockets.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use selvedge_cache::Millis;
use selvedge_cache::clock::ManualClock;
use selvedge_cache::invalidate::{ScopeHash, Selection};
use selvedge_purge_api::api::{Estimate, Unwatched};
use selvedge_purge_api::auth::{Token, TokenScope};
use selvedge_purge_api::hosts::KnownHosts;
use selvedge_purge_api::ledger::{Ledger, Limits};
use selvedge_purge_api::problem::Problem;
use selvedge_purge_api::selector::{KeyRules, PlainRules, Selector};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::admin_client::AdminPlane;
use super::super::purge_command::{PurgeArgs, run};
use super::explain::{Explain, Question};
use super::*;
use crate::accept::listener::ListenAddress;
use crate::origin::Rule;

const SECRET: &str = "a-secret-of-twenty-b";

struct Node(Arc<AtomicU8>);

impl StatusSource for Node {
    fn status(&self) -> Value {
        json!({ "sites": [{ "name": "shop" }] })
    }
    fn readiness(&self) -> Readiness {
        match self.0.load(Ordering::SeqCst) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }
}

struct OneOrigin;

impl origins::OriginRules for OneOrigin {
    fn rule(&self, site: &str, origin: &str, rule: Rule) -> Result<bool, origins::Unknown> {
        match (site, origin) {
            ("shop", "http://a:80") => Ok(rule != Rule::Enabled),
            ("shop", _) => Err(origins::Unknown::Origin(vec!["http://a:80".to_owned()])),
            _ => Err(origins::Unknown::Site),
        }
    }
}

struct Nothing;

impl Estimate for Nothing {
    fn estimate<'a>(
        &'a self,
        _: &'a Selector,
        _: Vec<ScopeHash>,
    ) -> Pin<Box<dyn Future<Output = Selection> + Send + 'a>> {
        Box::pin(async { Selection { responses: 3, bytes: 9, is_exact: true } })
    }
}

struct Echo;

impl Explain for Echo {
    fn explain(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send + '_>> {
        Box::pin(async move { Ok(json!({ "request": { "url": question.url } })) })
    }
}

struct Plane {
    addr: ListenAddress,
    readiness: Arc<AtomicU8>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn plane(listen: &str, scope: Option<&str>) -> Plane {
    let rules: Arc<dyn KeyRules> = Arc::new(PlainRules);
    let opened = Ledger::memory(Arc::clone(&rules), Limits::MEMORY).expect("opens");
    let token = |scope| {
        let scopes = vec![TokenScope::parse(scope).expect("a scope")];
        Token::from_secret("t", SECRET, scopes).expect("long enough")
    };
    let tokens = Tokens::new(scope.map(token).into_iter().collect());
    let addr = listen.parse().expect("an address");
    let listener = AdminListener::bind(&addr, &tokens).await.expect("binds");
    let readiness = Arc::new(AtomicU8::new(0));
    let sources = AdminSources {
        purges: PurgeApi::new(
            opened.ledger,
            rules,
            (tokens, KnownHosts::default()),
            Arc::new(Nothing),
            Arc::new(Unwatched),
            "here".to_owned(),
        ),
        origins: Box::new(OneOrigin),
        metrics: Box::new(|| "selvedge_purge_position 0\n".to_owned()),
        status: Box::new(Node(Arc::clone(&readiness))),
        explain: Box::new(Echo),
        clock: Arc::new(ManualClock::at(Millis(5))),
    };
    let (stop, stopped) = oneshot::channel();
    let addr = listener.addr().clone();
    let stopped = async move { drop(stopped.await) };
    let serving = tokio::spawn(listener.serve(Arc::new(sources), stopped));
    Plane { addr, readiness, stop, serving }
}

impl Plane {
    /// Sends raw bytes with `Connection: close` and reads all that comes.
    async fn raw(&self, head: &str) -> String {
        self.with_body(head, "").await
    }

    async fn with_body(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.addr.to_string()).await.expect("connects");
        let request = format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("reads");
        answer
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1")).await
    }

    fn asked(&self, token: Option<&str>) -> AdminPlane {
        AdminPlane { admin: self.addr.to_string(), token: token.map(str::to_owned) }
    }

    fn args(&self) -> PurgeArgs {
        PurgeArgs { plane: self.asked(None), tag: vec!["t".into()], ..Default::default() }
    }
}

#[tokio::test]
async fn routes_answer_and_others_are_refused() {
    let plane = plane("127.0.0.1:0", None).await;
    assert!(plane.get("/healthz").await.starts_with("HTTP/1.1 200"));
    for (state, status) in [(0, "503"), (1, "200"), (2, "503")] {
        plane.readiness.store(state, Ordering::SeqCst);
        assert!(plane.get("/readyz").await.starts_with(&format!("HTTP/1.1 {status}")));
    }
    assert!(plane.get("/metrics").await.ends_with("selvedge_purge_position 0\n"));
    let status = plane.get("/v1/status").await;
    assert!(status.contains(r#""name":"shop""#) && status.contains(r#""takes_purges":true"#));
    assert!(plane.get("/").await.contains("<td>shop</td>"));
    assert!(plane.get("/v1/purges?after=0").await.contains(r#""purges":[]"#));
    let lost = plane.get("/v2").await;
    assert!(lost.starts_with("HTTP/1.1 404") && lost.contains("application/problem+json"));
    let post = plane.raw("POST /metrics HTTP/1.1\r\nContent-Length: 0").await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    assert_eq!(post.to_ascii_lowercase().matches("\r\nallow:").count(), 1, "{post}");
    assert!(plane.raw("PUT /v1/purges HTTP/1.1").await.contains("GET, HEAD, OPTIONS, POST"));
    let long = "x".repeat(20_000);
    assert!(plane.raw(&format!("GET / HTTP/1.1\r\nX: {long}")).await.starts_with("HTTP/1.1 431"));
    let body =
        "POST /v1/purges HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 70000";
    let large = plane.raw(&format!("{body}\r\nX: y")).await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
}

#[tokio::test]
async fn the_command_purges_and_says_so() {
    let plane = plane("127.0.0.1:0", None).await;
    let done = run(&plane.args()).await;
    assert_eq!(done.code, 0, "{}", done.message);
    assert!(done.message.contains("position 1"), "{}", done.message);
    let dry = run(&PurgeArgs { dry_run: true, ..plane.args() }).await;
    assert!(dry.code == 0 && dry.message.contains("3 stored responses"), "{}", dry.message);
    let wrong = PurgeArgs { tag: Vec::new(), url: Some("/a".into()), ..plane.args() };
    let refused = run(&wrong).await;
    assert!(refused.code == 1 && refused.message.contains("url"), "{}", refused.message);
}

#[tokio::test]
async fn the_operator_rules_over_origins() {
    let plane = plane("127.0.0.1:0", Some("operate")).await;
    let ask = async |method: &str, body: &str| {
        let head = format!(
            "{method} /v1/origins HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n\
             Content-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        plane.with_body(&head, body).await
    };
    let said = |origin: &str, rule: &str| {
        format!(r#"{{"site":"shop","origin":"{origin}","rule":"{rule}"}}"#)
    };
    let done = ask("POST", &said("http://a:80", "draining")).await;
    assert!(done.starts_with("HTTP/1.1 200 ") && done.contains(r#""changed":true"#), "{done}");
    let unknown = ask("POST", &said("http://b:80", "draining")).await;
    assert!(unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("http://a:80"), "{unknown}");
    assert!(ask("POST", &said("http://a:80", "gone")).await.starts_with("HTTP/1.1 400 "));
    assert!(ask("POST", "{}").await.starts_with("HTTP/1.1 400 "));
    let read = ask("GET", "").await;
    assert!(read.starts_with("HTTP/1.1 405 ") && read.contains("allow: POST"), "{read}");
}

#[tokio::test]
async fn a_unix_socket_is_the_owners_and_goes_with_the_listener() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    // A file that a dead process left.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
    let plane = plane(&format!("unix:{}", path.display()), None).await;
    let mode = std::fs::metadata(&path).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(run(&plane.args()).await.code, 0);
    let second = AdminListener::bind(&plane.addr, &Tokens::default()).await;
    assert_eq!(second.expect_err("taken").kind(), std::io::ErrorKind::AddrInUse);
    plane.stop.send(()).expect("serving");
    plane.serving.await.expect("no panic");
    assert!(!path.exists());
}

#[tokio::test]
async fn with_tokens_only_health_is_open() {
    let plane = plane("127.0.0.1:0", Some("purge")).await;
    assert!(plane.get("/healthz").await.starts_with("HTTP/1.1 200"));
    for path in ["/", "/metrics", "/v1/status", "/v1/purges"] {
        assert!(plane.get(path).await.starts_with("HTTP/1.1 401"), "{path}");
        let with = format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {SECRET}");
        assert!(plane.raw(&with).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    let refused = run(&plane.args()).await;
    assert!(refused.code == 1 && refused.message.contains("--token"), "{}", refused.message);
    let done = run(&PurgeArgs { plane: plane.asked(Some(SECRET)), ..plane.args() }).await;
    assert_eq!(done.code, 0, "{}", done.message);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let plane = plane("127.0.0.1:0", None).await;
    let mut idle = TcpStream::connect(plane.addr.to_string()).await.expect("connects");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("writes");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("answered");
    plane.stop.send(()).expect("serving");
    let ended = tokio::time::timeout(Duration::from_mins(1), plane.serving).await;
    ended.expect("in time").expect("no panic");
}

#[test]
fn without_a_token_only_loopback_is_allowed() {
    let check =
        |addr: &str, tokens: &Tokens| check_exposure(addr.parse().expect("an address"), tokens);
    let none = Tokens::default();
    for addr in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(check(addr, &none), Ok(()), "{addr}");
    }
    for addr in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
        assert!(check(addr, &none).expect_err("exposed").contains("token"), "{addr}");
    }
    let scopes = vec![TokenScope::Read];
    let token = Token::from_secret("t", SECRET, scopes).expect("long enough");
    assert_eq!(check("0.0.0.0:1", &Tokens::new(vec![token])), Ok(()));
}
