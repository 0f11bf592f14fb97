use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// A sink that reports what it is given, and stands still while `gate` gives no word.
struct Slow {
    given: Sender<String>,
    gate: Receiver<io::Result<()>>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _test_is_over = self.given.send(String::from_utf8_lossy(bytes).into_owned());
        self.gate.recv().unwrap_or(Ok(()))?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow() -> (AccessLog, Receiver<String>, Sender<io::Result<()>>) {
    let ((given, seen), (word, gate)) = (channel(), channel());
    let sink = Mutex::new(Some(Slow { given, gate }));
    let open: writer::Open = Box::new(move || {
        let sink = sink.lock().take().ok_or_else(|| io::Error::other("opened twice"))?;
        Ok(Box::new(sink))
    });
    let log = AccessLog::start_with(open, 1, Arc::default()).expect("a thread can be started");
    (log, seen, word)
}

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn a_line_arrives_without_being_asked_for() {
    let (log, seen, word) = slow();
    log.line(|out| out.extend_from_slice(b"one\n"));
    assert_eq!(seen.recv_timeout(LIMIT).expect("the writer was woken"), "one\n");
    word.send(Ok(())).expect("the writer lives");
    log.line(|out| out.extend_from_slice(b"two\n"));
    assert_eq!(seen.recv_timeout(LIMIT).expect("also after gathering"), "two\n");
}

#[test]
fn a_stuck_target_costs_lines_not_exchanges() {
    let (log, seen, word) = slow();
    log.line(|out| out.extend_from_slice(b"first\n"));
    seen.recv_timeout(LIMIT).expect("the writer is now stuck in write");
    let kilobyte = [b'x'; 1024];
    for _ in 0..3000 {
        log.line(|out| out.extend_from_slice(&kilobyte));
    }
    let dropped = log.shared.losses.dropped();
    assert_eq!(dropped, 3000 - (WAITING_BYTES_MAX / 1024) as u64);
    assert!(!log.shutdown(Duration::from_millis(1)), "it cannot end while it is stuck");
    drop(word);
    assert!(log.shutdown(LIMIT));
    assert_eq!(seen.try_iter().map(|text| text.len()).sum::<usize>(), WAITING_BYTES_MAX);
}

#[test]
fn a_failing_target_is_counted_and_tried_again() {
    let (log, seen, word) = slow();
    log.line(|out| out.extend_from_slice(b"lost\n"));
    word.send(Err(io::Error::other("disk full"))).expect("the writer lives");
    seen.recv_timeout(LIMIT).expect("the writer tried");
    word.send(Ok(())).expect("the writer lives");
    log.line(|out| out.extend_from_slice(b"kept\n"));
    assert_eq!(seen.recv_timeout(LIMIT).expect("the writer tried again"), "kept\n");
    assert!(log.shutdown(LIMIT));
    assert_eq!((log.shared.losses.dropped(), log.shared.losses.errors()), (1, 1));
}

#[test]
fn after_a_rotation_lines_go_to_the_new_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let losses = Arc::<Losses>::default();
    let log = AccessLog::start(Target::File(path.clone()), 2, Arc::clone(&losses))
        .expect("the folder is writable");
    log.line(|out| out.extend_from_slice(b"old\n"));
    // Asked for before the line was written: the writer writes first, then opens anew.
    while std::fs::read(&moved).unwrap_or_default() != b"old\n" {
        if std::fs::read(&path).unwrap_or_default() == b"old\n" {
            std::fs::rename(&path, &moved).expect("a file can be renamed");
        }
        std::thread::yield_now();
    }
    log.reopen();
    while !path.exists() {
        std::thread::yield_now();
    }
    log.line(|out| out.extend_from_slice(b"new\n"));
    assert!(log.shutdown(LIMIT));
    assert_eq!(std::fs::read(&moved).expect("moved"), b"old\n");
    assert_eq!(std::fs::read(&path).expect("made anew"), b"new\n");
    assert_eq!((losses.dropped(), losses.errors()), (0, 0));
    log.line(|out| out.extend_from_slice(b"too late\n"));
    assert_eq!(losses.dropped(), 1);
}

#[test]
fn a_reopen_that_fails_keeps_the_old_target() {
    let (log, seen, word) = slow();
    drop(word);
    log.reopen(); // `slow` opens only once
    log.line(|out| out.extend_from_slice(b"still here\n"));
    assert_eq!(seen.recv_timeout(LIMIT).expect("written to the old one"), "still here\n");
    assert!(log.shutdown(LIMIT));
    assert_eq!(log.shared.losses.errors(), 1);
}
