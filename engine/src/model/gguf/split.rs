//! Models in several files: `NAME-00001-of-00003.gguf` and so on, as llama.cpp's `gguf-split` writes them.
//!
//! Each file is a whole GGUF file with the keys `split.no` (from 0), `split.count` and `split.tensors.count` (of all files
//! together); only the first has the metadata of the model.

use std::path::{Path, PathBuf};

use super::MappedFile;
use super::shard::Shard;
use crate::model::LoadError;

/// The keys hold 16 bits.
const MOST_SHARDS: u64 = 0xffff;

/// What a file says of its place among others.
#[derive(Clone, Copy, PartialEq)]
struct Place {
    number: u64,
    count: u64,
    tensors: u64,
}

impl Place {
    /// None for a model in one file.
    fn of(shard: &Shard) -> Result<Option<Place>, LoadError> {
        let integer = |key: &str, most: u64| {
            let value = shard.get(key);
            let integer = value
                .and_then(|value| value.as_u64())
                .filter(|v| *v <= most);
            integer.ok_or_else(|| {
                let found = value.map_or_else(|| "missing".to_owned(), |v| format!("{v:?}"));
                shard.damaged(format!(
                    "{key} is {found}; an integer up to {most} was expected"
                ))
            })
        };
        if shard.get("split.count").is_none() {
            return Ok(None);
        }
        let count = integer("split.count", MOST_SHARDS)?;
        if count < 2 {
            return Ok(None);
        }
        Ok(Some(Place {
            number: integer("split.no", count - 1)?,
            count,
            tensors: integer("split.tensors.count", u64::MAX)?,
        }))
    }
}

/// The files of a model, of which one is open: the first first.
pub(super) fn open_all(opened: Shard) -> Result<Vec<Shard>, LoadError> {
    let Some(place) = Place::of(&opened)? else {
        return Ok(vec![opened]);
    };
    let path = opened.path().to_owned();
    let ending = |number: u64| format!("-{:05}-of-{:05}.gguf", number + 1, place.count);
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(stem) = name.and_then(|name| name.strip_suffix(&ending(place.number))) else {
        return Err(opened.unsupported(format!(
            "this is part {} of a model in {} files, which are found by their names; give it back a name that ends in {}",
            place.number + 1,
            place.count,
            ending(place.number)
        )));
    };
    let sibling = |number: u64| path.with_file_name(format!("{stem}{}", ending(number)));

    let mut opened = Some(opened);
    let mut shards = Vec::new();
    for number in 0..place.count {
        let own = if number == place.number {
            opened.take()
        } else {
            None
        };
        let shard = match own {
            Some(shard) => shard,
            None => open_sibling(sibling(number), &path)?,
        };
        let expected = Place { number, ..place };
        if Place::of(&shard)? != Some(expected) {
            return Err(shard.damaged(format!(
                "its keys split.no, split.count and split.tensors.count are not those of part {} of the model that {} belongs \
                 to; download it again",
                number + 1,
                path.display()
            )));
        }
        shards.push(shard);
    }
    let found: usize = shards.iter().map(|shard| shard.tensors.len()).sum();
    if found as u64 != place.tensors {
        return Err(shards[0].damaged(format!(
            "the {} files of this model hold {found} tensors together, and {} are announced",
            place.count, place.tensors
        )));
    }
    Ok(shards)
}

fn open_sibling(path: PathBuf, of: &Path) -> Result<Shard, LoadError> {
    let shard = MappedFile::open(&path).and_then(Shard::read);
    shard.map_err(|error| match error {
        LoadError::Io { source, .. } => LoadError::MissingShard {
            path: of.to_owned(),
            missing: path,
            source,
        },
        other => other,
    })
}
