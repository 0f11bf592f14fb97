//! `expected.toml`: every test that does not pass, by kind, each with a reason.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::http_cache_suite::{Kind, Outcome};

/// Marks an entry that a machine wrote.
const UNEXPLAINED: &str = "unexplained: ";

/// What stands above the list.
const HEADING: &str = "\
# Tests of http-cache-tests 0.4.5 that do not pass, each with the reason. An entry that passes fails
# the run, as does a failure that is not here. Written anew, reasons kept, with
#   SELVEDGE_CONFORMANCE_REWRITE=1 cargo test -p selvedge-tests --test conformance
# Tests of the kind \"check\" ask how a cache behaves where RFC 9111 leaves a choice: their reason says
# what was chosen.
";

/// The list: kind, id, reason.
#[derive(Debug, Default)]
pub struct Expected(BTreeMap<Kind, BTreeMap<String, String>>);

impl Expected {
    /// Reads the file.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text)
    }

    /// Reads the text of the file.
    pub fn parse(text: &str) -> Self {
        let mut read: BTreeMap<String, BTreeMap<String, String>> =
            toml::from_str(text).expect("expected.toml is tables of reasons");
        let kinds = Kind::ALL.map(|kind| (kind, read.remove(kind.name()).unwrap_or_default()));
        assert!(read.is_empty(), "no kind of test: {:?}", read.keys());
        Self(kinds.into())
    }

    /// Every entry: id and reason.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().flatten().map(|(id, reason)| (id.as_str(), reason.as_str()))
    }

    /// Whether the list says otherwise.
    pub fn is_surprised_by(&self, outcome: &Outcome) -> bool {
        let listed = self.0.get(&outcome.kind).is_some_and(|list| list.contains_key(&outcome.id));
        listed == outcome.passed
    }

    /// Whether a reason is still owed.
    pub fn is_unexplained(reason: &str) -> bool {
        reason.starts_with(UNEXPLAINED) || reason.trim().is_empty()
    }

    /// Makes the list what came, with the reasons it had.
    pub fn rewrite(&mut self, outcomes: &[Outcome]) {
        let mut old = std::mem::take(&mut self.0);
        for outcome in outcomes.iter().filter(|outcome| !outcome.passed) {
            let Outcome { id, kind, name, said, .. } = outcome;
            let reason = old.get_mut(kind).and_then(|list| list.remove(id));
            let reason = reason.unwrap_or_else(|| format!("{UNEXPLAINED}{said} ({name})"));
            self.0.entry(*kind).or_default().insert(id.clone(), reason);
        }
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.to_string()).expect("the workspace takes files");
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADING)?;
        for (kind, list) in &self.0 {
            writeln!(f, "\n[{}]", kind.name())?;
            for (id, reason) in list {
                let [id, reason] = [id, reason].map(|text| toml::Value::String(text.clone()));
                // An id may hold characters that a bare key may not.
                writeln!(f, "{id} = {reason}")?;
            }
        }
        Ok(())
    }
}
