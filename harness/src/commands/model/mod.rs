//! `bitbench model`: what is in a model file, and files made from others or from a shape.

pub mod convert;
pub mod inspect;
pub mod synth;

use super::{Code, CommandError};
use crate::interrupt;
use anyhow::anyhow;
use bitbench_engine::model::formats::{FORMATS, TensorFormat, writable};
use bitbench_engine::model::gguf::{GgufFile, WriteError};
use std::io::ErrorKind;
use std::path::Path;

/// Arguments of `bitbench model`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench model inspect model.gguf
  bitbench model convert model.gguf other.gguf --to tq2_0
  bitbench model synth 2B4T 2B4T.gguf --type i2_s")]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say what is in a model file: every tensor, and what can run it
    Inspect(inspect::Arguments),
    /// Write a model with its linear layers in another format
    Convert(convert::Arguments),
    /// Write a file with random weights in the shape of a published model
    Synth(synth::Arguments),
}

/// Runs one of the commands.
///
/// # Errors
/// See [`CommandError`].
pub fn model(arguments: &Arguments) -> Result<Code, CommandError> {
    match &arguments.command {
        Command::Inspect(arguments) => inspect::inspect(arguments),
        Command::Convert(arguments) => convert::convert(arguments),
        Command::Synth(arguments) => synth::synth(arguments),
    }
}

/// A format that files can be made in, by its name on the command line.
fn format(name: &str) -> Result<&'static TensorFormat, String> {
    writable(name).ok_or_else(|| {
        let known: Vec<String> = FORMATS
            .iter()
            .filter(|format| format.encode.is_some())
            .map(|format| format.name.to_lowercase())
            .collect();
        format!("files can be made in {}", known.join(", "))
    })
}

/// A network, as far as it decides who reads its file.
struct Network<'a> {
    /// `general.architecture`.
    architecture: &'a str,
    /// Whether the embedding serves as head.
    tied_head: bool,
    /// Whether the heads together are as wide as the residual stream.
    square: bool,
}

/// Writes a file, and says what it is and who reads it.
fn write(
    file: &GgufFile<'_>,
    out: &Path,
    force: bool,
    network: &Network<'_>,
    format: &TensorFormat,
) -> Result<Code, CommandError> {
    interrupt::listen().map_err(CommandError::internal)?;
    let written = match file.write(out, force, &|| !interrupt::requested()) {
        Ok(written) => written,
        Err(error @ WriteError::Stopped { .. }) => {
            tell!("bitbench: {error}");
            return Ok(Code::Interrupted);
        }
        Err(error @ WriteError::Exists { .. }) => {
            return Err(CommandError::usage(anyhow!("{error}; --force replaces it")));
        }
        Err(error @ WriteError::Io { .. }) if !is_about_the_place(&error) => {
            return Err(CommandError::internal(anyhow!(
                "{error}; nothing was left behind"
            )));
        }
        Err(error) => return Err(CommandError::usage(error)),
    };
    #[expect(clippy::cast_precision_loss, reason = "for a message")]
    let megabytes = written.file_bytes as f64 / 1e6;
    say!(
        "{}: {megabytes:.1} MB, {} tensors, linear layers in {}",
        out.display(),
        written.tensors,
        format.name
    );
    if written.scale_rounding > 0.0 {
        say!(
            "scales of ternary weights were rounded to {}: by {:.1e} of themselves at most",
            format.name,
            written.scale_rounding
        );
    }
    for (tool, reason) in readers(network, format) {
        match reason {
            None => say!("{tool} reads it"),
            Some(reason) => say!("{tool} does not read it: {reason}"),
        }
    }
    Ok(Code::Done)
}

/// Whether another OUT would do, rather than a disk with room.
fn is_about_the_place(error: &WriteError) -> bool {
    let WriteError::Io { source, .. } = error else {
        return true;
    };
    matches!(
        source.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    )
}

/// The tools that read GGUF files, each with why it does not read this one, as far as is known.
fn readers(network: &Network<'_>, format: &TensorFormat) -> [(&'static str, Option<String>); 2] {
    let Network {
        architecture,
        tied_head,
        square,
    } = *network;
    // Both compute the head of this architecture from the embedding, and take heads as wide as the residual stream.
    let shape = match architecture {
        "bitnet" if !tied_head => Some("for `bitnet` it takes no head of its own".to_owned()),
        "bitnet" if !square => Some("for `bitnet` it takes heads as wide as the model".to_owned()),
        _ => None,
    };
    let knows = |known: &[&str]| {
        let unknown = !known.contains(&architecture);
        unknown.then(|| format!("it does not know the architecture `{architecture}`"))
    };
    let dialect = (format.name == "I2_S").then(|| "I2_S is bitnet.cpp's own format".to_owned());
    // bitnet.cpp loads such a file, and computes its logits from the embedding nevertheless.
    let ignored = (architecture.starts_with("bitnet-") && !tied_head)
        .then(|| format!("for `{architecture}` it would take the embedding for the head"));
    [
        (
            "llama.cpp",
            knows(&["llama", "bitnet", "qwen3"])
                .or(dialect)
                .or(shape.clone()),
        ),
        (
            "bitnet.cpp",
            knows(&["llama", "bitnet", "bitnet-25", "bitnet-b1.58"])
                .or(shape)
                .or(ignored),
        ),
    ]
}
