//! What is asked on the command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: selvedge-benches SCENARIO [--rounds N] [--seconds S] [--objects N] [--gib N]
                        [--node FILE] [--results DIR]

scenarios:
  hit-h1             a 1 KiB memory hit over keep-alive HTTP/1.1, against bare hyper
  hit-h2             the same over HTTP/2 and TLS, 10 connections x 32 streams; a lone stream
  pass               an uncacheable 1 KiB response through the node, against bare hyper's hit
  big-object         one large object, fast and slow readers, with and without a disk
  memory-per-object  resident bytes per stored 1 KiB object
  purge              purges accepted per second; a lookup among 0, 1000 and 1000000 live ones
  verdict            what deciding and storing cost, without a server
  all                each of them

  --rounds N     rounds of timed scenarios (default 7)
  --seconds S    length of a measurement (default 2); the slow readers of big-object stay 30 S
  --objects N    memory-per-object: objects (default: 230000 and 300000)
  --gib N        big-object: size in GiB (default 4)
  --node FILE    a built selvedge binary (default: built with the release profile)
  --results DIR  where the report goes (default benches/results; - prints only)";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scenario {
    HitH1,
    HitH2,
    Pass,
    BigObject,
    MemoryPerObject,
    Purge,
    Verdict,
    All,
}

impl Scenario {
    pub(crate) const EACH: [Self; 7] = [
        Self::HitH1,
        Self::HitH2,
        Self::Pass,
        Self::BigObject,
        Self::MemoryPerObject,
        Self::Purge,
        Self::Verdict,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HitH1 => "hit-h1",
            Self::HitH2 => "hit-h2",
            Self::Pass => "pass",
            Self::BigObject => "big-object",
            Self::MemoryPerObject => "memory-per-object",
            Self::Purge => "purge",
            Self::Verdict => "verdict",
            Self::All => "all",
        }
    }
}

/// The whole command line.
#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) scenario: Scenario,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) objects: Option<usize>,
    pub(crate) gib: u64,
    pub(crate) node: Option<PathBuf>,
    pub(crate) results: Option<PathBuf>,
}

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let name = words.next().ok_or("a scenario is missing")?;
        let known = [Scenario::All].into_iter().chain(Scenario::EACH);
        let scenario = known
            .into_iter()
            .find(|scenario| scenario.name() == name)
            .ok_or_else(|| format!("{name:?} is no scenario"))?;
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut args = Self {
            scenario,
            rounds: 7,
            seconds: 2,
            objects: None,
            gib: 4,
            node: None,
            results: Some(here.join("results")),
        };
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            let number = || match value.parse::<u64>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{option} needs a positive number, not {value:?}")),
            };
            match option.as_str() {
                "--rounds" => args.rounds = number()? as usize,
                "--seconds" => args.seconds = number()?,
                "--objects" => args.objects = Some(number()? as usize),
                "--gib" => args.gib = number()?,
                "--node" => args.node = Some(value.into()),
                "--results" => args.results = (value != "-").then(|| value.into()),
                other => return Err(format!("{other:?} is no option")),
            }
        }
        Ok(args)
    }
}
