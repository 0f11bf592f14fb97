//! A stored `Content-Language` that is exactly what a request prefers (RFC 9111 §4.1).
//!
//! Requests with `en, de` and with `fr;q=0.5, de` differ, so they select different variants. But
//! when the first was answered in German, that response also is what the second would get: its
//! one most preferred language is German. So a response that names one language has a second
//! hash, made of that language alone, and a request whose highest weight belongs to one language
//! alone may be looked up by it. It is a second chance after [`super::selected_hash`] missed,
//! never a replacement.

use http::HeaderMap;
use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE};

use super::normalize::{self, Buffer, weighted};
use super::{Vary, hash};
use crate::CacheKey;

/// The second hash under which a response can be found; `None` unless it varies by
/// `Accept-Language` and names one language.
pub fn stored_hash(
    key: &CacheKey,
    vary: &Vary,
    request: &HeaderMap,
    response: &HeaderMap,
) -> Option<[u8; 32]> {
    if !vary.0.contains(&ACCEPT_LANGUAGE) {
        return None;
    }
    let mut lines = response.get_all(CONTENT_LANGUAGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let language = line.as_bytes().trim_ascii();
    is_tag(language).then(|| with_language(key, vary, request, language))
}

/// The second hash to try for a request; `None` unless one language alone has the highest weight.
pub fn wanted_hash(key: &CacheKey, vary: &Vary, request: &HeaderMap) -> Option<[u8; 32]> {
    if !vary.0.contains(&ACCEPT_LANGUAGE) {
        return None;
    }
    let mut joined = Buffer::new();
    normalize::join_lines(&ACCEPT_LANGUAGE, request, &mut joined);
    let mut items = weighted(&joined)?;
    items.sort_unstable_by_key(|item| std::cmp::Reverse(item.q));
    let [first, rest @ ..] = items.as_slice() else { return None };
    let alone = first.q > 0 && rest.first().is_none_or(|second| second.q < first.q);
    (alone && is_tag(first.name)).then(|| with_language(key, vary, request, first.name))
}

fn with_language(key: &CacheKey, vary: &Vary, request: &HeaderMap, language: &[u8]) -> [u8; 32] {
    hash(key, vary, |name, out| {
        if *name == ACCEPT_LANGUAGE {
            // The prefix is no value that `Accept-Language` can have once it is normalised.
            out.extend_from_slice(b"=,");
            out.extend(language.iter().map(u8::to_ascii_lowercase));
            return true;
        }
        normalize::selecting_value(name, request, out)
    })
}

/// One language tag, not `*` and no list.
fn is_tag(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const KEY: CacheKey = CacheKey([1; 32]);

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn vary(names: &'static str) -> Vary {
        Vary::of(&map(&[("vary", names)])).expect("no star")
    }

    #[test]
    fn s4_1_the_stored_language_answers_who_prefers_it_alone() {
        let vary = vary("accept-language");
        let stored = stored_hash(
            &KEY,
            &vary,
            &map(&[("accept-language", "en, de")]),
            &map(&[("content-language", "DE")]),
        );
        assert!(stored.is_some());
        let wanted = |value| wanted_hash(&KEY, &vary, &map(&[("accept-language", value)]));
        assert_eq!(wanted("fr;q=0.5, de;q=1.0"), stored);
        assert_eq!(wanted("de"), stored);
        assert_ne!(wanted("fr, de;q=0.5"), stored);
        for undecided in ["en, de", "de;q=0", "*", "", "de;q=x"] {
            assert_eq!(wanted(undecided), None, "{undecided}");
        }
    }

    #[test]
    fn s4_1_other_selecting_fields_still_count() {
        let vary = vary("accept-language, foo");
        let german = map(&[("content-language", "de")]);
        let one = map(&[("accept-language", "de"), ("foo", "1")]);
        let two = map(&[("accept-language", "de"), ("foo", "2")]);
        assert_eq!(stored_hash(&KEY, &vary, &one, &german), wanted_hash(&KEY, &vary, &one));
        assert_ne!(stored_hash(&KEY, &vary, &one, &german), wanted_hash(&KEY, &vary, &two));
    }

    #[test]
    fn s4_1_several_languages_or_none_have_no_second_hash() {
        let vary = vary("accept-language");
        for value in ["de, en", "", "*"] {
            let response = map(&[("content-language", value)]);
            assert_eq!(stored_hash(&KEY, &vary, &HeaderMap::new(), &response), None);
        }
        let foo = Vary::default();
        assert_eq!(stored_hash(&KEY, &foo, &HeaderMap::new(), &HeaderMap::new()), None);
    }

    #[test]
    fn the_second_hash_is_never_a_first_one() {
        let vary = vary("accept-language");
        let request = map(&[("accept-language", "de")]);
        let odd = map(&[("accept-language", "=,de")]);
        let wanted = wanted_hash(&KEY, &vary, &request).expect("one language");
        assert_ne!(super::super::selected_hash(&KEY, &vary, &request), wanted);
        assert_ne!(super::super::selected_hash(&KEY, &vary, &odd), wanted);
    }
}
