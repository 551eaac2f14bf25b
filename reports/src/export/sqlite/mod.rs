//! The record as a data base of SQLite, so that every figure can be derived in SQL: `tables.sql` says what is where.

mod rows;

use super::Format;
use crate::record::{Record, Records};
use crate::render::RenderError;
use rows::Rows;
use rusqlite::Connection;

pub(super) static FORMAT: Format = Format {
    name: "sqlite",
    file: "results.sqlite",
    about: "the record as tables of a SQLite data base, for questions of one's own",
    always: false,
    make: |records, _| make(records),
};

/// The data base is made in memory and given as the bytes of its file, so that the file is whole or not there.
fn make(records: &Records) -> Result<Vec<u8>, RenderError> {
    let mut connection = Connection::open_in_memory()?;
    connection.execute_batch(include_str!("tables.sql"))?;
    let transaction = connection.transaction()?;
    let rows = Rows::new(&transaction, &records.run.jobs);
    rows.run(&records.run)?;
    for (index, record) in records.lines.iter().enumerate() {
        // The run is line 1.
        let line = index as u64 + 2;
        match record {
            Record::Run(_) => {}
            Record::Resumed(resumed) => rows.resumed(line, resumed)?,
            Record::Loaded(loaded) => rows.loaded(line, loaded)?,
            Record::Sample(sample) => rows.sample(line, sample)?,
            Record::Memory(memory) => rows.memory(line, memory)?,
            Record::ColdStart(cold) => rows.cold_start(line, cold)?,
            Record::Outcome(outcome) => rows.outcome(line, outcome)?,
            Record::End(end) => rows.ended(line, end)?,
        }
    }
    drop(rows);
    transaction.commit()?;
    Ok(connection.serialize(rusqlite::MAIN_DB)?.to_vec())
}
