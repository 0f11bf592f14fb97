//! Another origin, when that is allowed.

use super::*;
use crate::error::Stage;

/// A port that refuses for as long as the socket lives: bound, and nobody listens.
fn refusing() -> (String, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("loopback")).expect("bound");
    (format!("http://{}", socket.local_addr().expect("bound")), socket)
}

#[tokio::test]
async fn a_refused_request_goes_to_the_next_origin_whatever_its_method() {
    on_a_core(async {
        let answering = vec![Step::Read, send(HELLO), Step::Read, send(HELLO)];
        let origin = Scripted::new(vec![answering]).await;
        let (refused, _deaf) = refusing();
        let (pool, notes) = pool(&[refused, origin.url()]);
        let connections = Connections::new();
        // Both turns end at the second origin.
        for request in [post("money"), get()] {
            let (.., content) = fetch(&connections, &pool, request).await.expect("a response");
            assert_eq!(content, "hello");
        }
        let seen = origin.seen.borrow().clone();
        assert!(seen[0].ends_with("content-length: 5\r\n\r\nmoney"), "{seen:?}");
        assert_eq!(notes.take()[..2], ["0 connect", "1 ok"]);
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn each_origin_is_tried_once_and_the_last_failure_is_the_answer() {
    on_a_core(async {
        let ((one, _deaf), (two, _mute)) = (refusing(), refusing());
        let (pool, notes) = pool(&[one, two]);
        let failure =
            Connections::new().send(&pool, get(), |_, _| {}).await.expect_err("nobody listens");
        assert_eq!((failure.error.cause, failure.stage), (Cause::OriginRefused, Stage::Unsent));
        assert_eq!(failure.origin.as_deref(), Some(&*pool.origins()[1].name));
        assert_eq!(notes.take(), ["0 connect", "1 connect"]);
    })
    .await;
}

#[tokio::test]
async fn a_get_that_was_sent_goes_elsewhere_and_a_post_does_not() {
    on_a_core(async {
        let breaking = Scripted::new(vec![vec![Step::Read], vec![Step::Read]]).await;
        let script = vec![Step::Read, send(HELLO), Step::AwaitClose];
        let origin = Scripted::new(vec![script]).await;
        let (pool, notes) = pool(&[breaking.url(), origin.url()]);
        let connections = Connections::new();
        fetch(&connections, &pool, get()).await.expect("from the second");
        // Two turns later it is the first one's again.
        let failure =
            connections.send(&pool, post("money"), |_, _| {}).await.expect_err("it broke");
        assert_eq!((failure.error.cause, failure.stage), (Cause::OriginBroke, Stage::Sent));
        assert_eq!(origin.seen.borrow().len(), 1);
        assert_eq!(notes.take(), ["0 broken", "1 ok", "0 broken"]);
        connections.close_idle();
        breaking.played().await;
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn after_a_byte_of_an_answer_nothing_is_sent_again() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send("HTTP/1.1 2")]]).await;
        let (refused, _deaf) = refusing();
        let (pool, notes) = pool(&[origin.url(), refused]);
        let failure =
            Connections::new().send(&pool, get(), |_, _| {}).await.expect_err("half a head");
        assert_eq!((failure.error.cause, failure.stage), (Cause::OriginBroke, Stage::Answered));
        assert_eq!(notes.take(), ["0 broken"]);
        origin.played().await;
    })
    .await;
}

/// A pool of a refusing origin, ejected by now, and a well one; with what will make it listen.
async fn ejected(well: &Scripted) -> (Arc<Pool>, Arc<Notes>, tokio::net::TcpSocket) {
    let (refused, socket) = refusing();
    let mut config = config(&[refused, well.url()]);
    config.limits.idle_max = 0;
    let (pool, notes) = pool_of(config);
    for _ in 0..6 {
        fetch(&Connections::new(), &pool, get()).await.expect("from the well one");
    }
    let told = notes.take();
    assert_eq!(told.iter().filter(|note| *note == "0 connect").count(), 3, "{told:?}");
    assert_eq!(told.iter().filter(|note| *note == "0 ejected").count(), 1);
    assert!(!pool.origins()[0].healthy);
    (pool, notes, socket)
}

fn hello() -> Vec<Step> {
    vec![Step::Read, send(HELLO), Step::AwaitClose]
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_fails_is_ejected_and_comes_back_by_one_trial() {
    on_a_core(async {
        let well = Scripted::new((0..7).map(|_| hello()).collect()).await;
        let (pool, notes, socket) = ejected(&well).await;
        let back = Scripted::on(socket.listen(8).expect("listening"), vec![hello()]);
        let connections = Connections::new();
        tokio::time::advance(Duration::from_secs(3)).await;
        fetch(&connections, &pool, post("money")).await.expect("not risked on a trial");
        assert_eq!(notes.take(), ["1 ok"]);
        let reply = connections.send(&pool, get(), |_, _| {}).await.expect("the trial");
        assert_eq!(reply.origin, pool.origins()[0].name);
        assert!(pool.origins()[0].healthy, "the head is enough");
        reply.body.collect().await.expect("content");
        assert_eq!(notes.take(), ["0 recovered", "0 ok"]);
        back.played().await;
        well.played().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_nobody_waits_for_is_given_to_another_request() {
    on_a_core(async {
        let well = Scripted::new((0..7).map(|_| hello()).collect()).await;
        let (pool, notes, socket) = ejected(&well).await;
        let silent = vec![Step::Read, Step::AwaitClose];
        let listener = socket.listen(8).expect("listening");
        let back = Scripted::on(listener, vec![silent, hello()]);
        tokio::time::advance(Duration::from_secs(3)).await;
        let trial = {
            let pool = pool.clone();
            spawn_local(async move { fetch(&Connections::new(), &pool, get()).await })
        };
        until(|| !back.seen.borrow().is_empty()).await;
        fetch(&Connections::new(), &pool, get()).await.expect("from the well one meanwhile");
        assert_eq!(notes.take(), ["1 ok"], "one trial at a time");
        trial.abort();
        until(|| notes.0.lock().len() == 1).await;
        fetch(&Connections::new(), &pool, get()).await.expect("the next trial");
        assert_eq!(notes.take(), ["0 abandoned", "0 recovered", "0 ok"]);
        back.played().await;
        well.played().await;
    })
    .await;
}

#[tokio::test]
async fn server_errors_count_against_health_only_when_told_to() {
    on_a_core(async {
        for (count_server_errors, healthy) in [(false, true), (true, false)] {
            let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
            let script =
                vec![Step::Read, send(busy), Step::Read, send(busy), Step::Read, send(busy)];
            let origin = Scripted::new(vec![script]).await;
            let mut config = config(&[origin.url()]);
            config.health.count_server_errors = count_server_errors;
            let (pool, _) = pool_of(config);
            let connections = Connections::new();
            for _ in 0..3 {
                let (status, ..) = fetch(&connections, &pool, get()).await.expect("a 503");
                assert_eq!(status, 503);
            }
            assert_eq!(pool.origins()[0].healthy, healthy);
            origin.played().await;
        }
    })
    .await;
}

#[tokio::test]
async fn places_are_bounded_and_the_queue_too() {
    on_a_core(async {
        let slow = vec![Step::Read, Step::AwaitWord, send(HELLO), Step::Read, send(HELLO)];
        let origin = Scripted::new(vec![slow]).await;
        let mut config = config(&[origin.url()]);
        config.limits.in_flight_max = 1;
        config.limits.queue_max = 1;
        let (pool, _) = pool_of(config);
        let connections = Connections::new();
        let start = |n: usize| {
            let (connections, pool) = (connections.clone(), pool.clone());
            async move { (n, fetch(&connections, &pool, get()).await) }
        };
        let first = spawn_local(start(1));
        until(|| pool.origins()[0].in_flight == 1).await;
        let second = spawn_local(start(2));
        until(|| pool.origins()[0].queued == 1).await;
        let (_, third) = start(3).await;
        assert_eq!(third.expect_err("no room").cause, Cause::OriginBusy);
        assert!(pool.origins()[0].healthy);
        origin.word.add_permits(1);
        first.await.expect("a task").1.expect("a response");
        second.await.expect("a task").1.expect("a response, on the same connection");
        assert_eq!((pool.origins()[0].in_flight, pool.origins()[0].queued), (0, 0));
        origin.played().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_place_and_closes_the_connection() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, Step::AwaitClose]]).await;
        let (pool, notes) = pool(&[origin.url()]);
        let asking = {
            let pool = pool.clone();
            spawn_local(async move { Connections::new().send(&pool, get(), |_, _| {}).await })
        };
        until(|| !origin.seen.borrow().is_empty()).await;
        asking.abort();
        origin.played().await;
        assert_eq!((pool.origins()[0].in_flight, notes.take()), (0, vec!["0 abandoned".into()]));
    })
    .await;
}

#[derive(Debug)]
struct Two(SocketAddr);

impl resolve::Lookup for Two {
    fn lookup(&self, host: &str, _: u16) -> resolve::LookupFuture {
        let known = host == "origin.example";
        let (refusing, there) = (([127, 0, 0, 1], 1).into(), self.0);
        Box::pin(async move { Ok(if known { vec![refusing, there] } else { Vec::new() }) })
    }
}

#[tokio::test]
async fn an_origin_by_name_is_reached_by_any_of_its_addresses() {
    on_a_core(async {
        let origin = Scripted::new(vec![vec![Step::Read, send(HELLO)]]).await;
        let lookup = Arc::new(Two(origin.address));
        let make = |url: &str| {
            let config = config(&[url.to_owned()]);
            Pool::with_lookup(config, Arc::new(Unobserved), lookup.clone()).expect("a pool")
        };
        let connections = Connections::new();
        let there = make("http://origin.example:81");
        fetch(&connections, &there, get()).await.expect("a response");
        assert!(origin.seen.borrow()[0].contains("host: shop.example\r\n"));
        let nowhere = make("http://unknown.example");
        assert_eq!(cause_of(&connections, &nowhere, get()).await, Cause::OriginDns);
        origin.played().await;
    })
    .await;
}

#[test]
fn a_pool_that_could_send_nothing_is_refused() {
    let url = ["http://a.example".to_owned()];
    let refused = |set: fn(&mut PoolConfig)| {
        let mut config = config(&url);
        set(&mut config);
        Pool::new(config, Arc::new(Unobserved)).expect_err("nothing can be sent").to_string()
    };
    assert_eq!(refused(|c| c.origins.clear()), "the pool \"shop\" has no origin");
    assert!(refused(|c| c.limits.in_flight_max = 0).contains("in_flight_max"));
    assert!(refused(|c| c.retry.attempts_max = 0).contains("attempts_max"));
    assert!(refused(|c| c.deadlines.response_ms = 0).contains("response_ms"));
}
