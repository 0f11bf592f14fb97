//! The rules of a site.

use harness::{Origin, Request, Responder};

use super::scene::Scene;
use super::{Group, row};

/// Answers by the first part of the path; what is asked for a second time is not there any more.
fn answers(name: &'static str) -> Origin {
    Origin::start(move |request, to| answer(name, request, to))
}

fn answer(name: &str, request: &Request, to: &mut Responder<'_>) {
    let path = request.target.split('?').next().unwrap_or_default();
    let fields: &[(&str, &str)] = match path.split('/').nth(1).unwrap_or("") {
        "host" => return to.cacheable(request.field("host")),
        "who" => return to.cacheable(name),
        "range" => return to.send(200, &[("Cache-Control", "no-store")], request.field("range")),
        "mismatch" => {
            let fields = [("Cache-Control", "max-age=60"), ("Content-Range", "bytes 4-9/10")];
            return to.send(206, &fields, "01234");
        }
        "silent" => &[],
        "minute" => &[("Cache-Control", "max-age=60")],
        "hour" => &[("Cache-Control", "max-age=3600")],
        "old" => &[("Last-Modified", "Mon, 01 Jan 2001 00:00:00 GMT")],
        "tagged" => &[("Cache-Control", "max-age=60"), ("Surrogate-Key", "blue")],
        "stale" => &[("Cache-Control", "max-age=10"), ("Age", "100")],
        "served-stale" => {
            let directives = "max-age=10, stale-while-revalidate=1000";
            &[("Cache-Control", directives), ("Age", "100")]
        }
        "stale-shared" => {
            &[("Cache-Control", "s-maxage=10, stale-while-revalidate=3600"), ("Age", "100")]
        }
        "german" => &[
            ("Cache-Control", "max-age=60"),
            ("Vary", "Accept-Language"),
            ("Content-Language", "de"),
        ],
        "no-vary" => &[("Cache-Control", "max-age=60"), ("No-Vary-Search", "params")],
        "targeted" => &[("Cache-Control", "max-age=60"), ("CDN-Cache-Control", "max-age=600")],
        "cookie" => &[("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")],
        "stale-then-broken" => {
            static ASKED: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
            let mut asked = ASKED.lock().expect("unpoisoned");
            if asked.contains(&request.target) {
                return to.send(500, &[], "broken");
            }
            asked.push(request.target.clone());
            &[("Cache-Control", "max-age=10"), ("Age", "100")]
        }
        other => panic!("the test asks for {other:?}"),
    };
    let mut fields = fields.to_vec();
    fields.push(("Content-Type", "text/plain"));
    to.send(200, &fields, "x");
}

/// What a second request gets: `hit`, `stale` or what was forwarded for.
fn second(scene: &Scene, path: &str, more: &str, fields: &[(&str, &str)]) -> String {
    assert_eq!(scene.edge.get(path).status, 200);
    let answer = scene.edge.get_with(&format!("{path}{more}"), fields);
    let told = answer.field("cache-status");
    if answer.status != 200 {
        answer.status.to_string()
    } else if told.contains("hit; ttl=-") {
        "stale".to_owned()
    } else if answer.is_hit() {
        "hit".to_owned()
    } else {
        "forwarded".to_owned()
    }
}

/// The remaining lifetime of what was just stored, told apart coarsely.
fn lifetime(scene: &Scene, start: &str) -> String {
    let path = scene.path(start);
    scene.edge.get(&path);
    let answer = scene.edge.get(&path);
    let told = answer.field("cache-status");
    let ttl = told.split("ttl=").nth(1).and_then(|rest| {
        rest.split([';', ' ', ',']).next().and_then(|number| number.parse::<i64>().ok())
    });
    match ttl.unwrap_or_else(|| panic!("{start}: {told}")) {
        i64::MIN..=30 => "up to 30s",
        31..=60 => "up to 60s",
        61..=600 => "up to 10m",
        601..=3600 => "up to 1h",
        _ => "long",
    }
    .to_owned()
}

/// Everything but the name.
pub(super) fn group() -> Group {
    let (here, there) = (answers("here"), answers("there"));
    let mut group = Group::before(&[here.url()], &[]);
    let origins = [format!("[{:?}]", here.url()), format!("[{:?}]", there.url())];
    let origins = [origins[0].as_str(), origins[1].as_str()];
    let hosts = ["[\"*\"]", "[\"shop.example\"]"];
    let names = ["\"one.example\"", "\"two.example\""];
    let windows = ["\"0s\"", "\"1h\""];
    group.rows = vec![
        row("site[].hosts", hosts, ["200", "421"], |scene| {
            scene.edge.get(&scene.path("/minute")).status.to_string()
        }),
        row("site[].origins", origins, ["here", "there"], |scene| {
            scene.edge.get(&scene.path("/who")).text()
        }),
        row("site[].origin_host", names, ["one.example", "two.example"], |scene| {
            scene.edge.get(&scene.path("/host")).text()
        }),
        {
            let (values, seen) = (["\"honour\"", "\"ignore\""], ["forwarded", "hit"]);
            row("site[].request_cache_control", values, seen, |scene| {
                second(scene, &scene.path("/minute"), "", &[("Cache-Control", "no-cache")])
            })
        },
        row("site[].purge_from", ["[]", "[\"127.0.0.1\"]"], ["405", "200"], |scene| {
            scene.edge.client().request("PURGE", "/purged", &[], b"").status.to_string()
        }),
        row("site[].keep_tags", ["false", "true"], ["", "blue"], |scene| {
            scene.edge.get(&scene.path("/tagged")).field("surrogate-key").to_owned()
        }),
        row("site[].key.query", ["\"keep\"", "\"drop\""], ["forwarded", "hit"], |scene| {
            second(scene, &scene.path("/minute"), "?utm_source=mail", &[])
        }),
        row("site[].key.no_vary_search", ["false", "true"], ["forwarded", "hit"], |scene| {
            second(scene, &scene.path("/no-vary"), "?a=1", &[])
        }),
        row("site[].key.language", ["\"exact\"", "\"preferred\""], ["miss", "hit"], |scene| {
            let path = scene.path("/german");
            scene.edge.get_with(&path, &[("Accept-Language", "en, de")]);
            let second = scene.edge.get_with(&path, &[("Accept-Language", "de")]);
            if second.is_hit() { "hit" } else { "miss" }.to_owned()
        }),
        {
            let values = ["[]", "[\"CDN-Cache-Control\"]"];
            row("site[].targeted_fields", values, ["up to 60s", "up to 10m"], |scene| {
                lifetime(scene, "/targeted")
            })
        },
        row("site[].cookies", ["\"default\"", "\"strip\""], ["a=b", ""], |scene| {
            let path = scene.path("/cookie");
            scene.edge.get(&path);
            scene.edge.get(&path).field("set-cookie").to_owned()
        }),
        row("site[].stale.beside_s_maxage", ["false", "true"], ["forwarded", "stale"], |scene| {
            second(scene, &scene.path("/stale-shared"), "", &[])
        }),
        row("site[].ttl.default", ["\"0s\"", "\"60s\""], ["forwarded", "hit"], |scene| {
            second(scene, &scene.path("/silent"), "", &[])
        }),
        row("site[].ttl.min", ["\"1s\"", "\"10m\""], ["up to 60s", "up to 10m"], |scene| {
            lifetime(scene, "/minute")
        }),
        row("site[].ttl.max", ["\"1d\"", "\"10m\""], ["up to 1h", "up to 10m"], |scene| {
            lifetime(scene, "/hour")
        }),
        row(
            "site[].ttl.heuristic_max",
            ["\"30s\"", "\"60s\""],
            ["up to 30s", "up to 60s"],
            |scene| lifetime(scene, "/old"),
        ),
        row("site[].stale.while_revalidate", windows, ["forwarded", "stale"], |scene| {
            second(scene, &scene.path("/stale"), "", &[])
        }),
        row("site[].stale.if_error", windows, ["500", "stale"], |scene| {
            second(scene, &scene.path("/stale-then-broken"), "", &[])
        }),
        {
            let seen = ["some are put off", "all are started"];
            row("site[].stale.refreshes_per_second", ["1", "1000000"], seen, move |scene| {
                let put_off = || {
                    let metrics = scene.edge.metrics();
                    metrics.count("selvedge_refreshes_total", &["outcome=\"deferred\""])
                };
                let before = put_off();
                for _ in 0..20 {
                    assert_eq!(second(scene, &scene.path("/served-stale"), "", &[]), "stale");
                }
                if put_off() > before { seen[0] } else { seen[1] }.to_owned()
            })
        },
    ];
    let (fetches, mismatches) = (["\"whole\"", "\"asked\""], ["\"refuse\"", "\"octets\""]);
    group.rows.push(row("site[].ranges.fetch", fetches, ["", "bytes=0-4"], |scene| {
        scene.edge.get_with(&scene.path("/range"), &[("Range", "bytes=0-4")]).text()
    }));
    group.rows.push(row("site[].ranges.mismatch", mismatches, ["forwarded", "hit"], |scene| {
        let path = scene.path("/mismatch");
        let ask = || scene.edge.get_with(&path, &[("Range", "bytes=4-7")]);
        let _stored = (ask(), ask());
        if ask().is_hit() { "hit".to_owned() } else { "forwarded".to_owned() }
    }));
    group.actors = vec![Box::new(here), Box::new(there)];
    group
}

/// One rule, of which one condition or one lifetime changes.
pub(super) fn rule() -> Group {
    let origin = answers("here");
    let mut group = Group::before(&[origin.url()], &[]);
    let silent = |scene: &Scene| second(scene, &scene.path("/silent"), "", &[]);
    let fits = ["hit", "forwarded"];
    group.rows = vec![
        row("site[].rule[].path", ["[\"/none\", \"*\"]", "[\"/none\"]"], fits, silent),
        row("site[].rule[].status", ["[\"2xx\"]", "[\"404\"]"], fits, silent),
        row("site[].rule[].type", ["[\"text/*\"]", "[\"image/*\"]"], fits, silent),
        row("site[].rule[].default", ["\"1h\"", "\"30s\""], ["up to 1h", "up to 30s"], |scene| {
            lifetime(scene, "/silent")
        }),
        row("site[].rule[].min", ["\"1s\"", "\"10m\""], ["up to 60s", "up to 10m"], |scene| {
            lifetime(scene, "/minute")
        }),
        row("site[].rule[].max", ["\"1d\"", "\"10m\""], ["up to 1h", "up to 10m"], |scene| {
            lifetime(scene, "/hour")
        }),
        row("site[].rule[].override", ["", "\"30s\""], ["up to 1h", "up to 30s"], |scene| {
            lifetime(scene, "/hour")
        }),
        row("site[].rule[].grace", ["\"0s\"", "\"1h\""], ["forwarded", "stale"], |scene| {
            second(scene, &scene.path("/stale"), "", &[])
        }),
    ];
    group.actors = vec![Box::new(origin)];
    group
}

/// The name is the site's identity: another one begins with an empty cache.
pub(super) fn name() -> Group {
    let origin = answers("here");
    let mut group = Group::before(&[origin.url()], &[]);
    group.rows =
        vec![row("site[].name", ["\"all\"", "\"other\""], ["all", "other, empty"], |scene| {
            let is_empty = !scene.edge.get("/minute/kept").is_hit();
            let status = scene.edge.admin("GET", "/v1/status", "").json();
            let name = status["sites"][0]["name"].as_str().expect("a name").to_owned();
            match name.as_str() {
                "all" => name,
                _ if is_empty => format!("{name}, empty"),
                _ => format!("{name}, with what another site stored"),
            }
        })];
    group.actors = vec![Box::new(origin)];
    group
}
