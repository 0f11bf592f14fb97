//! What right files mean.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use super::{SITE, config, read, surroundings};
use crate::accept::listener::ListenAddress;
use crate::decide::KeyRules;
use crate::upkeep::config::{AccessLog, Flags, HostPattern, Scope, TokenSecret};

#[test]
fn the_least_file_has_every_default() {
    let config = config(SITE);
    assert_eq!(config.node.listen, [ListenAddress::Tcp { host: "127.0.0.1".into(), port: 8080 }]);
    assert_eq!(config.node.memory_bytes, 256 << 20);
    assert_eq!(config.node.workers.get(), 4);
    assert_eq!(config.node.access_log, AccessLog::Off);
    assert_eq!(config.deadlines, crate::accept::ClientDeadlines::default());
    assert_eq!(config.limits.head, crate::accept::HeadLimits::default());
    assert!(config.disk.is_none() && config.tls.is_empty() && config.admin.tokens.is_empty());
    let site = &config.sites[0];
    assert_eq!(site.hosts, [HostPattern::Any]);
    assert_eq!(site.origin_host, None);
    let policy = selvedge_cache::policy::Options::default();
    assert_eq!(site.ttl.default_s, policy.default_ttl_s);
    assert_eq!(site.ttl.heuristic_max_s, policy.heuristic_max_s);
    assert_eq!((site.ttl.min_s, site.ttl.max_s), (None, None));
    assert_eq!(config.settings["site[shop].ttl.heuristic_max"].1, "1d");
}

#[test]
fn the_file_of_the_contract_is_right() {
    let config = config(
        r#"
[node]
listen = ["127.0.0.1:8080", "unix:/run/selvedge.sock"]
memory = "256MiB"
[disk]
path = "/var/cache/selvedge"
size = "10GiB"
[[tls]]
cert = "cert.pem"
key = "key.pem"
[[site]]
name = "shop"
hosts = ["shop.example", "*.shop.example"]
origins = ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
[site.key]
query = "sort"
[site.ttl]
default = "0s"
"#,
    );
    assert_eq!(config.node.listen.len(), 2);
    assert_eq!(config.disk.map(|disk| disk.size_bytes), Some(10 << 30));
    assert_eq!(config.tls[0].cert, PathBuf::from("cert.pem"));
    assert_eq!(config.sites[0].query, KeyRules::Sort);
    assert_eq!(config.sites[0].hosts[1], HostPattern::Suffix(".shop.example".into()));
}

#[test]
fn every_table_reaches_its_value() {
    let mut world = surroundings();
    world.variables.insert("OPS".into(), "0123456789abcdef".into());
    let text = r#"
[node]
tls_listen = ["[::]:443"]
admin = "0.0.0.0:9901"
access_log = "logs/access.log"
trusted_proxies = ["10.0.0.0/8"]
workers = 2
[[tls]]
cert = "cert.pem"
key = "key.pem"
[[admin.tokens]]
name = "ops"
env = "OPS"
scopes = ["purge", "purge:shop", "read"]
[[site]]
name = "shop"
hosts = ["Shop.Example"]
origins = ["https://origin.example", "unix:/run/app.sock"]
request_cache_control = "ignore"
purge_from = ["unix", "::1"]
keep_tags = true
key = { query = { drop = ["utm_*", "ref"] } }
ttl = { default = "5m", min = "1s", max = "1d", heuristic_max = "0s" }
stale = { while_revalidate = "10s", if_error = "1h" }
[site.origin]
connect = "250ms"
connections_max = 7
ca = "other.pem"
"#;
    let config = read(text, &world).unwrap_or_else(|refused| panic!("{refused}")).config;
    assert_eq!(config.node.access_log, AccessLog::File("logs/access.log".into()));
    assert!(config.node.trusted_proxies.contains(Some(IpAddr::from([10, 1, 1, 1]))));
    let token = &config.admin.tokens[0];
    assert_eq!(token.secret, TokenSecret::Plain("0123456789abcdef".into()));
    assert_eq!(token.scopes[1], Scope::PurgeSite("shop".into()));
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "a secret must not be printed");
    let site = &config.sites[0];
    assert_eq!(site.hosts, [HostPattern::Exact("shop.example".into())]);
    assert_eq!(site.origins[0].address.authority().as_deref(), Some("origin.example"));
    assert!(site.origins[0].address.is_tls() && !site.origins[1].address.is_tls());
    assert!(site.ignore_request_cache_control && site.keep_tags && site.purge_from.contains(None));
    let KeyRules::Drop(parameters) = &site.query else { panic!("{:?}", site.query) };
    assert!(parameters[0].matches("utm_source") && !parameters[1].matches("reference"));
    assert_eq!((site.ttl.default_s, site.ttl.min_s, site.ttl.max_s), (300, Some(1), Some(86_400)));
    assert_eq!((site.stale.while_revalidate_s, site.stale.if_error_s), (10, 3600));
    assert_eq!((site.origin.deadlines.connect_ms, site.origin.limits.in_flight_max), (250, 7));
    assert_eq!(site.origin.ca, Some("other.pem".into()));
}

#[test]
fn no_text_is_read_without_an_answer() {
    // Every cut of a right file is right or refused with words; nothing panics.
    let text = format!(
        "[node]\nmemory = \"64MiB\"\naccess_log = \"é/log\"\n{SITE}[site.ttl]\ndefault = \"5s\"\n"
    );
    let world = surroundings();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        if let Err(refused) = read(&text[..end], &world) {
            assert!(refused.to_string().contains("error: "));
        }
    }
}

#[test]
fn a_thousand_mistakes_give_a_bounded_message() {
    let mut text = String::from("[node]\n");
    for n in 0..1000 {
        let _ = writeln!(text, "wrong{n} = 1");
    }
    let message = read(&text, &surroundings()).expect_err("it is wrong").to_string();
    assert!(message.contains("and 951 more"), "{}", &message[message.len() - 100..]);
}

#[test]
fn a_file_that_is_missing_too_large_or_no_text_is_told() {
    use crate::upkeep::config::load::{FILE_BYTES_MAX, load};
    let mut world = surroundings();
    world.files.insert("latin1.toml".into(), b"# ok\n# \xe9\n".to_vec());
    world.files.insert("huge.toml".into(), vec![b'#'; FILE_BYTES_MAX as usize + 1]);
    let message = |name: &str| {
        load(Some(name.as_ref()), &Flags::default(), &world).expect_err("it is wrong").to_string()
    };
    assert!(message("latin1.toml").contains("line 2: the file is not UTF-8"));
    assert!(
        message("huge.toml").starts_with("huge.toml: error: the configuration file cannot be read")
    );
    assert!(message("none.toml").contains("not found"));
}
