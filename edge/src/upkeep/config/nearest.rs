//! The known word nearest to a misspelt one.

/// Words longer than this are not compared: the cost is the product of both lengths.
const WORD_BYTES_MAX: usize = 64;

/// The word among `known` that `word` was most likely meant to be, if one is near enough: a third
/// of its letters may differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let (distance, best) = known
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len().max(best.len()) / 3).max(1)).then_some(best)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string
/// alignment), without regard to case, `-` and `_` alike.
fn distance(a: &str, b: &str) -> usize {
    let letters = |word: &str| -> Vec<u8> {
        word.bytes().map(|c| if c == b'-' { b'_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_finds_none() {
        let known = ["listen", "memory", "tls_listen", "workers"];
        assert_eq!(nearest("memroy", known), Some("memory"));
        assert_eq!(nearest("tls-listen", known), Some("tls_listen"));
        assert_eq!(nearest("worker", known), Some("workers"));
        assert_eq!(nearest("bananas", known), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
    }
}
