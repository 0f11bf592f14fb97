//! Sizes and durations as people write them: a whole number and a unit.
//!
//! A bare number is refused: whoever writes `30` may mean seconds or minutes, bytes or megabytes.
//! Every refusal says what to write instead.

use super::problem::Wrong;

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const WAITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units that people try, and the ones to take.
const MEANT: [(&str, &str, &str); 26] = [
    ("k", "KiB", ""),
    ("kb", "KB", "KiB"),
    ("kib", "KiB", ""),
    ("ki", "KiB", ""),
    ("m", "MiB", ""),
    ("mb", "MB", "MiB"),
    ("mib", "MiB", ""),
    ("mi", "MiB", ""),
    ("g", "GiB", ""),
    ("gb", "GB", "GiB"),
    ("gib", "GiB", ""),
    ("gi", "GiB", ""),
    ("b", "B", ""),
    ("byte", "B", ""),
    ("bytes", "B", ""),
    ("sec", "s", ""),
    ("secs", "s", ""),
    ("second", "s", ""),
    ("seconds", "s", ""),
    ("min", "m", ""),
    ("mins", "m", ""),
    ("minutes", "m", ""),
    ("hour", "h", ""),
    ("hours", "h", ""),
    ("day", "d", ""),
    ("days", "d", ""),
];

/// Reads a size into bytes: `256MiB`.
pub fn parse_size(text: &str) -> Result<u64, Wrong> {
    parse(text, &SIZES, "size", "MiB")
}

/// Reads a duration into milliseconds: `30s`.
pub fn parse_ms(text: &str) -> Result<u64, Wrong> {
    parse(text, &WAITS, "duration", "s")
}

fn parse(text: &str, units: &[(&str, u64)], what: &str, usual: &str) -> Result<u64, Wrong> {
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        let message = format!("\"{}\" is no {what}", short(text));
        let help =
            format!("write a whole number and a unit, as in \"64{usual}\"; units: {}", names());
        return Err(Wrong::new(message, help));
    }
    if unit.is_empty() {
        let message = format!("a {what} needs a unit");
        return Err(Wrong::new(message, format!("write \"{number}{usual}\"; units: {}", names())));
    }
    if unit.starts_with(['.', ',']) {
        let message = format!("\"{}\" is not a whole number with a unit", short(text));
        let help =
            "write it with the next smaller unit: \"1536MiB\" for 1.5GiB, \"1500ms\" for 1.5s";
        return Err(Wrong::new(message, help));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let message = format!("\"{}\" is no unit of a {what}", short(unit));
        return Err(Wrong::new(message, unit_help(number, unit, units, &names())));
    };
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    value.ok_or_else(|| {
        Wrong::new(format!("\"{}\" is too large to be counted", short(text)), "write a smaller one")
    })
}

fn unit_help(number: &str, unit: &str, units: &[(&str, u64)], names: &str) -> String {
    let lower = unit.trim().to_ascii_lowercase();
    let known = |name: &str| units.iter().any(|(known, _)| *known == name);
    if let Some(exact) = units.iter().find(|(known, _)| known.eq_ignore_ascii_case(&lower)) {
        return format!("write \"{number}{}\"", exact.0);
    }
    match MEANT.iter().find(|(tried, take, _)| *tried == lower && known(take)) {
        Some((_, take, "")) => format!("write \"{number}{take}\""),
        Some((_, take, other)) => format!("write \"{number}{take}\" or \"{number}{other}\""),
        None if unit.bytes().any(|c| c.is_ascii_digit()) => {
            format!("write one number and one unit, as in \"90m\"; units: {names}")
        }
        None => format!("units: {names}"),
    }
}

/// A text as a message may carry it: bounded, without control characters.
pub fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut out: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    // `escape_debug` also escapes quotes, which are harmless here.
    out.replace("\\'", "'")
}

/// Bytes in the largest unit that keeps the number whole.
pub fn show_size(bytes: u64) -> String {
    const SHOWN: [(&str, u64); 5] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    // `TiB` may not be written in the file, so `GiB` is the largest shown.
    show(bytes, &SHOWN[1..], "B")
}

/// Milliseconds in the largest unit that keeps the number whole.
pub fn show_ms(ms: u64) -> String {
    const SHOWN: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    show(ms, &SHOWN, "s")
}

fn show(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    if value == 0 {
        return format!("0{zero}");
    }
    let (name, factor) = units
        .iter()
        .find(|(_, factor)| value.is_multiple_of(*factor))
        .expect("the last unit is one");
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_and_shown() {
        for (text, bytes) in [
            ("0B", 0),
            ("1KB", 1000),
            ("1KiB", 1024),
            ("5MB", 5_000_000),
            ("16MiB", 16 << 20),
            ("2GB", 2_000_000_000),
            ("10GiB", 10 << 30),
        ] {
            assert_eq!(parse_size(text).expect(text), bytes);
            assert_eq!(parse_size(&show_size(bytes)).expect("shown sizes are readable"), bytes);
        }
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_ms(text).expect(text), ms);
            assert_eq!(show_ms(ms), text);
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        for (text, help) in [
            ("256", "write \"256MiB\""),
            ("256mb", "write \"256MB\""),
            ("256M", "write \"256MiB\""),
            ("1G", "write \"1GiB\""),
            ("1TB", "units: B KB MB GB KiB MiB GiB"),
            ("1.5GiB", "next smaller unit"),
            ("", "whole number and a unit"),
            ("-1MiB", "whole number and a unit"),
            ("lots", "whole number and a unit"),
            ("18446744073709551615KiB", "smaller"),
            ("99999999999999999999999B", "smaller"),
        ] {
            let wrong = parse_size(text).expect_err(text);
            assert!(wrong.help.contains(help), "{text}: {}", wrong.help);
        }
        for (text, help) in [
            ("30", "write \"30s\""),
            ("30sec", "write \"30s\""),
            ("5min", "write \"5m\""),
            ("30S", "write \"30s\""),
            ("1h30m", "one number and one unit"),
            ("2 hours", "write \"2h\""),
            ("1w", "units: ms s m h d"),
        ] {
            let wrong = parse_ms(text).expect_err(text);
            assert!(wrong.help.contains(help), "{text}: {}", wrong.help);
        }
    }
}
