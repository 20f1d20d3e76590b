//! Writes lines from a thread of its own, so that a call never waits for standard error or a disk.
//!
//! There are two kinds of lines. One that may be dropped is queued in a bounded buffer, and counted
//! if that is full. One that may not be dropped is queued with a way to wait until it is written,
//! or to withdraw it. All that is queued goes into one `write`.

mod target;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::timeout,
};

pub(super) use self::target::Target;
use super::metrics;

/// The most bytes of lines that may be dropped.
const MAX_QUEUED_BYTES: usize = 2 * 1024 * 1024;

/// How many bytes are written at once, without waiting for more.
const FULL_BATCH_BYTES: usize = 64 * 1024;

/// How long lines that may be dropped are collected: those of many calls go in one `write`.
const COLLECTING: Duration = Duration::from_millis(5);

/// The writer of standard error.
pub(super) static STDERR: LazyLock<LineWriter> =
    LazyLock::new(|| LineWriter::start(Target::StandardError));

/// The lines of one target and the thread that writes them. Dropping it ends the thread, after it
/// has written what is queued.
pub(super) struct LineWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread.
    queued: Condvar,
    /// Wakes those who flush, after each batch.
    written: Condvar,
    /// How many lines were dropped.
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// Lines that may be dropped, end to end.
    optional: Vec<u8>,
    /// How many lines that is.
    lines: u64,
    /// Lines that may not be dropped.
    required: VecDeque<Required>,
    next_id: u64,
    thread: Thread,
    /// Whether the batch that is being written has lines that may not be dropped.
    writes_required: bool,
    /// Whether the thread ends, or never ran.
    closed: bool,
}

/// What the thread does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Thread {
    /// It writes, and will look into the queue again.
    #[default]
    Writing,
    /// It waits for lines.
    Idle,
    /// It waits for more lines.
    Collecting,
}

struct Required {
    id: u64,
    line: String,
    /// Gets the result, where somebody waits for it.
    done: Option<oneshot::Sender<io::Result<()>>>,
}

/// Why a line was not written, as far as it is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    /// The target did not take it.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// The lines before it were not written in time, so it was withdrawn.
    #[error("the lines before it were not written in time")]
    Withdrawn,
    /// Writing it has begun, and did not end in time.
    #[error("it was not written in time")]
    InFlight,
}

impl NotWritten {
    /// Returns whether it took too long.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Withdrawn | Self::InFlight)
    }
}

impl LineWriter {
    /// Starts the thread.
    pub(super) fn start(target: Target) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            queued: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name("lines".to_owned());
            thread.spawn(move || shared.run(&target))
        };
        // Without a thread all lines are dropped or refused.
        shared.queue.lock().closed = thread.is_err();
        Self(shared)
    }

    /// Returns how many lines were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Queues a line that may be dropped.
    pub(super) fn queue(&self, line: &str) {
        let mut queue = self.0.queue.lock();
        if queue.closed || queue.optional.len() + line.len() > MAX_QUEUED_BYTES {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.optional.extend_from_slice(line.as_bytes());
        queue.lines += 1;
        let wakes = match queue.thread {
            Thread::Idle => true,
            Thread::Collecting => queue.optional.len() >= FULL_BATCH_BYTES,
            Thread::Writing => false,
        };
        if wakes {
            self.0.wake(&mut queue);
        }
    }

    /// Queues a line that is not dropped.
    pub(super) fn queue_required(&self, line: String) {
        self.push(line, None);
    }

    /// Writes a line, and waits until it is written.
    ///
    /// # Errors
    /// [`NotWritten`]; after `limit` a line that is only queued is withdrawn.
    pub(super) async fn write(&self, line: String, limit: Duration) -> Result<(), NotWritten> {
        let (done, result) = oneshot::channel();
        let id = self.push(line, Some(done));
        match timeout(limit, result).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            Err(_) => Err(self.withdraw(id)),
        }
    }

    /// As [`LineWriter::write`], but blocks the thread.
    ///
    /// # Errors
    /// Those of [`LineWriter::write`].
    pub(super) fn write_blocking(&self, line: String, limit: Duration) -> Result<(), NotWritten> {
        let (done, mut result) = oneshot::channel();
        let id = self.push(line, Some(done));
        let until = Instant::now() + limit;
        loop {
            let mut queue = self.0.queue.lock();
            match result.try_recv() {
                Ok(result) => return Ok(result?),
                Err(TryRecvError::Closed) => {
                    return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
                }
                Err(TryRecvError::Empty) => {}
            }
            if self.0.written.wait_until(&mut queue, until).timed_out() {
                drop(queue);
                return Err(self.withdraw(id));
            }
        }
    }

    /// Waits until all lines that may not be dropped are written, for `limit` at most.
    pub(super) async fn flush(&self, limit: Duration) {
        let nothing_to_wait_for = {
            let queue = self.0.queue.lock();
            queue.required.is_empty() && !queue.writes_required
        };
        if nothing_to_wait_for {
            return;
        }
        // An empty line is written when all before it are.
        let _ = self.write(String::new(), limit).await;
    }

    /// Waits until all that is queued is written, for `limit` at most, and blocks the thread.
    pub(super) fn flush_blocking(&self, limit: Duration) {
        let _ = self.write_blocking(String::new(), limit);
    }

    fn push(&self, line: String, done: Option<oneshot::Sender<io::Result<()>>>) -> u64 {
        let mut queue = self.0.queue.lock();
        let id = queue.next_id;
        // Else the sender is dropped, which is an error for who waits.
        if !queue.closed {
            queue.next_id += 1;
            queue.required.push_back(Required { id, line, done });
            self.0.wake(&mut queue);
        }
        id
    }

    /// Removes a line from the queue, if it is still there.
    fn withdraw(&self, id: u64) -> NotWritten {
        let mut queue = self.0.queue.lock();
        match queue.required.iter().position(|line| line.id == id) {
            Some(at) => {
                queue.required.remove(at);
                NotWritten::Withdrawn
            }
            None => NotWritten::InFlight,
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.closed = true;
        self.0.wake(&mut queue);
    }
}

impl Shared {
    /// Wakes the thread if it waits.
    fn wake(&self, queue: &mut Queue) {
        if queue.thread != Thread::Writing {
            // The next line need not wake it again.
            queue.thread = Thread::Writing;
            self.queued.notify_one();
        }
    }

    /// Writes batches until the writer is dropped.
    fn run(&self, target: &Target) {
        let mut batch = Vec::new();
        let (mut writes, mut reported) = (false, 0);
        while let Some((lines, required)) = self.take(&mut batch) {
            // Now the queue has space for this line.
            let dropped = self.dropped.load(Ordering::Relaxed) - reported;
            if writes && dropped > 0 {
                reported += dropped;
                tracing::warn!(dropped, "log lines were dropped");
            }
            let result = if batch.is_empty() {
                Ok(())
            } else {
                target.write(&batch)
            };
            if let Err(error) = &result {
                self.dropped.fetch_add(lines, Ordering::Relaxed);
                report(
                    error,
                    required.iter().filter(|line| !line.line.is_empty()).count(),
                );
            }
            for line in required {
                // Who waited may have gone.
                let _ = line.done.map(|done| done.send(copy_of(&result)));
            }
            // Under the lock, so that who checks the result and then waits does not miss it.
            let mut queue = self.queue.lock();
            queue.writes_required = false;
            self.written.notify_all();
            drop(queue);
            writes = result.is_ok();
        }
    }

    /// Waits for lines, and moves all of them into `batch`; `None` at the end. Returns how many of
    /// them may be dropped, and the others.
    fn take(&self, batch: &mut Vec<u8>) -> Option<(u64, VecDeque<Required>)> {
        let mut queue = self.queue.lock();
        while queue.optional.is_empty() && queue.required.is_empty() {
            if queue.closed {
                return None;
            }
            queue.thread = Thread::Idle;
            self.queued.wait(&mut queue);
        }
        let until = Instant::now() + COLLECTING;
        while queue.required.is_empty() && queue.optional.len() < FULL_BATCH_BYTES && !queue.closed
        {
            queue.thread = Thread::Collecting;
            if self.queued.wait_until(&mut queue, until).timed_out() {
                break;
            }
        }
        queue.thread = Thread::Writing;
        batch.clear();
        batch.shrink_to(FULL_BATCH_BYTES);
        std::mem::swap(batch, &mut queue.optional);
        let required = std::mem::take(&mut queue.required);
        queue.writes_required = !required.is_empty();
        let lines = std::mem::take(&mut queue.lines);
        drop(queue);
        for line in &required {
            batch.extend_from_slice(line.line.as_bytes());
        }
        Some((lines, required))
    }
}

/// Reports lines that may not be dropped and could not be written.
fn report(error: &io::Error, lines: usize) {
    if lines == 0 {
        return;
    }
    for _ in 0..lines {
        metrics::audit_failure();
    }
    tracing::error!(
        target: "followme::telemetry::audit",
        error = error as &dyn std::error::Error,
        "the audit log cannot be written"
    );
}

/// Returns a copy of a result for one more line of its batch.
fn copy_of(result: &io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(error
            .raw_os_error()
            .map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)),
    }
}
