//! What a proxy does to a message: the origin's socket gets a request that is written anew, the
//! client an answer that is.

use harness::{ConfigFile, Edge, Origin, config};

#[test]
fn the_request_to_the_origin_is_written_anew() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(
        b"POST http://Test.Example/a?b=1 HTTP/1.1\r\nhOsT: Test.Example\r\n\
          Connection: close, X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\n\
          Trailer: X-T\r\nX-Kept:   padded  \r\nTransfer-Encoding: chunked\r\n\r\n\
          2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
    );
    assert_eq!(client.response(false).status, 200);
    let seen = &origin.requests()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/a?b=1"));
    assert_eq!((seen.count("host"), seen.field("host")), (1, "test.example"));
    for gone in ["x-secret", "keep-alive", "proxy-connection", "proxy-authorization", "trailer"] {
        assert_eq!(seen.count(gone), 0, "{gone}");
    }
    assert_eq!(seen.field("x-kept"), "padded");
    assert_eq!(seen.body, b"abcde");
    assert_eq!(seen.count("content-length") + seen.count("transfer-encoding"), 1);
    assert!(seen.field("via").contains("1.1 selvedge"), "{:?}", seen.field("via"));
}

#[test]
fn connection_can_remove_neither_host_nor_framing_nor_what_the_edge_says() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nCookie: c=1\r\n\
          Connection: Host, Content-Length, Transfer-Encoding, X-Forwarded-For, Via, Forwarded\r\n\
          \r\nhello",
    );
    assert_eq!(client.response(false).status, 200);
    let seen = &origin.requests()[0];
    assert_eq!((seen.field("host"), seen.body.as_slice()), ("a", &b"hello"[..]));
    assert_eq!(seen.field("content-length"), "5");
    for said in ["x-forwarded-for", "via", "forwarded"] {
        assert_eq!(seen.count(said), 1, "{said}");
    }
}

#[test]
fn what_a_stranger_says_about_forwarding_is_overwritten() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get_with(
        "/",
        &[
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Port", "444"),
            ("X-Real-IP", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
        ],
    );
    let seen = &origin.requests()[0];
    assert_eq!(seen.field("x-forwarded-for"), "127.0.0.1");
    assert_eq!(seen.field("x-forwarded-proto"), "http");
    assert_eq!(seen.field("x-forwarded-host"), "test.example");
    assert!(seen.field("forwarded").contains("for=127.0.0.1"), "{:?}", seen.field("forwarded"));
    let head = String::from_utf8_lossy(&seen.raw_head).into_owned();
    assert!(!head.contains("6.6.6.6") && !head.contains("evil") && !head.contains("444"), "{head}");
}

#[test]
fn what_a_trusted_proxy_says_about_forwarding_is_believed() {
    let origin = Origin::constant("x");
    let file =
        ConfigFile::new("trusted_proxies = [\"127.0.0.0/8\"]", &config::site(&[&origin], ""));
    let edge = file.start();
    edge.get_with("/", &[("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]);
    let seen = &origin.requests()[0];
    assert_eq!(seen.field("x-forwarded-for"), "6.6.6.6, 127.0.0.1");
    assert_eq!(seen.field("x-forwarded-proto"), "https");
}

#[test]
fn fields_that_override_target_or_method_are_removed() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let fields = [
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-Host", "evil.example"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Forwarded-Server", "evil.example"),
        ("X-Forwarded-Prefix", "/admin"),
    ];
    edge.get_with("/", &fields);
    let seen = &origin.requests()[0];
    for (name, _) in fields {
        assert_eq!(seen.count(&name.to_ascii_lowercase()), 0, "{name}");
    }
}

#[test]
fn there_is_exactly_one_valid_host() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    for (target, fields) in [
        ("/", ""),
        ("/", "Host: a\r\nHost: a\r\n"),
        ("/", "Host: a\r\nHost: b\r\n"),
        ("/", "Host:\r\n"),
        ("/", "Host: a b\r\n"),
        ("/", "Host: user@a\r\n"),
        ("/", "Host: a/b\r\n"),
        ("/", "Host: a:70000\r\n"),
        ("/", "Host: a:port\r\n"),
        ("/", "Host: a:-1\r\n"),
        ("/", "Host: a#b\r\n"),
        ("/", "Host: a?b\r\n"),
        ("/", "Host: a\\b\r\n"),
        ("/", "Host: a,b@c\r\n"),
        ("/", "Host: [::1\r\n"),
        ("/", "Host: ::1\r\n"),
        ("/", "Host: http://a\r\n"),
        ("/", "Host: :\r\n"),
        ("/", "Host: %00\r\n"),
        ("http://user@a/", "Host: a\r\n"),
        ("http://user:pass@a/", "Host: a\r\n"),
        ("http:///", "Host: a\r\n"),
        ("http://a:99999/", "Host: a\r\n"),
        ("http://a/", ""),
    ] {
        let mut client = edge.client();
        client.send(format!("GET {target} HTTP/1.1\r\n{fields}\r\n").as_bytes());
        let answer = client.response(false);
        assert_eq!(answer.status, 400, "{target} {fields:?}");
        assert!(client.is_closed() || answer.status == 400, "{target} {fields:?}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_authority_of_an_absolute_target_wins_over_host() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"GET http://one.example:80/p HTTP/1.1\r\nHost: two.example\r\n\r\n");
    assert_eq!(client.response(false).status, 200);
    let seen = &origin.requests()[0];
    assert_eq!((seen.target.as_str(), seen.field("host")), ("/p", "one.example"));
    let again = client.request_to("two.example", "GET", "/p", &[], b"");
    assert!(!again.is_hit(), "the key must not have been two.example");
}

#[test]
fn a_host_that_no_site_names_is_misdirected() {
    let (shop, wild, origin) =
        (Origin::constant("shop"), Origin::constant("wild"), Origin::constant("deep"));
    let table = |name: &str, host: &str, origin: &Origin| {
        format!(
            "[[site]]\nname = \"{name}\"\nhosts = [\"{host}\"]\norigins = [\"{}\"]\n",
            origin.url()
        )
    };
    let file = ConfigFile::new(
        "",
        &[
            table("shop", "shop.example", &shop),
            table("wild", "*.shop.example", &wild),
            table("deep", "deep.shop.example", &origin),
        ]
        .concat(),
    );
    let edge = file.start();
    let ask = |host: &str| {
        let answer = edge.client().request_to(host, "GET", "/", &[], b"");
        if answer.status == 200 { answer.text() } else { answer.status.to_string() }
    };
    let answers: Vec<String> = [
        "shop.example",
        "SHOP.Example:80",
        "a.shop.example",
        "deep.shop.example",
        "other.example",
        "notshop.example",
        "shop.example.evil",
    ]
    .into_iter()
    .map(ask)
    .collect();
    assert_eq!(answers, ["shop", "shop", "wild", "deep", "421", "421", "421"]);
    let minted = edge.metrics();
    assert!(minted.series("selvedge_requests_total").all(|(series, _)| !series.contains("evil")));
}

#[test]
fn what_is_normalised_in_the_key_is_normalised_in_the_request_too() {
    let origin = Origin::start(|request, to| to.cacheable(&request.target));
    let edge = Edge::before(&origin);
    assert_eq!(edge.get("/a/../b/./%7ec?q=1").text(), "/b/~c?q=1");
    let same = edge.client().request_to("TEST.example:80", "GET", "/b/~c?q=1", &[], b"");
    assert!(same.is_hit());
    for (host, path) in [
        ("test.example", "/B/~c?q=1"),
        ("test.example", "/b/~c?q=2"),
        ("test.example", "/b/~c?"),
        ("test.example", "/b/~c"),
        ("test.example", "/b%2f~c?q=1"),
        ("test.example", "/b//~c?q=1"),
        ("test.example:81", "/b/~c?q=1"),
        ("other.example", "/b/~c?q=1"),
    ] {
        let other = edge.client().request_to(host, "GET", path, &[], b"");
        assert!(!other.is_hit(), "{host} {path}");
    }
}

#[test]
fn a_path_cannot_climb_out_of_the_root() {
    let origin = Origin::start(|request, to| to.cacheable(&request.target));
    let edge = Edge::before(&origin);
    for path in ["/../../etc/passwd", "/%2e%2e/x", "/a/%2E./b", "/..", "/.%2e/.%2e/x"] {
        let answer = edge.get(path);
        let text = answer.text().to_ascii_lowercase();
        let climbs = text.split('/').any(|step| matches!(step, ".." | "%2e%2e" | ".%2e" | "%2e."));
        assert!(answer.status == 400 || !climbs, "{path} became {text}");
    }
}

#[test]
fn an_odd_request_field_does_not_force_a_miss() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    for field in [
        ("Accept-Encoding", "gzip;q=1e9, ;;;bogus"),
        ("X-Unknown", "\"unbalanced"),
        ("Accept", "*"),
        ("Accept-Language", ",,,"),
        ("Range-Unit", "x"),
        ("DNT", "1"),
        ("Cookie", "a=b"),
    ] {
        assert!(edge.get_with("/", &[field]).is_hit(), "{field:?}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_answer_to_a_get_with_a_body_is_not_stored() {
    let origin = Origin::start(|request, to| {
        to.cacheable([request.body.as_slice(), b"!"].concat());
    });
    let edge = Edge::before(&origin);
    let first = edge.client().request("GET", "/", &[], b"poison");
    assert!(first.status >= 400 || first.text() == "poison!");
    assert_eq!(edge.get("/").text(), "!");
}

#[test]
fn errors_without_a_lifetime_are_not_stored() {
    let origin = Origin::start(|request, to| {
        let status = request.target[1..].parse().expect("a status");
        to.send(status, &[], "an error");
    });
    let edge = Edge::before(&origin);
    for status in [400_u16, 403, 404, 405, 410, 414, 421, 429, 451, 500, 501, 502, 503, 504] {
        for _ in 0..2 {
            let answer = edge.get(&format!("/{status}"));
            assert_eq!((answer.status, answer.is_hit()), (status, false));
        }
    }
    assert_eq!(origin.count(), 28);
}

#[test]
fn fields_of_the_origins_connection_do_not_reach_the_client() {
    let origin = Origin::start(|_, to| {
        to.send(
            200,
            &[
                ("Cache-Control", "max-age=60"),
                ("Connection", "X-Private, keep-alive"),
                ("X-Private", "1"),
                ("Keep-Alive", "timeout=9"),
                ("Proxy-Connection", "keep-alive"),
                ("Upgrade", "h2c"),
                ("X-Public", "1"),
            ],
            "x",
        );
    });
    let edge = Edge::before(&origin);
    for hit in [false, true] {
        let answer = edge.get("/");
        assert_eq!(answer.is_hit(), hit);
        for gone in ["x-private", "keep-alive", "proxy-connection", "upgrade"] {
            assert!(answer.all(gone).is_empty(), "{gone} of a hit: {hit}");
        }
        assert_eq!(answer.field("x-public"), "1");
        assert!(answer.field("via").contains("selvedge"));
    }
}
