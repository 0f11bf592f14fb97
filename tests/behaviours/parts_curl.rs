//! The same things asked by curl, over everything that it speaks.

use harness::certificates::{self, Identity};
use harness::curl::curl;
use harness::{Edge, Origin};

const BODY: &str = "0123456789abcdefghij";

fn origin() -> Origin {
    Origin::start(|_, to| {
        let fields = [("Cache-Control", "max-age=60"), ("ETag", "\"v1\""), ("X-Origin", "yes")];
        to.send(200, &fields, BODY);
    })
}

/// Arguments that make curl go to `at` for `https://edge.example/…` and trust the test's authority.
fn trusting(identity: &Identity, at: std::net::SocketAddr) -> [String; 4] {
    [
        "--cacert".to_owned(),
        identity.ca.display().to_string(),
        "--connect-to".to_owned(),
        format!("::{}:{}", at.ip(), at.port()),
    ]
}

/// The whole conversation, whatever the way to the node: base URL and arguments.
fn converse(origin: &Origin, version: &str, base: &str, way: &[&str]) {
    let ask = |path: &str, more: &[&str]| {
        let url = format!("{base}{path}");
        curl(&[way, more, &[url.as_str()]].concat())
    };
    let path = format!("/of/{version}");
    let before = origin.count();

    let first = ask(&path, &[]);
    assert_eq!((first.status, first.version.as_str()), (200, version));
    assert_eq!((first.body.as_slice(), first.field("x-origin")), (BODY.as_bytes(), "yes"));
    assert!(!first.is_hit(), "{first:?}");
    let second = ask(&path, &[]);
    assert!(second.is_hit() && second.body == BODY.as_bytes(), "{second:?}");

    let head = ask(&path, &["--head"]);
    assert_eq!(head.status, 200);
    assert!(head.is_hit() && head.field("content-length") == "20", "{head:?}");

    let part = ask(&path, &["--range", "5-9"]);
    assert_eq!((part.status, part.body.as_slice()), (206, b"56789".as_slice()));
    assert_eq!(part.field("content-range"), "bytes 5-9/20");
    let last = ask(&path, &["--range", "-3"]);
    assert_eq!((last.status, last.body.as_slice()), (206, b"hij".as_slice()));
    let beyond = ask(&path, &["--range", "100-"]);
    assert_eq!((beyond.status, beyond.field("content-range")), (416, "bytes */20"));

    let unchanged = ask(&path, &["--header", "If-None-Match: \"v1\""]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.field("etag"), "\"v1\"");
    let changed = ask(&path, &["--header", "If-None-Match: \"v2\""]);
    assert_eq!((changed.status, changed.body.as_slice()), (200, BODY.as_bytes()));

    assert_eq!(origin.count() - before, 1, "all but the first came from the cache");

    let posted = ask(&path, &["--data", "a form"]);
    assert_eq!(posted.status, 200);
    let seen = origin.requests().pop().expect("the POST reached the origin");
    assert_eq!((seen.method.as_str(), seen.body.as_slice()), ("POST", b"a form".as_slice()));
}

#[test]
fn curl_speaks_http1() {
    let origin = origin();
    let edge = Edge::before(&origin);
    converse(&origin, "1.1", &format!("http://{}", edge.address), &["--http1.1"]);
}

#[test]
fn curl_speaks_http2_with_prior_knowledge() {
    let origin = origin();
    let edge = Edge::before(&origin);
    converse(&origin, "2", &format!("http://{}", edge.address), &["--http2-prior-knowledge"]);
}

#[test]
fn curl_is_given_http2_by_alpn_and_http1_when_it_asks() {
    let origin = origin();
    let scratch = harness::temp::dir();
    let identity = certificates::issue(scratch.path(), &["edge.example"]);
    let tls = identity.arguments();
    let edge = Edge::start(&[&["--origin", origin.url().as_str()], tls.as_slice()].concat());
    let way = trusting(&identity, edge.tls.expect("a TLS listener"));
    let way: Vec<&str> = way.iter().map(String::as_str).collect();

    converse(&origin, "2", "https://edge.example", &way);
    let http1 = [way.as_slice(), &["--http1.1"]].concat();
    converse(&origin, "1.1", "https://edge.example", &http1);
}

#[test]
fn curl_reaches_the_node_through_a_unix_socket() {
    let origin = origin();
    let scratch = harness::temp::dir();
    let socket = scratch.path().join("edge.sock").display().to_string();
    let listen = format!("unix:{socket}");
    let edge = Edge::start_with(
        &["serve", "--listen", &listen, "--admin", "127.0.0.1:0", "--origin", &origin.url()],
        &[],
    );
    converse(&origin, "1.1", "http://edge.example", &["--http1.1", "--unix-socket", &socket]);
    let http2 = ["--http2-prior-knowledge", "--unix-socket", &socket];
    converse(&origin, "2", "http://edge.example", &http2);
    drop(edge);
}
