//! What one column says of one row.

use crate::columns::Row;
use crate::compare::Against;
use crate::disturbance::{self, Around};
use crate::paired::Paired;
use crate::round::{Reading, Round};
use crate::stats::{Interval, RatioOfMedians};
use crate::summary::Figure;

/// What one column says of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A word or a name, as the record has it: a renderer must escape it.
    Text {
        /// The text.
        text: String,
        /// What is said behind it in tables for people, such as `ternarized`.
        mark: Option<&'static str>,
    },
    /// A number in the unit of the column.
    Number {
        /// The number, the median over rounds, or the estimate from pairs of rounds.
        value: f64,
        /// The spread over rounds of a measured figure.
        spread: Option<Spread>,
        /// What is said behind it in tables for people, such as `simulated`.
        mark: Option<&'static str>,
    },
    /// There is no figure, and why. Never shown as zero.
    Missing(String),
}

/// The spread of a figure over rounds, in the unit of the column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Median absolute deviation times 1.4826; nothing for a single round.
    pub mad: Option<f64>,
    /// The smallest round.
    pub min: f64,
    /// The largest round.
    pub max: f64,
    /// How many rounds.
    pub n: usize,
    /// Of a ratio: its exact interval, where there are rounds enough for one.
    pub interval: Option<Interval>,
    /// Of a ratio: the same from the medians of both rows.
    pub of_medians: Option<RatioOfMedians>,
}

impl Cell {
    /// A text without a mark.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text {
            text: text.into(),
            mark: None,
        }
    }

    /// A number that does not vary from round to round.
    pub fn fact(value: f64) -> Cell {
        Cell::Number {
            value,
            spread: None,
            mark: None,
        }
    }

    /// The figure of one number of a round; `unit` is what one unit of the column is in the unit of that number.
    pub fn measured(row: &Row, unit: f64, reading: fn(&Round) -> &Reading) -> Cell {
        match row.summary.figure(reading) {
            Ok(figure) => Cell::figure(&figure, unit, None),
            Err(reason) => Cell::Missing(reason),
        }
    }

    /// The same for a figure of one window: marked where something else ran or slowed the CPU meanwhile.
    pub fn of_window(
        row: &Row,
        reading: fn(&Round) -> &Reading,
        around: fn(&Round) -> &Around,
    ) -> Cell {
        match row.summary.figure(reading) {
            Ok(figure) => {
                Cell::figure(&figure, 1.0, disturbance::mark(&row.summary.rounds, around))
            }
            Err(reason) => Cell::Missing(reason),
        }
    }

    /// The same for a figure that rests on energy counters: marked where these were simulated.
    pub fn energy(row: &Row, reading: fn(&Round) -> &Reading) -> Cell {
        let mark = row.summary.simulated.then_some("simulated");
        match row.summary.figure(reading) {
            Ok(figure) => Cell::figure(&figure, 1.0, mark),
            Err(reason) => Cell::Missing(reason),
        }
    }

    /// A figure against the baseline; `of_itself` is what the baseline gives against itself.
    pub fn against(against: &Against, of_itself: f64) -> Cell {
        match against {
            Against::IsBaseline => Cell::Number {
                value: of_itself,
                spread: None,
                mark: Some("baseline"),
            },
            Against::Baseline { figure, .. } => Cell::paired(figure),
            Against::Missing(reason) => Cell::Missing(reason.clone()),
        }
    }

    fn figure(figure: &Figure, unit: f64, mark: Option<&'static str>) -> Cell {
        Cell::Number {
            value: figure.median / unit,
            spread: Some(Spread {
                mad: figure.mad.map(|mad| mad / unit),
                min: figure.min / unit,
                max: figure.max / unit,
                n: figure.n,
                interval: None,
                of_medians: None,
            }),
            mark,
        }
    }

    /// A ratio, or what is computed from one.
    pub(crate) fn paired(paired: &Paired) -> Cell {
        Cell::Number {
            value: paired.estimate,
            spread: Some(Spread {
                mad: paired.mad,
                min: paired.min,
                max: paired.max,
                n: paired.n,
                interval: paired.interval.ok(),
                of_medians: paired.of_medians,
            }),
            mark: None,
        }
    }
}
