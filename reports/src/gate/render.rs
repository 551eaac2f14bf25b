//! A gate as text, Markdown, JSON, JUnit, annotations and metrics.

use super::{Gate, GateCell, GateControl, Outcome, Verdict, in_words};
use crate::export::xml_escaped;
use crate::render::{number, plain};
use serde_json::{Value, json};

/// Name of a file of a gate, and what makes it.
pub type File = (&'static str, fn(&Gate) -> String);

/// Files of a gate in its folder.
pub static FILES: [File; 4] = [
    ("gate.md", markdown),
    ("gate.json", json_text),
    ("gate.junit.xml", junit),
    ("gate.metrics.txt", metrics),
];

/// What a control showed: `decode 1.002 (0.99 to 1.01, 95 %)`.
pub(super) fn control_figures(control: &GateControl) -> String {
    match &control.judged {
        Ok(judged) => {
            let figures: Vec<String> = judged.iter().map(|judged| judged.in_words(3)).collect();
            figures.join(", ")
        }
        Err(reason) => reason.clone(),
    }
}

/// Lines for a terminal of 80 columns.
pub fn terminal(gate: &Gate) -> String {
    let mut text = String::new();
    for build in &gate.builds {
        text.push_str(&format!(
            "{:<5}{} {}\n",
            build.build.word(),
            build.version,
            build.path
        ));
    }
    let mut job = "";
    for cell in &gate.cells {
        if cell.job != job {
            job = &cell.job;
            text.push_str(&format!("\n{job}\n"));
        }
        let (medians, change, within) = numbers(cell);
        text.push_str(&format!(
            "  {:<13}{medians} {change:>6} {within:<16} {}\n",
            cell.figure,
            cell.verdict.word()
        ));
        if let Some(reason) = &cell.reason {
            text.push_str(&format!("  {:<13}{reason}\n", ""));
        }
    }
    text.push('\n');
    for control in &gate.controls {
        text.push_str(&format!(
            "A/A control of the {} run ({}): {}\n",
            stage(control.stage),
            control.job,
            control_figures(control)
        ));
    }
    for line in &gate.left_out {
        text.push_str(&format!("left out: {line}\n"));
    }
    for note in &gate.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!("\n{}\n", gate.outcome.word()));
    for reason in &gate.reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    plain_lines(&text)
}

/// The medians, the change in percent and its interval.
fn numbers(cell: &GateCell) -> (String, String, String) {
    let medians = match cell.medians {
        Some((base, new)) => format!(
            "{:>7} -> {:<7} {:<7}",
            number(base, 3),
            number(new, 3),
            cell.unit
        ),
        None => format!("{:26}", "-"),
    };
    let percent = |ratio: f64| format!("{:+.1}", (ratio - 1.0) * 100.0);
    match cell.ratio {
        Some((ratio, Some(i), _)) => (
            medians,
            format!("{} %", percent(ratio)),
            format!("({} to {})", percent(i.low), percent(i.high)),
        ),
        Some((ratio, None, _)) => (medians, format!("{} %", percent(ratio)), String::new()),
        None => (medians, "-".to_owned(), String::new()),
    }
}

fn stage(stage: crate::record::Stage) -> &'static str {
    match stage {
        crate::record::Stage::Screen => "screening",
        crate::record::Stage::Confirm => "confirming",
        crate::record::Stage::Extend => "extended",
    }
}

/// Names and reasons come from files: no control characters reach the terminal.
fn plain_lines(text: &str) -> String {
    let inert = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    text.chars().map(inert).collect()
}

/// A comment for a pull request.
pub fn markdown(gate: &Gate) -> String {
    let mut text = format!("### bitbench gate: {}\n\n", gate.outcome.word());
    for reason in &gate.reasons {
        text.push_str(&format!("- {}\n", markdown_escaped(reason)));
    }
    text.push_str("\n| job | figure | base | new | change | 95 % interval | limit | verdict |\n");
    text.push_str("| --- | --- | ---: | ---: | ---: | --- | ---: | --- |\n");
    for cell in &gate.cells {
        let (base, new) = match cell.medians {
            Some((base, new)) => (number(base, 3), number(new, 3)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let (_, change, within) = numbers(cell);
        let verdict = match cell.verdict {
            Verdict::Ok | Verdict::Improved | Verdict::Inconclusive => {
                cell.verdict.word().to_owned()
            }
            Verdict::Regressed | Verdict::Incorrect => format!("**{}**", cell.verdict.word()),
        };
        let noise = if cell.limit_is_noise { " (noise)" } else { "" };
        text.push_str(&format!(
            "| {} | {} | {base} | {new} {} | {change} | {} | {:.1} %{noise} | {verdict} |\n",
            markdown_escaped(&cell.job),
            cell.figure,
            cell.unit,
            within.trim_matches(['(', ')']),
            cell.limit_percent,
        ));
    }
    text.push('\n');
    for build in &gate.builds {
        let hash = build.hash.as_deref().unwrap_or_default();
        let hash = hash.chars().take(19).collect::<String>();
        text.push_str(&format!(
            "- {}: bitbench {} {}\n",
            build.build.word(),
            markdown_escaped(&build.version),
            markdown_escaped(&hash),
        ));
    }
    for control in &gate.controls {
        text.push_str(&format!(
            "- A/A control of the {} run: {}\n",
            stage(control.stage),
            markdown_escaped(&control_figures(control))
        ));
    }
    for line in gate.left_out.iter().chain(&gate.notes) {
        text.push_str(&format!("- {}\n", markdown_escaped(line)));
    }
    text.push_str(
        "\nBoth builds took turns in the same rounds, each in fresh processes; a regression was measured again in a run of its own.\n",
    );
    text
}

/// Text without meaning to Markdown.
fn markdown_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in plain(text).chars() {
        if "\\`*_[]<>|#!~&".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// For programs.
pub fn json(gate: &Gate) -> Value {
    let cell = |cell: &GateCell| {
        let (ratio, interval, rounds) = match cell.ratio {
            Some((ratio, interval, rounds)) => (Some(ratio), interval, Some(rounds)),
            None => (None, None, None),
        };
        json!({
            "job": cell.job,
            "figure": cell.figure,
            "unit": cell.unit,
            "more_is_better": cell.more_is_better,
            "base": cell.medians.map(|m| m.0),
            "new": cell.medians.map(|m| m.1),
            "ratio": ratio,
            "low": interval.map(|i| i.low),
            "high": interval.map(|i| i.high),
            "level": interval.map(|i| i.level),
            "rounds": rounds,
            "p": cell.p,
            "limit_percent": cell.limit_percent,
            "limit_is_noise": cell.limit_is_noise,
            "stage": cell.stage,
            "verdict": cell.verdict.word(),
            "reason": cell.reason,
        })
    };
    let control = |control: &GateControl| {
        let figures: Vec<Value> = control
            .judged
            .iter()
            .flatten()
            .map(|judged| json!({"figure": judged.what, "ratio": judged.paired.estimate, "p": judged.p, "flagged": judged.flagged}))
            .collect();
        json!({
            "stage": control.stage,
            "job": control.job,
            "figures": figures,
            "reason": control.judged.as_ref().err(),
        })
    };
    json!({
        "format": 1,
        "suite": gate.suite,
        "started_at": gate.started_at,
        "outcome": gate.outcome.word(),
        "reasons": gate.reasons,
        "builds": gate.builds,
        "policy": gate.policy,
        "cells": gate.cells.iter().map(cell).collect::<Vec<_>>(),
        "controls": gate.controls.iter().map(control).collect::<Vec<_>>(),
        "left_out": gate.left_out,
        "notes": gate.notes,
    })
}

fn json_text(gate: &Gate) -> String {
    format!("{:#}\n", json(gate))
}

/// JUnit XML: a test case for each cell; a regression or another answer is a failure, what is inconclusive is skipped.
pub fn junit(gate: &Gate) -> String {
    let count = |wanted: &[Verdict]| {
        let cells = gate.cells.iter();
        cells.filter(|cell| wanted.contains(&cell.verdict)).count()
    };
    let contaminated = gate.outcome == Outcome::Contaminated;
    // Nothing that was measured beside a control that moved counts against a build.
    let failures = match contaminated {
        true => 0,
        false => count(&[Verdict::Regressed, Verdict::Incorrect]),
    };
    let skipped = match contaminated {
        true => gate.cells.len(),
        false => count(&[Verdict::Inconclusive]),
    };
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"",
        gate.cells.len()
    );
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"bitbench gate\" {counts}>\n  <testsuite name=\"{}\" \
         timestamp=\"{}\" {counts}>\n",
        xml_escaped(&gate.suite),
        xml_escaped(&gate.started_at)
    );
    for cell in &gate.cells {
        xml.push_str(&format!(
            "    <testcase classname=\"{}\" name=\"{}\">\n",
            xml_escaped(&cell.job),
            xml_escaped(cell.figure)
        ));
        let words = xml_escaped(&in_words(cell));
        let element = match cell.verdict {
            _ if contaminated => Some("skipped"),
            Verdict::Regressed | Verdict::Incorrect => Some("failure"),
            Verdict::Inconclusive => Some("skipped"),
            Verdict::Ok | Verdict::Improved => None,
        };
        if let Some(element) = element {
            let why = if contaminated {
                xml_escaped(&gate.reasons.join("; "))
            } else {
                words.clone()
            };
            xml.push_str(&format!("      <{element} message=\"{why}\"/>\n"));
        }
        xml.push_str(&format!(
            "      <system-out>{words}</system-out>\n    </testcase>\n"
        ));
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Workflow commands of GitHub Actions: an annotation for each reason.
pub fn annotations(gate: &Gate) -> String {
    let level = match gate.outcome {
        Outcome::Ok => "notice",
        Outcome::Regressed | Outcome::Incorrect => "error",
        Outcome::Inconclusive | Outcome::Contaminated => "warning",
    };
    let line = |reason: &String| {
        // What a command must not hold, by GitHub's own rule.
        let message = reason
            .replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A");
        format!(
            "::{level} title=bitbench {}::{message}\n",
            gate.outcome.word()
        )
    };
    gate.reasons.iter().map(line).collect()
}

/// Metrics in the text format of OpenMetrics, which GitLab shows in merge requests.
pub fn metrics(gate: &Gate) -> String {
    let mut text =
        String::from("# TYPE bitbench_ratio gauge\n# HELP bitbench_ratio new build over base\n");
    let label = |value: &str| {
        let value = plain(value);
        value.replace('\\', "\\\\").replace('"', "\\\"")
    };
    for cell in &gate.cells {
        if let Some((ratio, _, _)) = cell.ratio {
            text.push_str(&format!(
                "bitbench_ratio{{job=\"{}\",figure=\"{}\"}} {ratio}\n",
                label(&cell.job),
                label(cell.figure)
            ));
        }
    }
    text.push_str("# TYPE bitbench_figure gauge\n# HELP bitbench_figure median of the new build\n");
    for cell in &gate.cells {
        if let Some((_, new)) = cell.medians {
            text.push_str(&format!(
                "bitbench_figure{{job=\"{}\",figure=\"{}\",unit=\"{}\"}} {new}\n",
                label(&cell.job),
                label(cell.figure),
                label(cell.unit)
            ));
        }
    }
    text.push_str("# EOF\n");
    text
}
