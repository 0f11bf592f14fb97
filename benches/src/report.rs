//! Numbers for people: a table on the terminal, and a file that says where they come from.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::args::Args;

/// One table with what was measured and what was wanted.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    settings: Vec<String>,
    rows: Vec<[String; 4]>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, settings: Vec::new(), rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn setting(&mut self, text: impl Into<String>) {
        self.settings.push(text.into());
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// A figure without a goal.
    pub(crate) fn row(&mut self, what: &str, value: impl Into<String>) {
        self.rows.push([what.to_owned(), value.into(), String::new(), String::new()]);
    }

    /// A figure that should not exceed `most`.
    pub(crate) fn goal(&mut self, what: &str, shown: impl Into<String>, value: f64, most: f64) {
        let verdict = if value <= most { "met" } else { "NOT met" };
        self.rows.push([what.to_owned(), shown.into(), format!("<= {most}"), verdict.to_owned()]);
    }

    fn table(&self) -> String {
        let head = ["what", "measured", "goal", ""].map(str::to_owned);
        let width = |at: usize| {
            let cells = self.rows.iter().chain([&head]).map(|row| row[at].chars().count());
            cells.max().unwrap_or(0).max(3)
        };
        let widths = [width(0), width(1), width(2), width(3)];
        let mut text = String::new();
        let line = |text: &mut String, row: &[String; 4]| {
            text.push('|');
            for (cell, width) in row.iter().zip(widths) {
                write!(text, " {cell:<width$} |").expect("a String takes every write");
            }
            text.push('\n');
        };
        line(&mut text, &head);
        line(&mut text, &widths.map(|width| "-".repeat(width)));
        self.rows.iter().for_each(|row| line(&mut text, row));
        text
    }

    fn document(&self) -> String {
        let mut text = format!("# {}\n\n", self.name);
        for setting in machine().iter().chain(&self.settings) {
            writeln!(text, "- {setting}").expect("a String takes every write");
        }
        write!(text, "\n{}", self.table()).expect("a String takes every write");
        for note in &self.notes {
            write!(text, "\n{note}\n").expect("a String takes every write");
        }
        text
    }

    /// Prints, and writes `DATE-NAME.md` (never over another run of the same day).
    pub(crate) fn publish(&self, args: &Args) -> anyhow::Result<()> {
        println!("\n{}", self.document());
        let Some(dir) = &args.results else { return Ok(()) };
        fs::create_dir_all(dir)?;
        let day = today();
        let names = (1..).map(|run| match run {
            1 => format!("{day}-{}.md", self.name),
            run => format!("{day}-{}-{run}.md", self.name),
        });
        let path = names
            .map(|name| dir.join(name))
            .find(|path| !path.exists())
            .context("a free file name")?;
        fs::write(&path, self.document())?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// Median, least and greatest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> anyhow::Result<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, greatest) =
            (*values.first().context("no round")?, *values.last().context("no round")?);
        Ok(Self { median: values[values.len() / 2], least, greatest })
    }

    pub(crate) fn show(self, unit: &str) -> String {
        format!("{:.2}{unit} ({:.2}–{:.2})", self.median, self.least, self.greatest)
    }
}

fn machine() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = crate::process::cores();
    let load = read("/proc/loadavg");
    let said = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.output().ok().filter(|output| output.status.success());
        output.map_or("unknown".to_owned(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    };
    let changed = if said("git", &["status", "--porcelain", "-uno"]).is_empty() {
        ""
    } else {
        " (with changes)"
    };
    vec![
        format!("date: {}", today()),
        format!("machine: {} × {}", cores, cpu.unwrap_or("unknown processor")),
        format!("kernel: {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("load average before the report: {}", load.split(' ').next().unwrap_or("?")),
        format!("commit: {}{changed}", said("git", &["rev-parse", "--short=12", "HEAD"])),
        format!("compiler: {}", said("rustc", &["--version"])),
    ]
}

/// Today in UTC, `YYYY-MM-DD`.
fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The year is taken to begin in March: the leap day is its last.
    let days = now.as_secs() / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + u64::from(month <= 2))
}
