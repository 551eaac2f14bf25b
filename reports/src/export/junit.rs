//! JUnit XML: one test case for each job, for what draws tables of builds.

use super::Format;
use crate::columns::{COLUMNS, Cell, Kind, Row};
use crate::control::Control;
use crate::record::{Phase, Record, Records};
use crate::render::plain;
use crate::report::Report;
use crate::summary::Status;
use std::collections::HashMap;

pub(super) static FORMAT: Format = Format {
    name: "junit",
    file: "results.junit.xml",
    about: "one test case for each job, failures and skips with their reason, for CI",
    always: false,
    make: |records, report| Ok(make(records, report).into_bytes()),
};

fn make(records: &Records, report: &Report) -> String {
    let seconds = window_seconds(records);
    let with = |status: fn(&Status) -> bool| {
        let rows = report.rows.iter();
        rows.filter(|row| status(&row.summary.status)).count()
    };
    let failed_controls = report.controls.iter().filter(|c| c.failed).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\"",
        report.rows.len() + report.controls.len(),
        with(|status| matches!(status, Status::Failed { .. })) + failed_controls,
        with(|status| matches!(status, Status::Skipped { .. } | Status::NotRun { .. })),
    );
    let run = &report.run;
    let suite = escaped(&run.suite.name);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"bitbench\" {counts}>\n  \
         <testsuite name=\"{suite}\" timestamp=\"{}\" {counts}>\n    <properties>\n",
        escaped(&run.started_at)
    );
    let mut facts = vec![
        ("bitbench".to_owned(), run.bitbench.clone()),
        ("seed".to_owned(), run.seed.to_string()),
        ("simulated".to_owned(), report.simulated().to_string()),
    ];
    let host = run.host.stable_facts().into_iter();
    facts.extend(host.map(|(name, fact)| (format!("host: {name}"), fact)));
    facts.extend(
        report
            .notes()
            .into_iter()
            .map(|note| ("note".to_owned(), note)),
    );
    for (name, value) in facts {
        push_property(&mut xml, "      ", &name, &value);
    }
    xml.push_str("    </properties>\n");
    for row in &report.rows {
        push_row(&mut xml, row, &seconds);
    }
    for control in &report.controls {
        push_control(&mut xml, control, &seconds);
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Time that the windows of each job took, the warm-up among them, by its id. What came between them is not stored.
fn window_seconds(records: &Records) -> HashMap<&str, f64> {
    let mut seconds: HashMap<&str, f64> = HashMap::new();
    for record in &records.lines {
        if let Record::Sample(sample) = record
            && sample.phase != Phase::Idle
        {
            let took = sample.durations_ns.iter().map(|ns| *ns as f64 * 1e-9);
            *seconds.entry(&sample.place.job).or_default() += took.sum::<f64>();
        }
    }
    seconds
}

fn push_row(xml: &mut String, row: &Row, seconds: &HashMap<&str, f64>) {
    let job = &row.summary.job;
    open_case(xml, &job.id, &job.model.name, seconds);
    let numbers: Vec<(&str, String)> = COLUMNS
        .iter()
        .filter(|column| !matches!(column.kind, Kind::Text))
        .filter_map(|column| match (column.cell)(row) {
            Cell::Number { value, .. } => Some((column.id, value.to_string())),
            Cell::Text { .. } | Cell::Missing(_) => None,
        })
        .collect();
    if row.summary.measured() {
        xml.push_str("      <properties>\n");
        for (name, value) in numbers {
            push_property(xml, "        ", name, &value);
        }
        if row.summary.simulated {
            push_property(xml, "        ", "energy", "simulated");
        }
        for note in &row.summary.notes {
            push_property(xml, "        ", "note", note);
        }
        xml.push_str("      </properties>\n");
    }
    match &row.summary.status {
        Status::Measured => {}
        Status::Failed { reason, .. } => push_outcome(xml, "failure", reason),
        Status::Skipped { reason } => push_outcome(xml, "skipped", reason),
        Status::NotRun { reason } => push_outcome(xml, "skipped", &format!("not run: {reason}")),
    }
    xml.push_str("    </testcase>\n");
}

fn push_control(xml: &mut String, control: &Control, seconds: &HashMap<&str, f64>) {
    open_case(xml, &control.job.id, "A/A control", seconds);
    xml.push_str("      <properties>\n");
    push_property(xml, "        ", "flagged", &control.flagged().to_string());
    xml.push_str("      </properties>\n");
    if control.failed {
        push_outcome(xml, "failure", &control.line());
    }
    xml.push_str(&format!(
        "      <system-out>{}</system-out>\n    </testcase>\n",
        escaped(&control.line())
    ));
}

fn open_case(xml: &mut String, id: &str, class: &str, seconds: &HashMap<&str, f64>) {
    // Nothing was measured in no time; a reader of the format takes an absent one as unknown.
    let time = seconds
        .get(id)
        .map_or(String::new(), |s| format!(" time=\"{s:.3}\""));
    xml.push_str(&format!(
        "    <testcase classname=\"{}\" name=\"{}\"{time}>\n",
        escaped(class),
        escaped(id)
    ));
}

fn push_property(xml: &mut String, indent: &str, name: &str, value: &str) {
    xml.push_str(&format!(
        "{indent}<property name=\"{}\" value=\"{}\"/>\n",
        escaped(name),
        escaped(value)
    ));
}

fn push_outcome(xml: &mut String, element: &str, reason: &str) {
    xml.push_str(&format!(
        "      <{element} message=\"{}\"/>\n",
        escaped(reason)
    ));
}

/// Text without meaning to XML, and without the characters that XML does not have.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
