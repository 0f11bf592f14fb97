//! What the node says of itself: the access log and the numbers.

use harness::{ConfigFile, Edge, Origin, config, eventually};
use serde_json::Value;

/// Waits for so many lines of the access log; each must be JSON.
fn lines(edge: &Edge, count: usize) -> Vec<Value> {
    let lines = eventually("the access log has the lines", || {
        let lines = edge.stdout();
        (lines.len() >= count).then_some(lines)
    });
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// Waits until the node has counted: an exchange ends a little after its client has all bytes.
fn counted(edge: &Edge, name: &str, labels: &[&str], value: usize) {
    eventually(&format!("{name} {labels:?} is {value}"), || {
        (edge.metrics().count(name, labels) >= value).then_some(())
    });
    assert_eq!(edge.metrics().count(name, labels), value, "{name} {labels:?}");
}

#[test]
fn every_exchange_is_one_line_of_json() {
    let origin = Origin::constant("hello");
    let edge = Edge::start(&["--origin", &origin.url(), "--access-log", "--workers", "1"]);
    edge.get("/a?b=1");
    edge.get_with("/a?b=1", &[("User-Agent", "test/1"), ("Referer", "http://r.example/")]);
    edge.client().request("TRACE", "/", &[], b"");
    let lines = lines(&edge, 3);
    let get = |n: usize, name: &str| lines[n][name].clone();
    assert_eq!(
        (get(0, "cache"), get(1, "cache"), get(2, "cache")),
        ("miss".into(), "hit".into(), "error".into())
    );
    assert_eq!(
        (get(1, "method"), get(1, "host"), get(1, "target")),
        ("GET".into(), "test.example".into(), "/a?b=1".into())
    );
    assert_eq!(
        (get(1, "status"), get(1, "bytes"), get(1, "protocol")),
        (200.into(), 5.into(), "HTTP/1.1".into())
    );
    assert_eq!(
        (get(1, "user_agent"), get(1, "referer")),
        ("test/1".into(), "http://r.example/".into())
    );
    assert_eq!((get(1, "delivery"), get(1, "client")), ("complete".into(), "127.0.0.1".into()));
    assert_eq!((get(2, "status"), get(2, "error")), (405.into(), "method".into()));
    assert!(get(0, "origin").is_string() && get(1, "origin").is_null());
}

#[test]
fn what_never_became_a_request_is_a_line_too() {
    let origin = Origin::constant("x");
    let edge = Edge::start(&["--origin", &origin.url(), "--access-log", "--workers", "1"]);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n");
    let answer = client.response(false);
    assert_eq!(answer.status, 400);
    drop(client);
    let line = &lines(&edge, 1)[0];
    assert_eq!((&line["status"], &line["cache"]), (&400.into(), &"error".into()), "{line}");
    assert_eq!((&line["client"], &line["delivery"]), (&"127.0.0.1".into(), &"complete".into()));
    assert_eq!(line["bytes"], answer.body.len(), "{line}");
    assert!(line["error"].is_string(), "{line}");
    counted(&edge, "selvedge_requests_total", &["site=\"-\"", "cache=\"error\""], 1);
}

#[test]
fn hostile_bytes_stay_inside_of_their_line() {
    let origin = Origin::constant("x");
    let edge = Edge::start(&["--origin", &origin.url(), "--access-log", "--workers", "1"]);
    let mut client = edge.client();
    let ask = b"GET /%0a%22 HTTP/1.1\r\nHost: a\r\nUser-Agent: \"}\\ [31m\t\xff\xfe\xe2\x80\xa8\r\nReferer: {\"a\":\"b\"}\r\n\r\n";
    client.send(ask);
    client.response(false);
    edge.get("/second");
    let lines = lines(&edge, 2);
    assert_eq!(lines.len(), 2);
    assert!(edge.stdout().iter().all(|line| !line.chars().any(char::is_control)));
    assert_eq!(lines[1]["target"], "/second");
}

#[test]
fn a_refused_head_is_counted() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.send(b"GET / HTTP/1.1\nHost: a\r\n\r\n");
    client.response(false);
    counted(&edge, "selvedge_gate_refusals_total", &[], 1);
}

#[test]
fn the_access_log_goes_to_a_file_that_is_opened_again_on_sighup() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new("", "");
    let (log, moved) = (file.folder().join("access.log"), file.folder().join("access.log.1"));
    file.rewrite("access_log = \"./access.log\"", &config::site(&[&origin], ""));
    let edge = file.start();
    edge.get("/before");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap_or_default();
    eventually("the line is written", || read(&log).contains("/before").then_some(()));
    std::fs::rename(&log, &moved).expect("a file can be renamed");
    edge.signal("HUP");
    eventually("the file is made anew", || log.exists().then_some(()));
    edge.get("/after");
    eventually("the line is written", || read(&log).contains("/after").then_some(()));
    assert!(!read(&moved).contains("/after") && !read(&log).contains("/before"));
}

#[test]
fn without_the_flag_standard_output_is_silent() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    counted(&edge, "selvedge_requests_total", &[], 1);
    assert!(edge.stdout().is_empty());
}

#[test]
fn the_metrics_that_dashboards_depend_on_are_there() {
    let origin = Origin::constant("x");
    let edge = Edge::before(&origin);
    edge.get("/");
    edge.get("/");
    counted(&edge, "selvedge_requests_total", &[], 2);
    edge.purge(r#"{"everything":true}"#);
    let numbers = edge.metrics();
    for name in [
        "selvedge_requests_total",
        "selvedge_response_bytes_total",
        "selvedge_request_ttfb_seconds_count",
        "selvedge_request_duration_seconds_bucket",
        "selvedge_hit_ratio",
        "selvedge_byte_hit_ratio",
        "selvedge_origin_requests_total",
        "selvedge_origin_healthy",
        "selvedge_store_bytes",
        "selvedge_store_entries",
        "selvedge_store_evictions_total",
        "selvedge_fills_in_flight",
        "selvedge_purges_total",
        "selvedge_purge_position",
        "selvedge_purge_apply_seconds_count",
        "selvedge_memory_bytes",
    ] {
        assert!(numbers.has(name), "{name}");
    }
    for (cache, count) in [("hit", 1), ("miss", 1)] {
        counted(&edge, "selvedge_requests_total", &[&format!("cache=\"{cache}\"")], count);
    }
    counted(&edge, "selvedge_purges_total", &["selector=\"everything\""], 1);
}

#[test]
fn a_hostile_host_mints_no_label() {
    let origin = Origin::constant("x");
    let file = ConfigFile::new(
        "",
        &config::site(&[&origin], "").replace("hosts = [\"*\"]", "hosts = [\"a.example\"]"),
    );
    let edge = file.start();
    for n in 0..200 {
        let host = format!("h{n}.evil.example");
        assert_eq!(edge.client().request_to(&host, "GET", "/", &[], b"").status, 421);
    }
    let page = edge.admin("GET", "/metrics", "").text();
    assert!(!page.contains("evil"));
    counted(&edge, "selvedge_errors_total", &["cause=\"unknown_host\""], 200);
}

#[test]
fn failures_are_counted_by_their_cause() {
    let origin = Origin::start(|_, to| to.close());
    let edge = Edge::before(&origin);
    assert_eq!(edge.get("/").status, 502);
    counted(&edge, "selvedge_errors_total", &["cause=\"origin_broke\""], 1);
    counted(&edge, "selvedge_requests_total", &["cache=\"error\""], 1);
    assert!(edge.metrics().count("selvedge_origin_requests_total", &[]) >= 1);
}

#[test]
fn the_log_of_the_process_is_json_where_nobody_watches() {
    let origin = Origin::constant("x");
    let mut edge = Edge::before(&origin);
    edge.signal("TERM");
    edge.wait();
    edge.logged("stopped");
    for line in edge.log() {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["message"].is_string());
    }
}
