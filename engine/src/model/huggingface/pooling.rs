//! How an embedding model makes one vector of its states: what sentence-transformers writes beside a model.

use super::json::{self, Keys, quote};
use super::{Folder, LARGEST_CONFIG};
use crate::model::{LoadError, Pooling};

/// The module after the network itself, which every such folder numbers so.
pub(super) const CONFIG: &str = "1_Pooling/config.json";

/// A key for each way, of which one or more are true.
const WAY: &str = "pooling_mode_";

/// The way to pool; none where the folder says nothing about it.
pub(super) fn read(folder: &Folder) -> Result<Option<Pooling>, LoadError> {
    let path = folder.path.join(CONFIG);
    if !path.exists() {
        return Ok(None);
    }
    let map = json::read(&path, LARGEST_CONFIG)?;
    let keys = Keys {
        path: &path,
        within: "",
        map: &map,
    };
    let mut ways = Vec::new();
    for key in map.keys().filter(|key| key.starts_with(WAY)) {
        if keys.flag(key)? == Some(true) {
            ways.push(&key[WAY.len()..]);
        }
    }
    match ways[..] {
        ["lasttoken"] => Ok(Some(Pooling::Last)),
        ["mean_tokens"] => Ok(Some(Pooling::Mean)),
        _ => Err(keys.unsupported(format!(
            "states are pooled by {}; one of lasttoken and mean_tokens is supported",
            quote(&format!("{ways:?}"))
        ))),
    }
}
