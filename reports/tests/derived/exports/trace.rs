//! Every number of results.csv from the data base by an independent path: see [`super::traced`].

use super::stored::STORED;
use super::traced::Traced;
use bitbench_reports::columns::{COLUMNS, Kind};
use bitbench_reports::export::Format;
use bitbench_reports::report::Report;
use std::collections::BTreeMap;

#[test]
fn every_number_of_the_table_follows_from_the_record() {
    let mut of_column: BTreeMap<&str, usize> = BTreeMap::new();
    for stored in &STORED {
        let records = stored.read();
        let report = Report::new(&records);
        let made = |name: &str| (Format::find(name).unwrap().make)(&records, &report).unwrap();
        let traced = Traced::new(&made("sqlite"));
        let csv = made("csv");
        let mut reader = csv::Reader::from_reader(&csv[..]);
        let header: Vec<String> = reader
            .headers()
            .unwrap()
            .iter()
            .map(ToOwned::to_owned)
            .collect();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), traced.jobs().len(), "{}", stored.folder);
        for (row, job) in rows.iter().zip(traced.jobs()) {
            let field = |name: &str| {
                let index = header.iter().position(|h| h == name).unwrap();
                row.get(index).unwrap().to_owned()
            };
            assert_eq!(field("job"), job.id);
            assert_eq!(field("status"), job.status, "{}", job.id);
            for column in COLUMNS {
                let expected = match column.kind {
                    Kind::Text => continue,
                    Kind::Fact { .. } => traced.fact(&job, column.id),
                    Kind::Measured { .. } => traced.figure(&job, column.id),
                    Kind::Ratio { .. } => traced.ratio(&job, column.id),
                };
                let mut names = vec![""];
                let beside = bitbench_reports::render::csv::fields_beside(column.kind);
                names.extend(beside.iter().map(|(what, _)| *what));
                let scale = expected
                    .values()
                    .fold(0.0_f64, |scale, v| scale.max(v.abs()));
                for what in names {
                    let name = match what {
                        "" => column.id.to_owned(),
                        what => format!("{}_{what}", column.id),
                    };
                    let context = format!("{name} of {} in {}", job.id, stored.folder);
                    let found = field(&name);
                    match expected.get(what) {
                        None => assert_eq!(found, "", "{context}"),
                        Some(expected) => {
                            let found: f64 = found.parse().unwrap_or_else(|_| {
                                panic!("{context}: `{found}`, expected {expected}")
                            });
                            // Deviations are small differences of large numbers.
                            let far = (found - expected).abs();
                            assert!(
                                far <= scale * 1e-9,
                                "{context}: {found}, expected {expected}"
                            );
                            *of_column.entry(column.id).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    let traced: usize = of_column.values().sum();
    assert!(traced > 2500, "{traced}");
    // A column that no stored run has would be traced to nothing.
    for column in COLUMNS.iter().filter(|c| c.kind != Kind::Text) {
        assert!(
            of_column.contains_key(column.id),
            "no stored run has {}",
            column.id
        );
    }
    println!("{traced} numbers traced");
}
