//! What deciding costs: the verdict on a hit, the whole lookup, and storing beyond the copy.

use std::process::Command;

use anyhow::Context as _;

use crate::args::Args;
use crate::policy::{EACH, WORD};
use crate::report::Report;

/// Repetitions of a timed and of a counted run, and of the run that is subtracted.
const TIMED: u64 = 200_000;
const COUNTED: u64 = 20_000;
const FEW: u64 = 1_000;

pub(crate) fn run(args: &Args) -> anyhow::Result<Report> {
    let mut report = Report::new("verdict");
    report.setting("one stored response of 1 KiB with six fields that varies on Accept-Encoding");
    let mut ns = [0.0; EACH.len()];
    for (what, ns) in EACH.iter().zip(&mut ns) {
        let mut least = f64::MAX;
        for _ in 0..args.rounds {
            least = least.min(timed(what)?);
        }
        *ns = least;
    }
    let [verdict, lookup, copy, store] = ns;
    report.goal("the verdict on a hit, ns (least)", format!("{verdict:.1}"), verdict, 50.0);
    report.row("the whole lookup of a hit that varies, ns", format!("{lookup:.0}"));
    let beyond = (store - copy) / 1000.0;
    report.goal("storing 1 KiB beyond its copy, µs (least)", format!("{beyond:.2}"), beyond, 10.0);
    for what in EACH {
        if let Some(instructions) = counted(what)? {
            report.row(&format!("instructions: {what}"), format!("{instructions:.0}"));
        }
    }
    report.note(
        "The least of the rounds: neighbours only ever add. Instructions are callgrind's, many \
         runs less few, so that start and preparation are not in them. `lookup` hashes the key and \
         the selecting field; `store` is a lookup, the permit, the policy with its second opinion, \
         the encoded head and the directory.",
    );
    Ok(report)
}

/// Nanoseconds of one.
fn timed(what: &str) -> anyhow::Result<f64> {
    let me = std::env::current_exe()?;
    let output = Command::new(me).args([WORD, what, &TIMED.to_string()]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok(all / TIMED as f64)
}

/// Instructions of one; `None` where there is no valgrind.
fn counted(what: &str) -> anyhow::Result<Option<f64>> {
    let Some(few) = instructions(what, FEW)? else { return Ok(None) };
    let many = instructions(what, COUNTED)?.context("valgrind was there a moment ago")?;
    Ok(Some((many - few) as f64 / (COUNTED - FEW) as f64))
}

fn instructions(what: &str, times: u64) -> anyhow::Result<Option<u64>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("counts");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(std::env::current_exe()?).args([WORD, what, &times.to_string()]);
    let Ok(output) = command.output() else { return Ok(None) };
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&out)?;
    crate::instructions::total(&text).context("callgrind wrote no sum").map(Some)
}
