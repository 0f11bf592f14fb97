//! `Vary` as a sorted list of field names.

use http::header::VARY;
use http::{HeaderMap, HeaderName};

/// More selecting fields than this make a response unusable as a variant: every lookup would
/// pay for them, and an origin that names so many means `*`.
pub const NAMES_MAX: usize = 32;

/// The selecting field names: sorted, unique, lower case; empty when the response does not vary.
/// (`*` never gets this far: such a response is not storable.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vary(pub Box<[HeaderName]>);

/// `Vary` holds `*`, a member that is no field name, or more than [`NAMES_MAX`] names: no later
/// request can be known to match (RFC 9110 §12.5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaryStar;

impl Vary {
    /// Reads all lines of `Vary`. Empty members are allowed (RFC 9110 §5.6.1), `*` anywhere wins.
    pub fn of(headers: &HeaderMap) -> Result<Self, VaryStar> {
        let lines = headers.get_all(VARY);
        let members = lines.iter().flat_map(|line| line.as_bytes().split(|b| *b == b','));
        let mut names = Vec::new();
        for member in members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
            if member == b"*" || names.len() == NAMES_MAX {
                return Err(VaryStar);
            }
            let name = HeaderName::from_bytes(member).map_err(|_| VaryStar)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Ok(Self(names.into_boxed_slice()))
    }

    /// Whether the response fits every request for its key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&'static str]) -> Result<Vec<String>, VaryStar> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(VARY, HeaderValue::from_static(line));
        }
        Ok(Vary::of(&headers)?.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn s4_1_names_are_sorted_unique_and_lower_case() {
        let want = ["accept", "foo"].map(String::from).to_vec();
        assert_eq!(read(&["Foo, accept", ",FOO ,"]), Ok(want));
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(read(&["", ","]), Ok(vec![]));
    }

    #[test]
    fn s4_1_a_star_anywhere_wins() {
        for lines in
            [&["*"][..], &["*, *"], &["", "*"], &[", *"], &["foo, *"], &["*, foo"], &["foo", "* "]]
        {
            assert_eq!(read(lines), Err(VaryStar), "{lines:?}");
        }
    }

    #[test]
    fn s4_1_what_is_no_name_counts_as_star() {
        assert_eq!(read(&["foo bar"]), Err(VaryStar));
        assert_eq!(read(&["\"foo\""]), Err(VaryStar));
        let many: Vec<_> = (0..=NAMES_MAX).map(|n| format!("x{n}")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::try_from(many.join(",")).expect("names"));
        assert_eq!(Vary::of(&headers), Err(VaryStar));
    }
}
