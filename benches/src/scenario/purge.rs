//! Purges: how many are accepted per second, and what a lookup pays for those that are live.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use selvedge_cache::Millis;
use selvedge_cache::invalidate::scope::tag_hash;
use selvedge_cache::invalidate::{
    Invalidation, LedgerId, Live, Mode, Position, Scope, ScopeHash, TargetScopes,
};

use crate::args::Args;
use crate::origin::Origin;
use crate::process::{self, Server};
use crate::report::{Report, Spread};

/// Writers at once, when they share syncs.
const WRITERS: usize = 64;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("purge");
    report.setting(format!(
        "over HTTP/1.1, kept connections, {} rounds of {} s; ledger on disk; lookups in this process",
        args.rounds, args.seconds
    ));
    accepted(args, &mut report)?;
    for entries in [0, 1_000, 1_000_000] {
        lookup(args, entries, &mut report)?;
    }
    report.note(
        "A lookup of a response that was compared with the present position before pays one load; \
         these are those of the first lookup after a purge: site, host, URL, four prefixes and \
         three tags, each for this site and for all, none of which is found.",
    );
    Ok(report)
}

fn accepted(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let (folder, origin) = (tempfile::tempdir()?, Origin::start()?);
    let file = folder.path().join("edge.toml");
    let text = format!(
        "[node]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nworkers = 1\n\
         [disk]\npath = \"cache\"\nsize = \"256MiB\"\n[admin]\npurges_per_second = 1000000\n\
         [[site]]\nname = \"s\"\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    std::fs::write(&file, text)?;
    let words = ["serve", "--config", &file.display().to_string()].map(str::to_owned);
    let node = Server::start(&process::node(args)?, &words)?;
    let admin = node.admin.context("an admin plane")?;
    for (writers, what) in [(1, "one writer"), (WRITERS, "64 writers")] {
        let (mut rates, mut syncs, mut waits) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            let before = commits(admin)?;
            let (count, mut took) = write(admin, writers, Duration::from_secs(args.seconds))?;
            took.sort_unstable();
            waits.push(took[took.len() / 2].as_secs_f64() * 1e3);
            waits.push(took[took.len() * 99 / 100].as_secs_f64() * 1e3);
            rates.push(count as f64 / args.seconds as f64);
            syncs.push((commits(admin)? - before) as f64 / count as f64);
        }
        let half = |first: usize| Spread::of(waits.iter().skip(first).step_by(2).copied());
        report.row(&format!("purges per second, {what}"), Spread::of(rates)?.show(""));
        report.row(&format!("fsyncs per purge, {what}"), Spread::of(syncs)?.show(""));
        report.row(&format!("asked to in force, p50, {what}"), half(0)?.show(" ms"));
        report.row(&format!("asked to in force, p99, {what}"), half(1)?.show(" ms"));
    }
    Ok(())
}

/// Commits of the ledger so far, each with one sync.
fn commits(admin: SocketAddr) -> anyhow::Result<u64> {
    let status = crate::load::get(admin, "/v1/status")?;
    let status: serde_json::Value = serde_json::from_slice(&status.body)?;
    status["purges"]["commits"].as_u64().context("commits")
}

/// Purges from so many connections at once; how many, and how long each took.
fn write(
    admin: SocketAddr,
    writers: usize,
    time: Duration,
) -> anyhow::Result<(usize, Vec<Duration>)> {
    let stop = AtomicBool::new(false);
    let took = thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let stop = &stop;
                scope.spawn(move || -> anyhow::Result<Vec<Duration>> {
                    let mut stream = BufReader::new(TcpStream::connect(admin)?);
                    stream.get_ref().set_nodelay(true)?;
                    let mut took = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        purge(&mut stream, &format!("w{writer}-{}", took.len()))?;
                        took.push(started.elapsed());
                    }
                    Ok(took)
                })
            })
            .collect();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let all: anyhow::Result<Vec<_>> =
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        all.map(|all| all.into_iter().flatten().collect::<Vec<_>>())
    })?;
    anyhow::ensure!(!took.is_empty(), "no purge was accepted");
    Ok((took.len(), took))
}

fn purge(stream: &mut BufReader<TcpStream>, tag: &str) -> anyhow::Result<()> {
    let body = format!("{{\"tag\":\"{tag}\"}}");
    let mut request = String::from("POST /v1/purges HTTP/1.1\r\nHost: localhost\r\n");
    write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len())?;
    request.push_str(&body);
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut line, mut length) = (String::new(), 0);
    let mut is_first = true;
    while line != "\r\n" {
        line.clear();
        anyhow::ensure!(stream.read_line(&mut line)? > 0, "the node closed the connection");
        anyhow::ensure!(!is_first || line.starts_with("HTTP/1.1 200"), "refused: {line}");
        is_first = false;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    Ok(())
}

/// The time of a comparison with so many live entries, and their memory.
fn lookup(args: &Args, entries: u64, report: &mut Report) -> anyhow::Result<()> {
    let before = resident()?;
    let live = Live::new(LedgerId(1), Position(0));
    for position in 1..=entries.max(1) {
        live.apply(&Invalidation {
            scopes: vec![ScopeHash::of(&Scope::Tag(&format!("tag-{position}")), None)],
            mode: Mode::Hard,
            position: Position(position),
            accepted: Millis(0),
        });
    }
    let held = resident()?.saturating_sub(before);
    // Another target each time, as under real load: the hashes are not in the processor's cache.
    let paths: Vec<String> =
        (0..4096).map(|n| format!("/shop/section-{}/item-{n}", n % 37)).collect();
    let tags = ["a", "b", "c"].map(tag_hash);
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let started = Instant::now();
        for path in &paths {
            let target = TargetScopes { site: "shop", host: "shop.example", path, query: None };
            let state = live.check(&target, &tags, Position(0), Position(0));
            anyhow::ensure!(black_box(state).hard.is_none(), "nothing selects it");
        }
        rounds.push(started.elapsed().as_nanos() as f64 / paths.len() as f64);
    }
    let spread = Spread::of(rounds)?;
    let what = format!("comparison with {entries} live entries");
    report.goal(&what, spread.show(" ns"), spread.median, 1_000.0);
    if entries >= 1_000_000 {
        let mib = held as f64 / f64::from(1 << 20);
        report.goal("memory of a million live entries, MB", format!("{mib:.1} MiB"), mib, 95.4);
    }
    Ok(())
}

/// Resident bytes of this process.
fn resident() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kib * 1024)
}
