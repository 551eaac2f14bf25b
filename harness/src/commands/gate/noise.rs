//! The noise of a host, from what the controls of its gates showed.

use crate::commands::CommandError;
use bitbench_reports::gate::{FIGURES, Gate};
use bitbench_reports::history::{ControlRow, History};
use bitbench_reports::record::{Host, NoiseFloor, Records};
use std::collections::BTreeMap;
use std::path::Path;

/// How noisy this host is in each figure, as far as enough gates are stored to know.
pub(super) fn floors(
    history: Option<&Path>,
    host: &Host,
    suite: &str,
) -> Result<BTreeMap<String, NoiseFloor>, CommandError> {
    let mut floors = BTreeMap::new();
    let Some(path) = history else {
        return Ok(floors);
    };
    let history = History::open(path).map_err(CommandError::usage)?;
    for figure in &FIGURES {
        let known = history.noise_floor(host, suite, figure.name);
        if let Some(floor) = known.map_err(CommandError::usage)? {
            let known = NoiseFloor {
                percent: floor.floor.exp_m1() * 100.0,
                controls: floor.n as u64,
            };
            floors.insert(figure.name.to_owned(), known);
        }
    }
    Ok(floors)
}

/// Stores what the controls showed.
pub(super) fn remember(path: &Path, judged: &Gate, runs: &[Records]) -> Result<(), CommandError> {
    let mut rows = Vec::new();
    for (control, records) in judged.controls.iter().zip(runs) {
        for figure in control.judged.iter().flatten() {
            rows.push(ControlRow {
                suite: judged.suite.clone(),
                job: control.job.clone(),
                figure: figure.what.to_owned(),
                ratio: figure.paired.estimate,
                rounds: u32::try_from(figure.paired.n).unwrap_or(u32::MAX),
                at: records.run.started_at.clone(),
            });
        }
    }
    let mut history = History::open(path).map_err(CommandError::usage)?;
    let host = &runs[0].run.host;
    history
        .add_controls(host, &rows)
        .map(drop)
        .map_err(CommandError::internal)
}
