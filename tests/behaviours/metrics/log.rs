//! What the node says of itself, and what it could not say.

use std::fmt::Write as _;

use harness::{ConfigFile, Origin, config};

use super::Book;

pub(super) fn a_full_target(book: &Book) {
    let origin = Origin::constant("x");
    let edge = ConfigFile::new("access_log = \"/dev/full\"", &config::site(&[&origin], "")).start();
    for number in 1..=3 {
        assert_eq!(edge.get("/").status, 200, "whoever asks is answered");
        book.counts(&edge, "selvedge_access_log_dropped_total", &[], number);
        book.counts(&edge, "selvedge_access_log_errors_total", &[], number);
    }
}

pub(super) fn names_past_the_bound(book: &Book) {
    // 1,024 sites are counted by name, `-` and `other` among them.
    const SITES: usize = 1_030;
    let mut sites = String::new();
    for site in 0..SITES {
        let lines = format!(
            "[[site]]\nname = \"s{site}\"\nhosts = [\"h{site}.example\"]\n\
             origins = [\"http://127.0.0.1:1\"]\n"
        );
        let _never_fails = write!(sites, "{lines}");
    }
    let edge = ConfigFile::new("", &sites).start();
    book.counts(&edge, "selvedge_labels_refused_total", &[], SITES - 1_022);
}
