//! A real Prometheus scrapes the node: what it computes is what happened.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use harness::parts::{self, Part};
use harness::scrape::Scrape;
use harness::{Client, Edge, Origin, eventually, temp};
use serde_json::Value;

/// Metrics of the contract. Those that need a disk, a purge or an error are made to appear below.
const CONTRACT: [&str; 20] = [
    "selvedge_requests_total",
    "selvedge_response_bytes_total",
    "selvedge_request_ttfb_seconds_bucket",
    "selvedge_request_ttfb_seconds_sum",
    "selvedge_request_ttfb_seconds_count",
    "selvedge_request_duration_seconds_bucket",
    "selvedge_request_duration_seconds_sum",
    "selvedge_request_duration_seconds_count",
    "selvedge_hit_ratio",
    "selvedge_byte_hit_ratio",
    "selvedge_origin_requests_total",
    "selvedge_origin_healthy",
    "selvedge_store_bytes",
    "selvedge_store_entries",
    "selvedge_store_evictions_total",
    "selvedge_store_errors_total",
    "selvedge_fills_in_flight",
    "selvedge_purges_total",
    "selvedge_purge_position",
    "selvedge_memory_bytes",
];

/// How often each value of the `cache` label is produced by [`produce`].
pub(crate) const AMOUNTS: [(&str, usize); 8] = [
    ("hit", 7),
    ("stale", 3),
    ("revalidated", 2),
    ("miss", 4),
    ("collapsed", 5),
    ("pass", 6),
    ("synthetic", 1),
    ("error", 2),
];

/// Lets the origin finish the answer that it holds back.
pub(crate) type Release = Arc<Mutex<Option<mpsc::Receiver<()>>>>;

pub(crate) fn origin(held: &Release) -> Origin {
    let held = Arc::clone(held);
    Origin::start(move |request, to| match request.target.as_str() {
        // Older than its lifetime when it comes, and usable while it is fetched anew.
        "/stale" => {
            let control = "max-age=60, stale-while-revalidate=600";
            to.send(200, &[("Cache-Control", control), ("Age", "100")], "stale");
        }
        "/revalidated" if request.field("if-none-match") == "\"v1\"" => {
            to.send(304, &[("Cache-Control", "no-cache"), ("ETag", "\"v1\"")], "");
        }
        "/revalidated" => {
            to.send(200, &[("Cache-Control", "no-cache"), ("ETag", "\"v1\"")], "revalidated");
        }
        "/collapsed" => {
            to.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\ncoll");
            let release = held.lock().expect("unpoisoned").take().expect("asked once");
            let _test_gone = release.recv();
            to.raw("apsed");
        }
        "/error" => to.close(),
        _ => to.cacheable("an answer"),
    })
}

/// A node whose site is named and lets this machine purge.
pub(crate) fn node(origin: &Origin, dir: &temp::Dir) -> Edge {
    let file = dir.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nmemory = \"64MiB\"\n\
         [[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n\
         purge_from = [\"127.0.0.0/8\"]\n",
        origin.url()
    );
    std::fs::write(&file, text).expect("a scratch directory takes files");
    Edge::configured(&file)
}

/// Makes exactly [`AMOUNTS`] happen.
pub(crate) fn produce(edge: &Edge, held: &Release) {
    let amount = |name| AMOUNTS.iter().find(|(it, _)| *it == name).expect("in the table").1;
    let expect = |path: &str, status: u16| {
        let answer = edge.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    };
    // Misses: one each of hit, stale, revalidated and collapsed.
    (0..=amount("hit")).for_each(|_| expect("/hit", 200));
    (0..=amount("revalidated")).for_each(|_| expect("/revalidated", 200));
    // Stale again whenever the fetch in the background ends: what it brings is as old.
    (0..=amount("stale")).for_each(|_| expect("/stale", 200));
    (0..amount("pass")).for_each(|_| {
        assert_eq!(edge.client().request("POST", "/pass", &[], b"form").status, 200);
    });
    (0..amount("error")).for_each(|_| expect("/error", 502));
    for _ in 0..amount("synthetic") {
        assert_eq!(edge.client().request("PURGE", "/gone", &[], b"").status, 200);
    }

    let (release, receiver) = mpsc::channel();
    *held.lock().expect("unpoisoned") = Some(receiver);
    let mut readers: Vec<Client> = (0..=amount("collapsed")).map(|_| edge.client()).collect();
    for reader in &mut readers {
        reader.send(b"GET /collapsed HTTP/1.1\r\nHost: test.example\r\n\r\n");
        // Whoever has a head has joined; the body is still on its way.
        let (status, fields) = reader.head().expect("the head goes out before the body is there");
        assert_eq!(status, 200, "{fields:?}");
    }
    drop(release);
    for reader in &mut readers {
        let mut body = Vec::new();
        while body.len() < 9 {
            body.extend(reader.read_some());
        }
        assert_eq!(body, b"collapsed");
    }
}

/// The amounts once every exchange is accounted for: the last counts move just after the client
/// has its last byte.
fn counted(edge: &Edge) -> Scrape {
    let total: usize = AMOUNTS.iter().map(|(_, amount)| amount).sum();
    eventually("all exchanges are counted", || {
        let metrics = edge.metrics();
        (metrics.count("selvedge_requests_total", &[]) >= total).then_some(metrics)
    })
}

#[test]
fn every_value_of_the_cache_label_is_counted_and_the_contract_is_kept() {
    let (held, dir) = (Release::default(), temp::dir());
    let origin = origin(&held);
    let edge = node(&origin, &dir);
    produce(&edge, &held);
    edge.purge("{\"everything\":true}");
    let metrics = counted(&edge);

    for (name, amount) in AMOUNTS {
        let label = format!("cache=\"{name}\"");
        let labels = ["site=\"shop\"", label.as_str()];
        for metric in [
            "selvedge_requests_total",
            "selvedge_request_duration_seconds_count",
            "selvedge_request_ttfb_seconds_count",
        ] {
            assert_eq!(metrics.count(metric, &labels), amount, "{metric} {name}");
        }
    }
    let bytes = |cache: &str| {
        let label = format!("cache=\"{cache}\"");
        metrics.count("selvedge_response_bytes_total", &[label.as_str()])
    };
    assert_eq!(bytes("hit"), 7 * "an answer".len());
    assert_eq!(bytes("collapsed"), 5 * "collapsed".len());
    let missing: Vec<_> = CONTRACT.iter().filter(|name| !metrics.has(name)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert!(metrics.has("selvedge_purge_apply_seconds_count"));
}

#[test]
fn prometheus_computes_the_ratio_that_was_produced() {
    let (held, dir) = (Release::default(), temp::dir());
    let origin = origin(&held);
    let edge = node(&origin, &dir);
    let prometheus = Prometheus::scraping(edge.admin, &dir);
    produce(&edge, &held);

    let sum = |names: &[&str]| -> f64 {
        AMOUNTS.iter().filter(|(it, _)| names.contains(it)).map(|(_, n)| *n as f64).sum()
    };
    let hits = sum(&["hit", "stale", "revalidated", "collapsed"]);
    let all = hits + sum(&["miss", "pass"]);
    let from_counters = "sum(selvedge_requests_total{cache=~\"hit|stale|revalidated|collapsed\"}) \
         / sum(selvedge_requests_total{cache=~\"hit|stale|revalidated|collapsed|miss|pass\"})";
    let close = |value: f64| (value - hits / all).abs() < 1e-9;
    prometheus.wait_until(from_counters, close);
    prometheus.wait_until("selvedge_hit_ratio{site=\"shop\"}", close);
    prometheus.wait_until("up", |value| (value - 1.0).abs() < f64::EPSILON);
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let (held, dir) = (Release::default(), temp::dir());
    let origin = origin(&held);
    let edge = node(&origin, &dir);
    produce(&edge, &held);
    edge.purge("{\"everything\":true}");
    let page = edge.admin("GET", "/metrics", "");
    assert!(page.field("content-type").starts_with("text/plain"), "{page:?}");
    let mut promtool = parts::command(&parts::program("promtool", "prometheus"));
    promtool.args(["check", "metrics"]);
    parts::filter(promtool, page.body);
}

/// A running Prometheus.
struct Prometheus {
    address: SocketAddr,
    _part: Part,
}

impl Prometheus {
    fn scraping(target: SocketAddr, dir: &temp::Dir) -> Self {
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [{{ job_name: edge, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        std::fs::write(&config, text).expect("a scratch directory takes files");
        let mut command = parts::command(&parts::program("prometheus", "prometheus"));
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("tsdb").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        let mut part = Part::spawn(command);
        let address = part.line("where Prometheus listens", |line| {
            let (_, rest) = line.split_once("msg=\"Listening on\" address=")?;
            rest.split(' ').next()?.parse().ok()
        });
        Self { address, _part: part }
    }

    /// The value of a query that has one, by its HTTP API.
    fn value(&self, query: &str) -> Option<f64> {
        let encoded = query.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let path = format!("/api/v1/query?query={encoded}");
        let host = self.address.to_string();
        let answer = Client::connect(self.address).request_to(&host, "GET", &path, &[], b"");
        if answer.status == 503 {
            return None; // not ready yet
        }
        let json = answer.json();
        assert_eq!(json["status"], "success", "{query}: {json}");
        let results = json["data"]["result"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        assert!(results.len() <= 1, "{query}: {json}");
        results.first()?["value"][1].as_str()?.parse().ok()
    }

    fn wait_until(&self, query: &str, is_right: impl Fn(f64) -> bool) {
        let mut last = None;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(query, || {
                last = self.value(query);
                last.filter(|value| is_right(*value))
            })
        }));
        assert!(found.is_ok(), "Prometheus has {last:?} for {query}");
    }
}
