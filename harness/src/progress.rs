//! What a user sees while a run goes on: a bar with the time left on a terminal, quiet lines elsewhere.

use bitbench_reports::record::{Outcome, Place};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The progress of a run, on standard error.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
    rounds: u64,
    finished: u64,
    predicted_s: f64,
    done_s: f64,
    /// Rounds that go on: one, or those of contenders that take turns.
    current: Vec<(Place, f64, Instant)>,
    start: Instant,
}

impl Progress {
    /// A run of so many rounds (all jobs together) that is predicted to take so long.
    pub fn new(rounds: u64, predicted_s: f64) -> Progress {
        let quiet = !std::io::stderr().is_terminal();
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(rounds), target);
        if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {wide_bar} {msg}") {
            bar.set_style(style);
        }
        if !quiet {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        Progress {
            bar,
            quiet,
            rounds,
            finished: 0,
            predicted_s,
            done_s: 0.0,
            current: Vec::new(),
            start: Instant::now(),
        }
    }

    /// A round begins.
    pub fn begin(&mut self, place: &Place, predicted_s: f64) {
        let round = (place.clone(), predicted_s, Instant::now());
        self.current.push(round);
        let left = self.left();
        self.bar
            .set_message(format!("{}, about {left} left", plain(&place.job)));
    }

    /// A round ended.
    pub fn end(&mut self, place: &Place, outcome: &Outcome) {
        let job = plain(&place.job);
        let current = self.current.iter().position(|(other, ..)| other == place);
        let begun = current.map(|index| self.current.swap_remove(index));
        let seconds = begun
            .as_ref()
            .map_or(0.0, |(_, _, at)| at.elapsed().as_secs_f64());
        let what = match outcome {
            Outcome::Skipped { .. } => return,
            Outcome::Measured => format!("round {} measured in {seconds:.1} s", place.round + 1),
            Outcome::Failed { reason } => format!("FAILED: {}", plain(reason)),
        };
        self.finished += 1;
        self.done_s += begun.map_or(0.0, |(_, predicted_s, _)| predicted_s);
        if self.quiet {
            tell(&format!(
                "[{}/{}] {job}: {what}",
                self.finished, self.rounds
            ));
        } else {
            self.bar.set_position(self.finished);
            if matches!(outcome, Outcome::Failed { .. }) {
                self.bar.println(format!("{job}: {what}"));
            }
        }
    }

    /// The run is over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Time left, by the prediction and how far off it was so far.
    fn left(&self) -> String {
        let ratio = if self.done_s > 0.0 {
            self.start.elapsed().as_secs_f64() / self.done_s
        } else {
            1.0
        };
        minutes((self.predicted_s - self.done_s).max(0.0) * ratio)
    }
}

/// A time for people.
pub fn minutes(seconds: f64) -> String {
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

/// Names and reasons can come from files: no control characters reach the terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The same for text of several lines.
pub fn plain_lines(text: &str) -> String {
    let inert = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(inert).collect()
}

static OUTPUT_FAILED: AtomicBool = AtomicBool::new(false);

/// A text broken at spaces into lines of at most `width` characters; a longer word has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Prints a line on standard output. A reader that went away (`| head`) is no reason to stop; a full disk is told at the end.
pub fn say(text: &str) {
    let written = writeln!(io::stdout().lock(), "{text}");
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && !OUTPUT_FAILED.swap(true, Ordering::Relaxed)
    {
        tell(&format!(
            "bitbench: cannot write to standard output: {error}"
        ));
    }
}

/// Prints a line on standard error. Where that is closed, there is nobody to tell.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether standard output could not be written, for another reason than that its reader went away.
pub fn output_failed() -> bool {
    OUTPUT_FAILED.load(Ordering::Relaxed)
}
