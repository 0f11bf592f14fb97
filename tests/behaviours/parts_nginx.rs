//! Two real nginx serve a real tree through the node: thousands of files of real types and sizes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::nginx::Nginx;
use harness::{Client, Edge, Response, certificates, curl, parts};

/// Every Debian has it, with text, HTML, gzip, images and odd names.
const TREE: &str = "/usr/share/doc";

/// Files that are asked for, at most.
const FILES_MAX: usize = 6000;

/// A file of the tree.
struct Document {
    path: PathBuf,
    /// Its name below the tree as a URL's path.
    target: String,
    bytes: Vec<u8>,
}

/// Fields that must come through unchanged.
const KEPT: [&str; 5] =
    ["content-type", "content-length", "etag", "last-modified", "accept-ranges"];

fn documents() -> Vec<Document> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(TREE)];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found.truncate(FILES_MAX);
    let documents: Vec<_> = found
        .into_iter()
        .filter_map(|path| {
            let below = path.strip_prefix(TREE).expect("found below it");
            let target = target(below.as_os_str().as_bytes());
            let bytes = std::fs::read(&path).ok()?;
            Some(Document { path, target, bytes })
        })
        .collect();
    assert!(documents.len() > 50, "{TREE} holds {} files", documents.len());
    documents
}

/// A path with everything but unreserved characters (RFC 3986 §2.3) encoded.
fn target(path: &[u8]) -> String {
    path.iter().fold("/".to_owned(), |mut target, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            target.push(char::from(byte));
        } else {
            write!(target, "%{byte:02X}").expect("a String takes every write");
        }
        target
    })
}

/// A pool of two nginx before a node with room for the whole tree.
fn pool(more: &[&str]) -> (Nginx, Nginx, Edge) {
    let [a, b] = [Nginx::serving(Path::new(TREE)), Nginx::serving(Path::new(TREE))];
    let (url_a, url_b) = (a.url(), b.url());
    let arguments = [&["--origin", &url_a, "--origin", &url_b, "--memory", "1GiB"], more].concat();
    let edge = Edge::start(&arguments);
    (a, b, edge)
}

fn get(client: &mut Client, document: &Document, fields: &[(&str, &str)]) -> Response {
    client.request("GET", &document.target, fields, b"")
}

/// Two answers to the same request.
fn assert_same(through: &Response, direct: &Response, document: &Document) {
    let name = document.path.display();
    assert_eq!(through.status, direct.status, "{name}");
    assert!(
        through.body == direct.body,
        "{name}: {} bytes, not {}",
        through.body.len(),
        direct.body.len()
    );
    for field in KEPT {
        assert_eq!(through.field(field), direct.field(field), "{field} of {name}");
    }
}

#[test]
fn every_file_is_what_nginx_gives_cold_and_hot() {
    let documents = documents();
    let (nginx, _other, edge) = pool(&[]);
    let mut direct = Client::connect(nginx.address);
    let mut through = edge.client();
    for document in &documents {
        let truth = get(&mut direct, document, &[]);
        assert!(truth.status == 200 && truth.body == document.bytes, "{}", document.path.display());
        assert_same(&get(&mut through, document, &[]), &truth, document);
    }
    let mut hits = 0;
    for document in &documents {
        let truth = get(&mut direct, document, &[]);
        let answer = get(&mut through, document, &[]);
        assert_same(&answer, &truth, document);
        hits += usize::from(answer.is_hit());
    }
    assert!(hits == documents.len(), "{hits} of {} came from the cache", documents.len());
}

#[test]
fn every_file_is_the_same_over_tls_and_http2() {
    let documents = documents();
    let scratch = harness::temp::dir();
    let identity = certificates::issue(scratch.path(), &["edge.example"]);
    let (_a, _b, edge) = pool(&identity.arguments());
    let at = edge.tls.expect("a TLS listener");
    let to = format!("::{}:{}", at.ip(), at.port());
    let ca = identity.ca.display().to_string();
    let way = ["--cacert", ca.as_str(), "--connect-to", to.as_str(), "--http2"];

    for round in ["cold", "hot"] {
        let folder = scratch.path().join(round);
        std::fs::create_dir(&folder).expect("a scratch directory takes folders");
        let files: Vec<_> = (0..documents.len()).map(|n| folder.join(n.to_string())).collect();
        let urls = documents.iter().map(|it| format!("https://edge.example{}", it.target));
        curl::fetch_all(&way, urls.zip(files.iter().map(PathBuf::as_path)));
        for (document, file) in documents.iter().zip(&files) {
            // curl makes no file of an empty body.
            let got = std::fs::read(file).unwrap_or_default();
            assert!(got == document.bytes, "{round}: {}", document.path.display());
        }
    }
    let hits = edge.metrics().count("selvedge_requests_total", &["cache=\"hit\""]);
    assert!(hits == documents.len(), "{hits} of {} hits", documents.len());
}

#[test]
fn gzip_and_identity_are_never_mixed() {
    let documents = documents();
    let (_a, _b, edge) = pool(&[]);
    let mut client = edge.client();
    let chosen: Vec<_> = documents
        .iter()
        .filter(|it| (512..200_000).contains(&it.bytes.len()))
        .filter(|it| it.path.extension().is_none_or(|ending| ending != "gz"))
        .take(400)
        .collect();
    // Cold and hot, and each coding first for half of the files.
    let mut zipped = Vec::new();
    let mut plain = Vec::new();
    for round in 0..2 {
        for (number, document) in chosen.iter().enumerate() {
            let codings = if number % 2 == 0 { ["gzip", "identity"] } else { ["identity", "gzip"] };
            for coding in codings {
                let answer = get(&mut client, document, &[("Accept-Encoding", coding)]);
                let name = document.path.display();
                assert_eq!(answer.status, 200, "{name}");
                assert!(answer.field("vary").eq_ignore_ascii_case("accept-encoding"), "{name}");
                assert_eq!(answer.is_hit(), round == 1, "{name} as {coding} in round {round}");
                if coding == "gzip" {
                    assert_eq!(answer.field("content-encoding"), "gzip", "{name}");
                    zipped.extend(answer.body);
                    plain.extend_from_slice(&document.bytes);
                } else {
                    assert_eq!(answer.field("content-encoding"), "", "{name}");
                    assert!(answer.body == document.bytes, "{name}");
                }
            }
        }
    }
    // Members of gzip one after another are one file (RFC 1952 §2.2).
    let mut gunzip = parts::command(&parts::program("gzip", "gzip"));
    gunzip.args(["--decompress", "--stdout"]);
    assert!(parts::filter(gunzip, zipped) == plain, "something else came out of the gzip bodies");
}

#[test]
fn ranges_of_hot_objects_are_slices_of_them() {
    let documents = documents();
    let (_a, _b, edge) = pool(&[]);
    let mut client = edge.client();
    for (number, document) in
        documents.iter().filter(|it| it.bytes.len() > 16).take(500).enumerate()
    {
        let whole = get(&mut client, document, &[]);
        assert_eq!(whole.status, 200);
        let length = document.bytes.len();
        let (from, to) = (number * 7919 % length, length - 1 - number * 104_729 % (length / 2));
        let (from, to) = (from.min(to), from.max(to));
        let ranges = [
            (format!("bytes={from}-{to}"), from..to + 1),
            (format!("bytes={from}-"), from..length),
            ("bytes=-7".to_owned(), length - 7..length),
            (format!("bytes={from}-{}", length + 9), from..length),
        ];
        for (range, slice) in ranges {
            let answer = get(&mut client, document, &[("Range", range.as_str())]);
            let name = format!("{range} of {}", document.path.display());
            assert_eq!(answer.status, 206, "{name}");
            assert!(answer.is_hit(), "{name}");
            let expected = format!("bytes {}-{}/{length}", slice.start, slice.end - 1);
            assert_eq!(answer.field("content-range"), expected, "{name}");
            assert!(answer.body == document.bytes[slice], "{name}");
            assert_eq!(answer.field("etag"), whole.field("etag"), "{name}");
        }
    }
}

#[test]
fn the_death_of_one_nginx_fails_no_get() {
    let documents = documents();
    let small: Vec<_> = documents.iter().filter(|it| it.bytes.len() < 16_384).take(50).collect();
    let (a, b, edge) = pool(&[]);
    let address = edge.address;
    let (clients, each) = (4, 300);
    let done = AtomicUsize::new(0);
    let begun = Barrier::new(clients + 1);
    let small = &small;
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (done, begun) = (&done, &begun);
            scope.spawn(move || ask_cold(address, client, each, small, done, begun));
        }
        begun.wait();
        harness::eventually("a third of the requests", || {
            (done.load(Ordering::Relaxed) >= clients * each / 3).then_some(())
        });
        a.kill();
    });
    assert_eq!(done.into_inner(), clients * each);
    // Both had their share before; the one that lived had the rest.
    let metrics = edge.metrics();
    let asked = |origin: SocketAddr| {
        metrics.count(
            "selvedge_origin_requests_total",
            &[format!("origin=\"http://{origin}\"").as_str()],
        )
    };
    assert!(asked(b.address) > clients * each / 2, "{}", asked(b.address));
}

/// Asks for small files under ever new queries, so that each goes to an origin.
fn ask_cold(
    edge: SocketAddr,
    client: usize,
    each: usize,
    small: &[&Document],
    done: &AtomicUsize,
    begun: &Barrier,
) {
    let mut connection = Client::connect(edge);
    begun.wait();
    for number in 0..each {
        let document = small[number % small.len()];
        let target = format!("{}?{client}-{number}", document.target);
        let answer = connection.request("GET", &target, &[], b"");
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert!(answer.body == document.bytes, "{target}");
        done.fetch_add(1, Ordering::Relaxed);
    }
}
