use std::time::Instant;

use super::*;
use crate::accept::connection::{Peer, Protocol, TlsFacts};

fn connection(peer: &str, tls: bool) -> Arc<Connection> {
    let facts =
        TlsFacts { server_name: None, version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256".into() };
    Arc::new(Connection {
        id: 1,
        peer: Peer::Ip(peer.parse().expect("an address of the test")),
        local: "127.0.0.1:80".into(),
        protocol: Protocol::Http1,
        tls: tls.then_some(facts),
        accepted: Instant::now(),
    })
}

fn ask(version: Version, method: &str, uri: &str, fields: &[(&str, &str)]) -> Received {
    let mut request = http::Request::builder().version(version).method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Received {
        head: request.body(()).expect("a request of the test").into_parts().0,
        body: RequestBody::Empty,
        connection: connection("192.0.2.9:1000", false),
        interim: Interim::None,
    }
}

fn get(uri: &str, host: &str) -> Result<Admitted, Box<Rejected>> {
    admit(ask(Version::HTTP_11, "GET", uri, &[("host", host)]), &Config::default())
}

fn cause(outcome: Result<Admitted, Box<Rejected>>) -> Cause {
    outcome.expect_err("must be refused").error.cause
}

#[test]
fn an_ordinary_request_is_admitted() {
    let admitted = get("/a/../b%7e?q=%7e", "EXAMPLE.test:80").expect("admitted");
    assert_eq!(admitted.host(), "example.test");
    assert_eq!(admitted.port(), 80);
    assert_eq!(admitted.path(), "/b~");
    assert_eq!(admitted.query(), Some("q=%7e"));
    assert_eq!(admitted.scheme, "http");
    assert!(!admitted.has_body && !admitted.was_forwarded);
    assert_eq!(admitted.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.9"));
    assert!(admitted.headers.is_empty());
}

#[test]
fn the_default_port_is_that_of_the_scheme() {
    let mut received = ask(Version::HTTP_11, "GET", "/", &[("host", "a:443")]);
    received.connection = connection("192.0.2.9:1000", true);
    let admitted = admit(received, &Config::default()).expect("admitted");
    assert_eq!((admitted.scheme, admitted.host(), admitted.port()), ("https", "a", 443));
    let admitted = get("/", "a:443").expect("admitted");
    assert_eq!((admitted.host(), admitted.host_name(), admitted.port()), ("a:443", "a", 443));
}

#[test]
fn methods_that_make_proxies_are_refused() {
    let connect = ask(Version::HTTP_11, "CONNECT", "a:443", &[("host", "a:443")]);
    assert_eq!(cause(admit(connect, &Config::default())), Cause::Method);
    let trace = ask(Version::HTTP_2, "TRACE", "http://a/", &[]);
    assert_eq!(cause(admit(trace, &Config::default())), Cause::Method);
}

#[test]
fn authority_wins_on_h1_and_must_agree_on_h2() {
    let h1 = ask(Version::HTTP_11, "GET", "http://A.test?x", &[("host", "b.test")]);
    let admitted = admit(h1, &Config::default()).expect("admitted");
    assert_eq!((admitted.host(), admitted.path(), admitted.query()), ("a.test", "/", Some("x")));

    let h2 = |host| ask(Version::HTTP_2, "GET", "http://a.test/", &[("host", host)]);
    assert!(admit(h2("A.TEST:80"), &Config::default()).is_ok());
    assert_eq!(cause(admit(h2("b.test"), &Config::default())), Cause::Host);
}

#[test]
fn odd_hosts_are_refused_on_every_version() {
    for host in ["", "a b", "u@a", "a:70000", "a/b", "a,b@c"] {
        assert_eq!(cause(get("/", host)), Cause::Host, "{host:?}");
    }
    let userinfo = ask(Version::HTTP_2, "GET", "http://u:p@a/", &[]);
    assert_eq!(cause(admit(userinfo, &Config::default())), Cause::Host);
    let none = ask(Version::HTTP_10, "GET", "/", &[]);
    assert_eq!(cause(admit(none, &Config::default())), Cause::Host);
    let two = ask(Version::HTTP_11, "GET", "/", &[("host", "a"), ("host", "a")]);
    assert_eq!(cause(admit(two, &Config::default())), Cause::Host);
}

#[test]
fn asterisk_is_for_options_only() {
    let options = ask(Version::HTTP_11, "OPTIONS", "*", &[("host", "a")]);
    assert_eq!(admit(options, &Config::default()).expect("admitted").path(), "*");
    assert_eq!(cause(get("*", "a")), Cause::Malformed);
}

#[test]
fn forwarding_is_believed_from_trusted_peers_only() {
    let fields = [("host", "a"), ("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")];
    let received = || ask(Version::HTTP_11, "GET", "/", &fields);

    let stranger = admit(received(), &Config::default()).expect("admitted");
    assert_eq!(stranger.client.map(|ip| ip.to_string()).as_deref(), Some("192.0.2.9"));
    assert!(stranger.was_forwarded && stranger.forwarded.is_none());
    let mut told = HeaderMap::new();
    stranger.outbound().write(&mut told);
    assert_eq!(told["x-forwarded-for"], "192.0.2.9");
    assert_eq!(told["x-forwarded-proto"], "http");

    let config = Config {
        trusted_proxies: vec!["192.0.2.0/24".parse().expect("network")],
        ..Config::default()
    };
    let friend = admit(received(), &config).expect("admitted");
    assert_eq!(friend.client.map(|ip| ip.to_string()).as_deref(), Some("1.2.3.4"));
    assert!(friend.was_forwarded && friend.headers.is_empty());
    let mut told = HeaderMap::new();
    friend.outbound().write(&mut told);
    assert_eq!(told["x-forwarded-for"], "1.2.3.4, 192.0.2.9");
    assert_eq!(told["x-forwarded-proto"], "https");
}

#[test]
fn h2_heads_are_measured_after_decoding() {
    let crumbs = vec![("cookie", "a=1"); 200];
    let received = ask(Version::HTTP_2, "GET", "http://a/", &crumbs);
    assert_eq!(cause(admit(received, &Config::default())), Cause::HeadTooLarge);
}

#[test]
fn declared_content_is_a_fact() {
    let fields = [("host", "a"), ("content-length", "7"), ("connection", "content-length")];
    let admitted = admit(ask(Version::HTTP_11, "POST", "/", &fields), &Config::default());
    let admitted = admitted.expect("admitted");
    assert_eq!((admitted.has_body, admitted.content_length), (true, Some(7)));
    assert_eq!(admitted.headers["content-length"], "7");
}

/// What clients and proxies write about themselves: any bytes are read or refused, and what is read
/// is in its one form already.
#[test]
fn fuzz_hosts_paths_and_forwarding() {
    bolero::check!().for_each(|bytes: &[u8]| {
        for scheme in ["http", "https"] {
            if let Ok(host) = normal_host(bytes, scheme) {
                assert_eq!(normal_host(host.as_bytes(), scheme).as_ref(), Ok(&host));
            }
        }
        let slashed: Vec<u8> = [b"/", bytes].concat();
        if let Ok(target) = PathAndQuery::try_from(slashed.as_slice())
            && let Ok(normal) = normal_target(&target)
        {
            assert!(normal.path().starts_with('/') && !normal.path().contains("/../"));
            assert_eq!(normal_target(&normal), Ok(normal.clone()));
        }
        let Ok(value) = http::HeaderValue::from_bytes(bytes) else { return };
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"] {
            let mut headers = HeaderMap::new();
            headers.append(name, value.clone());
            let _told = Forwarded::read(&headers);
        }
    });
}
