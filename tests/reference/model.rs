//! RFC 9111, slow and obvious: every stored response in a list, every rule as its clause says it.
//!
//! Where the RFC leaves a choice, the choice of the node's documents is made here as well, marked
//! with "chosen". Times are whole seconds, strings are strings, nothing is kept that could be
//! worked out again. It imports nothing of the cache.

use super::fields::{Fields, directives, has, joined, lines, members, parse_date, seconds};

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: &'static str,
    pub fields: Fields,
}

/// A response of the origin; `body` is its number.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub fields: Fields,
    pub body: u32,
}

/// What is done with a request before the origin is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answered from the store; `refresh`: and validated in the background.
    Stored { body: u32, age_s: u64, fields: Fields, refresh: bool },
    /// The origin is asked, and its answer may be stored; with these conditions.
    Fetch { etag: Option<String>, modified: Option<String> },
    /// The origin is asked for this request alone.
    Alone,
    /// 504 (§5.2.1.7).
    Unsatisfied,
}

/// What the client gets after the origin was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The origin's own answer.
    Origin,
    /// A stored one: validated, or in the place of an error.
    Stored { body: u32, age_s: u64, fields: Fields },
    /// The origin is to be asked once more, without conditions.
    AskAgain,
    /// Nothing: 502.
    Failure,
}

#[derive(Clone, Debug)]
struct Stored {
    path: &'static str,
    request: Fields,
    response: Response,
    requested_s: u64,
    received_s: u64,
    /// An unsafe method came since (§4.4).
    invalidated: bool,
}

/// The cache, newest response last.
#[derive(Debug, Default)]
pub struct Model(Vec<Stored>);

/// Cacheable by default (RFC 9110 §15.1), partial content apart.
const HEURISTIC: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
const HEURISTIC_MAX_S: u64 = 86_400; // chosen (§4.2.2)

/// The greatest number of seconds that is counted (§1.2.2).
const COUNTED_MAX: u64 = u32::MAX as u64;

/// A response's directives: of the targeted field if there is a valid one (RFC 9213), else of
/// `Cache-Control`.
struct Control {
    said: Vec<(String, Option<String>)>,
    targeted: bool,
}

impl Control {
    fn of(fields: &Fields) -> Self {
        let targeted = joined(fields, "cdn-cache-control")
            .filter(|list| !members(list).is_empty() && !list.contains('!'));
        let list = targeted.clone().or_else(|| joined(fields, "cache-control"));
        Self { said: directives(&list.unwrap_or_default()), targeted: targeted.is_some() }
    }

    /// Without an argument that would qualify it (§5.2.2.4, §5.2.2.7).
    fn has(&self, name: &str) -> bool {
        self.said.iter().any(|(known, value)| known == name && value.is_none())
    }

    /// Chosen: of several values the smallest; an invalid one is 0 (§4.2.1: stale).
    fn seconds(&self, name: &str) -> Option<u64> {
        let values = self.said.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| value.as_deref().and_then(seconds).unwrap_or(0)).min()
    }

    fn qualified_fields(&self) -> Vec<String> {
        let named = ["no-cache", "private"];
        let lists = self.said.iter().filter(|(name, _)| named.contains(&name.as_str()));
        lists
            .filter_map(|(_, list)| list.as_ref())
            .flat_map(|list| members(list))
            .map(|name| name.to_lowercase())
            .collect()
    }

    fn must_revalidate(&self) -> bool {
        // §5.2.2.10: s-maxage has the meaning of proxy-revalidate.
        self.has("must-revalidate")
            || self.has("proxy-revalidate")
            || self.seconds("s-maxage").is_some()
    }

    /// Chosen: windows of RFC 5861 are shut where staleness is forbidden.
    fn window(&self, name: &str) -> u64 {
        let shut = self.must_revalidate() || self.has("no-cache");
        if shut { 0 } else { self.seconds(name).unwrap_or(0) }
    }

    /// §3.5.
    fn shares_authorized(&self) -> bool {
        self.has("public") || self.has("must-revalidate") || self.seconds("s-maxage").is_some()
    }
}

fn date_s(response: &Response, received_s: u64) -> u64 {
    lines(&response.fields, "date").next().and_then(parse_date).unwrap_or(received_s)
}

/// §4.2.1; `true`: explicit.
fn lifetime_s(response: &Response, received_s: u64) -> (u64, bool) {
    let control = Control::of(&response.fields);
    if let Some(seconds) = control.seconds("s-maxage") {
        return (seconds, true);
    }
    if let Some(seconds) = control.seconds("max-age") {
        return (seconds, true);
    }
    if let Some(expires) = lines(&response.fields, "expires").next()
        && !control.targeted
    {
        let expires_s = parse_date(expires).unwrap_or(0);
        return (expires_s.saturating_sub(date_s(response, received_s)), true);
    }
    let modified = lines(&response.fields, "last-modified").next().and_then(parse_date);
    if let Some(modified_s) = modified
        && (HEURISTIC.contains(&response.status) || control.has("public"))
    {
        let unchanged_s = date_s(response, received_s).saturating_sub(modified_s);
        return ((unchanged_s / 10).min(HEURISTIC_MAX_S), false);
    }
    (0, false)
}

/// §4.2.3.
fn age_s(stored: &Stored, now_s: u64) -> u64 {
    let apparent_s = stored.received_s.saturating_sub(date_s(&stored.response, stored.received_s));
    let delay_s = stored.received_s - stored.requested_s;
    // Chosen (§5.1): the first member counts, what is no number is ignored.
    let line = lines(&stored.response.fields, "age").next().unwrap_or_default();
    let value_s = line.split(',').next().and_then(|first| seconds(first.trim())).unwrap_or(0);
    apparent_s.max(value_s + delay_s).min(COUNTED_MAX) + (now_s - stored.received_s)
}

fn etag(fields: &Fields) -> Option<String> {
    lines(fields, "etag").next().filter(|tag| tag.ends_with('"')).map(str::to_owned)
}

fn modified(fields: &Fields) -> Option<String> {
    let line = lines(fields, "last-modified").next()?;
    parse_date(line).map(|_| line.to_owned())
}

/// §3: may this response to GET be stored?
fn may_store(request: &Request, response: &Response, received_s: u64) -> bool {
    let control = Control::of(&response.fields);
    let asked = directives(&joined(&request.fields, "cache-control").unwrap_or_default());
    let never = [206, 304, 407, 416, 421, 425, 428, 429, 431, 511]; // chosen
    let understood = !matches!(response.status, 418 | 599);
    if asked.iter().any(|(name, _)| name == "no-store") || never.contains(&response.status) {
        return false;
    }
    if control.has("must-understand") && !understood {
        return false;
    }
    if control.has("no-store") && !control.has("must-understand") || control.has("private") {
        return false;
    }
    if has(&request.fields, "authorization") && !control.shares_authorized() {
        return false;
    }
    if selecting(response).is_none() {
        return false;
    }
    let (lifetime_s, explicit) = lifetime_s(response, received_s);
    let by_default = HEURISTIC.contains(&response.status);
    if !explicit && !control.has("public") && !by_default {
        return false;
    }
    // Chosen: an error without a lifetime is not kept for its validator.
    if !explicit && lifetime_s == 0 && response.status >= 400 {
        return false;
    }
    // Chosen: never a cookie by guessing.
    if has(&response.fields, "set-cookie")
        && (!explicit || lifetime_s == 0 || control.has("no-cache"))
    {
        return false;
    }
    // Chosen: what can be used neither fresh nor stale nor to validate is not kept.
    let windows = control.window("stale-while-revalidate") + control.window("stale-if-error");
    etag(&response.fields).is_some()
        || modified(&response.fields).is_some()
        || (!control.has("no-cache") && lifetime_s + windows > 0)
}

/// The selecting fields (§4.1), sorted; `None` for `*`.
fn selecting(response: &Response) -> Option<Vec<String>> {
    let list = joined(&response.fields, "vary").unwrap_or_default();
    let mut names: Vec<_> = members(&list).iter().map(|name| name.to_lowercase()).collect();
    names.sort();
    names.dedup();
    (!names.iter().any(|name| name == "*")).then_some(names)
}

/// A selecting field in a form in which equal meaning is equal text: white space around commas
/// means nothing, nor does case in a language.
fn selected(request: &Fields, name: &str) -> Option<String> {
    let list: Vec<String> =
        joined(request, name)?.split(',').map(|member| member.trim().to_owned()).collect();
    let value = list.join(",");
    Some(if name == "accept-language" { value.to_lowercase() } else { value })
}

impl Stored {
    fn control(&self) -> Control {
        Control::of(&self.response.fields)
    }

    fn lifetime_s(&self) -> u64 {
        lifetime_s(&self.response, self.received_s).0
    }

    fn same_selection(&self, names: &[String], request: &Fields) -> bool {
        names.iter().all(|name| selected(&self.request, name) == selected(request, name))
    }

    fn fits(&self, request: &Request) -> bool {
        let names = selecting(&self.response).unwrap_or_default();
        self.path == request.path && self.same_selection(&names, &request.fields)
    }

    /// What is sent: everything but `Age`, which is made anew, and what a directive names.
    fn sent(&self) -> Fields {
        let omitted = self.control().qualified_fields();
        let stays = |name: &String| name != "age" && !omitted.contains(name);
        let mut fields: Fields =
            self.response.fields.iter().filter(|(name, _)| stays(name)).cloned().collect();
        fields.sort();
        fields
    }

    fn delivery(&self, now_s: u64) -> Delivery {
        Delivery::Stored {
            body: self.response.body,
            age_s: age_s(self, now_s),
            fields: self.sent(),
        }
    }

    /// RFC 5861 §4.
    fn stands_in(&self, request: &Request, now_s: u64) -> bool {
        let wishes = Wishes::of(request);
        let control = self.control();
        let authorized = has(&request.fields, "authorization") && !control.shares_authorized();
        if self.invalidated || authorized || control.has("no-cache") || wishes.no_cache() {
            return false;
        }
        let (age_s, lifetime_s) = (age_s(self, now_s), self.lifetime_s());
        let window_s = wishes.seconds("stale-if-error").unwrap_or(control.window("stale-if-error"));
        age_s < lifetime_s || (!control.must_revalidate() && age_s - lifetime_s < window_s)
    }
}

/// What a request wants of the cache (§5.2.1).
struct Wishes {
    said: Vec<(String, Option<String>)>,
    pragma: bool,
}

impl Wishes {
    fn of(request: &Request) -> Self {
        let list = joined(&request.fields, "cache-control");
        // §5.4: only without Cache-Control.
        let pragma = list.is_none() && has(&request.fields, "pragma");
        Self { said: directives(&list.unwrap_or_default()), pragma }
    }

    fn has(&self, name: &str) -> bool {
        self.said.iter().any(|(known, _)| known == name)
    }

    fn no_cache(&self) -> bool {
        self.pragma || self.has("no-cache")
    }

    /// Chosen: an invalid wish is none.
    fn seconds(&self, name: &str) -> Option<u64> {
        self.said.iter().find(|(known, _)| known == name)?.1.as_deref().and_then(seconds)
    }
}

impl Model {
    /// §4: the most recent stored response among those that fit. Chosen: the one received or
    /// validated last, which is the one with the latest `Date` where the origin's clock is even.
    fn find(&self, request: &Request) -> Option<usize> {
        self.0.iter().rposition(|stored| stored.fits(request))
    }

    /// Whether a stored response is there to validate or to stand in.
    fn base(&self, request: &Request) -> Option<usize> {
        self.find(request).filter(|at| !self.0[*at].invalidated)
    }

    /// §4.
    pub fn ask(&self, request: &Request, now_s: u64) -> Decision {
        if !["GET", "HEAD"].contains(&request.method) {
            return Decision::Alone;
        }
        let wishes = Wishes::of(request);
        let base = self.base(request).map(|at| &self.0[at]);
        if let Some(stored) = base {
            if has(&request.fields, "authorization") && !stored.control().shares_authorized() {
                let only_cached = wishes.has("only-if-cached");
                // Chosen: not to the store either.
                return if only_cached { Decision::Unsatisfied } else { Decision::Alone };
            }
            if let Some(refresh) = usable(stored, &wishes, now_s) {
                let (body, fields) = (stored.response.body, stored.sent());
                return Decision::Stored { body, age_s: age_s(stored, now_s), fields, refresh };
            }
        }
        if wishes.has("only-if-cached") {
            return Decision::Unsatisfied;
        }
        if request.method == "HEAD" || wishes.has("no-store") {
            return Decision::Alone;
        }
        let fields = base.map(|stored| &stored.response.fields);
        Decision::Fetch { etag: fields.and_then(etag), modified: fields.and_then(modified) }
    }

    /// The origin answered a request that was sent by [`Decision::Fetch`]; `None`: it did not.
    pub fn fetched(
        &mut self,
        request: &Request,
        (requested_s, received_s): (u64, u64),
        answer: Option<&Response>,
        conditional: bool,
    ) -> Delivery {
        let base = self.base(request);
        let stands_in = base.filter(|at| self.0[*at].stands_in(request, received_s));
        let Some(answer) = answer else {
            return stands_in.map_or(Delivery::Failure, |at| self.0[at].delivery(received_s));
        };
        // §4.3.3: an error says nothing of what is stored, and does not replace it (chosen).
        if let (500 | 502 | 503 | 504, Some(_)) = (answer.status, base) {
            return stands_in.map_or(Delivery::Origin, |at| self.0[at].delivery(received_s));
        }
        if let (304, Some(at), true) = (answer.status, base, conditional) {
            return self.validated(at, request, (requested_s, received_s), answer);
        }
        if may_store(request, answer, received_s) {
            let response = answer.clone();
            self.store(request, response, (requested_s, received_s));
        }
        Delivery::Origin
    }

    fn store(
        &mut self,
        request: &Request,
        response: Response,
        (requested_s, received_s): (u64, u64),
    ) {
        let names = selecting(&response).unwrap_or_default();
        self.0.retain(|old| {
            let same_names = selecting(&old.response).as_ref() == Some(&names);
            old.path != request.path || !same_names || !old.same_selection(&names, &request.fields)
        });
        let (path, request) = (request.path, request.fields.clone());
        let invalidated = false;
        self.0.push(Stored { path, request, response, requested_s, received_s, invalidated });
    }

    /// §4.3.4, §3.2.
    fn validated(
        &mut self,
        at: usize,
        request: &Request,
        (requested_s, received_s): (u64, u64),
        answer: &Response,
    ) -> Delivery {
        let stored = &self.0[at];
        if let Some(new) = etag(&answer.fields)
            && etag(&stored.response.fields).as_ref() != Some(&new)
        {
            return Delivery::AskAgain;
        }
        let kept = ["content-length", "content-encoding", "content-range"];
        let news = |name: &str| has(&answer.fields, name) && !kept.contains(&name);
        let of_one_message = |name: &str| name == "age" || name == "date";
        let omitted = stored.control().qualified_fields();
        let old =
            stored.response.fields.iter().filter(|(name, _)| {
                !news(name) && !of_one_message(name) && !omitted.contains(name)
            });
        let new = answer.fields.iter().filter(|(name, _)| news(name));
        let fields = old.chain(new).cloned().collect();
        let merged = Response { fields, ..stored.response.clone() };
        if !may_store(request, &merged, received_s) {
            self.0.remove(at);
            return Delivery::AskAgain;
        }
        self.0.remove(at);
        self.store(request, merged, (requested_s, received_s));
        self.0.last().expect("it was stored").delivery(received_s)
    }

    /// The origin answered a request that went alone; `None`: it did not.
    pub fn passed(&mut self, request: &Request, now_s: u64, answer: Option<&Response>) -> Delivery {
        let is_safe = ["GET", "HEAD", "OPTIONS"].contains(&request.method);
        let succeeded = answer.is_none_or(|answer| answer.status < 400);
        if !is_safe && succeeded {
            self.invalidate(request.path);
            for name in ["location", "content-location"] {
                let target = answer.and_then(|answer| lines(&answer.fields, name).next());
                target.map(str::to_owned).into_iter().for_each(|target| self.invalidate(&target));
            }
        }
        match answer {
            Some(_) => Delivery::Origin,
            // What is stored answers GET and HEAD alone.
            None if ["GET", "HEAD"].contains(&request.method) => {
                let stands_in =
                    self.base(request).filter(|at| self.0[*at].stands_in(request, now_s));
                stands_in.map_or(Delivery::Failure, |at| self.0[at].delivery(now_s))
            }
            None => Delivery::Failure,
        }
    }

    /// §4.4.
    fn invalidate(&mut self, path: &str) {
        let of_path = self.0.iter_mut().filter(|stored| stored.path == path);
        of_path.for_each(|stored| stored.invalidated = true);
    }
}

/// §4.2, §4.2.4, §5.2.1: may it be used without asking; `Some(true)`: and be refreshed behind.
fn usable(stored: &Stored, wishes: &Wishes, now_s: u64) -> Option<bool> {
    let control = stored.control();
    let (age_s, lifetime_s) = (age_s(stored, now_s), stored.lifetime_s());
    let too_old = wishes.seconds("max-age").is_some_and(|max| age_s > max);
    if control.has("no-cache") || wishes.no_cache() || too_old {
        return None;
    }
    if age_s < lifetime_s {
        let wanted_s = wishes.seconds("min-fresh").unwrap_or(0);
        return (lifetime_s - age_s >= wanted_s).then_some(false);
    }
    let stale_s = age_s - lifetime_s;
    if control.must_revalidate() || wishes.seconds("min-fresh").is_some() {
        return None;
    }
    if stale_s < control.window("stale-while-revalidate") && wishes.seconds("max-age").is_none() {
        return Some(true);
    }
    let max_stale_s = match wishes.said.iter().find(|(name, _)| name == "max-stale") {
        Some((_, None)) => Some(u64::MAX),
        // A number beyond what can be counted is no bound (§1.2.2).
        _ => wishes.seconds("max-stale").map(|max| if max == COUNTED_MAX { u64::MAX } else { max }),
    };
    max_stale_s.filter(|max| stale_s <= *max).map(|_| false)
}
