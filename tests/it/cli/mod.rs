//! The command line, as a process of its own; and what the server serves besides the RPCs.

mod commands;
mod serving;
mod shutdown;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
};

/// A process of the binary, with an environment that is empty but for what is given. It is killed
/// when the test ends before it.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Reads all along, so that the process never waits for it; a stalled one once `reads` is
    /// dropped.
    stderr: Option<JoinHandle<String>>,
    reads: Option<Sender<()>>,
}

impl Process {
    pub(crate) fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut process = Self::stalled(args, environment);
        process.read_stderr();
        process
    }

    /// Starts a process whose standard error is not read before [`Process::read_stderr`].
    pub(crate) fn stalled(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_followme"));
        command
            .args(args)
            .env_clear()
            .env("FOLLOWME_JOURNAL_URL", "sqlite::memory:")
            .envs(environment.iter().copied());
        Self::unread(command)
    }

    /// Starts a process by another command.
    pub(crate) fn of(command: Command) -> Self {
        let mut process = Self::unread(command);
        process.read_stderr();
        process
    }

    fn unread(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let (reads, begin) = mpsc::channel::<()>();
        let stderr = thread::spawn(move || {
            // It begins when the sender is dropped.
            let _ = begin.recv();
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("it can be read");
            text
        });
        Self {
            child,
            stdout,
            stderr: Some(stderr),
            reads: Some(reads),
        }
    }

    /// Begins to read standard error.
    pub(crate) fn read_stderr(&mut self) {
        self.reads = None;
    }

    /// Reads standard output up to the line that says an address.
    pub(crate) fn address(&mut self, what: &str) -> SocketAddr {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("it can be read") > 0 {
            if let Some(address) = line.trim_end().strip_prefix(what) {
                return address.trim().parse().expect("an address");
            }
            line.clear();
        }
        panic!("it never said {what:?}; {}", self.end().1);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success());
    }

    /// Waits for the end, while the thread is blocked: a server ends only once its clients, which
    /// need a thread of their own, have closed their connections.
    /// Returns the exit status and what stood on standard error.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        let stderr = self.stderr.take().expect("it ends once");
        (status, stderr.join().expect("it could be read"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end: exit code, standard output, standard error.
fn run(args: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut process = Process::start(args, environment);
    let mut out = String::new();
    process
        .stdout
        .read_to_string(&mut out)
        .expect("it can be read");
    let (status, err) = process.end();
    (status.code().expect("it was not killed"), out, err)
}
