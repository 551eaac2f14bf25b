//! `bitbench model synth`: a file of random weights, to measure other engines on the weights that `run` measures.

use super::{Network, format, write};
use crate::commands::{Code, CommandError};
use crate::plan::WEIGHTS_SEED;
use crate::suite::{find_shape, load_shapes};
use anyhow::anyhow;
use bitbench_engine::model::Model;
use bitbench_engine::model::formats::TensorFormat;
use std::path::PathBuf;

/// Arguments of `bitbench model synth`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, for bitnet.cpp's llama-bench:
  bitbench model synth 2B4T 2B4T.I2_S.gguf --type i2_s

The weights are those that `bitbench run` makes for the shape. The file has no tokenizer.")]
pub struct Arguments {
    /// Shape: see `bitbench list models`
    #[arg(value_name = "SHAPE")]
    shape: String,
    /// File to write
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Format of the linear layers: i2_s, tq2_0, tq1_0, f16, bf16 or f32
    #[arg(long = "type", value_name = "TYPE", value_parser = format)]
    format: &'static TensorFormat,
    /// Seed of the weights [default: that of `bitbench run`]
    #[arg(long, value_name = "N", default_value_t = WEIGHTS_SEED, hide_default_value = true)]
    seed: u64,
    /// Layers [default: those of the shape]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    layers: Option<u32>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Writes the file.
///
/// # Errors
/// See [`CommandError`].
pub fn synth(arguments: &Arguments) -> Result<Code, CommandError> {
    let shapes = load_shapes().map_err(CommandError::usage)?;
    let shape = find_shape(&shapes, &arguments.shape).ok_or_else(|| {
        let known: Vec<&str> = shapes.iter().map(|s| s.name.as_str()).collect();
        CommandError::usage(anyhow!(
            "there is no shape `{}`; there are: {}",
            arguments.shape,
            known.join(", ")
        ))
    })?;
    let mut config = shape.config().map_err(CommandError::usage)?;
    if let Some(layers) = arguments.layers {
        config.layers = layers as usize;
    }
    let model = Model::synthetic(&config, shape.tied_head, arguments.seed);
    let layers = config.layers;
    let name = format!(
        "{}, {layers} layers, random weights, seed {}",
        shape.name, arguments.seed
    );
    let file = model
        .to_gguf(&name, arguments.format)
        .map_err(CommandError::usage)?;
    let network = Network {
        architecture: config.architecture.gguf_name().unwrap_or_default(),
        tied_head: shape.tied_head,
        square: config.heads * config.head_dim == config.hidden,
    };
    write(
        &file,
        &arguments.out,
        arguments.force,
        &network,
        arguments.format,
    )
}
