//! Command line of bitbench.

use bitbench::commands::{Cli, CommandError};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to standard output. Where that is closed, there is nobody to tell.
            let _ = error.print();
            if error.use_stderr()
                && let Some(example) = bitbench::commands::example(std::env::args_os().skip(1))
            {
                bitbench::progress::tell(&format!("For example: {example}"));
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
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
