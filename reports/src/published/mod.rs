//! Figures that others published, to stand beside measured ones.
//!
//! They are copied as printed, digit for digit; an empty value is what the source prints as N/A, and `note` says why. A figure
//! that its authors estimated or computed says so in `kind`. None of them is ever part of a ratio with a measured figure, nor
//! ranked with one.

use serde::Deserialize;
use std::sync::OnceLock;

/// The tables, one a file, with the same columns.
const FILES: [&str; 3] = [
    include_str!("speed.csv"),
    include_str!("energy.csv"),
    include_str!("latency_memory.csv"),
];

/// One published figure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// Paper or page.
    pub source: String,
    /// Table, figure or chart of it.
    pub table: String,
    /// The machine; empty where the figure is of none.
    pub hardware: String,
    /// Threads; `best` for the best of those that the authors tried, empty where they do not say.
    pub threads: String,
    /// The model: a shape of `suites/models.toml` by its name there, else as printed.
    pub model: String,
    /// Engine and kernel, as far as the source tells.
    pub kernel: String,
    /// What it is a figure of, such as `decode`.
    pub metric: String,
    /// The figure as printed; empty where the source has none.
    pub value: String,
    /// Its unit.
    pub unit: String,
    /// The spread as printed.
    pub spread: String,
    /// Speed-up against half precision, or percent of energy saved, as printed.
    pub ratio: String,
    /// How its authors came to it.
    pub kind: Kind,
    /// What a reader must know.
    pub note: String,
}

/// How a published figure came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its authors say that they measured it.
    Measured,
    /// Its authors computed it from a model of the hardware.
    Estimated,
    /// Its authors computed it from the shape of the model, such as bytes of weights.
    Computed,
}

/// Every figure, in the order of the files.
pub fn all() -> &'static [Published] {
    static ALL: OnceLock<Vec<Published>> = OnceLock::new();
    ALL.get_or_init(|| {
        let files = FILES.into_iter();
        let read = |text: &'static str| {
            let reader = csv::Reader::from_reader(text.as_bytes());
            // A test reads every line: none is left out here.
            reader.into_deserialize().filter_map(Result::ok)
        };
        files.flat_map(read).collect()
    })
}

/// Figures of one table, machine and number of threads, by model: the half-precision column and that of the ternary kernel.
pub fn pair(
    source: &str,
    table: &str,
    hardware: &str,
    model: &str,
) -> Option<(&'static Published, &'static Published)> {
    let of_table = |figure: &&Published| {
        figure.source == source
            && figure.table == table
            && figure.hardware == hardware
            && figure.model == model
    };
    let find = |kernel: &str| all().iter().filter(of_table).find(|f| f.kernel == kernel);
    Some((find("llama.cpp fp16")?, find("bitnet.cpp")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() {
        let lines: usize = FILES.iter().map(|text| text.lines().count() - 1).sum();
        assert_eq!(all().len(), lines);
        for figure in all() {
            assert!(
                !figure.source.is_empty() && !figure.table.is_empty(),
                "{figure:?}"
            );
            assert!(!figure.unit.is_empty(), "{figure:?}");
            assert!(
                figure.value.parse::<f64>().is_ok_and(|v| v > 0.0)
                    || (figure.value.is_empty() && !figure.note.is_empty()),
                "{figure:?}"
            );
        }
    }

    /// To a step of the last printed digit: 17.07 over 3.78 is printed as 4.51.
    #[test]
    fn printed_ratios_follow_from_printed_figures() {
        let mut checked = 0;
        for figure in all().iter().filter(|f| !f.ratio.is_empty()) {
            let (half, ternary) = pair(
                &figure.source,
                &figure.table,
                &figure.hardware,
                &figure.model,
            )
            .unwrap();
            let number = |text: &str| text.parse::<f64>().unwrap();
            let ratio = number(&ternary.value) / number(&half.value);
            let (expected, unit) = match figure.unit.as_str() {
                "tokens/s" => (ratio, 0.01),
                _ => ((1.0 - ratio) * 100.0, 0.1),
            };
            assert!(
                (number(&figure.ratio) - expected).abs() <= unit,
                "{figure:?}"
            );
            checked += 1;
        }
        assert_eq!(checked, 45);
    }

    #[test]
    fn energy_of_a_model_is_never_called_measured() {
        for figure in all().iter().filter(|f| f.hardware.contains("model")) {
            assert_eq!(figure.kind, Kind::Estimated, "{figure:?}");
        }
        let printed = crate::modelled::PUBLISHED.iter();
        let printed: Vec<&str> = printed.map(|row| row.printed).collect();
        let estimated = all().iter().filter(|f| f.kind == Kind::Estimated);
        let estimated: Vec<&str> = estimated.map(|f| f.value.as_str()).collect();
        assert_eq!(estimated, printed);
    }
}
