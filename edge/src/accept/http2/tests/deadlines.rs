//! Peers that stop; time is paused and runs on by itself when all wait.

use std::time::Duration;

use super::*;

fn config() -> Http2Config {
    let mut config = Http2Config::default();
    config.deadlines.head_ms = 1_000;
    config.deadlines.idle_ms = 10_000;
    config.deadlines.body_ms = 2_000;
    config.deadlines.write_ms = 3_000;
    config.deadlines.linger_ms = 100;
    config
}

fn hello() -> Scripted {
    at_once(|_| Response::new(Script::whole("hello")))
}

fn near(since: Instant, expected_ms: u64) {
    let elapsed = since.elapsed();
    let expected = Duration::from_millis(expected_ms);
    let most = expected + Duration::from_millis(250);
    assert!(elapsed >= expected && elapsed <= most, "{elapsed:?}, not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dropped_after_the_head_deadline() {
    run(async {
        for sent in [Vec::new(), PREFACE[..10].to_vec(), opening()] {
            let since = Instant::now();
            let (mut io, served) = served(hello(), config(), 1 << 16);
            io.write_all(&sent).await.expect("written");
            served.task.await.expect("the connection ends");
            near(since, 1_000);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_field_block_that_does_not_end_is_dropped() {
    run(async {
        let (mut io, served) = served(hello(), config(), 1 << 16);
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&[opening(), request].concat()).await.expect("written");
        tokio::time::advance(Duration::from_secs(5)).await;
        let since = Instant::now();
        io.write_all(&raw(HEADERS, 0, 3, GET_BLOCK)).await.expect("written");
        let frames = read_frames(&mut io).await;
        assert!(goaway_code(&frames).is_some());
        served.task.await.expect("the connection ends");
        near(since, 1_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_told_goodbye() {
    run(async {
        let since = Instant::now();
        let (mut io, served) = served(hello(), config(), 1 << 16);
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&[opening(), request].concat()).await.expect("written");
        let frames = read_frames(&mut io).await;
        assert_eq!(goaway_code(&frames), Some(0));
        served.task.await.expect("the connection ends");
        near(since, 10_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_stays_closed_costs_the_stream_only() {
    run(async {
        let told = Deliveries::default();
        let tell = Rc::clone(&told);
        let handler =
            at_once(move |_| Response::new(Script::whole(vec![b'x'; 9_000]).telling(&tell)));
        let (io, _served) = served(handler, config(), 1 << 16);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1_000);
        let (mut send, _running) = client_with(io, &builder).await;
        let since = Instant::now();
        let (response, _) = send.send_request(get("/"), true).expect("sent");
        let mut body = response.await.expect("answered").into_body();
        assert_eq!(body.data().await.expect("a piece").expect("whole").len(), 1_000);
        let error = body.data().await.expect("an end").expect_err("a reset");
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        near(since, 3_000);
        assert_eq!(*told.borrow(), [Delivery::ClientGone]);
        let (response, _) = send.send_request(get("/"), true).expect("still open");
        response.await.expect("still answered");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_takes_nothing_is_dropped() {
    run(async {
        let handler = at_once(|_| Response::new(Script::whole(vec![b'x'; 9_000])));
        let (mut io, served) = served(handler, config(), 1 << 10);
        let since = Instant::now();
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&[opening(), request].concat()).await.expect("written");
        served.task.await.expect("the connection ends");
        near(since, 3_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_stalls_is_an_error_of_the_body() {
    run(async {
        let handler = Scripted(Rc::new(|mut received: Received| {
            Box::pin(async move {
                let since = Instant::now();
                let error = loop {
                    let frame =
                        std::future::poll_fn(|cx| Pin::new(&mut received.body).poll_frame(cx))
                            .await;
                    if let Err(error) = frame.expect("more, or an error") {
                        break error;
                    }
                };
                near(since, 2_000);
                Response::new(Script::whole(error.cause.label()))
            })
        }));
        let (io, _served) = served(handler, config(), 1 << 16);
        let (mut send, _running) = client(io).await;
        let (response, mut stream) = send.send_request(get("/"), false).expect("sent");
        stream.send_data("some".into(), false).expect("sent");
        let response = response.await.expect("answered");
        let (body, _) = read_all(response.into_body()).await.expect("whole");
        assert_eq!(body, b"body_timeout");
    })
    .await;
}
