//! Modelled energy: what was published comes out of the shapes, and nothing of it can be taken for a measurement.

use bitbench_reports::columns::COLUMNS;
use bitbench_reports::modelled::{MODELS, PUBLISHED, Subject, csv, find, published_text, text};

#[test]
fn the_published_column_follows_from_the_shapes_to_the_printed_digit() {
    let model = find("arithmetic").unwrap();
    for row in &PUBLISHED {
        let joules = (model.evaluate)(&row.subject()).unwrap();
        assert_eq!(joules.low, joules.high);
        assert_eq!(format!("{:.3}", joules.low), row.printed, "{}", row.name);
    }
    // 2B4T without ternary layers: the twentyfold of the paper's comparison, not its seventyfold.
    let bitnet = PUBLISHED.iter().find(|row| row.ternary).unwrap().subject();
    let half = Subject {
        ternary: false,
        ..bitnet.clone()
    };
    let joules = |subject| (model.evaluate)(subject).unwrap().low;
    let ratio = joules(&half) / joules(&bitnet);
    assert!((ratio - 19.9).abs() < 0.05, "{ratio}");
}

#[test]
fn the_floor_is_bytes_times_energy_of_a_bit_and_says_nothing_without_bytes() {
    let model = find("dram-floor").unwrap();
    let mut subject = PUBLISHED[5].subject();
    assert!((model.evaluate)(&subject).unwrap_err().contains("--run"));
    subject.bytes_per_token = Some(1.18e9);
    let joules = (model.evaluate)(&subject).unwrap();
    assert!((joules.low - 0.04248).abs() < 1e-9 && (joules.high - 0.236).abs() < 1e-9);
    assert!(text(model, &[subject]).contains("MODEL ~42 mJ to 236 mJ"));
}

#[test]
fn every_line_with_a_figure_says_model_and_no_key_is_one_of_a_measurement() {
    let mut subjects: Vec<Subject> = PUBLISHED.iter().map(|row| row.subject()).collect();
    subjects[0].name = "=1+1\u{1b}[2J".to_owned();
    subjects[1].bytes_per_token = Some(1e6);
    for model in MODELS {
        for text in [text(model, &subjects), published_text()] {
            for line in text
                .lines()
                .filter(|line| line.contains(" J") || line.contains("mJ"))
            {
                assert!(line.contains("MODEL"), "{line}");
            }
            assert!(!text.contains('\u{1b}'));
        }
        let csv = csv(model, &subjects).unwrap();
        let mut lines = csv.lines();
        for key in lines.next().unwrap().split(',') {
            assert!(
                COLUMNS
                    .iter()
                    .all(|column| column.id != key || key == "subject"),
                "{key}"
            );
            assert!(!key.starts_with("joules"), "{key}");
        }
        assert!(lines.all(|line| line.starts_with(model.name)));
        assert!(csv.contains("'=1+1"), "{csv}");
    }
}
