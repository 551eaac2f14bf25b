//! Help that can be followed: every command has examples, and every example is one that the command line takes.

use crate::support::Bench;
use bitbench::commands::Cli;
use clap::{Command, CommandFactory, Parser};
use std::time::{Duration, Instant};

/// Every command that people call, with its whole name; those that have commands of their own among them.
fn commands() -> Vec<(String, Command)> {
    fn collect(prefix: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        for sub in command.get_subcommands() {
            if sub.is_hide_set() || sub.get_name() == "help" {
                continue;
            }
            let name = format!("{prefix} {}", sub.get_name());
            collect(&name, sub, all);
            all.push((name, sub.clone()));
        }
    }
    let cli = Cli::command();
    let mut all = vec![("bitbench".to_owned(), cli.clone())];
    collect("bitbench", &cli, &mut all);
    all
}

/// The words of a line as a shell takes them; what follows three spaces says what the line is for.
fn words(line: &str) -> Vec<String> {
    let line = line.trim().split("   ").next().unwrap_or_default();
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    assert_eq!(quote, None, "{line}");
    words
}

fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().or(command.get_after_long_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let lines = help.lines().filter(|line| line.starts_with("  bitbench "));
    lines.map(ToOwned::to_owned).collect()
}

#[test]
fn every_command_has_examples_that_it_takes() {
    let all = commands();
    assert!(all.len() > 10);
    for (name, command) in all {
        let examples = examples(&command);
        assert!(!examples.is_empty(), "{name} --help has no example");
        for line in &examples {
            assert!(line.len() <= 80, "{name}: it breaks on a terminal: {line}");
        }
        let own = examples
            .iter()
            .filter(|line| line.trim().starts_with(&name));
        assert!(own.count() > 0, "{name} --help has no example of itself");
        for line in examples {
            if let Err(error) = Cli::try_parse_from(words(&line)) {
                panic!("{name} --help: {line}\n{error}");
            }
        }
    }
}

#[test]
fn examples_name_suites_that_there_are() {
    for (name, command) in commands() {
        for line in examples(&command) {
            let words = words(&line);
            let suites = words.windows(2).filter(|pair| pair[0] == "--suite");
            for pair in suites {
                assert!(bitbench::suite::load(&pair[1]).is_ok(), "{name}: {line}");
            }
        }
    }
}

/// A paragraph is one line, which is broken where the terminal ends: one that was broken by hand is broken twice.
#[test]
fn help_is_broken_into_lines_by_the_terminal() {
    for (name, command) in commands() {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines.windows(2) {
            let [first, second] = pair else { continue };
            let text = |line: &str| !line.is_empty() && !line.starts_with("  ");
            let broken = text(first) && text(second) && !first.ends_with(':');
            assert!(!broken, "{name} --help: {first}\n{second}");
        }
    }
}

#[test]
fn arguments_that_are_not_understood_are_answered_with_an_example() {
    let bench = Bench::beside();
    for (line, example) in [
        ("run", "bitbench run --suite x86-energy --quick"),
        ("run --suite", "bitbench run --suite"),
        ("tune", "bitbench tune --model 2B4T"),
        ("model synth", "bitbench model synth 2B4T"),
        ("frobnicate", "bitbench run --suite"),
    ] {
        bench.run(line).expect(2).says(&["For example: ", example]);
    }
    for line in ["--help", "--version", "run --help"] {
        let ran = bench.run(line).expect(0);
        assert!(
            ran.err.is_empty() && !ran.out.contains("For example"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn alone_it_says_what_it_can_do_here_and_how_to_start() {
    let bench = Bench::beside();
    let start = Instant::now();
    let ran = bench.run("").expect(0);
    // It opens files; to measure anything takes seconds. The limit is far above what a busy machine needs.
    assert!(start.elapsed() < Duration::from_secs(30));
    for expected in [
        "CPU", "kernels", "i2s-", "baseline", "f16-", "energy", "tuned", "--quick",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    let longest = ran.out.lines().map(|line| line.chars().count()).max();
    assert!(longest.is_some_and(|longest| longest <= 80), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "{}", ran.out);
    // The command to start with is one that there is, with a suite that there is.
    let start = ran
        .out
        .lines()
        .find(|line| line.contains("--quick"))
        .unwrap();
    let words = words(start);
    assert!(Cli::try_parse_from(&words).is_ok(), "{start}");
    let suite = words.iter().position(|word| word == "--suite").unwrap();
    assert!(bitbench::suite::load(&words[suite + 1]).is_ok(), "{start}");
    assert!(!bench.has("bitbench-results"));
}

#[test]
fn it_says_what_was_tuned_here_and_what_was_tuned_elsewhere() {
    let bench = Bench::beside();
    std::fs::create_dir(bench.path().join("bitbench-results")).unwrap();
    bench.file(
        "bitbench-results/tuned.toml",
        "schema = 1\nnonsense = \"\\u001b[31m\"\n",
    );
    let ran = bench.run("").expect(0);
    assert!(ran.out.contains("tuned.toml"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "{}", ran.out);
}
