//! Connections that serve more than once, and those that must not.

use super::*;

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    on_a_core(async {
        let script = vec![Step::Read, send(HELLO), Step::Read, send(HELLO), Step::AwaitClose];
        let origin = Scripted::new(vec![script]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let connections = Connections::new();
        for _ in 0..2 {
            let (status, headers, content) =
                fetch(&connections, &pool, get()).await.expect("a response");
            assert_eq!((status, &content[..]), (StatusCode::OK, &b"hello"[..]));
            assert_eq!(headers["content-length"], "5");
        }
        assert_eq!(connections.idle(), 1);
        assert_eq!(pool.origins()[0].connections, 1);
        let seen = origin.seen.borrow().clone();
        assert_eq!(seen[0], "GET /a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        assert_eq!(notes.take(), ["0 ok", "0 ok"]);
        connections.close_idle();
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn chunked_content_with_trailers_passes_and_keeps_the_connection() {
    on_a_core(async {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-a\r\nx-a: 1\r\n\r\n\
            5;ext=1\r\nhello\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n";
        let script = vec![Step::Read, send(chunked), Step::Read, send(HELLO), Step::AwaitClose];
        let origin = Scripted::new(vec![script]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        let reply = connections.send(&pool, get(), |_, _| {}).await.expect("a response");
        assert!(reply.headers.is_empty(), "{:?}", reply.headers);
        let content = reply.body.collect().await.expect("content");
        let trailers = content.trailers().expect("trailers").clone();
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["x-sum"], "7");
        assert_eq!(content.to_bytes(), "hello");
        fetch(&connections, &pool, get()).await.expect("on the same connection");
        drop(connections);
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn responses_without_content_keep_the_connection() {
    on_a_core(async {
        let script = vec![
            Step::Read,
            send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
            Step::Read,
            send("HTTP/1.1 204 No Content\r\n\r\n"),
            Step::Read,
            send("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"a\"\r\n\r\n"),
            Step::AwaitClose,
        ];
        let origin = Scripted::new(vec![script]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        let head = request(Method::HEAD, Outbound::Empty);
        let (_, headers, content) = fetch(&connections, &pool, head).await.expect("HEAD");
        assert_eq!((headers["content-length"].as_bytes(), content.len()), (&b"1000"[..], 0));
        for wanted in [204, 304] {
            let (status, ..) = fetch(&connections, &pool, get()).await.expect("no content");
            assert_eq!(status, wanted);
        }
        connections.close_idle();
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn a_stale_connection_is_replaced_without_a_mark_against_the_origin() {
    on_a_core(async {
        // The second request is read and answered with a close, as when both sides act at once.
        let first = vec![Step::Read, send(HELLO), Step::Read];
        let origin = Scripted::new(vec![first, vec![Step::Read, send(HELLO)]]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let connections = Connections::new();
        for _ in 0..2 {
            fetch(&connections, &pool, get()).await.expect("a response");
        }
        assert_eq!(origin.seen.borrow().len(), 3);
        assert_eq!(notes.take(), ["0 ok", "0 ok"]);
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn a_stale_connection_is_not_replaced_by_another_stale_one() {
    on_a_core(async {
        let stale = || vec![Step::Read, Step::AwaitWord, send(HELLO), Step::Read];
        let origin = Scripted::new(vec![stale(), stale(), vec![Step::Read, send(HELLO)]]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        let both = [(); 2].map(|()| fetch(&connections, &pool, get()));
        let word = async {
            until(|| origin.seen.borrow().len() == 2).await;
            origin.word.add_permits(2);
        };
        let (both, ()) = tokio::join!(futures_util::future::join_all(both), word);
        assert!(both.iter().all(Result::is_ok));
        assert_eq!(connections.idle(), 2);
        fetch(&connections, &pool, get()).await.expect("over a fresh one");
        assert_eq!(origin.seen.borrow().len(), 4, "two, the stale one, the fresh one");
        connections.close_idle();
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn a_post_on_a_stale_connection_is_not_sent_twice() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send(HELLO), Step::Read]]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        fetch(&connections, &pool, get()).await.expect("a response");
        assert_eq!(cause_of(&connections, &pool, post("money")).await, Cause::OriginBroke);
        let seen = origin.seen.borrow().clone();
        assert_eq!(seen.len(), 2);
        assert!(seen[1].starts_with("POST ") && seen[1].ends_with("money"), "{seen:?}");
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn bytes_on_an_idle_connection_close_it() {
    on_a_core(async {
        let first = vec![
            Step::Read,
            send(HELLO),
            Step::AwaitWord,
            send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
            Step::AwaitClose,
        ];
        let origin = Scripted::new(vec![first, vec![Step::Read, send(HELLO)]]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        fetch(&connections, &pool, get()).await.expect("a response");
        origin.word.add_permits(1);
        while pool.origins()[0].connections > 0 {
            tokio::task::yield_now().await;
        }
        let (.., content) = fetch(&connections, &pool, get()).await.expect("a response");
        assert_eq!(content, "hello");
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn bytes_after_the_end_of_a_response_close_the_connection() {
    on_a_core(async {
        let extra = format!("{HELLO}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
        let first = vec![Step::Read, send(&extra), Step::AwaitClose];
        let origin = Scripted::new(vec![first, vec![Step::Read, send(HELLO)]]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        for _ in 0..2 {
            let (.., content) = fetch(&connections, &pool, get()).await.expect("a response");
            assert_eq!(content, "hello");
        }
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn content_that_nobody_reads_closes_the_connection() {
    on_a_core(async {
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello";
        let origin = Scripted::new(vec![vec![Step::Read, send(long), Step::AwaitClose]]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let connections = Connections::new();
        let reply = connections.send(&pool, get(), |_, _| {}).await.expect("a head");
        assert_eq!(pool.origins()[0].in_flight, 1);
        drop(reply);
        assert_eq!(pool.origins()[0].in_flight, 0);
        origin.played().await;
        assert_eq!((connections.idle(), notes.take()), (0, vec!["0 abandoned".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn an_http_1_0_origin_is_read_to_its_close() {
    on_a_core(async {
        let old = vec![Step::Read, send("HTTP/1.0 200 OK\r\n\r\nhello")];
        let origin = Scripted::new(vec![old.clone(), old]).await;
        let (pool, _) = pool(&[origin.url()]);
        let connections = Connections::new();
        for _ in 0..2 {
            let (.., content) = fetch(&connections, &pool, get()).await.expect("a response");
            assert_eq!((&content[..], connections.idle()), (&b"hello"[..], 0));
        }
        origin.played().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_in_time() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send(HELLO), Step::AwaitClose]]).await;
        let mut config = config(&[origin.url()]);
        config.deadlines.idle_ms = 1_000;
        let (pool, _) = pool_of(config);
        let connections = Connections::new();
        fetch(&connections, &pool, get()).await.expect("a response");
        assert_eq!(connections.idle(), 1);
        let before = tokio::time::Instant::now();
        origin.played().await;
        assert!(before.elapsed() <= Duration::from_millis(1_100), "{:?}", before.elapsed());
        assert_eq!(connections.idle(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_that_another_pool_keeps_for_longer_does_not_hold_it_open() {
    on_a_core(async {
        let once = || vec![vec![Step::Read, send(HELLO), Step::AwaitClose]];
        let (kept, brief) = (Scripted::new(once()).await, Scripted::new(once()).await);
        let connections = Connections::new();
        for (origin, idle_ms) in [(&kept, 3_600_000), (&brief, 1_000)] {
            let mut config = config(&[origin.url()]);
            config.deadlines.idle_ms = idle_ms;
            let (pool, _) = pool_of(config);
            fetch(&connections, &pool, get()).await.expect("a response");
        }
        let before = tokio::time::Instant::now();
        brief.played().await;
        assert!(before.elapsed() <= Duration::from_millis(1_100), "{:?}", before.elapsed());
        assert_eq!(connections.idle(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_is_an_origin() {
    on_a_core(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.sock");
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let served = spawn_local(async move {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await.expect("a request");
            stream.write_all(HELLO.as_bytes()).await.expect("sent");
        });
        let (pool, _) = pool(&[format!("unix:{}", path.display())]);
        let (.., content) = fetch(&Connections::new(), &pool, get()).await.expect("a response");
        assert_eq!(content, "hello");
        served.await.expect("served");
        let (pool, _) = super::pool(&["unix:/nowhere/app.sock".to_owned()]);
        assert_eq!(cause_of(&Connections::new(), &pool, get()).await, Cause::OriginUnreachable);
    })
    .await;
}
