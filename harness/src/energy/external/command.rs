//! A command that prints readings; their times are those of their arrival.

use super::integral::Integral;
use super::{COMMAND, LINE_BYTES, LONGEST_GAP, info, needs_argument, not_understood, reading};
use crate::energy::reading::{ReadFault, Snapshot, monotonic};
use crate::energy::sysfs::SysFs;
use crate::energy::unavailable::Unavailable;
use crate::energy::{EnergySource, SourceInfo};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two runs of a command that prints and ends.
const AGAIN: Duration = Duration::from_secs(1);

struct MeterCommand {
    info: SourceInfo,
    shared: Arc<Shared>,
    reader: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    integral: Integral,
    child: Option<Child>,
    quit: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EnergySource for MeterCommand {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(|| vec![value(&mut self.shared.lock())])
    }
}

/// Ends a command and all that it started; what is gone already is what was wanted.
fn kill(child: &Child) {
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn value(state: &mut State) -> Result<u64, ReadFault> {
    match state.integral.last_at() {
        Some(last) => {
            let time = monotonic().saturating_sub(last);
            if time > LONGEST_GAP {
                return Err(ReadFault::Silent { time });
            }
        }
        None => {
            state.integral.look()?;
            return Err(ReadFault::Empty);
        }
    }
    state.integral.look()
}

impl Drop for MeterCommand {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.quit = true;
        if let Some(child) = &state.child {
            kill(child);
        }
        drop(state);
        self.shared.changed.notify_all();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

pub(super) fn open(sys: &SysFs, command: &str) -> Result<Box<dyn EnergySource>, Unavailable> {
    if command.is_empty() {
        return Err(needs_argument(&COMMAND));
    }
    let shared = Arc::new(Shared::default());
    let (for_reader, line) = (Arc::clone(&shared), command.to_owned());
    let reader = std::thread::Builder::new()
        .name("energy-meter".to_owned())
        .spawn(move || for_reader.follow(&line));
    let mut source = MeterCommand {
        info: info(sys, COMMAND.name, command.to_owned()),
        shared,
        reader: reader.ok(),
    };
    source.first().map_err(|fault| Unavailable::Meter {
        meter: command.to_owned(),
        fault,
    })?;
    Ok(Box::new(source))
}

impl MeterCommand {
    /// Waits for the first reading.
    fn first(&mut self) -> Result<(), ReadFault> {
        let state = self.shared.lock();
        let mut seen = Err(ReadFault::Empty);
        let waits = |state: &mut State| {
            seen = value(state);
            seen == Err(ReadFault::Empty)
        };
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, LONGEST_GAP, waits);
        drop(waited);
        seen.map(drop)
    }
}

impl Shared {
    /// Runs the command, again and again if it ends.
    fn follow(&self, command: &str) {
        while !self.lock().quit {
            if let Err(error) = self.run(command) {
                self.lock().integral.fail(error);
                self.changed.notify_all();
            }
            let state = self.lock();
            let _ = self
                .changed
                .wait_timeout_while(state, AGAIN, |state| !state.quit);
        }
    }

    /// Runs the command once and takes what it prints.
    fn run(&self, command: &str) -> Result<(), ReadFault> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            // A group of its own, so that nothing of it outlives the meter.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        {
            let mut state = self.lock();
            if state.quit {
                kill(&child);
            }
            state.child = Some(child);
        }
        if let Some(stdout) = stdout {
            self.take(&mut BufReader::new(stdout));
        }
        // It has nothing more to say, but may run on.
        loop {
            let mut state = self.lock();
            let Some(child) = &mut state.child else {
                return Ok(());
            };
            if let Some(status) = child.try_wait()? {
                state.child = None;
                return match status.success() {
                    true => Ok(()),
                    false => Err(ReadFault::Io {
                        message: format!("the command ended with {status}"),
                    }),
                };
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Takes line after line until the end.
    fn take(&self, stdout: &mut impl BufRead) {
        loop {
            let mut line = Vec::new();
            let limit = LINE_BYTES as u64;
            match stdout.by_ref().take(limit).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let at = monotonic();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let pair = line.split_once([' ', '=', ':']);
            let reading = pair.and_then(|(key, value)| reading(key, value));
            let mut state = self.lock();
            match reading {
                Some(Ok(reading)) => state.integral.push(at, reading),
                Some(Err(fault)) => state.integral.fail(fault),
                None => state.integral.fail(not_understood(line)),
            }
            drop(state);
            self.changed.notify_all();
        }
    }
}
