//! `GET /v1/explain?url=…&method=…&header=Name: value`: the question, read from a query.
//!
//! Knows no cache: whoever answers is an [`Explain`].

use std::future::Future;
use std::pin::Pin;

use axum::extract::Query;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use selvedge_purge_api::problem::Problem;
use serde_json::Value;

/// Request fields that one question may carry.
pub const HEADERS_MAX: usize = 64;

/// A request that somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Absolute URL, as written.
    pub url: String,
    /// Method.
    pub method: Method,
    /// Fields, without `Host`.
    pub headers: HeaderMap,
}

/// Who can say why.
pub trait Explain: Send + Sync {
    /// The reasons as a document; the problem names the parameter that is wrong.
    fn explain(
        &self,
        question: Question,
    ) -> Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send + '_>>;
}

impl Question {
    /// Reads the query of a request.
    pub fn of(uri: &Uri) -> Result<Self, Problem> {
        let Query(parameters) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
                bad("url", "The query is no list of name=value pairs in percent-encoding.")
            })?;
        let (mut url, mut method, mut headers) = (None, None, HeaderMap::new());
        for (name, value) in parameters {
            match name.as_str() {
                "url" if url.is_none() => url = Some(value),
                "method" if method.is_none() => {
                    let read = Method::from_bytes(value.as_bytes());
                    method = Some(read.map_err(|_| bad("method", "This is no method."))?);
                }
                "url" | "method" => return Err(bad(&name, "Say it once.")),
                "header" if headers.len() == HEADERS_MAX => {
                    return Err(bad("header", "At most 64 fields."));
                }
                "header" => {
                    let (name, value) = field(&value)?;
                    headers.append(name, value);
                }
                _ => return Err(bad(&name, "Known are url, method and header.")),
            }
        }
        let url = url.ok_or_else(|| bad("url", "Say which URL: ?url=http://HOST/PATH"))?;
        Ok(Self { url, method: method.unwrap_or(Method::GET), headers })
    }
}

fn bad(field: &str, detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "The question cannot be read.", detail).about(field)
}

/// `Name: value`.
fn field(line: &str) -> Result<(HeaderName, HeaderValue), Problem> {
    let wrong = |detail: &str| bad("header", detail);
    let (name, value) = line.split_once(':').ok_or_else(|| wrong("Write it as Name: value."))?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| wrong("The name has characters that no field name has."))?;
    if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
        return Err(wrong("The host stands in the URL, and a question has no content."));
    }
    let value = HeaderValue::from_bytes(value.trim_ascii().as_bytes())
        .map_err(|_| wrong("The value has characters that no field value has."))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Question, Problem> {
        Question::of(&format!("/v1/explain{query}").parse().expect("a target of the test"))
    }

    #[test]
    fn a_question_is_a_url_a_method_and_fields() {
        let asked = read("?url=http%3A%2F%2Fa%2Fb%3Fc%3D1&header=Accept:%20x&header=accept:y");
        let asked = asked.expect("a question");
        assert_eq!((asked.url.as_str(), &asked.method), ("http://a/b?c=1", &Method::GET));
        let lines: Vec<_> = asked.headers.get_all("accept").iter().collect();
        assert_eq!(lines, ["x", "y"]);
        // What curl sends when nobody encoded anything.
        assert_eq!(read("?url=http://a/b").expect("a question").url, "http://a/b");
        assert_eq!(read("?method=HEAD&url=http://a/").expect("a question").method, Method::HEAD);
    }

    #[test]
    fn what_cannot_be_read_names_its_parameter() {
        for (query, field) in [
            ("", "url"),
            ("?url=http://a/&url=http://b/", "url"),
            ("?url=http://a/&method=G%20T", "method"),
            ("?url=http://a/&header=accept", "header"),
            ("?url=http://a/&header=a%20b:c", "header"),
            ("?url=http://a/&header=a:%0d%0a", "header"),
            ("?url=http://a/&header=a:x%0db", "header"),
            ("?url=http://a/&header=host:b", "header"),
            ("?url=http://a/&uri=http://b/", "uri"),
        ] {
            let got = read(query);
            if query.ends_with("%0d%0a") {
                // White space around a value is nobody's meaning.
                assert!(got.is_ok(), "{query}");
                continue;
            }
            let problem = got.expect_err(query);
            assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (400, Some(field)));
        }
        let many = format!("?url=http://a/{}", "&header=a:b".repeat(HEADERS_MAX + 1));
        assert_eq!(read(&many).expect_err("too many").field.as_deref(), Some("header"));
    }
}
