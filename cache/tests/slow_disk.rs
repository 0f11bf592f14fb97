//! A disk that hangs: who reads along must not wait as long as it does.

mod story;

use std::time::Duration;

use bytes::Bytes;
use selvedge_cache::store::faulty::Fault;
use story::fetch::{Answer, Stage};
use story::{Who, World};

#[tokio::test(start_paused = true)]
async fn a_fill_waits_a_second_for_the_disk_and_no_more() {
    let mut world = World::new(64 << 20);
    world.store.add(Fault::SlowRoom(Duration::from_mins(1)));
    world.origin.length = 1 << 20;
    world.ask(Who { language: 0, authorized: false, no_cache: false });
    world.send(0);
    world.answer(0, Answer::Full);
    let Stage::Body { writer, .. } = &mut world.fetches[0].stage else {
        panic!("the origin answered");
    };
    let begun = tokio::time::Instant::now();
    for _ in 0..8 {
        writer.ready().await.expect("somebody reads");
        writer.write(Bytes::from(vec![b'x'; 64 << 10]));
    }
    assert!(begun.elapsed() <= Duration::from_millis(1_100), "{:?}", begun.elapsed());
}
