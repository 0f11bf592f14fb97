//! Which stored response of a key fits a request, and which others it may be asked about.
//!
//! The one that fits is found by a hash over the normalised selecting fields, or, after that, by
//! the one language that the request prefers. The others are offered to the origin by their entity
//! tags (RFC 9111 §4.3.1): its 304 then says which of them is right for this request, too. That
//! trusts the tags to tell variants apart, so only strong ones are offered, none that two stored
//! responses share, and no content coding that the client did not name. Nor is content without a
//! coding offered to who names one, where the response varies on that: an origin that compresses on
//! its way out compares tags before it does, and its 304 would keep the client from the coding.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap};
use smallvec::SmallVec;

use super::{Cache, Loaded, Request};
use crate::directory::{Record, Varied};
use crate::policy::{Storable, flag};
use crate::variant::{self, Vary, normalize};

/// Other variants offered in one validation request: each costs the loading of a head.
pub const OTHERS_OFFERED_MAX: usize = 8;

/// A stored response that the origin is asked about.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What is stored.
    pub record: Record,
    /// Its head.
    pub loaded: Loaded,
}

impl Cache {
    /// The stored response that fits, and a short hash of the selecting fields (0: nothing stored
    /// varies).
    pub(super) fn select(&self, request: &Request<'_>) -> (Option<Record>, u64) {
        let mut selected = 0;
        let mut speaks: Option<Vary> = None;
        // Variants mostly vary on the same fields: those, which a client may make long, are
        // hashed once for all of them.
        let mut hashed: Option<(Arc<Varied>, [u8; 32])> = None;
        let record = self.directory.find(request.key, |record| {
            let Some(varied) = &record.varied else { return true };
            if let Some((known, hash)) = &hashed
                && known.vary == varied.vary
            {
                return *hash == varied.selected;
            }
            let hash = variant::selected_hash(request.key, &varied.vary, request.headers);
            if selected == 0 {
                selected = fold(&hash);
            }
            let fits = hash == varied.selected;
            if !fits {
                if varied.language.is_some() && speaks.is_none() {
                    speaks = Some(varied.vary.clone());
                }
                hashed = Some((Arc::clone(varied), hash));
            }
            fits
        });
        let by_language = || {
            let vary = speaks.filter(|_| request.options.select_by_language)?;
            let wanted = variant::language::wanted_hash(request.key, &vary, request.headers)?;
            self.directory.find(request.key, |record| {
                record.varied.as_ref().is_some_and(|varied| varied.language == Some(wanted))
            })
        };
        (record.or_else(by_language), selected)
    }

    /// What the origin is asked about for a request: `base`, which fits it, alone (an origin that
    /// compares its one tag with the whole field knows it again), or all other variants.
    pub async fn offers(&self, request: &Request<'_>, base: Option<Record>) -> Vec<Offer> {
        if let Some(record) = base
            && let Some(loaded) = self.load(&record).await
        {
            return vec![Offer { record, loaded }];
        }
        let mut offers = Vec::new();
        let mut others: SmallVec<[Record; 1]> = self.directory.variants(request.key);
        others.retain(|record| {
            record.fresh.has(flag::ETAG_STRONG)
                // It might lack what this request needs.
                && record.parts.is_none()
                && record.varied.is_some()
                && (!request.facts.authorization || record.fresh.has(flag::SHARED_AUTHORIZED))
                && !self.purges(record, &request.target).forbids()
        });
        for record in others.into_iter().take(OTHERS_OFFERED_MAX) {
            if let Some(loaded) = self.load(&record).await
                && accepts_coding(request.headers, &loaded.head.headers)
            {
                offers.push(Offer { record, loaded });
            }
        }
        let telling = |at: usize| {
            offers.iter().enumerate().all(|(other, offer)| {
                !offer.has_tag_of(&offers[at]) || (other >= at && offer.is_same_as(&offers[at]))
            })
        };
        let telling: Vec<bool> = (0..offers.len()).map(telling).collect();
        let mut telling = telling.into_iter();
        offers.retain(|_| telling.next().unwrap_or(false));
        offers
    }

    /// What a response varies on, bound to the request that was sent.
    pub fn varied(
        &self,
        request: &Request<'_>,
        storable: &Storable,
        response: &HeaderMap,
    ) -> Option<Arc<Varied>> {
        (!storable.vary.is_empty()).then(|| {
            let vary = storable.vary.clone();
            let (key, asked) = (request.key, request.headers);
            let selected = variant::selected_hash(key, &vary, asked);
            let language = variant::language::stored_hash(key, &vary, asked, response);
            Arc::new(Varied { vary, selected, language })
        })
    }
}

impl Offer {
    fn has_tag_of(&self, other: &Self) -> bool {
        self.loaded.head.headers.get(ETAG) == other.loaded.head.headers.get(ETAG)
    }

    /// Both hold the same content, as far as can be told without reading it.
    fn is_same_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.record, &other.record);
        let same_bytes = if a.inline && b.inline {
            self.loaded.inline == other.loaded.inline
        } else {
            a.body == b.body
        };
        a.length == b.length && same_bytes
    }
}

/// Whether the client named each coding of a stored response, and did not refuse it; what has no
/// coding fits who names none, or any of a response that does not vary on it.
fn accepts_coding(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut asked = normalize::Buffer::new();
    normalize::join_lines(&ACCEPT_ENCODING, request, &mut asked);
    let accepted = normalize::weighted(&asked).unwrap_or_default();
    let mut codings = stored
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
    if !stored.contains_key(CONTENT_ENCODING) {
        let names_one =
            accepted.iter().any(|item| item.q > 0 && !item.name.eq_ignore_ascii_case(b"identity"));
        let varies = Vary::of(stored).is_ok_and(|vary| vary.0.contains(&ACCEPT_ENCODING));
        return !(names_one && varies);
    }
    codings.all(|coding| {
        accepted.iter().any(|item| item.q > 0 && item.name.eq_ignore_ascii_case(coding))
    })
}

fn fold(hash: &[u8; 32]) -> u64 {
    u64::from_le_bytes(hash[..8].try_into().expect("32 bytes")) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codings_that_the_client_named_are_offered() {
        let map = |name: http::HeaderName, value: &'static str| {
            let mut headers = HeaderMap::new();
            if !value.is_empty() {
                headers.insert(name, http::HeaderValue::from_static(value));
            }
            headers
        };
        for (asked, stored, accepted) in [
            ("", "", true),
            ("", "gzip", false),
            ("gzip;q=0", "gzip", false),
            ("*", "gzip", false),
            ("GZIP, br", "gzip", true),
            ("br", "br, gzip", false),
            ("br;q=x", "br", false),
        ] {
            let got = accepts_coding(&map(ACCEPT_ENCODING, asked), &map(CONTENT_ENCODING, stored));
            assert_eq!(got, accepted, "{asked:?} {stored:?}");
        }
    }
    #[test]
    fn content_without_a_coding_is_not_offered_to_who_names_one() {
        let asked = |value: &'static str| {
            HeaderMap::from_iter([(ACCEPT_ENCODING, http::HeaderValue::from_static(value))])
        };
        let vary = http::HeaderValue::from_static("Accept-Encoding");
        let stored = HeaderMap::from_iter([(http::header::VARY, vary)]);
        assert!(!accepts_coding(&asked("gzip"), &stored));
        assert!(!accepts_coding(&asked("gzip, identity"), &stored));
        assert!(accepts_coding(&asked("identity"), &stored));
        assert!(accepts_coding(&asked("gzip;q=0"), &stored));
        assert!(accepts_coding(&asked("gzip"), &HeaderMap::new()));
    }
}
