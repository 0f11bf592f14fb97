//! Code of an embedder at every phase of a request, seen from outside. The node is the program
//! of `tests/filtered_node`, which adds its filters to three sites by their names.

use std::process::Command;

use harness::{ConfigFile, Edge, Ending, Origin, Response};

/// The program with its filters, in front of these origins.
fn node(origins: &[&Origin]) -> (ConfigFile, Edge) {
    let urls: Vec<String> = origins.iter().map(|origin| format!("{:?}", origin.url())).collect();
    let urls = urls.join(", ");
    let sites = ["heads", "bodies", "slow", "plain"].map(|name| {
        format!("[[site]]\nname = \"{name}\"\nhosts = [\"{name}\"]\norigins = [{urls}]\n")
    });
    let file = ConfigFile::new("", &sites.concat());
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(env!("CARGO_BIN_EXE_filtered-node"))
        .arg(file.path());
    let edge = Edge::spawn(command);
    (file, edge)
}

fn get(edge: &Edge, host: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    edge.client().request_to(host, "GET", path, fields, b"")
}

#[test]
fn a_filter_answers_by_itself_and_nobody_is_asked() {
    let origin = Origin::constant("x");
    let (_file, edge) = node(&[&origin]);
    let blocked = get(&edge, "heads", "/blocked", &[]);
    assert_eq!((blocked.status, blocked.text().as_str()), (403, "blocked by a filter"));
    let moved = get(&edge, "heads", "/moved", &[]);
    assert_eq!((moved.status, moved.field("location")), (301, "https://elsewhere.example/"));
    let mut client = edge.client();
    let head = client.request_to("heads", "HEAD", "/blocked", &[], b"");
    assert_eq!((head.status, head.field("content-length")), (403, "19"));
    assert_eq!(client.request_to("plain", "GET", "/blocked", &[], b"").text(), "x");
    assert_eq!(origin.count(), 1);
    edge.logged("filter log: /blocked 403 synthetic");
}

#[test]
fn a_target_that_a_filter_writes_is_what_key_and_origin_see() {
    let origin = Origin::start(|request, to| to.cacheable(&request.target));
    let (_file, edge) = node(&[&origin]);
    assert_eq!(get(&edge, "heads", "/old?x=1", &[]).text(), "/new?from=old");
    assert!(get(&edge, "heads", "/new?from=old", &[]).is_hit());
    assert_eq!(get(&edge, "heads", "/climb", &[]).text(), "/b", "normalised like any other");
    assert_eq!(get(&edge, "heads", "/nonsense", &[]).status, 400);
}

#[test]
fn fields_are_changed_on_the_way_to_the_origin_and_the_cache_sees_the_changed_answer() {
    let origin = Origin::start(|_, to| {
        to.send(200, &[("X-Store-Me", "1"), ("Set-Cookie", "a=b")], "x");
    });
    let (_file, edge) = node(&[&origin]);
    let miss = get(&edge, "heads", "/", &[]);
    let hit = get(&edge, "heads", "/", &[]);
    assert!(!miss.is_hit() && hit.is_hit());
    assert!(hit.all("set-cookie").is_empty() && hit.all("x-store-me").is_empty());
    let seen = &origin.requests()[0];
    assert_eq!((seen.field("x-edge-key"), seen.field("x-seen")), ("secret", "http"));
}

#[test]
fn the_answer_to_the_client_is_changed_on_a_hit_too_and_in_order() {
    let origin = Origin::start(|request, to| {
        let status = if request.target == "/none" { 404 } else { 200 };
        to.send(status, &[("Cache-Control", "max-age=60")], "x");
    });
    let (_file, edge) = node(&[&origin]);
    for hit in [false, true] {
        let answer = get(&edge, "heads", "/", &[]);
        assert_eq!(answer.is_hit(), hit);
        let (first, second) = (answer.field("x-first"), answer.field("x-second"));
        assert_eq!((first, second), ("heads", "after heads"));
    }
    assert_eq!(get(&edge, "heads", "/none", &[]).status, 410);
}

#[test]
fn a_filter_may_keep_the_cache_out_of_it() {
    let origin = Origin::constant("x");
    let (_file, edge) = node(&[&origin]);
    get(&edge, "heads", "/", &[]);
    let preview = get(&edge, "heads", "/", &[("Cookie", "preview=1")]);
    assert!(preview.field("cache-status").contains("fwd=bypass"));
    assert!(get(&edge, "heads", "/", &[]).is_hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_filter_may_choose_the_origin_by_what_it_noted_before() {
    let (zero, one) = (Origin::constant("0"), Origin::constant("1"));
    let (_file, edge) = node(&[&zero, &one]);
    for n in 0..6 {
        let choice = (n % 2).to_string();
        let fields = [("X-Origin", choice.as_str())];
        assert_eq!(get(&edge, "heads", &format!("/{n}"), &fields).text(), choice);
        let posted = edge.client().request_to("heads", "POST", "/", &fields, b"x");
        assert_eq!(posted.text(), choice);
    }
    assert!(zero.requests().iter().all(|request| request.count("x-origin") == 0));
}

#[test]
fn a_filter_may_wait_for_somebody_else() {
    let origin = Origin::constant("x");
    let (_file, edge) = node(&[&origin]);
    assert_eq!(get(&edge, "slow", "/", &[]).status, 401);
    assert_eq!(get(&edge, "slow", "/", &[("X-Ticket", "bad")]).status, 401);
    assert_eq!(origin.count(), 0);
    assert_eq!(get(&edge, "slow", "/", &[("X-Ticket", "good")]).status, 200);
    assert!(get(&edge, "slow", "/", &[("X-Ticket", "good")]).is_hit());
    assert_eq!(get(&edge, "slow", "/", &[]).status, 401, "also where the answer is stored");
}

#[test]
fn contents_are_changed_both_ways() {
    let origin = Origin::start(|request, to| {
        if request.method == "POST" {
            to.send(200, &[], &request.body);
        } else {
            to.cacheable("content");
        }
    });
    let (_file, edge) = node(&[&origin]);
    let posted = edge.client().request_to("bodies", "POST", "/", &[], b"SHOUTING");
    assert_eq!(origin.requests()[0].body, b"shouting");
    assert_eq!(posted.text(), "SHOUTING (the end)");
    for hit in [false, true] {
        let answer = get(&edge, "bodies", "/a", &[]);
        assert_eq!((answer.is_hit(), answer.ending), (hit, Ending::Clean));
        assert_eq!(answer.text(), "CONTENT (the end)");
    }
    let part = get(&edge, "bodies", "/a", &[("Range", "bytes=0-2")]);
    assert_eq!((part.status, part.text().as_str()), (200, "CONTENT (the end)"));
    let mut client = edge.client();
    let head = client.request_to("bodies", "HEAD", "/a", &[], b"");
    assert_eq!((head.status, head.field("content-length")), (200, ""), "nobody knows it");
}

#[test]
fn a_content_that_a_filter_refuses_never_reaches_the_origin_whole() {
    let origin = Origin::constant("x");
    let (_file, edge) = node(&[&origin]);
    let answer = edge.client().request_to("bodies", "POST", "/", &[], b"a virus inside");
    assert_eq!((answer.status, origin.count()), (403, 0));
}

#[test]
fn a_filter_sees_how_every_exchange_ended() {
    let origin = Origin::constant("x");
    let (_file, edge) = node(&[&origin]);
    for (path, words) in [("/a", "200 miss"), ("/a", "200 hit"), ("/moved", "301 synthetic")] {
        get(&edge, "heads", path, &[]);
        edge.logged(&format!("filter log: {path} {words} notes: true"));
    }
}
