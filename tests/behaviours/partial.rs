//! Responses of which only parts are stored: bodies that broke off and 206s, how they answer what
//! they can, and how they become whole (RFC 9111 §3.3, §3.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use harness::client::Ending;
use harness::config::{ConfigFile, site};
use harness::origin::{Request, Responder};
use harness::{Client, Edge, Latch, Origin, Response, content, eventually};

const LENGTH: usize = 200_000;

/// The bytes that a `Range` with one range asks for.
fn asked(request: &Request, length: usize) -> Option<(usize, usize)> {
    let (first, last) = request.field("range").strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<usize>().ok();
    Some(match (number(first), number(last)) {
        (Some(first), last) => (first, last.unwrap_or(length - 1).min(length - 1)),
        (None, last) => (length - last?, length - 1),
    })
}

/// Answers as a good origin does: the range if one is asked for, and only of this version.
fn serve(request: &Request, to: &mut Responder<'_>, tag: &str, more: &[(&str, &str)]) {
    let whole = content(&format!("{}{tag}", request.target), LENGTH);
    let mut fields = vec![("Cache-Control", "max-age=60")];
    if !tag.is_empty() {
        fields.push(("ETag", tag));
    }
    fields.extend(more);
    let if_range = request.field("if-range");
    match asked(request, LENGTH).filter(|_| if_range.is_empty() || if_range == tag) {
        Some((first, _)) if first >= LENGTH => {
            to.send(416, &[("Content-Range", &format!("bytes */{LENGTH}"))], "");
        }
        Some((first, last)) => {
            let range = format!("bytes {first}-{last}/{LENGTH}");
            fields.push(("Content-Range", &range));
            to.send(206, &fields, &whole[first..=last]);
        }
        None => to.send(200, &fields, whole),
    }
}

/// Sends the beginning of a body and hangs up.
fn cut(request: &Request, to: &mut Responder<'_>, tag: &str, at: usize) {
    let whole = content(&format!("{}{tag}", request.target), LENGTH);
    to.raw(format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: {tag}\r\nContent-Length: {LENGTH}\r\n\r\n"
    ));
    to.raw(&whole[..at]);
    to.break_off();
}

fn range(edge: &Edge, path: &str, value: &str) -> Response {
    edge.get_with(path, &[("Range", value)])
}

/// A site that asks its origin for what clients ask for.
fn asking(origin: &Origin, more: &str) -> Edge {
    let more = format!("[site.ranges]\nfetch = \"asked\"\n{more}");
    ConfigFile::new("", &site(&[origin], &more)).start()
}

/// Asks until the answer comes from the cache.
fn hit(edge: &Edge, path: &str, value: &str) -> Response {
    eventually("a hit", || Some(range(edge, path, value)).filter(Response::is_hit))
}

fn bytes_of(request: &Request) -> String {
    format!("{} {}", request.field("range"), request.field("if-range"))
}

#[test]
fn a_body_that_broke_off_answers_what_it_can_and_is_completed_with_the_rest_alone() {
    let origin = Origin::start(|request, to| match request.number {
        0 => cut(request, to, "\"v1\"", 150_000),
        _ => serve(request, to, "\"v1\"", &[]),
    });
    let edge = Edge::before(&origin);
    let whole = content("/a\"v1\"", LENGTH);
    let broken = edge.get("/a");
    assert_ne!(broken.ending, Ending::Clean, "half a body looks whole");
    // What is there answers, and says that it was there.
    let inside = hit(&edge, "/a", "bytes=140000-149999");
    assert_eq!((inside.status, &inside.body[..]), (206, &whole[140_000..150_000]));
    assert_eq!(inside.field("content-range"), format!("bytes 140000-149999/{LENGTH}"));
    assert_eq!(range(&edge, "/a", "bytes=200000-").status, 416);
    assert_eq!(origin.count(), 1);

    let completed = edge.get("/a");
    assert_eq!((completed.status, completed.body == whole), (200, true));
    assert_eq!(completed.field("content-length"), LENGTH.to_string());
    assert!(completed.field("cache-status").contains("fwd=partial; fwd-status=206"));
    assert_eq!(bytes_of(&origin.requests()[1]), "bytes=150000-199999 \"v1\"");
    let again = eventually("a hit", || Some(edge.get("/a")).filter(Response::is_hit));
    assert!(again.body == whole);
    assert!(hit(&edge, "/a", "bytes=149990-150009").body == whole[149_990..150_010]);
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_head_and_a_client_with_another_version_are_not_answered_by_a_part() {
    let origin = Origin::start(|request, to| match request.number {
        0 => cut(request, to, "\"v1\"", 150_000),
        _ => serve(request, to, "\"v1\"", &[]),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    hit(&edge, "/a", "bytes=0-9");
    let fields = [("Range", "bytes=0-9"), ("If-Range", "\"v1\"")];
    assert!(edge.get_with("/a", &fields).is_hit());
    let head = edge.client().request("HEAD", "/a", &[], b"");
    assert!(!head.is_hit(), "{head:?}");
    let other = edge.get_with("/a", &[("Range", "bytes=0-9"), ("If-Range", "\"v0\"")]);
    assert_eq!((other.status, other.body.len(), other.is_hit()), (200, LENGTH, false));
}

#[test]
fn the_rest_of_another_version_is_never_put_behind_the_first() {
    type Second = fn(&Request, &mut Responder<'_>);
    let seconds: [Second; 4] = [
        // A good origin: If-Range gives all of the new version.
        |request, to| serve(request, to, "\"v2\"", &[]),
        // Bad ones: they answer with a part of the new version, of other bytes, or of no version.
        |_, to| {
            let fields = [("ETag", "\"v2\""), ("Content-Range", "bytes 150000-199999/200000")];
            to.send(206, &fields, vec![b'x'; 50_000]);
        },
        |_, to| {
            let fields = [("ETag", "\"v1\""), ("Content-Range", "bytes 0-49999/200000")];
            to.send(206, &fields, vec![b'x'; 50_000]);
        },
        |_, to| to.send(416, &[("Content-Range", "bytes */1000")], ""),
    ];
    for (at, second) in seconds.into_iter().enumerate() {
        let origin = Origin::start(move |request, to| match request.number {
            0 => cut(request, to, "\"v1\"", 150_000),
            1 => second(request, to),
            _ => serve(request, to, "\"v2\"", &[]),
        });
        let edge = Edge::before(&origin);
        edge.get("/a");
        hit(&edge, "/a", "bytes=0-9");
        let answer = edge.get("/a");
        assert_eq!((answer.status, answer.ending), (200, Ending::Clean), "{at}");
        assert!(answer.body == content("/a\"v2\"", LENGTH), "{at}: spliced");
    }
}

#[test]
fn without_a_strong_tag_half_a_body_is_not_kept() {
    for tag in ["W/\"v1\"", "v1"] {
        let origin = Origin::start(move |request, to| match request.number {
            0 => cut(request, to, tag, 150_000),
            _ => serve(request, to, tag, &[]),
        });
        let edge = Edge::before(&origin);
        edge.get("/a");
        let next = edge.get("/a");
        assert_eq!((next.status, next.body.len()), (200, LENGTH));
        assert_eq!(origin.requests()[1].count("range"), 0, "{tag}");
    }
}

#[test]
fn a_part_does_not_stand_in_for_the_whole_when_the_origin_is_gone() {
    let origin = Origin::start(|request, to| match request.number {
        0 => cut(request, to, "\"v1\"", 150_000),
        _ => to.send(503, &[], "sorry"),
    });
    let edge = Edge::before(&origin);
    edge.get("/a");
    hit(&edge, "/a", "bytes=0-9");
    assert_eq!(edge.get("/a").status, 503);
    assert!(range(&edge, "/a", "bytes=0-9").is_hit());
}

#[test]
fn a_site_may_ask_for_the_range_and_what_comes_is_combined_until_it_is_whole() {
    let origin = Origin::start(|request, to| serve(request, to, "\"v1\"", &[]));
    let edge = asking(&origin, "");
    let whole = content("/a\"v1\"", LENGTH);
    let first = range(&edge, "/a", "bytes=-70000");
    assert_eq!((first.status, &first.body[..]), (206, &whole[130_000..]));
    assert!(hit(&edge, "/a", "bytes=150000-").body == whole[150_000..]);
    assert!(range(&edge, "/a", "bytes=-5").body == whole[LENGTH - 5..]);
    // Another part, half of which is there.
    let second = range(&edge, "/a", "bytes=100000-139999");
    assert_eq!((second.status, &second.body[..]), (206, &whole[100_000..140_000]));
    hit(&edge, "/a", "bytes=100000-199999");
    let third = range(&edge, "/a", "bytes=0-999");
    assert!(third.body == whole[..1000]);
    hit(&edge, "/a", "bytes=0-999");
    // Several, of which not all are there: the whole, which is what is missing and what is there.
    let several = range(&edge, "/a", "bytes=0-9,2000-2009");
    assert_eq!((several.status, several.body == whole), (200, true));
    let all = eventually("a hit", || Some(edge.get("/a")).filter(Response::is_hit));
    assert!(all.body == whole);
    let asked: Vec<String> = origin.requests().iter().map(bytes_of).collect();
    let expected = [
        "bytes=-70000 ",
        "bytes=100000-129999 \"v1\"",
        "bytes=0-999 \"v1\"",
        "bytes=1000-99999 \"v1\"",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn parts_without_a_tag_answer_and_are_not_combined() {
    let origin = Origin::start(|request, to| serve(request, to, "", &[]));
    let edge = asking(&origin, "");
    let whole = content("/a", LENGTH);
    range(&edge, "/a", "bytes=0-999");
    assert!(hit(&edge, "/a", "bytes=10-19").body == whole[10..20]);
    assert!(range(&edge, "/a", "bytes=500-1499").body == whole[500..1500]);
    assert!(edge.get("/a").body == whole);
    assert!(origin.requests().iter().all(|request| request.count("if-range") == 0));
}

#[test]
fn who_wants_other_bytes_than_those_that_are_fetched_does_not_wait_for_them() {
    let go = Latch::default();
    let held = go.clone();
    let origin = Origin::start(move |request, to| {
        if request.field("range") == "bytes=0-9" {
            held.wait();
        }
        serve(request, to, "\"v1\"", &[]);
    });
    let edge = asking(&origin, "");
    let whole = content("/a\"v1\"", LENGTH);
    let address = edge.address;
    let ask = |value: &'static str| {
        std::thread::spawn(move || {
            Client::connect(address).request("GET", "/a", &[("Range", value)], b"")
        })
    };
    let first = ask("bytes=0-9");
    eventually("the origin is asked", || (origin.count() == 1).then_some(()));
    // The same bytes: one question for all.
    let same = ask("bytes=2-5");
    let other = ask("bytes=100-109").join().expect("an answer");
    assert_eq!((other.status, &other.body[..]), (206, &whole[100..110]));
    assert!(!go.is_open());
    go.open();
    assert!(first.join().expect("an answer").body == whole[..10]);
    assert!(same.join().expect("an answer").body == whole[2..6]);
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_206_that_nobody_asked_for_is_stored_as_what_it_is() {
    let origin = Origin::start(|request, to| {
        let whole = content(&request.target, LENGTH);
        let fields = [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 1000-1999/200000")];
        to.send(206, &fields, &whole[1000..2000]);
    });
    let edge = Edge::before(&origin);
    let whole = content("/a", LENGTH);
    let as_it_came = edge.get("/a");
    assert_eq!(as_it_came.status, 206);
    assert_eq!(as_it_came.field("content-range"), "bytes 1000-1999/200000");
    assert!(as_it_came.body == whole[1000..2000]);
    let inside = hit(&edge, "/a", "bytes=1100-1199");
    assert!(inside.body == whole[1100..1200]);
    assert_eq!(edge.get("/a").status, 206, "never more than there is");
}

#[test]
fn a_part_that_contradicts_itself_is_passed_on_and_kept_only_where_the_site_says_so() {
    let start = || {
        Origin::start(|_, to| {
            let fields = [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 4-9/10")];
            to.send(206, &fields, "01234");
        })
    };
    let origin = start();
    let edge = asking(&origin, "");
    for _ in 0..2 {
        let answer = range(&edge, "/a", "bytes=-5");
        assert_eq!((answer.status, &answer.body[..], answer.is_hit()), (206, &b"01234"[..], false));
    }
    let origin = start();
    let edge = asking(&origin, "mismatch = \"octets\"\n");
    let answer = range(&edge, "/a", "bytes=-5");
    assert_eq!((answer.field("content-range"), &answer.body[..]), ("bytes 4-9/10", &b"01234"[..]));
    for (value, body) in [("bytes=-5", "01234"), ("bytes=6-8", "234"), ("bytes=-1", "4")] {
        assert_eq!(hit(&edge, "/a", value).text(), body, "{value}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_range_behind_the_end_does_not_make_the_object_uncacheable() {
    let origin = Origin::start(|request, to| serve(request, to, "\"v1\"", &[]));
    let edge = asking(&origin, "");
    let answer = range(&edge, "/a", "bytes=200000-");
    assert_eq!((answer.status, answer.field("content-range")), (416, "bytes */200000"));
    edge.get("/a");
    eventually("a hit", || edge.get("/a").is_hit().then_some(()));
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_purge_takes_all_parts_whichever_of_them_it_selects() {
    let tags = ["one", "two"];
    let origin = Origin::start(move |request, to| {
        let tag = tags[request.number.min(1)];
        serve(request, to, "\"v1\"", &[("Surrogate-Key", tag)]);
    });
    let edge = asking(&origin, "");
    range(&edge, "/a", "bytes=0-999");
    hit(&edge, "/a", "bytes=0-999");
    range(&edge, "/a", "bytes=1000-1999");
    hit(&edge, "/a", "bytes=500-1500");
    edge.purge("{\"tag\":\"one\"}");
    let after = range(&edge, "/a", "bytes=1000-1999");
    assert!(!after.is_hit(), "the part that has the other tag is of the same object");
    assert_eq!(origin.count(), 3);
}

#[test]
fn parts_survive_a_restart() {
    let folder = harness::temp::dir();
    let origin = Origin::start(|request, to| serve(request, to, "\"v1\"", &[]));
    let disk = folder.path().join("cache").display().to_string();
    let tables = format!(
        "{}\n[disk]\npath = {disk:?}\nsize = \"64MiB\"\n",
        site(&[&origin], "[site.ranges]\nfetch = \"asked\"\n")
    );
    let file = ConfigFile::new("", &tables);
    let whole = content("/a\"v1\"", LENGTH);
    let edge = file.start();
    range(&edge, "/a", "bytes=0-99999");
    hit(&edge, "/a", "bytes=0-99999");
    range(&edge, "/a", "bytes=150000-");
    hit(&edge, "/a", "bytes=150000-");
    assert!(edge.stop().success());
    let edge = file.start();
    let warm = range(&edge, "/a", "bytes=90000-99999");
    assert!(warm.is_hit() && warm.body == whole[90_000..100_000], "{:?}", warm.fields);
    assert!(edge.get("/a").body == whole);
    assert_eq!(bytes_of(&origin.requests()[2]), "bytes=100000-149999 \"v1\"");
}

#[test]
fn many_ranges_of_one_object_are_bounded_and_end_as_the_whole() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Origin::start(move |request, to| {
        count.fetch_add(1, Ordering::Relaxed);
        serve(request, to, "\"v1\"", &[]);
    });
    let edge = asking(&origin, "");
    let whole = content("/a\"v1\"", LENGTH);
    for at in (0..100).map(|n| n * 2000) {
        let answer = range(&edge, "/a", &format!("bytes={at}-{}", at + 9));
        assert_eq!((answer.status, &answer.body[..]), (206, &whole[at..at + 10]));
        hit(&edge, "/a", &format!("bytes={at}-{}", at + 9));
    }
    assert!(edge.get("/a").is_hit());
    assert!(asked.load(Ordering::Relaxed) < 20, "{asked:?} questions for one object");
}
