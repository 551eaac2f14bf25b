//! A worker process, seen from the harness.

use super::protocol::{PROTOCOL, Reply, Request};
use crate::interrupt;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest reply line: far above the token durations of the longest window.
const LONGEST_REPLY: u64 = 64 << 20;
/// Lines of standard error that are kept for the message of a failure.
const KEPT_LINES: usize = 8;
/// How often a wait looks whether the user asked to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A running worker. Dropping it ends it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    replies: Receiver<String>,
    errors: Arc<Mutex<VecDeque<String>>>,
    listener: Option<JoinHandle<()>>,
    engine: (String, String),
}

/// Why a worker gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The process could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command.
        command: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The worker speaks another protocol, or gave no version.
    #[error("the worker gave no usable greeting: {0}")]
    Greeting(String),
    /// The worker said that it could not do it.
    #[error("{0}")]
    Refused(String),
    /// The process ended.
    #[error("{0}")]
    Ended(String),
    /// The process took too long and was killed.
    #[error("no answer after {seconds} s; the worker was killed")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Process {
    /// Starts a worker and greets it: no name and version, no measurement.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn start(command: &[String]) -> Result<Process, WorkerError> {
        Process::start_padded(command, 0)
    }

    /// The same with so many bytes of environment that mean nothing. They move the stack of the process, whose place alone can
    /// make a loop faster or slower (Mytkowicz et al., "Producing wrong data without doing anything obviously wrong!", 2009).
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn start_padded(command: &[String], padding: usize) -> Result<Process, WorkerError> {
        let start_error = |source| WorkerError::Start {
            command: command.join(" "),
            source,
        };
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| start_error(std::io::Error::other("the command is empty")))?;
        // A group of its own, so that Ctrl-C on the terminal reaches the harness alone, which then ends the worker.
        let mut child = Command::new(program)
            .args(arguments)
            .env("BITBENCH_PADDING", "x".repeat(padding))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(start_error)?;
        let (send, replies) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut output = BufReader::new(output);
                let mut line = String::new();
                while matches!(
                    output.by_ref().take(LONGEST_REPLY).read_line(&mut line),
                    Ok(1..)
                ) {
                    if send.send(std::mem::take(&mut line)).is_err() {
                        return;
                    }
                }
            });
        }
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let listener = child.stderr.take().map(|stream| {
            let errors = Arc::clone(&errors);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Ok(mut kept) = errors.lock() {
                        if kept.len() == KEPT_LINES {
                            kept.pop_front();
                        }
                        kept.push_back(line);
                    }
                }
            })
        });
        let input = child.stdin.take();
        let mut process = Process {
            child,
            input,
            replies,
            errors,
            listener,
            engine: (String::new(), String::new()),
        };
        match process.ask(&Request::Hello, Duration::from_secs(30))? {
            Reply::Hello {
                name,
                version,
                protocol: PROTOCOL,
            } if !name.is_empty() && !version.is_empty() => {
                process.engine = (name, version);
                Ok(process)
            }
            other => Err(WorkerError::Greeting(format!("{other:?}"))),
        }
    }

    /// Name and version, as the engine told them.
    pub fn engine(&self) -> (&str, &str) {
        (&self.engine.0, &self.engine.1)
    }

    /// Process id, to read its memory from outside.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// See [`WorkerError`]; after a timeout or an interrupt the process is gone.
    pub fn ask(&mut self, request: &Request, limit: Duration) -> Result<Reply, WorkerError> {
        let mut line =
            serde_json::to_vec(request).map_err(|e| WorkerError::Refused(e.to_string()))?;
        line.push(b'\n');
        let sent = self
            .input
            .as_mut()
            .map(|input| input.write_all(&line).and_then(|()| input.flush()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.ended());
        }
        let start = Instant::now();
        loop {
            match self.replies.recv_timeout(LOOK) {
                Ok(line) => {
                    return match serde_json::from_str(&line) {
                        Ok(Reply::Error { message }) => Err(WorkerError::Refused(message)),
                        Ok(reply) => Ok(reply),
                        Err(e) => Err(WorkerError::Refused(format!(
                            "the worker's reply is not understood: {e}"
                        ))),
                    };
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
                Err(RecvTimeoutError::Timeout) if interrupt::requested() => {
                    self.kill();
                    return Err(WorkerError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) if start.elapsed() > limit => {
                    self.kill();
                    return Err(WorkerError::Timeout {
                        seconds: limit.as_secs(),
                    });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself in the meantime, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What became of a process that does not answer.
    fn ended(&mut self) -> WorkerError {
        drop(self.input.take());
        let status = self.child.wait();
        if let Some(listener) = self.listener.take() {
            // It ends with the stream it reads; nothing is lost if it panicked.
            let _ = listener.join();
        }
        let said: Vec<String> = self
            .errors
            .lock()
            .map(|kept| kept.iter().cloned().collect())
            .unwrap_or_default();
        let said = if said.is_empty() {
            String::new()
        } else {
            format!("; it said: {}", said.join(" | "))
        };
        match status {
            Ok(status) => WorkerError::Ended(format!("the worker {}{said}", end_of(status))),
            Err(e) => WorkerError::Ended(format!("the worker is gone: {e}{said}")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        self.kill();
    }
}

fn end_of(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(9), _) => {
            "was killed (signal 9); if nobody did, the system was out of memory".to_owned()
        }
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}
