//! Peers that send what costs them nothing.

use super::super::link::LINGER_BYTES_MAX;
use super::*;

const ENHANCE_YOUR_CALM: u32 = 11;
const PRIORITY: u8 = 2;
const WINDOW_UPDATE: u8 = 8;

const PIPE_BYTES: usize = 1 << 16;

/// Sends `flood` again and again; what came back, and how many were taken before the end. What
/// the pipe holds and what is thrown away while the server lingers is not counted.
async fn flooded(first: Vec<u8>, flood: impl Fn(u32) -> Vec<u8>) -> (Vec<RawFrame>, usize) {
    let handler = at_once(|_| Response::new(Script { hangs: true, ..Script::default() }));
    let (io, served) = served(handler, Http2Config::default(), PIPE_BYTES);
    let (mut input, mut output) = tokio::io::split(io);
    output.write_all(&[opening(), first].concat()).await.expect("written");
    let reading = spawn_local(async move { read_frames(&mut input).await });
    let mut sent = 0;
    while sent < 100_000
        && output.write_all(&flood(sent)).await.is_ok()
        && !served.task.is_finished()
    {
        sent += 1;
    }
    drop(output);
    served.task.await.expect("the connection ends");
    let not_counted = (LINGER_BYTES_MAX + PIPE_BYTES) / flood(0).len();
    (reading.await.expect("read"), (sent as usize).saturating_sub(not_counted))
}

#[tokio::test]
async fn floods_end_the_connection() {
    run(async {
        let open = || raw(HEADERS, END_HEADERS, 1, GET_BLOCK);
        type Flood = fn(u32) -> Vec<u8>;
        let floods: [(&str, Flood); 7] = [
            ("settings", |_| raw(SETTINGS, 0, 0, &[])),
            ("ping", |_| raw(PING, 0, 0, &[7; 8])),
            ("priority", |_| raw(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
            ("window update", |_| raw(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
            ("window update of a stream", |_| raw(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
            ("empty data", |_| raw(DATA, 0, 1, &[])),
            ("unknown", |_| raw(0xfa, 0, 0, b"grease")),
        ];
        for (name, flood) in floods {
            let (frames, sent) = flooded(open(), flood).await;
            assert!(sent < 7_000, "{name}: {sent} were taken");
            assert_eq!(goaway_code(&frames), Some(ENHANCE_YOUR_CALM), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    run(async {
        let (frames, sent) = flooded(Vec::new(), |n| {
            let stream = n * 2 + 1;
            let open = raw(HEADERS, END_STREAM | END_HEADERS, stream, GET_BLOCK);
            [open, raw(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .await;
        assert!(sent < 2_000, "{sent} were taken");
        assert_eq!(goaway_code(&frames), Some(ENHANCE_YOUR_CALM));
    })
    .await;
}

#[tokio::test]
async fn provoked_resets_end_the_connection() {
    run(async {
        // a request whose window update overflows makes h2 reset the stream
        let (frames, sent) = flooded(Vec::new(), |n| {
            let stream = n * 2 + 1;
            let open = raw(HEADERS, END_HEADERS, stream, GET_BLOCK);
            [open, raw(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat()
        })
        .await;
        assert!(sent < 2_000, "{sent} were taken");
        assert_eq!(goaway_code(&frames), Some(ENHANCE_YOUR_CALM));
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_reads_gets_a_bounded_buffer() {
    run(async {
        let (mut io, served) =
            served(at_once(|_| Response::new(Script::whole("x"))), Http2Config::default(), 1 << 10);
        io.write_all(&opening()).await.expect("written");
        // Pings that are never read: once the pipe and the batch are full, nothing is taken.
        let ping = raw(PING, 0, 0, &[7; 8]).repeat(64);
        let mut sent = 0;
        loop {
            tokio::select! {
                biased;
                written = io.write_all(&ping) => match written {
                    Ok(()) => sent += 64,
                    Err(_) => break,
                },
                () = tokio::task::yield_now() => break,
            }
        }
        assert!(sent <= 8_000, "{sent} pings were taken unanswered");
        drop(io);
        served.task.await.expect("the connection ends");
    })
    .await;
}

#[tokio::test]
async fn a_long_transfer_with_a_window_update_per_frame_is_no_flood() {
    run(async {
        let piece = Bytes::from(vec![b'x'; 1_000]);
        let handler = at_once(move |_| Response::new(Script::pieces(vec![piece.clone(); 20_000])));
        let (mut io, _served) = served(handler, Http2Config::default(), 1 << 16);
        let request = raw(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
        io.write_all(&[opening(), request].concat()).await.expect("written");
        loop {
            let frame = read_frame(&mut io).await.expect("open");
            assert_ne!(frame.kind, GOAWAY);
            if frame.kind != DATA {
                continue;
            }
            if frame.flags & END_STREAM != 0 {
                break;
            }
            if !frame.payload.is_empty() {
                let more = (frame.payload.len() as u32).to_be_bytes();
                let updates = [raw(WINDOW_UPDATE, 0, 0, &more), raw(WINDOW_UPDATE, 0, 1, &more)];
                io.write_all(&updates.concat()).await.expect("written");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_header_list_beyond_the_limit_gets_431() {
    run(async {
        let handler = at_once(|_| panic!("must not be asked"));
        let (io, _served) = served(handler, Http2Config::default(), 1 << 20);
        let (mut send, _running) = client(io).await;
        let mut request = get("/");
        for n in 0..20 {
            let name: http::HeaderName = format!("x-{n}").parse().expect("a name");
            request.headers_mut().insert(name, vec![b'v'; 2_000].try_into().expect("a value"));
        }
        let (response, _) = send.send_request(request, true).expect("sent");
        assert_eq!(response.await.expect("answered").status(), 431);
    })
    .await;
}
