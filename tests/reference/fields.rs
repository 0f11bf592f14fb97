//! Field values, read in the plainest way: split, trim, compare. For well-formed values, and for
//! the malformed ones of which RFC 9111 says what they mean.

/// Fields of a message in order, names in lower case.
pub type Fields = Vec<(String, String)>;

/// All lines of a field as one list value (RFC 9110 §5.3); `None` if there is no line.
pub fn joined(fields: &Fields, name: &str) -> Option<String> {
    let lines: Vec<&str> = lines(fields, name).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// The lines of a field.
pub fn lines<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Whether there is such a field.
pub fn has(fields: &Fields, name: &str) -> bool {
    lines(fields, name).next().is_some()
}

/// Members of a list, commas in quotes kept; empty ones left out (RFC 9110 §5.6.1).
pub fn members(list: &str) -> Vec<String> {
    let (mut all, mut one, mut quoted) = (Vec::new(), String::new(), false);
    for letter in list.chars() {
        quoted ^= letter == '"';
        if letter == ',' && !quoted {
            all.push(std::mem::take(&mut one));
        } else {
            one.push(letter);
        }
    }
    all.push(one);
    all.into_iter().map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// Directives: name in lower case, argument without quotes.
pub fn directives(list: &str) -> Vec<(String, Option<String>)> {
    members(list)
        .into_iter()
        .map(|member| match member.split_once('=') {
            Some((name, value)) => (name.to_lowercase(), Some(value.trim_matches('"').to_owned())),
            None => (member.to_lowercase(), None),
        })
        .collect()
}

/// Delta-seconds (RFC 9111 §1.2.2), saturating at 2^32 - 1.
pub fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX).min(u64::from(u32::MAX)))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY_S: u64 = 86_400;

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn month_days(year: u64, month: usize) -> u64 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// An IMF-fixdate (RFC 9110 §5.6.7) of this many seconds since 1970, counted year by year.
pub fn date(unix_s: u64) -> String {
    let (mut day, second) = (unix_s / DAY_S, unix_s % DAY_S);
    let weekday = DAYS[(day % 7) as usize];
    let (mut year, mut month) = (1970, 0);
    while day >= if is_leap(year) { 366 } else { 365 } {
        day -= if is_leap(year) { 366 } else { 365 };
        year += 1;
    }
    while day >= month_days(year, month) {
        day -= month_days(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (day, month) = (day + 1, MONTHS[month]);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads what [`date`] writes; anything else is no date here, and no other form is generated.
pub fn parse_date(text: &str) -> Option<u64> {
    let word: Vec<&str> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = word[..] else { return None };
    let number = |text: &str| text.parse::<u64>().ok();
    let (day, year) = (number(day)?, number(year)?);
    let month = MONTHS.iter().position(|known| *known == month)?;
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (0..month).map(|month| month_days(year, month)).sum();
    let of_day = number(hour)? * 3600 + number(minute)? * 60 + number(second)?;
    let unix_s = (years + months + day.checked_sub(1)?) * DAY_S + of_day;
    (date(unix_s) == text).then_some(unix_s)
}
