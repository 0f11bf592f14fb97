//! `selvedge purge`: a client of the admin plane.
//!
//! The command ends with a sentence that says what happened and what to do, and a code for
//! scripts: 0 done, 1 refused, 2 unreachable (or the answer was lost: unknown). It never tries
//! again by itself; a purge that is sent twice does no harm, and an operator should know.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value};
use tokio::net::{TcpStream, UnixStream};

use crate::accept::listener::ListenAddress;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longer than the admin plane itself waits for its ledger.
const ANSWER_WAIT: Duration = Duration::from_secs(45);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What `selvedge purge` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct PurgeArgs {
    /// Every variant of one absolute URL, over http and https
    #[arg(long, value_name = "URL", group = "selector")]
    pub url: Option<String>,
    /// An absolute URL and everything below it, by whole path segments
    #[arg(long, value_name = "URL", group = "selector")]
    pub prefix: Option<String>,
    /// What the origin tagged with this name; several: any of them
    #[arg(long, value_name = "TAG", group = "selector")]
    pub tag: Vec<String>,
    /// One host (HOST or HOST:PORT)
    #[arg(long, value_name = "HOST", group = "selector")]
    pub host: Option<String>,
    /// One site by its configured name; beside another selector: only within this site
    #[arg(long, value_name = "NAME", required_unless_present = "selector")]
    pub site: Option<String>,
    /// All stored responses
    #[arg(long, group = "selector")]
    pub everything: bool,
    /// Make stale instead of unusable: it may be validated, and served while the origin is asked
    #[arg(long)]
    pub soft: bool,
    /// Only count what would be selected
    #[arg(long)]
    pub dry_run: bool,
    /// Where the admin plane of the node listens: HOST:PORT or unix:/PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9901", env = "SELVEDGE_ADMIN")]
    pub admin: String,
    /// Bearer token, when the node has tokens
    #[arg(long, value_name = "TOKEN", env = "SELVEDGE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit code: 0 done, 1 refused, 2 unreachable.
    pub code: u8,
    /// For stdout when the code is 0, else for stderr.
    pub message: String,
}

/// Sends the purge and waits for its answer.
pub async fn run(args: &PurgeArgs) -> Outcome {
    let refused = |message: String| Outcome { code: 1, message };
    let addr = match args.admin.parse::<ListenAddress>() {
        Ok(addr) => addr,
        Err(why) => return refused(format!("Nothing was sent: --admin: {why}.")),
    };
    let request = match request(args, &addr) {
        Ok(request) => request,
        Err(why) => return refused(format!("Nothing was sent: {why}.")),
    };
    let exchange = tokio::time::timeout(ANSWER_WAIT, send(&addr, request));
    match exchange.await {
        Ok(Ok((status, body))) => judge(status, &body),
        Ok(Err(message)) => Outcome { code: 2, message },
        Err(_) => Outcome { code: 2, message: lost(&addr, "no answer within 45 seconds") },
    }
}

fn request(args: &PurgeArgs, addr: &ListenAddress) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::post("/v1/purges").body(Full::from(body(args)?.to_string()));
    let request_ref = request.as_mut().map_err(|why| why.to_string())?;
    let host = match addr {
        ListenAddress::Tcp { .. } => HeaderValue::from_str(&addr.to_string()),
        ListenAddress::Unix(_) => Ok(HeaderValue::from_static("localhost")),
    };
    let fields = request_ref.headers_mut();
    fields.insert(HOST, host.map_err(|_| "--admin has characters no host has".to_owned())?);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = &args.token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token has characters that no token has".to_owned())?;
        value.set_sensitive(true);
        fields.insert(AUTHORIZATION, value);
    }
    request.map_err(|why| why.to_string())
}

fn body(args: &PurgeArgs) -> Result<Value, String> {
    let mut fields = Map::new();
    let single = [("url", &args.url), ("prefix", &args.prefix), ("host", &args.host)];
    for (name, text) in single {
        if let Some(text) = text {
            fields.insert(name.to_owned(), text.as_str().into());
        }
    }
    match args.tag.as_slice() {
        [] => {}
        [tag] => drop(fields.insert("tag".to_owned(), tag.as_str().into())),
        tags => drop(fields.insert("tags".to_owned(), tags.into())),
    }
    if args.everything {
        fields.insert("everything".to_owned(), true.into());
    }
    if fields.len() > 1 || (fields.is_empty() && args.site.is_none()) {
        let which = "--url, --prefix, --tag, --host, --site or --everything";
        return Err(format!("give exactly one of {which}"));
    }
    if let Some(site) = &args.site {
        fields.insert("site".to_owned(), site.as_str().into());
    }
    for (name, is_set) in [("soft", args.soft), ("dry_run", args.dry_run)] {
        if is_set {
            fields.insert(name.to_owned(), true.into());
        }
    }
    Ok(Value::Object(fields))
}

/// One exchange over a connection of its own; the error is the whole message.
async fn send(
    addr: &ListenAddress,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let unreachable = |why: &dyn std::fmt::Display| {
        format!(
            "Cannot reach the admin plane at {addr}: {why}. Nothing was purged. Is the node \
             running, and is this the admin address of its ready line? Name another with --admin."
        )
    };
    let connected = tokio::time::timeout(CONNECT_WAIT, async {
        Ok::<_, std::io::Error>(match addr {
            ListenAddress::Tcp { host, port } => {
                Either::Tcp(TcpStream::connect((host.as_str(), *port)).await?)
            }
            ListenAddress::Unix(path) => Either::Unix(UnixStream::connect(path).await?),
        })
    });
    let stream = connected
        .await
        .map_err(|_| unreachable(&"no connection within 5 seconds"))?
        .map_err(|why| unreachable(&why))?;
    let answered = match stream {
        Either::Tcp(stream) => exchange(TokioIo::new(stream), request).await,
        Either::Unix(stream) => exchange(TokioIo::new(stream), request).await,
    };
    answered.map_err(|why| lost(addr, &why))
}

enum Either {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn exchange<T>(io: T, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|why| why.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|why| why.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|why| why.to_string())?.to_bytes()))
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection moves the bytes; when it ends first, the answer knows why.
        _ = connection => answer.await,
    }
}

fn lost(addr: &ListenAddress, why: &str) -> String {
    format!(
        "The answer of {addr} was lost ({why}): the purge may or may not be in force. Send it \
         again; purging twice does no harm."
    )
}

/// What an answer means to the operator.
fn judge(status: StatusCode, body: &[u8]) -> Outcome {
    let document: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let number = |name: &str| document[name].as_u64().unwrap_or(0);
    if status == StatusCode::OK && document["dry_run"] == true {
        let about = if document["exact"] == false { "about " } else { "" };
        let message = format!(
            "Would select {about}{} stored responses of {} bytes, as of position {}. Nothing \
             was purged.",
            number("responses"),
            number("bytes"),
            number("as_of"),
        );
        return Outcome { code: 0, message };
    }
    if status == StatusCode::OK && document["position"].is_u64() {
        let kind = if document["mode"] == "soft" { "Softly purged" } else { "Purged" };
        let message = format!(
            "{kind} {}: position {}, on stable storage and in force on this node.",
            document["selector"],
            number("position"),
        );
        return Outcome { code: 0, message };
    }
    let mut message = format!("Refused ({})", status.as_u16());
    for name in ["field", "detail"] {
        if let Some(text) = document[name].as_str() {
            let _ = write!(message, ": {text}");
        }
    }
    let advice = match status {
        StatusCode::UNAUTHORIZED => " Give it with --token or SELVEDGE_TOKEN.",
        StatusCode::NOT_FOUND => " Is --admin the admin address, or that of another server?",
        _ if document.is_null() => ": the answer is not of a Selvedge node. Check --admin.",
        _ => "",
    };
    message.push_str(advice);
    Outcome { code: 1, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_the_body_that_the_surface_takes() {
        let written = |args: PurgeArgs| body(&args).map(|body| body.to_string());
        let tags =
            PurgeArgs { tag: vec!["a".into(), "b".into()], soft: true, ..Default::default() };
        assert_eq!(written(tags), Ok(r#"{"soft":true,"tags":["a","b"]}"#.into()));
        let site = PurgeArgs { site: Some("s".into()), everything: true, ..Default::default() };
        assert_eq!(written(site), Ok(r#"{"everything":true,"site":"s"}"#.into()));
        assert!(written(PurgeArgs::default()).is_err());
        let two = PurgeArgs { everything: true, tag: vec!["t".into()], ..Default::default() };
        assert!(written(two).is_err());
    }

    #[tokio::test]
    async fn nobody_there_is_told_apart_from_a_refusal() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let admin = free.local_addr().expect("bound").to_string();
        drop(free);
        let args = PurgeArgs { admin, everything: true, ..Default::default() };
        let outcome = run(&args).await;
        assert_eq!(outcome.code, 2);
        assert!(outcome.message.contains("--admin"), "{}", outcome.message);
        let nonsense = PurgeArgs { admin: "nowhere".into(), ..args };
        assert_eq!(run(&nonsense).await.code, 1);
    }

    #[test]
    fn answers_are_told_in_sentences() {
        let done = judge(StatusCode::OK, br#"{"position":3,"selector":{"tag":"t"},"mode":"hard"}"#);
        assert_eq!(done.code, 0);
        assert!(done.message.starts_with(r#"Purged {"tag":"t"}: position 3"#));
        let refused = judge(StatusCode::UNPROCESSABLE_ENTITY, br#"{"field":"url","detail":"No."}"#);
        assert_eq!((refused.code, refused.message.as_str()), (1, "Refused (422): url: No."));
        assert_eq!(judge(StatusCode::OK, b"<html>").code, 1);
    }
}
