//! The command line: one message that says what, where and what instead; exit code 1.

use std::net::TcpListener;
use std::path::Path;

use harness::edge::run;
use harness::{ConfigFile, Edge, Origin, parts, tls};

fn path(file: &ConfigFile) -> &str {
    file.path().to_str().expect("a plain name")
}

const SITE: &str =
    "[[site]]\nname = \"shop\"\nhosts = [\"*\"]\norigins = [\"http://127.0.0.1:8000\"]\n";

#[test]
fn a_mistake_in_the_file_is_told_with_line_and_column_by_check_and_by_serve() {
    let file = ConfigFile::new("", "");
    for (text, place, words) in [
        (format!("[node]\nmemroy = \"64MiB\"\n{SITE}"), ":2:1:", "did you mean `memory`?"),
        (format!("[node]\nmemory = \"64mb\"\n{SITE}"), ":2:10:", "write \"64MB\""),
        (format!("[node]\nmemory = 64\n{SITE}"), ":2:10:", "has no unit"),
        (format!("[node]\nlisten = [\"127.0.0.1\"]\n{SITE}"), ":2:11:", "port"),
        (format!("[nodes]\n{SITE}"), ":1:2:", "did you mean `node`?"),
        (format!("[deadlines]\nhead = \"ten seconds\"\n{SITE}"), ":2:8:", "deadlines.head"),
        (format!("[node\n{SITE}"), ":1:", ""),
        (format!("{SITE}{}", SITE.replace("shop", "blog")), ":7:", "\"*\""),
        (format!("{SITE}ttl = \"60s\"\n"), ":5:", "ttl"),
        (format!("[[tls]]\ncert = \"none.pem\"\nkey = \"none.key\"\n{SITE}"), ":2:", "none.pem"),
        (SITE.replace("http://127.0.0.1:8000", "127.0.0.1:8000"), ":4:", "http://"),
        (SITE.replace("\"*\"", "\"a b\""), ":3:", "a b"),
    ] {
        file.write(&text);
        let mut told = Vec::new();
        for arguments in [&["check", path(&file)][..], &["serve", "--config", path(&file)]] {
            let (code, _, message) = run(arguments);
            assert_eq!(code, 1, "{arguments:?} on:\n{text}\n{message}");
            let where_ = format!("edge.toml{place}");
            assert!(message.contains(&where_) && message.contains(words), "{text}\n{message}");
            told.push(message);
        }
        assert_eq!(told[0].trim(), told[1].trim(), "the same message twice");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_by_its_place() {
    let file = ConfigFile::new("", "");
    let good = tls::make("a", &["a.example"]);
    let other = tls::make("b", &["b.example"]);
    good.install(file.folder(), "good");
    other.install(file.folder(), "other");
    std::fs::write(file.folder().join("garbage.pem"), "-----BEGIN NONSENSE-----\n")
        .expect("written");
    for (cert, key) in
        [("garbage.pem", "good.key"), ("good.pem", "garbage.pem"), ("good.pem", "other.key")]
    {
        file.write(&format!(
            "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
             tls_listen = [\"127.0.0.1:0\"]\n[[tls]]\ncert = \"{cert}\"\nkey = \"{key}\"\n{SITE}"
        ));
        let (code, _, message) = run(&["serve", "--config", path(&file)]);
        assert_eq!(code, 1, "{cert} {key}: {message}");
        assert!(message.contains(".pem") || message.contains(".key"), "{cert} {key}: {message}");
        assert_eq!(run(&["check", path(&file)]).0, 1, "check of {cert} {key}");
    }
}

#[test]
fn a_good_file_is_valid_and_check_says_so() {
    let file = ConfigFile::new("", SITE);
    let (code, said, _) = run(&["check", path(&file)]);
    assert_eq!(code, 0);
    assert!(said.contains("valid"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let (code, _, message) = run(&["check", "/nowhere/edge.toml"]);
    assert_eq!(code, 1);
    assert!(message.contains("/nowhere/edge.toml"), "{message}");
}

#[test]
fn serve_without_an_origin_says_what_to_write() {
    let (code, _, message) = run(&["serve"]);
    assert_eq!(code, 1);
    assert!(message.contains("--origin"), "{message}");
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let (code, _, message) = run(&["serve", "--orgin", "http://127.0.0.1:1"]);
    assert_eq!(code, 2);
    assert!(message.contains("--origin"), "{message}");
}

#[test]
fn a_wrong_flag_is_named() {
    let origin = ["--origin", "http://127.0.0.1:1"];
    for (flag, value, words) in [
        ("--memory", "1MiB", "16MiB"),
        ("--memory", "lots", "--memory"),
        ("--listen", "nonsense", "--listen"),
        ("--workers", "0", "--workers"),
        ("--origin", "ftp://a", "--origin"),
    ] {
        let (code, _, message) = run(&[&["serve", flag, value][..], &origin].concat());
        assert!(code == 1 || code == 2, "{flag} {value}: {code}");
        assert!(message.contains(words) && message.contains(flag), "{flag} {value}: {message}");
    }
}

#[test]
fn a_port_that_another_program_uses_is_told_with_its_option() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let held_at = held.local_addr().expect("bound").to_string();
    let origin = "http://127.0.0.1:1";
    for (option, arguments) in [
        ("--listen", ["serve", "--listen", &held_at, "--admin", "127.0.0.1:0", "--origin", origin]),
        ("--admin", ["serve", "--listen", "127.0.0.1:0", "--admin", &held_at, "--origin", origin]),
    ] {
        let (code, _, message) = run(&arguments);
        assert_eq!(code, 1, "{message}");
        assert!(message.contains(&held_at) && message.contains(option), "{message}");
        assert_eq!(message.trim().lines().count(), 1, "one message: {message}");
    }
}

#[test]
fn a_second_node_on_the_same_port_is_refused_and_the_first_serves_on() {
    let origin = Origin::constant("x");
    let first = Edge::before(&origin);
    let address = first.address.to_string();
    let (code, _, message) =
        run(&["serve", "--listen", &address, "--admin", "127.0.0.1:0", "--origin", &origin.url()]);
    assert_eq!(code, 1);
    assert!(message.contains(&address) && message.contains("--listen"), "{message}");
    for _ in 0..10 {
        assert_eq!(first.get("/").status, 200);
    }
}

#[test]
fn a_second_node_on_the_same_disk_says_so_and_harms_nothing() {
    let origin = Origin::constant("x");
    let folder = harness::temp::dir();
    let disk = folder.path().to_str().expect("a plain name");
    let arguments = ["--origin", &origin.url(), "--disk", disk, "--disk-size", "64MiB"];
    let first = Edge::start(&arguments);
    assert_eq!(first.get("/").status, 200);
    let second = Edge::start(&arguments);
    let told = second.logged("in use by another process");
    assert!(told.contains(disk) && told.contains("serves from memory"), "{told}");
    assert_eq!(second.get("/").status, 200);
    second.kill();
    assert!(first.get("/").is_hit());
}

#[test]
fn an_admin_plane_that_others_can_reach_needs_a_token() {
    let port = parts::free_port();
    let address = format!("0.0.0.0:{port}");
    let (code, _, message) =
        run(&["serve", "--listen", "127.0.0.1:0", "--admin", &address, "--origin", "http://a"]);
    assert_eq!(code, 1);
    assert!(message.contains("--admin") && message.contains("token"), "{message}");
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let (by_file, by_variable, by_flag) =
        (Origin::constant("file"), Origin::constant("variable"), Origin::constant("flag"));
    let folder = harness::temp::dir();
    let file = folder.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:1\"]\n[[site]]\nname = \"a\"\nhosts = [\"*\"]\norigins = [{:?}]\n",
        by_file.url()
    );
    std::fs::write(&file, text).expect("written");
    let file = file.to_str().expect("a plain name");
    let here = ["serve", "--config", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let ask = |arguments: &[&str], environment: &[(&str, &str)]| {
        Edge::start_with(arguments, environment).get("/").text()
    };
    let url = by_variable.url();
    let variable = [("SELVEDGE_ORIGIN", url.as_str())];
    let flag = by_flag.url();
    assert_eq!(ask(&here, &[]), "file");
    assert_eq!(ask(&here, &variable), "variable");
    assert_eq!(ask(&[&here[..], &["--origin", &flag]].concat(), &variable), "flag");
}

#[test]
fn every_option_can_be_looked_up() {
    let (code, defaults, _) = run(&["config", "defaults"]);
    assert_eq!(code, 0);
    let (_, schema, _) = run(&["config", "schema"]);
    let (_, variables, _) = run(&["config", "env"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert!(schema["properties"]["node"]["properties"]["memory"].is_object(), "{schema}");
    assert!(defaults.contains("memory = \"256MiB\""));
    assert!(variables.contains("SELVEDGE_MEMORY"));
}

#[test]
fn the_examples_of_the_manual_are_valid_as_far_as_they_need_no_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder.join("edge/examples")).expect("examples").flatten() {
        let file = entry.path();
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if file.extension().is_none_or(|ending| ending != "toml")
            || text.contains("[[tls]]")
            || text.contains("env =")
        {
            continue;
        }
        let (code, _, message) = run(&["check", file.to_str().expect("a plain name")]);
        assert_eq!(code, 0, "{}: {message}", file.display());
        checked += 1;
    }
    assert!(checked >= 2);
}
