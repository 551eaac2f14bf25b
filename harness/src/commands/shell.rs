//! `bitbench completions` and `bitbench man`: what shells and `man` want to know of the command line.

use super::{Cli, Code, CommandError};
use crate::progress;
use anyhow::{Context, anyhow};
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `bitbench completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench completions bash >> ~/.bash_completion
  bitbench completions fish > ~/.config/fish/completions/bitbench.fish")]
pub struct Completions {
    /// Shell to complete for
    shell: Shell,
}

/// Arguments of `bitbench man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench man > bitbench.1
  bitbench man run | man -l -")]
pub struct Man {
    /// Command to write the page of, such as `run` or `model convert` [default: bitbench itself]
    command: Vec<String>,
}

/// Prints the completions for a shell.
///
/// # Errors
/// See [`CommandError`].
pub fn completions(arguments: &Completions) -> Result<Code, CommandError> {
    // Made in memory: the crate panics where a pipe closes.
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "bitbench",
        &mut script,
    );
    print(&script)
}

/// Prints a page for `man`.
///
/// # Errors
/// See [`CommandError`].
pub fn man(arguments: &Man) -> Result<Code, CommandError> {
    let mut command = Cli::command();
    command.build();
    let mut name = "bitbench".to_owned();
    for word in &arguments.command {
        name.push(' ');
        name.push_str(word);
        let found = command.find_subcommand(word).cloned();
        command =
            found.ok_or_else(|| CommandError::usage(anyhow!("there is no command `{name}`")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .context("cannot make the page")
        .map_err(CommandError::internal)?;
    print(&page)
}

/// As it is: it was made of the command line alone, and tabs and quotes matter.
fn print(text: &[u8]) -> Result<Code, CommandError> {
    progress::say(String::from_utf8_lossy(text).trim_end());
    Ok(Code::Done)
}
