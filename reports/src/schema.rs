//! JSON Schemas of what is stored and exported, derived from the types that are written: they cannot say something else.

use crate::export::Document;
use crate::record::{Record, SCHEMA};
use schemars::Schema;
use schemars::generate::SchemaSettings;

/// The schema of a line of `records.jsonl`, of every format that is read.
pub fn record() -> Schema {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Record>();
    let title = format!("A line of bitbench's records.jsonl, format {SCHEMA}");
    schema.insert("title".to_owned(), title.into());
    schema
}

/// The schema of `results.json`.
pub fn report() -> Schema {
    let mut schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Document>();
    let title = "bitbench's results.json, format 1";
    schema.insert("title".to_owned(), title.into());
    schema
}
