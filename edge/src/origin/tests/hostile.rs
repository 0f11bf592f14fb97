//! Origins that lie: the right cause each time, and the connection is closed.

use super::*;

/// What one GET ends with at an origin that sends `bytes`, and that the connection is closed.
async fn cause_at(bytes: &str) -> Cause {
    cause_with(bytes, |_| {}).await
}

async fn cause_with(bytes: &str, set: impl FnOnce(&mut PoolConfig)) -> Cause {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send(bytes), Step::AwaitClose]]).await;
        let mut config = config(&[origin.url()]);
        set(&mut config);
        let (pool, notes) = pool_of(config);
        let connections = Connections::new();
        let cause = cause_of(&connections, &pool, get()).await;
        assert_eq!(connections.idle(), 0);
        origin.played().await;
        assert_eq!(notes.take(), [format!("0 {}", OriginOutcome::of_failure(cause).name())]);
        cause
    })
    .await
}

#[tokio::test]
async fn heads_that_are_not_http_are_malformed() {
    for head in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        assert_eq!(cause_at(head).await, Cause::OriginMalformed, "{head:?}");
    }
}

#[tokio::test]
async fn contradicting_lengths_are_malformed() {
    for fields in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: -5",
        "content-length: 0x5",
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: gzip",
        "content-length: 18446744073709551615",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(cause_at(&bytes).await, Cause::OriginMalformed, "{fields:?}");
    }
    let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(cause_at(old).await, Cause::OriginMalformed);
}

#[tokio::test]
async fn chunks_that_are_not_chunks_are_malformed() {
    for chunks in ["xyz\r\n", "5\r\nhelloX", "5\nhello\r\n", "-1\r\n", "fffffffffffffffff\r\n"] {
        let bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(cause_at(&bytes).await, Cause::OriginMalformed, "{chunks:?}");
    }
}

#[tokio::test]
async fn floods_have_a_bound() {
    let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(300));
    assert_eq!(cause_at(&fields).await, Cause::OriginMalformed);
    let bytes = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(70_000));
    assert_eq!(cause_at(&bytes).await, Cause::OriginMalformed);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(10_000);
    assert_eq!(cause_at(&interim).await, Cause::OriginMalformed);
    let trailers = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}",
        "a: b\r\n".repeat(20_000)
    );
    assert_eq!(cause_at(&trailers).await, Cause::OriginMalformed);
    let small = |config: &mut PoolConfig| config.limits.interim_max = 0;
    let one = format!("HTTP/1.1 103 Early Hints\r\n\r\n{HELLO}");
    assert_eq!(cause_with(&one, small).await, Cause::OriginMalformed);
}

#[tokio::test]
async fn a_reset_is_a_broken_response() {
    for bytes in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell"] {
        let cause = on_a_core(async {
            let origin = Scripted::new(vec![vec![Step::Read, send(bytes), Step::Reset]]).await;
            let (pool, _) = pool(&[origin.url()]);
            cause_of(&Connections::new(), &pool, get()).await
        })
        .await;
        assert_eq!(cause, Cause::OriginBroke, "{bytes:?}");
    }
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one_and_without_the_connections_fields() {
    on_a_core(async {
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x\r\nx: 1\r\n\r\n";
        let script = vec![
            Step::Read,
            send(interim),
            Step::AwaitWord,
            send("HTTP/1.1 102 Processing\r\n\r\n"),
            send(HELLO),
            Step::AwaitClose,
        ];
        let origin = Scripted::new(vec![script]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        let mut heads = Vec::new();
        let word = origin.word.clone();
        let reply = connections
            .send(&pool, get(), |status, headers| {
                // The final head comes only after the first interim one was handed over.
                word.add_permits(1);
                heads.push((status.as_u16(), headers));
            })
            .await
            .expect("a response");
        assert_eq!(reply.status, 200);
        assert_eq!(heads.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [103, 102]);
        assert_eq!(heads[0].1.len(), 1);
        assert_eq!(heads[0].1["link"], "</a.css>");
        assert_eq!(reply.body.collect().await.expect("content").to_bytes(), "hello");
        assert_eq!(connections.idle(), 1);
        connections.close_idle();
        origin.played().await;
    })
    .await;
}
