//! `bitbench model convert`: the same weights in a file of another format.

use super::{Network, format, write};
use crate::commands::{Code, CommandError, tell_notes};
use crate::models;
use anyhow::{Context, anyhow};
use bitbench_engine::model::formats::TensorFormat;
use bitbench_engine::model::gguf::Gguf;
use bitbench_engine::model::huggingface::Folder;
use bitbench_engine::model::{LoadError, LoadOptions, Model};
use bitbench_engine::tokenizer::GgufTokenizer;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Arguments of `bitbench model convert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  bitbench model convert model.gguf model.I2_S.gguf --to i2_s

Ternary weights are kept exactly, but for a scale that the format rounds, which is said. Of a GGUF file embedding, head, norms, \
tokenizer and all other metadata are copied. Of a folder embedding and head are stored in half precision, and the file gets the \
tokenizer of tokenizer.json, if what a file can say gives the same tokens for some texts for each token of it; else it gets none, \
and why is said.")]
pub struct Arguments {
    /// GGUF file, or folder with config.json and safetensors files
    #[arg(value_name = "IN")]
    model: PathBuf,
    /// File to write
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Format of the linear layers: i2_s, tq2_0, tq1_0, f16, bf16 or f32
    #[arg(long, value_name = "TYPE", value_parser = format)]
    to: &'static TensorFormat,
    /// Make half-precision linear layers ternary, which destroys the quality of the model
    #[arg(long)]
    ternarize: bool,
    /// Read I2_S weights as bitnet.cpp packs them on ARM, which no file says of itself
    #[arg(long)]
    i2s_of_arm: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// What a file says of itself when its layers were made ternary without training.
const TERNARIZED: &str = "bitbench.ternarized";

/// What is converted.
enum Source {
    File(Gguf),
    Folder(Folder),
}

/// Writes the file.
///
/// # Errors
/// See [`CommandError`].
pub fn convert(arguments: &Arguments) -> Result<Code, CommandError> {
    let (input, out) = (&arguments.model, &arguments.out);
    let mut source = Source::open(input).map_err(CommandError::usage)?;
    match &mut source {
        Source::File(gguf) if arguments.i2s_of_arm => gguf.read_i2_s_of_arm(),
        _ => {}
    }
    if source.files().iter().any(|file| same_file(file, out)) {
        return Err(CommandError::usage(anyhow!(
            "{} is the model itself, and is not replaced; give OUT another name",
            out.display()
        )));
    }
    let mut model = source.load(false)?;
    let ternarized = arguments.ternarize && models::not_ternary(&model).is_some();
    if ternarized {
        model = source.load(true)?;
        tell!("ternarized: quality destroyed");
    }
    tell_notes(&model);
    let tokenizer = source.tokenizer(&model);
    let file = match &source {
        Source::File(gguf) => model.convert(gguf, arguments.to),
        Source::Folder(_) => model.to_gguf_with(&name_of(input), arguments.to, tokenizer.as_ref()),
    };
    let mut file = file
        .with_context(|| format!("{}", input.display()))
        .map_err(CommandError::usage)?;
    if ternarized && !source.says(TERNARIZED) {
        file.bool(TERNARIZED, true);
    }
    let config = &model.config;
    let architecture = source.architecture(&model);
    let network = Network {
        architecture: &architecture,
        tied_head: model.head.is_none(),
        square: config.heads * config.head_dim == config.hidden,
    };
    let code = write(&file, out, arguments.force, &network, arguments.to)?;
    if code == Code::Done && matches!(source, Source::Folder(_)) {
        match tokenizer {
            None => say!("it has no tokenizer: tools take token ids, no text"),
            Some(tokenizer) => say!(
                "it has the tokenizer of the folder: equal tokens for {} texts",
                tokenizer.probes()
            ),
        }
    }
    Ok(code)
}

impl Source {
    fn open(path: &Path) -> Result<Source, LoadError> {
        if path.is_dir() {
            return Folder::open(path).map(Source::Folder);
        }
        models::open_gguf(path).map(Source::File)
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Source::File(gguf) => gguf.paths().map(Path::to_owned).collect(),
            Source::Folder(folder) => folder.files(),
        }
    }

    fn load(&self, ternarize: bool) -> Result<Model, CommandError> {
        let options = LoadOptions { ternarize };
        let loaded = match self {
            Source::File(gguf) => Model::from_gguf(gguf, options),
            Source::Folder(folder) => Model::from_folder(folder, options),
        };
        loaded.map_err(CommandError::usage)
    }

    /// The tokenizer of a folder for the file to write. Where there can be none, that is told.
    fn tokenizer(&self, model: &Model) -> Option<GgufTokenizer> {
        let Source::Folder(folder) = self else {
            return None;
        };
        match GgufTokenizer::from_folder(folder.path(), model.config.vocab) {
            Ok(tokenizer) => {
                let notes = tokenizer.iter().flat_map(GgufTokenizer::notes);
                notes.for_each(|note| tell!("note: {note}"));
                tokenizer
            }
            Err(error) => {
                tell!("the tokenizer is left out: {error}");
                None
            }
        }
    }

    /// Whether the metadata has this key.
    fn says(&self, key: &str) -> bool {
        match self {
            Source::File(gguf) => gguf.get(key).is_some(),
            Source::Folder(_) => false,
        }
    }

    /// The architecture that the file is to state.
    fn architecture(&self, model: &Model) -> String {
        let stated = match self {
            Source::File(gguf) => gguf.get("general.architecture"),
            Source::Folder(_) => None,
        };
        let stated = stated.and_then(|value| value.as_str());
        let made = model.config.architecture.gguf_name();
        stated.or(made).unwrap_or_default().to_owned()
    }
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Whether two paths name one file, by whatever links.
fn same_file(a: &Path, b: &Path) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
