//! Threads: N data runtimes, one control runtime, one disk runtime.
//!
//! A request stays on the core that accepted it, so every data thread has an own single-threaded
//! runtime with a `LocalSet`. Admin, signals and probes run beside them on the control runtime (the
//! main thread); the store's I/O on the disk runtime, which must outlive both.
//!
//! A data thread that dies takes its listener's share of connections with it: half a node that
//! looks alive. So the process ends with [`EXIT_DATA_THREAD`] and says why, and whoever runs it
//! starts it anew. (A panic inside one spawned task ends that task only.)

use std::any::Any;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Exit code when a data thread died.
pub const EXIT_DATA_THREAD: i32 = 70;

/// Worker threads of the disk runtime: they only pass work on.
const DISK_WORKERS: usize = 2;
/// Threads that may wait for the disk at the same time.
const DISK_BLOCKING_MAX: usize = 16;
/// Threads for blocking work of one other runtime (name resolution, files).
const BLOCKING_MAX: usize = 8;
/// How long an unused blocking thread stays.
const BLOCKING_KEEP: Duration = Duration::from_secs(10);

/// The control runtime; the main thread drives it with `block_on`.
pub fn control() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .thread_keep_alive(BLOCKING_KEEP)
        .thread_name("control-blocking")
        .build()
}

/// The disk runtime.
///
/// It is ended explicitly and last, with a bound: dropping a runtime waits for blocking work
/// without one, and a disk may hang for ever.
#[derive(Debug)]
pub struct DiskRuntime(Option<Runtime>);

impl DiskRuntime {
    /// Starts it.
    pub fn start() -> io::Result<Self> {
        runtime::Builder::new_multi_thread()
            .worker_threads(DISK_WORKERS)
            .max_blocking_threads(DISK_BLOCKING_MAX)
            .thread_keep_alive(BLOCKING_KEEP)
            .thread_name("disk")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }

    /// Its handle, for the store.
    pub fn handle(&self) -> runtime::Handle {
        self.0.as_ref().expect("only `end` and `drop` take the runtime").handle().clone()
    }

    /// Ends it; work that runs is given `wait`.
    pub fn end(mut self, wait: Duration) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(wait);
        }
    }
}

impl Drop for DiskRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The data threads.
#[derive(Debug)]
pub struct DataThreads {
    threads: Vec<JoinHandle<()>>,
    may_end: Arc<AtomicBool>,
    ended: watch::Receiver<usize>,
}

/// Why a data thread died.
#[derive(Debug, PartialEq, Eq)]
enum Death {
    Panicked(String),
    Returned,
    NoRuntime(String),
}

impl DataThreads {
    /// Starts `workers` threads, named `data-0`, `data-1`, …; each makes a future by calling
    /// `make` with its number, on itself, and runs it within a `LocalSet`. The future may end only
    /// after [`Self::let_end`]: an earlier end, or a panic, ends the process.
    pub fn start<M, F>(workers: NonZeroUsize, make: M) -> io::Result<Self>
    where
        M: Fn(usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        Self::start_with(workers, make, end_process)
    }

    fn start_with<M, F>(
        workers: NonZeroUsize,
        make: M,
        on_death: impl Fn(usize, Death) + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        M: Fn(usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (make, on_death) = (Arc::new(make), Arc::new(on_death));
        let may_end = Arc::new(AtomicBool::new(false));
        let (count, ended) = watch::channel(0);
        let count = Arc::new(count);
        let mut threads = Vec::with_capacity(workers.get());
        for number in 0..workers.get() {
            let (make, on_death, may_end) = (make.clone(), on_death.clone(), may_end.clone());
            let count = count.clone();
            let life = move || {
                let death = match catch_unwind(AssertUnwindSafe(|| run(number, &*make))) {
                    Ok(Ok(())) if may_end.load(Ordering::Acquire) => {
                        count.send_modify(|ended| *ended += 1);
                        return;
                    }
                    Ok(Ok(())) => Death::Returned,
                    Ok(Err(error)) => Death::NoRuntime(error.to_string()),
                    Err(panic) => Death::Panicked(words(&*panic)),
                };
                on_death(number, death);
            };
            threads.push(Builder::new().name(format!("data-{number}")).spawn(life)?);
        }
        Ok(Self { threads, may_end, ended })
    }

    /// From now on a data thread may end: the node drains.
    pub fn let_end(&self) {
        self.may_end.store(true, Ordering::Release);
    }

    /// Waits until all have ended as they may, without blocking a thread.
    pub async fn all_ended(&self) {
        let (mut ended, all) = (self.ended.clone(), self.threads.len());
        // An error means that all senders are gone: no thread is left either.
        let _ = ended.wait_for(|ended| *ended == all).await;
    }

    /// Waits for all of them; blocks, so not on a runtime's thread.
    pub fn join(self) {
        self.let_end();
        for thread in self.threads {
            // A panic was caught and reported inside the thread.
            let _ = thread.join();
        }
    }
}

fn run<F: Future<Output = ()>>(number: usize, make: &impl Fn(usize) -> F) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_MAX)
        .thread_keep_alive(BLOCKING_KEEP)
        .thread_name(format!("data-{number}-blocking"))
        .build()?;
    let local = LocalSet::new();
    // `make` runs inside, so that it may register sockets and spawn local tasks.
    local.block_on(&runtime, async { make(number).await });
    drop(local);
    // Blocking work (a name that does not resolve) must not hold up the end of the process.
    runtime.shutdown_background();
    Ok(())
}

fn end_process(number: usize, death: Death) {
    let why = match death {
        Death::Panicked(words) => format!("it panicked: {words}"),
        Death::Returned => "it returned although nobody asked it to".to_owned(),
        Death::NoRuntime(error) => format!("it got no runtime: {error}"),
    };
    tracing::error!(thread = %format!("data-{number}"), why, code = EXIT_DATA_THREAD, "a data thread died; the process ends");
    std::process::exit(EXIT_DATA_THREAD);
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no words")
        .to_owned()
}

/// The limit of open file descriptors, before and after it was raised; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Before.
    pub before: Option<u64>,
    /// Now.
    pub now: Option<u64>,
}

/// Raises the soft limit of open file descriptors to the hard limit: a connection is one, and the
/// usual soft limit of 1024 is none that a node can live with.
pub fn raise_descriptor_limit() -> Descriptors {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "the limit of open files could not be raised");
        return Descriptors { before: limit.current, now: limit.current };
    }
    Descriptors { before: limit.current, now: limit.maximum }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::mpsc;

    use super::*;

    fn two() -> NonZeroUsize {
        NonZeroUsize::new(2).expect("two is not zero")
    }

    #[test]
    fn every_worker_has_its_number_its_name_and_a_local_set() {
        let (send, receive) = mpsc::channel();
        let _threads = DataThreads::start_with(
            two(),
            move |number| {
                let send = send.clone();
                async move {
                    let not_send = Rc::new(Cell::new(number));
                    let seen = tokio::task::spawn_local(async move { not_send.get() }).await;
                    let name = std::thread::current().name().unwrap_or_default().to_owned();
                    send.send((seen.expect("the task did not panic"), name))
                        .expect("the test listens");
                    std::future::pending::<()>().await;
                }
            },
            |_, _| {},
        )
        .expect("threads can be started");
        let mut seen: Vec<_> = (0..2).map(|_| receive.recv().expect("both report")).collect();
        seen.sort();
        assert_eq!(seen, [(0, "data-0".to_owned()), (1, "data-1".to_owned())]);
    }

    #[test]
    fn an_early_end_and_a_panic_are_deaths_a_late_end_is_none() {
        let (send, receive) = mpsc::channel();
        let report = move |number, death| send.send((number, death)).expect("the test listens");
        let life = |number| async move { assert!(number == 0, "worker {number} fell") };
        let threads = DataThreads::start_with(two(), life, report).expect("threads can be started");
        let mut deaths: Vec<_> = (0..2).map(|_| receive.recv().expect("both report")).collect();
        deaths.sort_by_key(|(number, _)| *number);
        assert_eq!(
            deaths,
            [(0, Death::Returned), (1, Death::Panicked("worker 1 fell".to_owned()))]
        );
        threads.join();

        let (end, ended) = tokio::sync::watch::channel(false);
        let (send, receive) = mpsc::channel();
        let life = move |_| {
            let mut ended = ended.clone();
            async move {
                let _ = ended.wait_for(|end| *end).await;
            }
        };
        let report = move |_, death| send.send(death).expect("the test listens");
        let threads = DataThreads::start_with(two(), life, report).expect("threads can be started");
        threads.let_end();
        end.send_replace(true);
        control().expect("a runtime can be made").block_on(threads.all_ended());
        threads.join();
        assert_eq!(receive.try_iter().count(), 0);
    }

    #[test]
    fn a_dead_data_thread_ends_the_process_with_its_code() {
        const CHILD: &str = "SELVEDGE_TEST_DATA_THREAD_DIES";
        const NAME: &str =
            "upkeep::runtime::tests::a_dead_data_thread_ends_the_process_with_its_code";
        if std::env::var_os(CHILD).is_some() {
            let life = |number| async move {
                assert!(number == 0, "worker {number} fell");
                std::future::pending::<()>().await;
            };
            // The join ends only if nobody ends the process: then the code is another one.
            let threads = DataThreads::start(two(), life).expect("threads can be started");
            for thread in threads.threads {
                let _ = thread.join();
            }
            return;
        }
        let status = std::process::Command::new(std::env::current_exe().expect("we run"))
            .args(["--exact", NAME])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("the test binary can be started");
        assert_eq!(status.code(), Some(EXIT_DATA_THREAD));
    }

    #[test]
    fn the_disk_runtime_outlives_a_worker_and_ends_in_time() {
        let disk = DiskRuntime::start().expect("a runtime can be made");
        let handle = disk.handle();
        let answer = control()
            .expect("a runtime can be made")
            .block_on(async { handle.spawn(async { 7 }).await });
        assert_eq!(answer.expect("the task did not panic"), 7);
        disk.end(Duration::from_secs(1));
    }

    #[test]
    fn the_descriptor_limit_is_the_hard_limit() {
        raise_descriptor_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
