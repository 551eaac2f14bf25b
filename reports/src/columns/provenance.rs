//! Where the energy figures come from.

use super::{Better, Cell, Column, Kind, Row, Section};
use crate::record::Provenance;

pub(super) static COLUMN: Column = Column {
    id: "provenance",
    title: "energy from",
    unit: "",
    help: "Where the energy figures come from: a counter of this machine, a counter seen through a hypervisor, sampled power sensors, an external meter, a battery, or simulated counters, which are a test and never a result.",
    derived: "`provenance` of the `energy` of the samples; missing where the rounds of a row were read from different counters (`summary.rs`).",
    section: Section::Energy,
    kind: Kind::Text,
    better: Better::Neither,
    rank: None,
    cell,
};

fn cell(row: &Row) -> Cell {
    let Some(basis) = &row.summary.energy_basis else {
        return Cell::Missing("no energy figure".to_owned());
    };
    Cell::text(match basis.provenance {
        Provenance::MeasuredCounter => "measured_counter",
        Provenance::MeasuredVirtualised => "measured_virtualised",
        Provenance::MeasuredSampled => "measured_sampled",
        Provenance::MeasuredExternal => "measured_external",
        Provenance::MeasuredBattery => "measured_battery",
        Provenance::Simulated => "simulated",
    })
}
