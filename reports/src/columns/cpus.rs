//! The CPUs that threads were bound to.

use super::{Better, Cell, Column, Kind, Row, Section};

pub(super) static COLUMN: Column = Column {
    id: "cpus",
    title: "CPUs",
    unit: "",
    help: "The CPU that each worker thread was bound to, in the order of the threads; missing where the system placed them.",
    derived: "`cpus` of the newest `loaded` line.",
    section: Section::Job,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    match &row.summary.loaded {
        Some(loaded) => match &loaded.cpus {
            Some(cpus) => {
                let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
                Cell::text(cpus.join(" "))
            }
            None => Cell::Missing("threads were not bound to CPUs".to_owned()),
        },
        None => Cell::Missing("not loaded, or no figures".to_owned()),
    }
}
