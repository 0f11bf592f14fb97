//! Stories: requests, and what the origin would say to them, drawn from a seed.

use std::fmt;

use super::fields::{Fields, date};
use super::model::{Request, Response};

/// splitmix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn draw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    const fn one_in(&mut self, sides: u64) -> bool {
        self.draw(sides) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.draw(from.len() as u64) as usize]
    }

    /// Mostly seconds, sometimes minutes: windows here are as long.
    fn span_s(&mut self) -> u64 {
        let longest = self.pick(&[1, 3, 20, 20, 100]);
        self.draw(longest + 1)
    }
}

/// One step: time passes, a client asks, and the origin says this if it is asked.
#[derive(Clone, Debug)]
pub struct Step {
    pub gap_s: u64,
    pub request: Request,
    /// How long the origin takes.
    pub delay_s: u64,
    /// A whole answer; `None`: the origin does not answer.
    pub answer: Option<Response>,
    /// What it says to a condition instead; `None`: the whole answer.
    pub confirms: Option<Response>,
    /// The answer if it is asked once more.
    pub again: Response,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |fields: &Fields| {
            let all: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            all.join(" | ")
        };
        let Request { method, path, fields } = &self.request;
        write!(f, "+{} s {method} {path} [{}]", self.gap_s, line(fields))?;
        let answers = [
            ("answer", &self.answer),
            ("304", &self.confirms),
            ("again", &Some(self.again.clone())),
        ];
        for (name, answer) in answers {
            match answer {
                Some(Response { status, fields, body }) => {
                    write!(f, "\n      {name}: {status} #{body} [{}]", line(fields))?;
                }
                None => write!(f, "\n      {name}: -")?,
            }
        }
        write!(f, "\n      after {} s", self.delay_s)
    }
}

const SECONDS: [&str; 10] = ["0", "1", "5", "10", "30", "100", "\"10\"", "x", "-1", "99999999999"];

/// The next step; `now_s` is the time before it, `number` that of its body.
pub fn step(dice: &mut Dice, now_s: u64, number: u32) -> Step {
    let (gap_s, delay_s) = (dice.span_s(), if dice.one_in(3) { dice.draw(4) } else { 0 });
    let received_s = now_s + gap_s + delay_s;
    let answer = (!dice.one_in(12)).then(|| response(dice, received_s, number * 2));
    let again = Response { status: 200, ..response(dice, received_s, number * 2 + 1) };
    Step {
        gap_s,
        request: request(dice),
        delay_s,
        confirms: (dice.draw(3) > 0).then(|| confirmation(dice, received_s)),
        answer: answer.filter(|answer| answer.status != 304),
        again,
    }
}

fn request(dice: &mut Dice) -> Request {
    let method = dice.pick(&[
        "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "M-ODD", "OPTIONS",
    ]);
    let path = dice.pick(&["/a", "/a", "/b"]);
    let mut fields = Fields::new();
    if dice.one_in(3) {
        let seconds = dice.pick(&SECONDS);
        let one = match dice.draw(8) {
            0 => "no-cache".to_owned(),
            1 => "no-store".to_owned(),
            2 => "only-if-cached".to_owned(),
            3 => "max-stale".to_owned(),
            4 => format!("Max-Stale={seconds}"),
            5 => format!("min-fresh={seconds}"),
            6 => format!("stale-if-error={seconds}"),
            _ => format!("max-age={seconds}"),
        };
        let more = if dice.one_in(3) { ", only-if-cached" } else { "" };
        fields.push(("cache-control".into(), format!("{one}{more}")));
    }
    if dice.one_in(12) {
        fields.push(("pragma".into(), "no-cache".into()));
    }
    if dice.one_in(8) {
        fields.push(("authorization".into(), "x".into()));
    }
    if dice.one_in(2) {
        let value = dice.pick(&["de", "DE", "en", "de,en;q=0.5", "de , en;q=0.5"]);
        fields.push(("accept-language".into(), value.into()));
    }
    if dice.one_in(3) {
        let value = dice.pick(&["a", "A", "a,b", "a , b", ""]);
        fields.push(("x-kind".into(), value.into()));
    }
    Request { method, path, fields }
}

fn response(dice: &mut Dice, received_s: u64, body: u32) -> Response {
    let status = dice.pick(&[
        200, 200, 200, 200, 200, 200, 203, 301, 302, 404, 410, 418, 403, 500, 503, 599, 206,
    ]);
    let mut fields = described(dice, received_s);
    match dice.draw(4) {
        0 => {}
        1 => fields.push(("etag".into(), format!("W/\"{}\"", body % 4))),
        2 => fields.push(("etag".into(), format!("{}", body % 4))),
        _ => fields.push(("etag".into(), format!("\"{}\"", body % 4))),
    }
    if dice.one_in(3) {
        let modified_s = received_s - dice.pick(&[0, 50, 500, 5_000_000]);
        let value = if dice.one_in(6) { "yesterday".into() } else { date(modified_s) };
        fields.push(("last-modified".into(), value));
    }
    for (name, values, sides) in [
        (
            "vary",
            &[
                "x-kind",
                "Accept-Language",
                "X-Kind , accept-language",
                "*",
                ", x-kind",
                "accept, *",
            ][..],
            4,
        ),
        ("location", &["/a", "/b"][..], 12),
        ("content-location", &["/a", "/b"][..], 12),
    ] {
        if dice.one_in(sides) {
            fields.push((name.into(), dice.pick(values).into()));
        }
    }
    if dice.one_in(10) {
        fields.push(("set-cookie".into(), "a=b".into()));
    }
    Response { status, fields, body }
}

/// A 304; its tag may be another.
fn confirmation(dice: &mut Dice, received_s: u64) -> Response {
    let mut fields = if dice.one_in(2) { described(dice, received_s) } else { Fields::new() };
    if dice.one_in(4) {
        fields.push(("etag".into(), format!("\"{}\"", dice.draw(4))));
    }
    Response { status: 304, fields, body: 0 }
}

/// Fields about freshness, and one that a directive may name.
fn described(dice: &mut Dice, received_s: u64) -> Fields {
    let mut fields = Fields::new();
    fields.push(("x-secret".into(), dice.draw(9).to_string()));
    for _ in 0..dice.pick(&[0, 1, 1, 1, 2]) {
        fields.push(("cache-control".into(), control(dice)));
    }
    if dice.one_in(12) {
        let value = dice.pick(&["max-age=10", "max-age=100, public", "no-store", "", "!!"]);
        fields.push(("cdn-cache-control".into(), value.into()));
    }
    if dice.one_in(4) {
        let value = match dice.draw(5) {
            0 => "0".to_owned(),
            1 => "soon".to_owned(),
            _ => date(received_s - 20 + dice.draw(60)),
        };
        fields.push(("expires".into(), value));
    }
    if dice.one_in(2) {
        let value = if dice.one_in(9) { "today".into() } else { date(received_s - dice.draw(2)) };
        fields.push(("date".into(), value));
    }
    if dice.one_in(6) {
        let value = dice.pick(&["0", "3", "20", "x", "-5", "7, 100", "100000"]);
        fields.push(("age".into(), value.into()));
    }
    fields
}

fn control(dice: &mut Dice) -> String {
    let mut all = Vec::new();
    for _ in 0..dice.pick(&[1, 1, 2, 2, 3]) {
        let seconds = dice.pick(&SECONDS);
        all.push(match dice.draw(18) {
            0..5 => format!("max-age={seconds}"),
            5..7 => format!("S-MaxAge={seconds}"),
            7 | 8 => format!("stale-while-revalidate={seconds}"),
            9 | 10 => format!("stale-if-error={seconds}"),
            11 => "must-revalidate".to_owned(),
            12 => "Proxy-Revalidate".to_owned(),
            13 => dice
                .pick(&["no-cache", "no-cache=\"x-secret\"", "private=\"X-Secret, x-other\""])
                .to_owned(),
            14 => dice
                .pick(&["no-store", "private", "must-understand", "must-understand, no-store"])
                .to_owned(),
            15 | 16 => "public".to_owned(),
            _ => "x=\"a, no-store\"".to_owned(),
        });
    }
    all.join(", ")
}
