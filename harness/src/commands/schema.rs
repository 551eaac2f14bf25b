//! `bitbench schema`: the JSON Schemas of what is stored and exported.

use super::{Code, CommandError};
use anyhow::Context;
use bitbench_reports::schema;
use clap::ValueEnum;

/// Arguments of `bitbench schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench schema record     of a line of records.jsonl
  bitbench schema report     of results.json")]
pub struct Arguments {
    /// Which: of a line of records.jsonl, or of results.json
    #[arg(value_enum, default_value_t)]
    of: Of,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Of {
    #[default]
    Record,
    Report,
}

/// Prints a JSON Schema.
///
/// # Errors
/// See [`CommandError`].
pub fn schema(arguments: &Arguments) -> Result<Code, CommandError> {
    let schema = match arguments.of {
        Of::Record => schema::record(),
        Of::Report => schema::report(),
    };
    let text = serde_json::to_string_pretty(&schema)
        .context("cannot encode the schema")
        .map_err(CommandError::internal)?;
    say!("{text}");
    Ok(Code::Done)
}
