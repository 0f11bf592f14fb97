//! A response that ends at every byte position: never a part for the whole.

use super::*;

/// What a GET gets when the response is cut after `bytes`.
async fn cut_after(bytes: &[u8]) -> Result<Bytes, Cause> {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, Step::Send(bytes.to_vec())]]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        let fetched = fetch(&connections, &pool, get()).await;
        origin.played().await;
        fetched.map(|(.., content)| content).map_err(|error| error.cause)
    })
    .await
}

async fn only_the_whole_is_whole(response: &str) {
    for end in 0..response.len() {
        let cut = cut_after(&response.as_bytes()[..end]).await;
        assert_eq!(cut, Err(Cause::OriginBroke), "{:?}", &response[..end]);
    }
    assert_eq!(cut_after(response.as_bytes()).await, Ok(Bytes::from_static(b"hello")));
}

#[tokio::test]
async fn a_response_with_a_length() {
    only_the_whole_is_whole(HELLO).await;
}

#[tokio::test]
async fn a_response_in_chunks() {
    only_the_whole_is_whole(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    )
    .await;
}

#[tokio::test]
async fn a_response_after_an_interim_one() {
    let both = format!("HTTP/1.1 103 Early Hints\r\n\r\n{HELLO}");
    only_the_whole_is_whole(&both).await;
}
