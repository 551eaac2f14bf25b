//! Engines: programs that speak the worker protocol, as data.

use super::{SuiteError, embedded};
use serde::Deserialize;

/// An `engine.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// What it is.
    pub about: String,
    /// Command that starts it; `{bitbench}` stands for the running binary.
    pub run: Vec<String>,
}

/// The engine of this name.
///
/// # Errors
/// See [`SuiteError`].
pub fn load_engine(name: &str) -> Result<Engine, SuiteError> {
    let file = embedded::engine(name)?;
    let engine: Engine =
        toml::from_str(&file.text).map_err(|e| SuiteError::parse(&file.origin, &e))?;
    if engine.run.is_empty() {
        return Err(SuiteError::Value {
            origin: file.origin,
            message: "`run` is empty".to_owned(),
        });
    }
    Ok(engine)
}
