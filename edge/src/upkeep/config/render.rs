//! Problems as people see them: `file:line:column`, the line itself, a mark under the word.
//!
//! ```text
//! edge.toml:2:10: error: `node.memory`: a size needs a unit
//!   2 | memory = 256
//!     |          ^^^ write "256MiB"; units: B KB MB GB KiB MiB GiB
//! ```
//!
//! Lines of the file are untrusted for a terminal: control characters are replaced, long lines
//! are cut around the mark.

use std::fmt::Write as _;
use std::ops::Range;

use super::problem::{Place, Problem, Problems};

/// Most characters shown of a line.
const LINE_CHARS_MAX: usize = 120;
/// Characters kept before the mark when a line is cut.
const LEAD_CHARS: usize = 40;

/// The file that places point into.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// How the file is called in messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// All problems, in order, with how many more there are.
pub fn problems(problems: &Problems, file: Text<'_>) -> String {
    let mut out = String::new();
    let (found, beyond) = problems.in_order();
    for problem in found {
        one(&mut out, "error", problem, file);
    }
    if beyond > 0 {
        let _ = writeln!(out, "and {beyond} more");
    }
    out
}

/// What is odd, one text each.
pub fn warnings(problems: &Problems, file: Text<'_>) -> Vec<String> {
    let render = |problem| {
        let mut out = String::new();
        one(&mut out, "warning", problem, file);
        out.trim_end().to_owned()
    };
    problems.warnings().iter().map(render).collect()
}

fn one(out: &mut String, severity: &str, problem: &Problem, file: Text<'_>) {
    let _ = writeln!(out, "{}{severity}: {}", heading(&problem.place, file), problem.wrong.message);
    source(out, &problem.place, &problem.wrong.help, file);
    if let Some((place, why)) = &problem.also {
        let _ = writeln!(out, "{}{why}", heading(place, file));
        source(out, place, "", file);
    }
}

/// `edge.toml:2:10: `, `--memory: `, `SELVEDGE_MEMORY: `, or nothing.
fn heading(place: &Place, file: Text<'_>) -> String {
    match place {
        Place::File(span) => {
            let at = position(file.text, span.start);
            format!("{}:{}:{}: ", file.name, at.line, at.column)
        }
        Place::Flag(flag) => format!("--{flag}: "),
        Place::Variable(name) => format!("{name}: "),
        Place::Whole if file.name.is_empty() => String::new(),
        Place::Whole => format!("{}: ", file.name),
    }
}

fn source(out: &mut String, place: &Place, help: &str, file: Text<'_>) {
    let Place::File(span) = place else {
        if !help.is_empty() {
            let _ = writeln!(out, "  {help}");
        }
        return;
    };
    let at = position(file.text, span.start);
    let (line, before, marked) = cut(file.text, &at, span);
    let number = at.line.to_string();
    let margin = " ".repeat(number.len());
    let under = format!("{}{} {help}", " ".repeat(before), "^".repeat(marked));
    for row in [format!("  {number} | {line}"), format!("  {margin} | {under}")] {
        // No blanks at the end of a line.
        let _ = writeln!(out, "{}", row.trim_end());
    }
}

struct Position {
    /// From one.
    line: usize,
    /// In characters, from one.
    column: usize,
    /// First byte of the line.
    start: usize,
}

fn position(text: &str, byte: usize) -> Position {
    let byte = floor(text, byte);
    let start = text[..byte].rfind('\n').map_or(0, |at| at + 1);
    let line = text[..start].matches('\n').count() + 1;
    Position { line, column: text[start..byte].chars().count() + 1, start }
}

/// The largest character boundary that is not after `byte`.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// The line as shown, characters before the mark, length of the mark.
fn cut(text: &str, at: &Position, span: &Range<usize>) -> (String, usize, usize) {
    let line = text[at.start..].lines().next().unwrap_or("");
    let end = floor(text, span.end).clamp(at.start, at.start + line.len());
    let marked = text.get(floor(text, span.start)..end).map_or(0, |word| word.chars().count());
    let skipped = if line.chars().count() > LINE_CHARS_MAX {
        (at.column - 1).saturating_sub(LEAD_CHARS)
    } else {
        0
    };
    let mut shown: String = line
        .chars()
        .skip(skipped)
        .take(LINE_CHARS_MAX)
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if line.chars().nth(skipped + LINE_CHARS_MAX).is_some() {
        shown.push('…');
    }
    let before = at.column - 1 - skipped;
    (shown, before, marked.clamp(1, LINE_CHARS_MAX.saturating_sub(before).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::config::problem::Wrong;

    fn rendered(text: &str, span: Range<usize>) -> String {
        let mut found = Problems::default();
        found.add(Place::File(span), Wrong::new("wrong", "write x"));
        problems(&found, Text { name: "f", text })
    }

    #[test]
    fn the_mark_stands_under_the_word_whatever_surrounds_it() {
        assert_eq!(
            rendered("a\n\tbé = 5\n", 9..10),
            "f:2:7: error: wrong\n  2 |  bé = 5\n    |       ^ write x\n"
        );
        assert_eq!(rendered("", 0..0), "f:1:1: error: wrong\n  1 |\n    | ^ write x\n");
        assert_eq!(rendered("a", 90..95), "f:1:2: error: wrong\n  1 | a\n    |  ^ write x\n");
        assert_eq!(rendered("é", 1..2), "f:1:1: error: wrong\n  1 | é\n    | ^ write x\n");
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_replaced() {
        let text = format!("k = \"{}\u{1b}[2J\" # {}", "x".repeat(300), "y".repeat(300));
        let out = rendered(&text, 305..306);
        assert!(out.lines().all(|line| line.chars().count() < 180) && !out.contains('\u{1b}'));
        assert!(out.contains('^'));
    }
}
