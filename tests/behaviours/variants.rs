//! One URL, several responses: `Vary`.

use harness::{ConfigFile, Edge, Origin, config};

/// An origin that answers with the named fields of the request, and varies by them.
fn echo(vary: &'static [&'static str]) -> Origin {
    Origin::start(move |request, to| {
        let body: Vec<_> = vary
            .iter()
            .flat_map(|line| line.split(','))
            .map(|name| request.field(&name.trim().to_ascii_lowercase()))
            .collect();
        let mut fields = vec![("Cache-Control", "max-age=60")];
        fields.extend(vary.iter().map(|line| ("Vary", *line)));
        to.send(200, &fields, body.join("|"));
    })
}

#[test]
fn each_variant_gets_its_own_and_is_a_hit_afterwards() {
    let origin = echo(&["Accept-Language"]);
    let edge = Edge::before(&origin);
    for round in 0..2 {
        for language in ["de", "en", "fr"] {
            let answer = edge.get_with("/a", &[("Accept-Language", language)]);
            assert_eq!(answer.text(), language);
            assert_eq!(answer.is_hit(), round == 1, "{answer:?}");
        }
        let without = edge.get("/a");
        assert_eq!((without.text().as_str(), without.is_hit()), ("", round == 1), "{without:?}");
    }
    assert_eq!(origin.count(), 4);
}

#[test]
fn all_lines_of_vary_count_and_so_do_fields_the_client_sends_twice() {
    let origin = echo(&["X-One, x-two", "X-Three"]);
    let edge = Edge::before(&origin);
    let ask = |fields: &[(&str, &str)]| edge.get_with("/a", fields);
    ask(&[("X-One", "1"), ("X-Two", "2"), ("X-Three", "3")]);
    assert!(ask(&[("X-Three", "3"), ("X-Two", "2"), ("X-One", "1")]).is_hit());
    assert!(!ask(&[("X-One", "1"), ("X-Two", "2"), ("X-Three", "4")]).is_hit());
    assert!(!ask(&[("X-One", "1"), ("X-Two", "3"), ("X-Three", "3")]).is_hit());
    assert!(!ask(&[("X-One", "1"), ("X-One", "1"), ("X-Two", "2"), ("X-Three", "3")]).is_hit());
}

#[test]
fn a_value_cannot_pretend_to_be_two_fields() {
    let origin = echo(&["X-One", "X-Two"]);
    let edge = Edge::before(&origin);
    edge.get_with("/a", &[("X-One", "a"), ("X-Two", "b")]);
    for fields in [[("X-One", "a|b"), ("X-Two", "")], [("X-One", "a, b"), ("X-Two", "b")]] {
        assert!(!edge.get_with("/a", &fields).is_hit(), "{fields:?}");
    }
}

#[test]
fn spellings_of_one_meaning_share_a_variant() {
    let origin = echo(&["Accept-Encoding"]);
    let edge = Edge::before(&origin);
    edge.get_with("/a", &[("Accept-Encoding", "gzip, br")]);
    for same in ["br,gzip", "GZIP ,  br", "gzip;q=1.0, br;q=1"] {
        assert!(edge.get_with("/a", &[("Accept-Encoding", same)]).is_hit(), "{same}");
    }
    for other in ["gzip", "br", "gzip, br;q=0.5", "identity", "gzip, br, zstd"] {
        assert!(!edge.get_with("/a", &[("Accept-Encoding", other)]).is_hit(), "{other}");
    }
}

#[test]
fn a_url_whose_vary_changes_never_gives_one_client_the_others_response() {
    // First it varies by one field, from the second request on by two.
    let origin = Origin::start(|request, to| {
        let vary = if request.number == 0 { "X-One" } else { "X-One, X-Two" };
        let body = format!("{}|{}", request.field("x-one"), request.field("x-two"));
        to.send(200, &[("Cache-Control", "max-age=60"), ("Vary", vary)], body);
    });
    let edge = Edge::before(&origin);
    let ask = |one: &str, two: &str| edge.get_with("/a", &[("X-One", one), ("X-Two", two)]).text();
    ask("a", "1");
    // Stored under the first rule: still right by that rule.
    assert_eq!(ask("a", "2"), "a|1");
    assert_eq!(ask("b", "1"), "b|1");
    assert_eq!(ask("b", "2"), "b|2");
    assert_eq!(ask("b", "1"), "b|1");
    assert_eq!(ask("c", "1"), "c|1");
}

#[test]
fn a_validation_belongs_to_its_variant() {
    let origin = Origin::start(|request, to| {
        let language = request.field("accept-language").to_owned();
        let tag = format!("\"{language}\"");
        if request.field("if-none-match") == tag {
            to.send(304, &[("Cache-Control", "max-age=60"), ("ETag", &tag)], "");
        } else {
            let fields = [
                ("Cache-Control", "max-age=10"),
                ("Age", "100"),
                ("Vary", "Accept-Language"),
                ("ETag", &tag),
            ];
            to.send(200, &fields, language);
        }
    });
    let edge = Edge::before(&origin);
    let ask = |language: &str| edge.get_with("/a", &[("Accept-Language", language)]);
    for language in ["de", "en", "de", "en"] {
        assert_eq!(ask(language).text(), language);
    }
    for language in ["de", "en"] {
        let hit = ask(language);
        assert!(hit.is_hit() && hit.text() == language, "{hit:?}");
    }
}

#[test]
fn many_variants_of_one_url_stay_apart() {
    let origin = echo(&["X-User"]);
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for round in 0..2 {
        for user in 0..200 {
            let user = format!("user-{user}");
            let answer = client.request("GET", "/a", &[("X-User", &user)], b"");
            assert_eq!(answer.text(), user, "round {round}");
        }
    }
}

#[test]
fn s4_1_a_stored_language_answers_who_prefers_it_alone() {
    let origin = Origin::start(|request, to| {
        let german = request.field("accept-language").contains("de");
        let language = if german { "de" } else { "en" };
        let fields = [
            ("Cache-Control", "max-age=60"),
            ("Vary", "Accept-Language"),
            ("Content-Language", language),
        ];
        to.send(200, &fields, language);
    });
    let edge = Edge::before(&origin);
    let ask = |language: &str| edge.get_with("/a", &[("Accept-Language", language)]);
    ask("en, de");
    for same in ["de", "DE ; q=0.9, fr;q=0.5", "fr;q=0.5, de;q=1.0"] {
        let answer = ask(same);
        assert!(answer.is_hit() && answer.text() == "de", "{same}: {answer:?}");
    }
    for other in ["fr", "de, fr", "de-CH", "de;q=0.1, fr;q=0.2", "de;q=x", "*"] {
        assert!(!ask(other).is_hit(), "{other}");
    }
}

#[test]
fn a_site_can_have_languages_compared_exactly() {
    let origin = Origin::start(|_, to| {
        let fields = [
            ("Cache-Control", "max-age=60"),
            ("Vary", "Accept-Language"),
            ("Content-Language", "de"),
        ];
        to.send(200, &fields, "x");
    });
    let rules = config::site(&[&origin], "[site.key]\nlanguage = \"exact\"");
    let file = ConfigFile::new("", &rules);
    let edge = file.start();
    edge.get_with("/a", &[("Accept-Language", "en, de")]);
    assert!(!edge.get_with("/a", &[("Accept-Language", "de")]).is_hit());
    assert!(edge.get_with("/a", &[("Accept-Language", "DE,en")]).is_hit());
}

/// An origin with a page in two codings of the letter that `X-Kind` names, each with its tag.
fn tagged(lifetime: &'static str) -> Origin {
    Origin::start(move |request, to| {
        // Capital letters are the page of their small ones.
        let kind = request.field("x-kind").to_ascii_lowercase();
        let tag = format!("\"{kind}\"");
        let fields = [("Cache-Control", lifetime), ("Vary", "X-Kind"), ("ETag", tag.as_str())];
        let tags = request.field("if-none-match");
        let same = tags.split(',').any(|offered| offered.trim() == tag);
        to.send(if same { 304 } else { 200 }, &fields, if same { "" } else { &kind });
    })
}

#[test]
fn s4_3_1_all_variants_are_offered_and_the_304_selects_one() {
    let origin = tagged("max-age=60");
    let edge = Edge::before(&origin);
    let ask = |kind: &str| edge.get_with("/a", &[("X-Kind", kind)]);
    ask("a");
    ask("b");
    for (kind, body, hit) in
        [("A", "a", false), ("B", "b", false), ("A", "a", true), ("a", "a", true)]
    {
        let answer = ask(kind);
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.is_hit()),
            (200, body, hit),
            "{kind}"
        );
    }
    let asked = origin.requests();
    assert_eq!(asked[1].field("if-none-match"), "\"a\"");
    assert_eq!(asked[2].field("if-none-match"), "\"b\", \"a\"");
    assert_eq!(asked.len(), 4);
    // What is none of them is fetched and stored as itself.
    assert_eq!(ask("c").text(), "c");
    assert!(ask("c").is_hit() && ask("b").is_hit());
}

#[test]
fn variants_that_share_a_tag_or_a_coding_the_client_did_not_name_are_not_offered() {
    // The same tag for every coding: an origin that compresses behind its own validators.
    let origin = Origin::start(|request, to| {
        let gzip = request.field("accept-encoding").contains("gzip");
        let mut fields = vec![
            ("Cache-Control", "max-age=60"),
            ("Vary", "Accept-Encoding"),
            ("ETag", "\"same\""),
        ];
        if gzip {
            fields.push(("Content-Encoding", "gzip"));
        }
        let status = if request.field("if-none-match").is_empty() { 200 } else { 304 };
        let body = if status == 304 {
            ""
        } else if gzip {
            "packed"
        } else {
            "plain"
        };
        to.send(status, &fields, body);
    });
    let edge = Edge::before(&origin);
    assert_eq!(edge.get_with("/a", &[("Accept-Encoding", "gzip")]).text(), "packed");
    assert_eq!(edge.get("/a").text(), "plain");
    assert_eq!(edge.get_with("/a", &[("Accept-Encoding", "gzip, br")]).text(), "packed");
    assert_eq!(edge.get_with("/a", &[("Accept-Encoding", "br")]).text(), "plain");
    assert_eq!(origin.count(), 4);
}
