//! Command line of bitbench.

use bitbench::commands::{Cli, CommandError};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match bitbench::commands::dispatch(cli) {
        Ok(code) => code.into(),
        Err(CommandError { code, error }) => {
            // Some messages end with their cause already.
            let mut message = error.to_string();
            for cause in error.chain().skip(1).map(ToString::to_string) {
                if !message.contains(&cause) {
                    message = format!("{message}: {cause}");
                }
            }
            let message = bitbench::progress::plain_lines(&message);
            bitbench::progress::tell(&format!("bitbench: {message}"));
            code.into()
        }
    }
}
