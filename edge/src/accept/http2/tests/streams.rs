//! Requests and responses, one and many.

use super::*;
use http::{Method, StatusCode};

#[tokio::test]
async fn a_request_gets_its_response() {
    run(async {
        let told = Deliveries::default();
        let tell = Rc::clone(&told);
        let handler = at_once(move |received| {
            assert_eq!(received.head.uri, "http://shop.example/a?b");
            assert!(received.body.is_empty());
            Response::new(Script::whole("hello").telling(&tell))
        });
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, _running) = client(io).await;
        let (response, _) = send.send_request(get("/a?b"), true).expect("sent");
        let response = response.await.expect("answered");
        assert_eq!(response.status(), 200);
        let (body, trailers) = read_all(response.into_body()).await.expect("whole");
        assert_eq!(body, b"hello");
        assert_eq!(trailers, None);
        assert_eq!(*told.borrow(), [Delivery::Complete]);
    })
    .await;
}

#[tokio::test]
async fn responses_that_are_ready_leave_together() {
    run(async {
        let body = Bytes::from(vec![b'x'; 1024]);
        let handler = at_once(move |_| Response::new(Script::whole(body.clone())));
        let (mut io, served) = served(handler, Http2Config::default(), 1 << 20);
        let mut requests = opening();
        for stream in 0..32 {
            requests.extend(raw(HEADERS, END_STREAM | END_HEADERS, stream * 2 + 1, GET_BLOCK));
        }
        io.write_all(&requests).await.expect("written");
        let mut ended = 0;
        while ended < 32 {
            let frame = read_frame(&mut io).await.expect("open");
            ended += usize::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
        }
        let writes = served.writes.get();
        assert!(writes <= 4, "{writes} writes for 32 responses");
    })
    .await;
}

#[tokio::test]
async fn a_lone_response_leaves_in_one_write() {
    run(async {
        let handler = at_once(|_| Response::new(Script::whole(vec![b'x'; 10_000])));
        let (mut io, served) = served(handler, Http2Config::default(), 1 << 20);
        io.write_all(&opening()).await.expect("written");
        io.write_all(&raw(SETTINGS, 1, 0, &[])).await.expect("written");
        while read_frame(&mut io).await.expect("open").flags != 1 {}
        let before = served.writes.get();
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&request).await.expect("written");
        while read_frame(&mut io).await.expect("open").kind != DATA {}
        assert_eq!(served.writes.get() - before, 1);
    })
    .await;
}

#[tokio::test]
async fn a_big_body_passes_small_windows() {
    run(async {
        let pieces: Vec<_> = (0..64u8).map(|n| Bytes::from(vec![n; 16 * 1024 + 7])).collect();
        let expected = pieces.concat();
        let handler = at_once(move |_| Response::new(Script::pieces(pieces.clone())));
        // the pipe is smaller than a frame, the window smaller than a piece
        let (io, _served) = served(handler, Http2Config::default(), 5_000);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(3_000).initial_connection_window_size(65_535);
        let (mut send, _running) = client_with(io, &builder).await;
        let (one, _) = send.send_request(get("/1"), true).expect("sent");
        let (two, _) = send.send_request(get("/2"), true).expect("sent");
        for response in [one, two] {
            let body = response.await.expect("answered").into_body();
            assert!(read_all(body).await.expect("whole").0 == expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_whole_body_waits_for_the_window_in_the_exchange() {
    run(async {
        let told = Deliveries::default();
        let tell = Rc::clone(&told);
        let handler =
            at_once(move |_| Response::new(Script::whole(vec![b'x'; 10_000]).telling(&tell)));
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let (mut send, _running) = client_with(io, &builder).await;
        let (response, _) = send.send_request(get("/"), true).expect("sent");
        let response = response.await.expect("answered");
        assert!(told.borrow().is_empty(), "nothing was delivered while the window is closed");
        drop(response);
        while told.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*told.borrow(), [Delivery::ClientGone]);
    })
    .await;
}

#[tokio::test]
async fn many_streams_run_at_once_and_finish_out_of_order() {
    run(async {
        let gate = Rc::new(tokio::sync::Semaphore::new(0));
        let wait = Rc::clone(&gate);
        let handler = Scripted(Rc::new(move |received: Received| {
            let wait = Rc::clone(&wait);
            Box::pin(async move {
                if received.head.uri.path() != "/fast" {
                    wait.acquire().await.expect("open").forget();
                }
                Response::new(Script::whole(received.head.uri.path().to_owned()))
            })
        }));
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, _running) = client(io).await;
        let slow: Vec<_> = (0..100)
            .map(|n| send.send_request(get(&format!("/{n}")), true).expect("sent").0)
            .collect();
        let (fast, _) = send.send_request(get("/fast"), true).expect("sent");
        let body = fast.await.expect("answered").into_body();
        assert_eq!(read_all(body).await.expect("whole").0, b"/fast");
        gate.add_permits(100);
        for (n, slow) in slow.into_iter().enumerate() {
            let body = slow.await.expect("answered").into_body();
            assert_eq!(read_all(body).await.expect("whole").0, format!("/{n}").as_bytes());
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_drops_the_handler_and_later_the_body() {
    run(async {
        struct Alive(Rc<Cell<usize>>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let dropped = Rc::new(Cell::new(0));
        let body_dropped = Rc::new(Cell::new(false));
        let told = Deliveries::default();
        let handler = {
            let (dropped, body_dropped) = (Rc::clone(&dropped), Rc::clone(&body_dropped));
            let told = Rc::clone(&told);
            Scripted(Rc::new(move |received: Received| {
                let alive = Alive(Rc::clone(&dropped));
                let mut body = Script::pieces([Bytes::from_static(b"some")]).telling(&told);
                body.hangs = true;
                body.dropped = DropFlag(Rc::clone(&body_dropped));
                Box::pin(async move {
                    let _alive = alive;
                    if received.head.uri.path() == "/never" {
                        std::future::pending::<()>().await;
                    }
                    Response::new(body)
                })
            }))
        };
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, _running) = client(io).await;

        let (response, mut stream) = send.send_request(get("/never"), true).expect("sent");
        let ready = send.clone().ready().await; // lets the request leave
        assert!(ready.is_ok());
        tokio::task::yield_now().await;
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        while dropped.get() == 0 {
            tokio::task::yield_now().await;
        }

        let (response, mut stream) = send.send_request(get("/hangs"), true).expect("sent");
        let mut body = response.await.expect("answered").into_body();
        assert_eq!(body.data().await.expect("a piece").expect("whole"), "some");
        stream.send_reset(h2::Reason::CANCEL);
        while told.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*told.borrow(), [Delivery::ClientGone]);
        assert!(body_dropped.get());
    })
    .await;
}

/// What the client sees of a body that does not end as it should.
async fn ending_of(
    script: impl Fn() -> Response<Script> + 'static,
) -> (Option<h2::Reason>, Delivery) {
    let told = Deliveries::default();
    let tell = Rc::clone(&told);
    let handler = at_once(move |_| script().map(|body| body.telling(&tell)));
    let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
    let (mut send, _running) = client(io).await;
    let (response, _) = send.send_request(get("/"), true).expect("sent");
    let error = match response.await {
        Ok(response) => read_all(response.into_body()).await.err(),
        Err(error) => Some(error),
    };
    let delivery = told.borrow().clone();
    assert_eq!(delivery.len(), 1);
    (error.and_then(|error| error.reason()), delivery[0])
}

#[tokio::test]
async fn a_cut_body_is_a_reset_and_no_end() {
    run(async {
        let cut = (Some(h2::Reason::INTERNAL_ERROR), Delivery::Cut);
        let piece = || Script::pieces([Bytes::from_static(b"half")]);
        let broken = move || Response::new(piece().then(Err(Cause::OriginBroke)));
        assert_eq!(ending_of(broken).await, cut);

        let announced = |bytes: &'static str, body: Script| {
            let mut response = Response::new(body);
            response.headers_mut().insert("content-length", bytes.parse().expect("a value"));
            response
        };
        assert_eq!(ending_of(move || announced("5", piece())).await, cut, "short");
        assert_eq!(ending_of(move || announced("3", piece())).await, cut, "long");
        assert_eq!(ending_of(move || announced("3", Script::whole("half"))).await, cut);
        assert_eq!(ending_of(move || announced("3", Script::default())).await, cut, "empty");
        let trailed = move || announced("5", piece().then(Ok(Frame::trailers(HeaderMap::new()))));
        assert_eq!(ending_of(trailed).await, cut, "short before trailers");
        let right = move || announced("4", piece());
        assert_eq!(ending_of(right).await, (None, Delivery::Complete));
    })
    .await;
}

#[tokio::test]
async fn heads_without_content_have_none() {
    run(async {
        let told = Deliveries::default();
        let tell = Rc::clone(&told);
        let handler = at_once(move |received| {
            let mut response = Response::new(Script::whole("hello").telling(&tell));
            response.headers_mut().insert("content-length", 5.into());
            response.headers_mut().insert("connection", "close".parse().expect("a value"));
            if let Some(status) = received.head.uri.path().strip_prefix("/s") {
                *response.status_mut() = status.parse().expect("a status");
            }
            response
        });
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, _running) = client(io).await;
        for (method, path) in [(Method::HEAD, "/"), (Method::GET, "/s204"), (Method::GET, "/s304")]
        {
            let mut request = get(path);
            *request.method_mut() = method;
            let (response, _) = send.send_request(request, true).expect("sent");
            let response = response.await.expect("answered");
            assert_eq!(response.headers().get("connection"), None);
            assert_eq!(read_all(response.into_body()).await.expect("ended").0, b"");
        }
        assert_eq!(*told.borrow(), [Delivery::Complete; 3]);
    })
    .await;
}

#[tokio::test]
async fn trailers_go_both_ways() {
    run(async {
        let handler = Scripted(Rc::new(|mut received: Received| {
            Box::pin(async move {
                let mut echo = Script::default();
                while let Some(frame) =
                    std::future::poll_fn(|cx| Pin::new(&mut received.body).poll_frame(cx)).await
                {
                    echo.frames.push_back(Ok(frame.expect("whole")));
                }
                Response::new(echo)
            })
        }));
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, _running) = client(io).await;
        let mut request = get("/");
        *request.method_mut() = Method::POST;
        let (response, mut stream) = send.send_request(request, false).expect("sent");
        stream.send_data("ping".into(), false).expect("sent");
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", "1".parse().expect("a value"));
        stream.send_trailers(trailers.clone()).expect("sent");
        let response = response.await.expect("answered");
        let (body, received) = read_all(response.into_body()).await.expect("whole");
        assert_eq!(body, b"ping");
        assert_eq!(received, Some(trailers));
    })
    .await;
}

#[tokio::test]
async fn an_upload_larger_than_the_windows_is_read_at_the_handlers_pace() {
    run(async {
        let handler = Scripted(Rc::new(|mut received: Received| {
            Box::pin(async move {
                let mut bytes = 0;
                while let Some(frame) =
                    std::future::poll_fn(|cx| Pin::new(&mut received.body).poll_frame(cx)).await
                {
                    bytes += frame.expect("whole").into_data().map_or(0, |data| data.len());
                }
                Response::new(Script::whole(bytes.to_string()))
            })
        }));
        let (io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, _running) = client(io).await;
        let mut request = get("/");
        *request.method_mut() = Method::PUT;
        let (response, mut stream) = send.send_request(request, false).expect("sent");
        let upload = Bytes::from(vec![b'u'; 5 << 20]);
        stream.send_data(upload, true).expect("queued");
        let response = response.await.expect("answered");
        let (body, _) = read_all(response.into_body()).await.expect("whole");
        assert_eq!(body, (5 << 20).to_string().as_bytes());
    })
    .await;
}

#[tokio::test]
async fn an_unread_upload_is_stopped_with_no_error() {
    run(async {
        let handler = at_once(|_| {
            let mut response = Response::new(Script::whole("no"));
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        });
        let (mut io, _served) = served(handler, Http2Config::default(), 1 << 20);
        io.write_all(&opening()).await.expect("written");
        for stream in [1, 3, 5] {
            io.write_all(&raw(HEADERS, END_HEADERS, stream, GET_BLOCK)).await.expect("written");
            let mut codes = Vec::new();
            loop {
                let frame = read_frame(&mut io).await.expect("open");
                if frame.kind == RST_STREAM {
                    codes.push(frame.payload);
                    break;
                }
            }
            assert_eq!(codes, [[0, 0, 0, 0]]);
        }
    })
    .await;
}

#[tokio::test]
async fn interim_responses_come_before_the_final_one() {
    run(async {
        let handler = Scripted(Rc::new(|mut received: Received| {
            Box::pin(async move {
                let mut hints = HeaderMap::new();
                hints.insert("link", "</a.css>; rel=preload".parse().expect("a value"));
                received.interim.send(StatusCode::EARLY_HINTS, hints);
                tokio::task::yield_now().await;
                received.interim.send(StatusCode::PROCESSING, HeaderMap::new());
                Response::new(Script::whole("done"))
            })
        }));
        let (mut io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&[opening(), request].concat()).await.expect("written");
        let mut kinds = Vec::new();
        while kinds.last() != Some(&(DATA, END_STREAM)) {
            let frame = read_frame(&mut io).await.expect("open");
            if frame.stream == 1 {
                kinds.push((frame.kind, frame.flags));
            }
        }
        let head = (HEADERS, END_HEADERS);
        assert_eq!(kinds, [head, head, head, (DATA, END_STREAM)]);
    })
    .await;
}

#[tokio::test]
async fn who_expects_100_gets_it_when_the_body_is_wanted() {
    run(async {
        let handler = Scripted(Rc::new(|mut received: Received| {
            Box::pin(async move {
                let frame =
                    std::future::poll_fn(|cx| Pin::new(&mut received.body).poll_frame(cx)).await;
                let data = frame.expect("a piece").expect("whole").into_data().expect("data");
                Response::new(Script::whole(data))
            })
        }));
        let (mut io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let mut block = GET_BLOCK.to_vec();
        block.extend([0x0f, 20, 12]); // literal without indexing, name 35: expect
        block.extend(b"100-continue");
        io.write_all(&[opening(), raw(HEADERS, END_HEADERS, 1, &block)].concat())
            .await
            .expect("written");
        while read_frame(&mut io).await.expect("open").kind != HEADERS {}
        io.write_all(&raw(DATA, END_STREAM, 1, b"body")).await.expect("written");
        while read_frame(&mut io).await.expect("open").kind != DATA {}
    })
    .await;
}

#[tokio::test]
async fn draining_says_goodbye_and_finishes_what_is_open() {
    run(async {
        let gate = Rc::new(tokio::sync::Semaphore::new(0));
        let wait = Rc::clone(&gate);
        let asked = Rc::new(tokio::sync::Notify::new());
        let tell = Rc::clone(&asked);
        let handler = Scripted(Rc::new(move |_| {
            tell.notify_one();
            let wait = Rc::clone(&wait);
            Box::pin(async move {
                wait.acquire().await.expect("open").forget();
                Response::new(Script::whole("late"))
            })
        }));
        let (io, served) = served(handler, Http2Config::default(), 1 << 16);
        let (mut send, running) = client(io).await;
        let (response, _) = send.send_request(get("/"), true).expect("sent");
        asked.notified().await;
        served.drain.send(true).expect("the server listens");
        // the client refuses new requests once it knows
        while send.clone().ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        let response = response.await.expect("answered");
        assert_eq!(read_all(response.into_body()).await.expect("whole").0, b"late");
        served.task.await.expect("the connection ends");
        running.await.expect("not cancelled").expect("without an error");
    })
    .await;
}

#[tokio::test]
async fn bodies_hear_of_a_connection_that_breaks() {
    run(async {
        let told = Deliveries::default();
        let tell = Rc::clone(&told);
        let handler = at_once(move |_| {
            let mut body = Script::pieces([Bytes::from_static(b"some")]).telling(&tell);
            body.hangs = true;
            Response::new(body)
        });
        let (mut io, served) = served(handler, Http2Config::default(), 1 << 16);
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&[opening(), request].concat()).await.expect("written");
        while read_frame(&mut io).await.expect("open").kind != DATA {}
        drop(io);
        served.task.await.expect("the connection ends");
        assert_eq!(*told.borrow(), [Delivery::ClientGone]);
    })
    .await;
}
