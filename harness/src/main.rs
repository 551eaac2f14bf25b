//! Command line of bitbench.

use bitbench::commands::{Cli, CommandError};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match bitbench::commands::dispatch(cli) {
        Ok(code) => code.into(),
        Err(CommandError { code, error }) => {
            eprintln!(
                "bitbench: {}",
                bitbench::progress::plain(&format!("{error:#}"))
            );
            code.into()
        }
    }
}
