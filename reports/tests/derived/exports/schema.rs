//! The published JSON Schemas: what is written passes them, and what is damaged does not.

use super::stored::STORED;
use bitbench_reports::columns::COLUMNS;
use bitbench_reports::export::Format;
use bitbench_reports::report::Report;
use bitbench_reports::schema;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn validator(schema: &schemars::Schema) -> Validator {
    jsonschema::draft202012::new(schema.as_value()).unwrap()
}

/// The first thing that is wrong with a value.
fn fault(validator: &Validator, value: &Value) -> Option<String> {
    let error = validator.iter_errors(value).next()?;
    Some(format!("{}: {error}", error.instance_path()))
}

#[test]
fn every_stored_line_passes_the_schema_of_records() {
    let validator = validator(&schema::record());
    let mut checked = 0;
    for stored in &STORED {
        // A line that a kill has cut short is no line.
        for line in stored
            .text()
            .split_inclusive('\n')
            .filter(|l| l.ends_with('\n'))
        {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(fault(&validator, &value), None, "{line}");
            checked += 1;
        }
    }
    assert!(checked > 1000, "{checked}");
}

#[test]
fn a_damaged_line_does_not() {
    let validator = validator(&schema::record());
    let text = STORED[0].text();
    let mut damaged = 0;
    for line in text.lines().take(60) {
        let value: Value = serde_json::from_str(line).unwrap();
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove("record");
        assert!(!validator.is_valid(&without), "{without}");
        let mut unknown = value.clone();
        unknown["record"] = json!("guess");
        assert!(!validator.is_valid(&unknown), "{unknown}");
        for (key, wrong) in [
            ("job", json!(7)),
            ("round", json!(-1)),
            ("phase", json!("lunch")),
            ("durations_ns", json!(["1"])),
            ("energy", json!({"guessed": 3})),
            ("outcome", json!("won")),
            ("jobs", json!({})),
            ("seed", json!("x")),
        ] {
            if value.get(key).is_some() {
                let mut value = value.clone();
                value[key] = wrong;
                assert!(!validator.is_valid(&value), "{key} of {line}");
                damaged += 1;
            }
        }
    }
    assert!(damaged > 50, "{damaged}");
}

#[test]
fn every_json_export_passes_the_schema_of_reports() {
    let validator = validator(&schema::report());
    let json = Format::find("json").unwrap();
    for stored in &STORED {
        let records = stored.read();
        let report = Report::new(&records);
        let bytes = (json.make)(&records, &report).unwrap();
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(fault(&validator, &value), None, "{}", stored.folder);
        assert_eq!(value["rows"].as_array().unwrap().len(), report.rows.len());
        for row in value["rows"].as_array().unwrap() {
            let figures = row["figures"].as_object().unwrap();
            assert_eq!(figures.len(), COLUMNS.len());
            for (id, figure) in figures {
                // Never nothing, and never a number beside a reason.
                let has = |key| usize::from(figure.get(key).is_some());
                assert_eq!(
                    has("value") + has("text") + has("reason"),
                    1,
                    "{id}: {figure}"
                );
            }
        }
        let mut wrong = value.clone();
        wrong["rows"][0]["figures"]["threads"] = json!({"value": "two"});
        assert!(!validator.is_valid(&wrong));
        let mut wrong = value;
        wrong.as_object_mut().unwrap().remove("notes");
        assert!(!validator.is_valid(&wrong));
    }
}

/// Every key and every word that a schema has for what is stored.
fn words(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let ("properties", Value::Object(properties)) = (key.as_str(), value) {
                    found.extend(properties.keys().cloned());
                }
                if let ("const", Value::String(word)) = (key.as_str(), value) {
                    found.insert(word.clone());
                }
                if let ("enum", Value::Array(choices)) = (key.as_str(), value) {
                    found.extend(
                        choices
                            .iter()
                            .filter_map(|c| c.as_str().map(ToOwned::to_owned)),
                    );
                }
                words(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| words(item, found)),
        _ => {}
    }
}

/// What a column says of how it is derived names fields that there are, and files.
#[test]
fn columns_are_derived_from_fields_of_the_record() {
    let mut known = BTreeSet::new();
    words(schema::record().as_value(), &mut known);
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for column in COLUMNS {
        assert!(column.derived.ends_with('.'), "{}", column.id);
        let quoted: Vec<&str> = column.derived.split('`').skip(1).step_by(2).collect();
        assert!(
            !quoted.is_empty() || column.id == "decode_limit",
            "{}",
            column.id
        );
        for word in quoted {
            if word.ends_with(".rs") {
                assert!(source.join(word).is_file(), "{}: {word}", column.id);
            } else {
                assert!(known.contains(word), "{}: {word}", column.id);
            }
        }
        let ids = column
            .derived
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for id in ids.filter(|word| word.contains("_per_") && !known.contains(*word)) {
            assert!(
                COLUMNS.iter().any(|other| other.id == id),
                "{}: {id}",
                column.id
            );
        }
    }
}

/// What a schema demands, without its words.
fn without_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            fields.values_mut().for_each(without_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(without_descriptions),
        _ => {}
    }
}

#[test]
fn the_schemas_are_these() {
    for (name, schema) in [("record", schema::record()), ("report", schema::report())] {
        let mut value = schema.to_value();
        without_descriptions(&mut value);
        let text = serde_json::to_string_pretty(&value).unwrap();
        insta::assert_snapshot!(format!("{name}.schema.json"), text);
    }
}
