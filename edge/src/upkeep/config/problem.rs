//! Places and problems: what is wrong, where it was said, what to write instead.
//!
//! Problems are collected, so that one run shows all of them; the number is bounded, the rest is
//! counted.

use std::ops::Range;

/// At most this many problems are kept; more are counted.
pub const PROBLEMS_MAX: usize = 50;

/// Where something was said.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Place {
    /// In the file, at these bytes.
    File(Range<usize>),
    /// By a flag, named without dashes.
    Flag(&'static str),
    /// By an environment variable.
    Variable(String),
    /// Nowhere in particular: about the whole.
    #[default]
    Whole,
}

/// Why a value cannot be taken, before its place is known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Wrong {
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to write instead; may be empty.
    pub help: String,
}

impl Wrong {
    /// What is wrong, and what to write instead.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What and what instead.
    pub wrong: Wrong,
    /// A second place that belongs to it, and why.
    pub also: Option<(Place, &'static str)>,
}

/// The problems of one reading, and the things that are only odd.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
    warnings: Vec<Problem>,
    beyond: usize,
}

impl Problems {
    /// Adds a problem.
    pub fn add(&mut self, place: Place, wrong: Wrong) {
        self.push(Problem { place, wrong, also: None });
    }

    /// Adds a problem that two places make together.
    pub fn add_pair(&mut self, place: Place, wrong: Wrong, also: Place, why: &'static str) {
        self.push(Problem { place, wrong, also: Some((also, why)) });
    }

    /// Adds something that is odd but does not stop the start.
    pub fn warn(&mut self, place: Place, wrong: Wrong) {
        if self.warnings.len() < PROBLEMS_MAX {
            self.warnings.push(Problem { place, wrong, also: None });
        }
    }

    fn push(&mut self, problem: Problem) {
        if self.found.contains(&problem) {
            return;
        }
        if self.found.len() < PROBLEMS_MAX {
            self.found.push(problem);
        } else {
            self.beyond += 1;
        }
    }

    /// Whether further problems are only counted: their words need not be found.
    pub fn is_full(&self) -> bool {
        self.found.len() == PROBLEMS_MAX
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The problems in the order of the file, then flags and variables; and how many more.
    pub fn in_order(&self) -> (Vec<&Problem>, usize) {
        let mut all: Vec<_> = self.found.iter().collect();
        all.sort_by_key(|problem| match &problem.place {
            Place::File(span) => span.start,
            _ => usize::MAX,
        });
        (all, self.beyond)
    }

    /// What is odd.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_bounded_and_counted() {
        let mut problems = Problems::default();
        for n in 0..PROBLEMS_MAX + 7 {
            problems.add(Place::Whole, Wrong::new(n.to_string(), ""));
        }
        let (kept, beyond) = problems.in_order();
        assert_eq!((kept.len(), beyond), (PROBLEMS_MAX, 7));
    }
}
