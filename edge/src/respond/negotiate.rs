//! JSON or HTML, by the request's `Accept` (RFC 9110 §12.5.1).
//!
//! Only for documents that we make ourselves. JSON unless HTML is preferred: by a higher quality,
//! or by being named at the same quality while JSON is only covered by a wildcard.

use http::header::{ACCEPT, HeaderMap};

/// Elements of `Accept` that are read; what comes later does not count.
const ELEMENTS_MAX: usize = 64;

/// Form of a document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `application/problem+json`.
    Json,
    /// `text/html`.
    Html,
}

/// The form that these request fields prefer.
pub fn preferred(request: &HeaderMap) -> Form {
    let mut json = Preference::default();
    let mut html = Preference::default();
    let lines = request.get_all(ACCEPT).into_iter().filter_map(|line| line.to_str().ok());
    for element in lines.flat_map(elements).take(ELEMENTS_MAX) {
        let Some(Element { range, quality }) = Element::parse(element) else { continue };
        let is = |name: &str| range.eq_ignore_ascii_case(name);
        if is("application/problem+json") || is("application/json") {
            json.offer(3, quality);
        } else if is("text/html") || is("application/xhtml+xml") {
            html.offer(3, quality);
        } else if is("application/*") {
            json.offer(2, quality);
        } else if is("text/*") {
            html.offer(2, quality);
        } else if is("*/*") {
            json.offer(1, quality);
            html.offer(1, quality);
        }
    }
    if html.rank() > json.rank() { Form::Html } else { Form::Json }
}

/// The most specific range that covers a type, and its quality in thousandths.
#[derive(Clone, Copy, Debug, Default)]
struct Preference {
    specificity: u8,
    quality: u16,
}

impl Preference {
    fn offer(&mut self, specificity: u8, quality: u16) {
        // The more specific range governs, whatever its quality; of equals, the better.
        if (specificity, quality) > (self.specificity, self.quality) {
            *self = Self { specificity, quality };
        }
    }

    /// Quality first; of equal qualities the type that was named. Quality 0 refuses.
    const fn rank(self) -> (u16, u8) {
        if self.quality == 0 { (0, 0) } else { (self.quality, self.specificity) }
    }
}

struct Element<'a> {
    range: &'a str,
    quality: u16,
}

impl<'a> Element<'a> {
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = element.split(';').map(str::trim);
        let range = parts.next().filter(|range| !range.is_empty())?;
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("q").then(|| value.trim_start())
        });
        let quality = match weight {
            Some(text) => thousandths(text)?,
            None => 1000,
        };
        Some(Self { range, quality })
    }
}

/// `qvalue` (RFC 9110 §12.4.2): 0 or 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let decimals = format!("{decimals:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

/// The elements of a list; a comma inside a quoted parameter does not separate.
fn elements(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |character| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => escaped = true,
            ',' => return !quoted,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &'static str) -> Form {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, http::HeaderValue::from_static(accept));
        preferred(&request)
    }

    #[test]
    fn json_is_the_default_and_html_for_browsers() {
        assert_eq!(preferred(&HeaderMap::new()), Form::Json);
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert_eq!(of(browser), Form::Html);
        for json in [
            "*/*",
            "",
            ",,;q=1,",
            "image/*",
            "application/json",
            "text/html;q=0.5, application/json;q=0.6",
            "text/html;q=0.8, */*;q=0.9",
            "text/html;q=0, */*;q=0.1",
            "text/html, application/problem+json",
            "text/html;q=2",
            "text/html;q=0.1234",
            "a/b;x=\",text/html\"",
            "a/b;x=\"\\\",text/html\"",
        ] {
            assert_eq!(of(json), Form::Json, "{json}");
        }
        for html in [
            "text/html",
            "TEXT/HTML ; Q=0.001",
            "text/*",
            "text/html, */*",
            "application/json;q=0, */*",
            "a/b;x=\"\\\"\",text/html",
        ] {
            assert_eq!(of(html), Form::Html, "{html}");
        }
    }

    #[test]
    fn a_list_without_end_is_read_to_its_bound() {
        let mut request = HeaderMap::new();
        for _ in 0..ELEMENTS_MAX {
            request.append(ACCEPT, http::HeaderValue::from_static("a/b"));
        }
        request.append(ACCEPT, http::HeaderValue::from_static("text/html"));
        assert_eq!(preferred(&request), Form::Json);
    }
}
