//! The data files that are part of the binary; a file of the same name on disk wins.

use super::SuiteError;
use include_dir::{Dir, include_dir};
use std::io::Read;
use std::path::{Path, PathBuf};

static SUITES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../suites");

/// The list of shapes lies beside the suites and is none.
const MODELS: &str = "models";

/// Largest data file that is read: a suite is a page of text.
const LARGEST_BYTES: u64 = 1 << 20;

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedFile {
    /// Name without folder and `.toml`.
    pub name: String,
    /// What to call it in a message: a path, or `suites/NAME.toml (embedded)`.
    pub origin: String,
    /// Its text.
    pub text: String,
}

/// Names of the embedded suites.
pub fn suite_names() -> Vec<String> {
    let stem = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    let toml = SUITES
        .files()
        .filter(|f| f.path().extension().is_some_and(|e| e == "toml"));
    let mut names: Vec<String> = toml
        .filter_map(|f| stem(f.path()))
        .filter(|n| n != MODELS)
        .collect();
    names.sort();
    names
}

/// The bytes of an embedded file, named by its path under `suites/`.
pub(crate) fn data(path: &str) -> Option<&'static [u8]> {
    SUITES.get_file(path).map(include_dir::File::contents)
}

/// The suite of this name, or the file at this path.
pub(super) fn find(name: &str) -> Result<EmbeddedFile, SuiteError> {
    if Path::new(name).extension().is_some_and(|e| e == "toml") {
        let stem = Path::new(name)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        return read(stem, PathBuf::from(name));
    }
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match plain.then(|| find_plain(name)).transpose()?.flatten() {
        Some(file) if name != MODELS => Ok(file),
        _ => Err(SuiteError::Unknown {
            name: name.to_owned(),
            known: suite_names().join(", "),
        }),
    }
}

/// The `engine.toml` of this name.
pub(super) fn engine(name: &str) -> Result<EmbeddedFile, SuiteError> {
    find_plain(&format!("engines/{name}/engine"))?.ok_or_else(|| SuiteError::Unknown {
        name: format!("engines/{name}/engine.toml"),
        known: "bitbench".to_owned(),
    })
}

/// The list of shapes.
pub(super) fn models() -> Result<EmbeddedFile, SuiteError> {
    find_plain(MODELS)?.ok_or_else(|| SuiteError::Unknown {
        name: MODELS.to_owned(),
        known: MODELS.to_owned(),
    })
}

fn find_plain(name: &str) -> Result<Option<EmbeddedFile>, SuiteError> {
    let file_name = format!("{name}.toml");
    let path = Path::new("suites").join(&file_name);
    if path.exists() {
        return read(name.to_owned(), path).map(Some);
    }
    let text = SUITES.get_file(&file_name).and_then(|f| f.contents_utf8());
    Ok(text.map(|text| EmbeddedFile {
        name: name.to_owned(),
        origin: format!("suites/{file_name} (embedded)"),
        text: text.to_owned(),
    }))
}

pub(super) fn read(name: String, path: PathBuf) -> Result<EmbeddedFile, SuiteError> {
    let io = |source| SuiteError::Io {
        path: path.clone(),
        source,
    };
    let bad = |message: &str| SuiteError::Value {
        origin: path.display().to_string(),
        message: message.to_owned(),
    };
    // Looked at before it is opened: opening a pipe waits for a writer that may never come.
    if !std::fs::metadata(&path).map_err(io)?.is_file() {
        return Err(bad("not a plain file"));
    }
    let mut text = String::new();
    let file = std::fs::File::open(&path).map_err(io)?;
    let read = file.take(LARGEST_BYTES + 1).read_to_string(&mut text);
    if read.map_err(io)? as u64 > LARGEST_BYTES {
        return Err(bad("longer than 1 MiB; a suite is a page of text"));
    }
    Ok(EmbeddedFile {
        name,
        origin: path.display().to_string(),
        text,
    })
}
