//! A real browser loads a page with images through the TLS listener.

use harness::certificates;
use harness::parts;
use harness::{Edge, Origin, eventually, temp};

const IMAGES: usize = 12;

/// A picture whose size the page can tell.
const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"7\" height=\"5\"/>";

fn page() -> String {
    let image = |n: usize| format!("<img src=\"/images/{n}\">");
    let images = (0..IMAGES).map(image).collect::<Vec<_>>().concat();
    format!(
        "<!doctype html><title>waiting</title><link rel=icon href=\"data:,\"><body>{images}\
         <script>onload = () => {{ const drawn = [...document.images].filter(i => i.naturalWidth == 7);\
         document.title = `drew ${{drawn.length}}`; }}</script>"
    )
}

fn origin() -> Origin {
    let page = page();
    Origin::start(move |request, to| {
        let (kind, body) = if request.target.starts_with("/images/") {
            ("image/svg+xml", SVG)
        } else {
            ("text/html; charset=utf-8", page.as_str())
        };
        to.send(200, &[("Cache-Control", "max-age=60"), ("Content-Type", kind)], body);
    })
}

/// Loads a page with a browser that has never been anywhere, and gives the document as drawn.
fn browse(url: &str) -> String {
    let profile = temp::dir();
    // The browser's own deadline is the command's: `timeout` ends it with its children.
    let mut command = parts::command(&parts::program("timeout", "coreutils"));
    command
        .args(["--kill-after=5", "90"])
        .arg(parts::program("chromium", "chromium"))
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--no-proxy-server", "--ignore-certificate-errors"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", url]);
    String::from_utf8_lossy(&parts::output(command)).into_owned()
}

#[test]
fn a_browser_draws_the_page_and_the_second_visit_is_all_hits() {
    let origin = origin();
    let scratch = temp::dir();
    let identity = certificates::issue(scratch.path(), &["localhost"]);
    let tls = identity.arguments();
    let url = origin.url();
    let arguments = [&["--origin", url.as_str(), "--access-log"], tls.as_slice()].concat();
    let edge = Edge::start(&arguments);
    let page = format!("https://localhost:{}/", edge.tls.expect("a TLS listener").port());
    let requests = IMAGES + 1;

    let first = browse(&page);
    assert!(first.contains(&format!("<title>drew {IMAGES}</title>")), "{first}");
    assert_eq!(origin.count(), requests, "everything was fetched once");
    let before = edge.metrics().count("selvedge_requests_total", &["cache=\"hit\""]);

    let second = browse(&page);
    assert!(second.contains(&format!("<title>drew {IMAGES}</title>")), "{second}");
    assert_eq!(origin.count(), requests, "and never again");
    let hits = eventually("the second visit is counted", || {
        let hits = edge.metrics().count("selvedge_requests_total", &["cache=\"hit\""]) - before;
        (hits >= requests).then_some(hits)
    });
    assert_eq!(hits, requests);

    let lines = eventually("every request is in the access log", || {
        let lines = edge.stdout();
        (lines.len() >= 2 * requests).then_some(lines)
    });
    let over_http2 = lines.iter().filter(|line| line.contains("\"protocol\":\"HTTP/2\"")).count();
    assert_eq!(over_http2, lines.len(), "{lines:#?}");
}
