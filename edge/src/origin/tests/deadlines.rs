//! Every wait ends, and the client is told which one it was. Time is virtual.

use tokio::time::Instant;

use super::*;

/// The cause of a GET's failure at an origin that plays `script`, and when it came.
async fn late(script: Vec<Step>, set: impl FnOnce(&mut PoolConfig)) -> (Cause, Duration) {
    on_a_core(async {
        let origin = Scripted::new(vec![script]).await;
        let mut config = config(&[origin.url()]);
        config.deadlines.response_ms = 2_000;
        config.deadlines.body_ms = 700;
        set(&mut config);
        let (pool, notes) = pool_of(config);
        let started = Instant::now();
        let cause = cause_of(&Connections::new(), &pool, get()).await;
        let elapsed = started.elapsed();
        origin.played().await;
        assert_eq!(notes.take(), [format!("0 {}", OriginOutcome::of_failure(cause).name())]);
        (cause, elapsed)
    })
    .await
}

fn about(elapsed: Duration, ms: u64) -> bool {
    (ms..ms + 50).contains(&(elapsed.as_millis() as u64))
}

#[tokio::test(start_paused = true)]
async fn a_silent_origin() {
    for said in ["", "HTTP/1.1 200 OK\r\nserver: slow", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let script = vec![Step::Read, send(said), Step::AwaitClose];
        let (cause, elapsed) = late(script, |_| {}).await;
        assert_eq!(cause, Cause::OriginResponseTimeout, "{said:?}");
        assert!(about(elapsed, 2_000), "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_stalls() {
    for said in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let script = vec![Step::Read, send(said), Step::AwaitClose];
        let (cause, elapsed) = late(script, |_| {}).await;
        assert_eq!(cause, Cause::OriginBodyTimeout, "{said:?}");
        assert!(about(elapsed, 700), "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_response_that_takes_too_long() {
    let script =
        vec![Step::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), Step::AwaitClose];
    let (cause, elapsed) = late(script, |config| config.deadlines.whole_ms = 300).await;
    assert_eq!(cause, Cause::OriginWholeTimeout);
    assert!(about(elapsed, 300), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_the_origins_fault() {
    on_a_core(async {
        let script = vec![
            Step::Read,
            send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"),
            Step::AwaitWord,
            send("lo"),
            Step::AwaitClose,
        ];
        let origin = Scripted::new(vec![script]).await;
        let mut config = config(&[origin.url()]);
        config.deadlines.body_ms = 700;
        let (pool, _) = pool_of(config);
        let connections = Connections::new();
        let mut reply = connections.send(&pool, get(), |_, _| {}).await.expect("a head");
        let part = reply.body.frame().await.expect("a part").expect("good");
        assert_eq!(part.into_data().expect("data"), "hel");
        tokio::time::advance(Duration::from_mins(1)).await;
        origin.word.add_permits(1);
        let rest = reply.body.collect().await.expect("the rest");
        assert_eq!(rest.to_bytes(), "lo");
        connections.close_idle();
        origin.played().await;
    })
    .await;
}

/// Content that comes one byte every second.
struct Dripping {
    left: usize,
    next: std::pin::Pin<Box<tokio::time::Sleep>>,
}

impl http_body::Body for Dripping {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        std::task::ready!(self.next.as_mut().poll(cx));
        self.left -= 1;
        self.next.as_mut().reset(Instant::now() + Duration::from_secs(1));
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"x")))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_upload_does_not_count_against_the_response() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send(HELLO), Step::AwaitClose]]).await;
        let mut config = config(&[origin.url()]);
        config.deadlines.response_ms = 500;
        let (pool, _) = pool_of(config);
        let next = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
        let upload = request(Method::POST, Outbound::stream(Dripping { left: 5, next }));
        let connections = Connections::new();
        let (.., content) = fetch(&connections, &pool, upload).await.expect("a response");
        assert_eq!(content, "hello");
        assert!(origin.seen.borrow()[0].contains("transfer-encoding: chunked"));
        connections.close_idle();
        origin.played().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_queue_and_the_whole_journey_have_an_end() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, Step::AwaitClose]]).await;
        let mut config = config(&[origin.url()]);
        config.limits.in_flight_max = 1;
        config.deadlines.queue_ms = 100;
        let (pool, _) = pool_of(config);
        let connections = Connections::new();
        let holding = {
            let (connections, pool) = (connections.clone(), pool.clone());
            spawn_local(async move { cause_of(&connections, &pool, get()).await })
        };
        while pool.origins()[0].in_flight == 0 {
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        assert_eq!(cause_of(&connections, &pool, get()).await, Cause::OriginBusy);
        assert!(about(started.elapsed(), 100));
        assert_eq!(holding.await.expect("a task"), Cause::OriginResponseTimeout);
        origin.played().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_attempt_starts_after_the_total_time() {
    on_a_core(async {
        let stalling = Scripted::new(vec![vec![Step::Read, Step::AwaitClose]]).await;
        let untouched = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let second = format!("http://{}", untouched.local_addr().expect("bound"));
        let mut config = config(&[stalling.url(), second]);
        config.deadlines.response_ms = 2_000;
        config.deadlines.total_ms = 1_000;
        let (pool, notes) = pool_of(config);
        let cause = cause_of(&Connections::new(), &pool, get()).await;
        assert_eq!(cause, Cause::OriginResponseTimeout);
        assert_eq!(notes.take(), ["0 timeout"]);
        stalling.played().await;
    })
    .await;
}

#[tokio::test]
async fn the_longest_deadlines_do_no_harm() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send(HELLO)]]).await;
        let mut config = config(&[origin.url()]);
        let forever = u64::MAX;
        config.limits.lifetime_ms = forever;
        config.deadlines = OriginDeadlines {
            queue_ms: forever,
            resolve_ms: forever,
            connect_ms: forever,
            tls_ms: forever,
            response_ms: forever,
            body_ms: forever,
            whole_ms: forever,
            total_ms: forever,
            idle_ms: forever,
        };
        let (pool, _) = pool_of(config);
        fetch(&Connections::new(), &pool, get()).await.expect("a response");
        origin.played().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn content_that_drips_within_its_deadline() {
    on_a_core(async {
        let mut script = vec![Step::Read, send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")];
        script.extend((0..5).flat_map(|_| [Step::Pause(500), send("x")]));
        let origin = Scripted::new(vec![script]).await;
        let mut config = config(&[origin.url()]);
        config.deadlines.body_ms = 700;
        let (pool, _) = pool_of(config);
        let (.., content) = fetch(&Connections::new(), &pool, get()).await.expect("a response");
        assert_eq!(content, "xxxxx");
        origin.played().await;
    })
    .await;
}
