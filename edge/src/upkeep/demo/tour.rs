//! The tour: six sentences, each with the evidence that it is true.

use std::io;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;

use super::client::{Answer, ask, get, post};
use super::crowd::{clients, gather};
use super::origin::{FILM_BYTES, Origin, film};
use super::page::Page;
use super::{Failed, TOUR_HOST, say};

/// How long the counters may take to tell what has happened.
const COUNTED_WAIT: Duration = Duration::from_secs(10);

/// Between two looks at the counters.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

const TOUR_SITE: [(&str, &str); 1] = [("site", "tour")];

/// Where the tour takes place.
#[derive(Debug)]
pub(super) struct Stage {
    /// Address of the node's plain listener.
    pub(super) plain: String,
    /// Address of its admin plane.
    pub(super) admin: String,
    /// The origin behind it.
    pub(super) origin: Origin,
}

/// A tour under way, with a tally of the answers it got.
pub(super) struct Tour<'a> {
    stage: &'a Stage,
    started: Instant,
    tally: Tally,
}

/// Answers, by their own `Cache-Status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    requests: u64,
    hits: u64,
    bytes: u64,
    hit_bytes: u64,
}

impl Tally {
    fn add(&mut self, cache_status: &str, bytes: u64) {
        let is_hit = has(cache_status, "hit") || has(cache_status, "collapsed");
        self.requests += 1;
        self.bytes += bytes;
        if is_hit {
            self.hits += 1;
            self.hit_bytes += bytes;
        }
    }
}

/// Whether a `Cache-Status` member has this parameter.
fn has(cache_status: &str, parameter: &str) -> bool {
    cache_status.split(';').any(|said| said.trim() == parameter)
}

/// A sentence of the tour holds, or the tour is over.
fn holds(condition: bool, or_else: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(Failed::new(or_else())) }
}

impl<'a> Tour<'a> {
    pub(super) fn new(stage: &'a Stage) -> Self {
        Self { stage, started: Instant::now(), tally: Tally::default() }
    }

    /// All of it.
    pub(super) async fn walk(mut self) -> Result<(), Failed> {
        let Stage { plain, admin, origin } = self.stage;
        say("A caching edge node, and an origin behind it, both in this process:");
        say(&format!("  node    http://{plain}"));
        say(&format!("  admin   http://{admin}"));
        say(&format!("  origin  http://{}", origin.address()));
        self.miss().await?;
        self.hit().await?;
        self.crowd().await?;
        self.outage().await?;
        self.purge().await?;
        self.ratio().await?;
        self.farewell();
        Ok(())
    }

    async fn miss(&mut self) -> Result<(), Failed> {
        say("\n1. What is not stored is asked of the origin, and stored.");
        let answer = self.get("/hello").await?;
        let status = answer.field("cache-status");
        holds(has(status, "fwd=uri-miss") && has(status, "stored"), || {
            format!("The first request was no miss that is stored: {status}.")
        })?;
        self.origin_requests(1).await
    }

    async fn hit(&mut self) -> Result<(), Failed> {
        say("\n2. The next request is answered from the store; the origin hears nothing of it.");
        let answer = self.get("/hello").await?;
        let status = answer.field("cache-status");
        holds(has(status, "hit"), || format!("The second request was no hit: {status}."))?;
        holds(!answer.field("age").is_empty(), || "The hit states no age.".to_owned())?;
        self.origin_requests(1).await
    }

    async fn crowd(&mut self) -> Result<(), Failed> {
        let Stage { plain, origin, .. } = self.stage;
        let count = clients();
        say(&format!("\n3. {count} clients ask at once for a film that is not stored yet."));
        let films = origin.counters().films();
        let crowd = gather(plain, "/film", count, film(0..FILM_BYTES)).await?;
        crowd.seen.iter().for_each(|seen| self.tally.add(&seen.cache_status, seen.bytes));
        let asked = origin.counters().films() - films;
        self.finished().await?;
        self.origin_requests(2).await?;
        holds(asked == 1, || format!("The origin was asked for the film {asked} times."))?;
        let received: u64 = crowd.seen.iter().map(|seen| seen.bytes).sum();
        say(&format!(
            "   the origin sent {FILM_BYTES} bytes once; {} clients got {received}, all of them right",
            crowd.seen.len()
        ));
        let sent = origin.counters().film_sent();
        let sent = sent.ok_or_else(|| Failed::new("The origin never finished the film."))?;
        let along = crowd.seen.iter().filter(|seen| seen.first < sent).count();
        holds(along > 0, || "Nobody saw a byte before the origin had sent all.".to_owned())?;
        let took = sent.duration_since(crowd.started);
        let last = crowd.seen.iter().map(|seen| seen.last).max().unwrap_or(sent);
        say(&format!(
            "   the origin took {:.2} s to send it; {along} clients read along meanwhile",
            took.as_secs_f64()
        ));
        say(&format!(
            "   slowest first byte after {:.2} s, last byte of all after {:.2} s",
            crowd.slowest_first().as_secs_f64(),
            last.duration_since(crowd.started).as_secs_f64()
        ));
        Ok(())
    }

    async fn outage(&mut self) -> Result<(), Failed> {
        let origin = &self.stage.origin;
        say("\n4. The origin stops. What it allowed to be used stale in that case still is.");
        let before = self.get("/news").await?;
        holds(has(before.field("cache-status"), "stored"), || {
            format!("The news was not stored: {}.", before.field("cache-status"))
        })?;
        // `max-age=1`: over when the age has gone past it.
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        origin.switch(false).await?;
        let address = origin.address();
        match TcpStream::connect(address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                say(&format!("   origin {address}: {error}"));
            }
            _ => return Err(Failed::new("The origin was to be down and is not.")),
        }
        let stale = self.get("/news").await?;
        let status = stale.field("cache-status");
        holds(has(status, "hit") && status.contains("ttl=-"), || {
            format!("Without an origin the news was not served stale: {status}.")
        })?;
        holds(stale.body == before.body, || "The stale answer has other bytes.".to_owned())
    }

    async fn purge(&mut self) -> Result<(), Failed> {
        let Stage { admin, origin, .. } = self.stage;
        say("\n5. The origin is back; a purge by tag takes out what carries the tag.");
        origin.switch(true).await?;
        let kept = self.get("/hello").await?;
        holds(has(kept.field("cache-status"), "hit"), || {
            format!("The greeting was lost: {}.", kept.field("cache-status"))
        })?;
        let json = r#"{"tag":"greeting"}"#;
        let answer = ask(admin, post(admin, "/v1/purges", json)).await?;
        say(&format!(
            "   POST /v1/purges {json} → {}, {} ({:.1} ms)",
            answer.status.as_u16(),
            answer.line(),
            answer.took.as_secs_f64() * 1e3
        ));
        holds(answer.status == StatusCode::OK, || "The purge was refused.".to_owned())?;
        let said: Value = serde_json::from_slice(&answer.body).map_err(|error| {
            Failed::new(format!("The purge was answered with no JSON: {error}."))
        })?;
        let position = said["position"].as_u64();
        let in_force = self.page().await?.count("selvedge_purge_position", &[]);
        holds(position == Some(in_force), || {
            format!("The purge is said to be at {position:?} and {in_force} is in force.")
        })?;
        let again = self.get("/hello").await?;
        let status = again.field("cache-status");
        holds(!has(status, "hit") && has(status, "stored"), || {
            format!("After the purge the greeting was no miss: {status}.")
        })?;
        holds(again.body != kept.body, || "Purged bytes were served.".to_owned())
    }

    async fn ratio(&mut self) -> Result<(), Failed> {
        say("\n6. What the node counted is what the clients saw.");
        let page = self.finished().await?;
        let Tally { requests, hits, bytes, hit_bytes } = self.tally;
        for (name, part, whole) in
            [("selvedge_hit_ratio", hits, requests), ("selvedge_byte_hit_ratio", hit_bytes, bytes)]
        {
            let expected = part as f64 / whole as f64;
            let said = page.sum(name, &TOUR_SITE).unwrap_or(f64::NAN);
            say(&format!(
                "   {name}{{site=\"tour\"}} {said:.6} — by Cache-Status: {part} of {whole}"
            ));
            holds((said - expected).abs() < 1e-9, || {
                format!("{name} says {said}, and the answers say {expected}.")
            })?;
        }
        let asked = page.count("selvedge_origin_requests_total", &TOUR_SITE);
        let answered = self.stage.origin.counters().requests();
        say(&format!(
            "   {requests} requests; the node turned to the origin {asked} times, which was there {answered} times"
        ));
        Ok(())
    }

    fn farewell(&self) {
        let Stage { plain, admin, .. } = self.stage;
        let took = self.started.elapsed().as_secs_f64();
        say(&format!(
            "\nEverything held, in {took:.1} s. The node stays up; ctrl-c ends it. Try:\n"
        ));
        say(&format!("  curl -i http://{plain}/hello     # twice: stored, then a hit"));
        let program = std::env::args().next().unwrap_or_else(|| "selvedge".to_owned());
        say(&format!("  {program} purge --admin {admin} --tag greeting"));
        say(&format!("  curl -i http://{plain}/hello     # stored again"));
        say(&format!("  curl http://{plain}/film         # two seconds, then at once"));
        say(&format!("  curl http://{admin}/metrics"));
    }

    /// A `GET` by the tour's own site, told and tallied.
    async fn get(&mut self, path: &str) -> Result<Answer, Failed> {
        let answer = ask(&self.stage.plain, get(TOUR_HOST, path)).await?;
        let status = answer.field("cache-status");
        let age = match answer.field("age") {
            "" => String::new(),
            age => format!("Age: {age}, "),
        };
        say(&format!(
            "   GET {path} → {}, {age}Cache-Status: {status} ({:.1} ms)\n       {}",
            answer.status.as_u16(),
            answer.took.as_secs_f64() * 1e3,
            answer.line()
        ));
        self.tally.add(status, answer.body.len() as u64);
        holds(answer.status == StatusCode::OK, || {
            format!("{path} was answered {}.", answer.status)
        })?;
        Ok(answer)
    }

    /// Waits until the node has counted all requests of the tour; then its page.
    async fn finished(&self) -> Result<Page, Failed> {
        let wanted = self.tally.requests;
        self.page_with("selvedge_requests_total", wanted).await
    }

    /// The node must have asked the origin exactly this often, on behalf of the tour.
    async fn origin_requests(&self, wanted: u64) -> Result<(), Failed> {
        let name = "selvedge_origin_requests_total";
        let page = self.page_with(name, wanted).await?;
        say(&format!("   {name}{{site=\"tour\"}} {}", page.count(name, &TOUR_SITE)));
        Ok(())
    }

    /// The first page on which a counter of the tour's site has reached a number; more is wrong.
    async fn page_with(&self, name: &str, wanted: u64) -> Result<Page, Failed> {
        let give_up = Instant::now() + COUNTED_WAIT;
        loop {
            let page = self.page().await?;
            let count = page.count(name, &TOUR_SITE);
            if count == wanted {
                return Ok(page);
            }
            holds(count < wanted && Instant::now() < give_up, || {
                format!("{name} was to be {wanted} and is {count}.")
            })?;
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    async fn page(&self) -> Result<Page, Failed> {
        let admin = &self.stage.admin;
        let answer = ask(admin, get(admin, "/metrics")).await?;
        holds(answer.status == StatusCode::OK, || "/metrics was refused.".to_owned())?;
        Ok(Page::new(String::from_utf8_lossy(&answer.body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_tallied_by_what_they_say() {
        let mut tally = Tally::default();
        for status in [
            "selvedge; fwd=uri-miss; ttl=60; stored",
            "selvedge; hit; ttl=60",
            "selvedge; hit; ttl=-1; detail=EXPIRED",
            "selvedge; fwd=uri-miss; ttl=60; stored; collapsed",
        ] {
            tally.add(status, 10);
        }
        assert_eq!(tally, Tally { requests: 4, hits: 3, bytes: 40, hit_bytes: 30 });
    }

    #[test]
    fn a_parameter_is_found_whole() {
        assert!(has("selvedge; hit; ttl=60", "hit"));
        assert!(!has("selvedge; fwd=uri-miss; white", "hit"));
        assert!(!has("", "hit"));
    }
}
