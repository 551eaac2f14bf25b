//! Text from outside (names, paths, reasons) does no harm in any format: every string of a record that is not one of its own
//! words is replaced by something hostile, and by something harmless of the same length, and both must look alike.

use super::golden::{open, tables};
use super::stored::STORED;
use bitbench_reports::export::FORMATS;
use bitbench_reports::record::{Record, Records};
use bitbench_reports::render::{markdown, terminal};
use bitbench_reports::report::Report;
use bitbench_reports::splice::spliced;
use serde_json::Value;

/// What a name can do, put before every string.
const HOSTILE: &[&str] = &[
    // Formulas.
    "=1+1",
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "a\",=1+1,\"",
    // A field of its own where they end at semicolons.
    "a;=1+1",
    "a;;\"@SUM(1+1)\"",
    // HTML and XML.
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' onmouseover='alert(1)",
    "</title></style></svg><svg onload=alert(1)>",
    "<!-- x --><![CDATA[ y ]]>",
    "&#x1b;&lt;b&gt;&xxe;",
    // LaTeX.
    "\\input{/etc/passwd}",
    "\\immediate\\write18{id}",
    "}\\end{tabular}{",
    "$x$ & 50% #1 a_b ^^5c ~ \\\\",
    "[1pt] *{x}",
    "%",
    // Markdown.
    "| a | **b** | `c` ``` [x](javascript:alert(1)) ![y](z)",
    "\n# heading\n- item\n```\n",
    "<!-- bitbench:end x86-energy -->",
    "\n<!-- bitbench:end x86-energy -->\n",
    // SQL.
    "'); DROP TABLE job; --",
    "\"; ATTACH 'x' AS y; --",
    // Templates.
    "{{ 7 * 7 }}{% for x in y %}",
    // Terminals, and text that hides or turns itself round.
    "\u{1b}[31m\u{1b}]0;title\u{7}",
    "\u{9b}2J\u{8}\u{7f}\0",
    "\u{202e}\u{200b}\u{2066}\u{feff}\u{2028}\u{85}",
    "\u{fffe}\u{ffff}",
];

/// Keys whose strings are words of the format itself.
const WORDS: [&str; 9] = [
    "record",
    "phase",
    "kind",
    "provenance",
    "precision",
    "outcome",
    "design",
    "stopped_by",
    "leads",
];

/// Puts a text before every string from outside.
fn poison(value: &mut Value, text: &str) {
    match value {
        Value::String(string) => string.insert_str(0, text),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, text)),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if !(WORDS.contains(&key.as_str()) && value.is_string()) {
                    poison(value, text);
                }
                if ["counts", "missing"].contains(&key.as_str())
                    && let Value::Object(events) = value
                {
                    *events = std::mem::take(events)
                        .into_iter()
                        .map(|(name, count)| (format!("{text}{name}"), count))
                        .collect();
                }
            }
        }
        _ => {}
    }
}

/// The first two rounds of a stored run with a text before every string.
fn poisoned(stored: &str, text: &str) -> Records {
    let mut lines: Vec<Record> = Vec::new();
    for line in stored.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if value
            .get("round")
            .is_some_and(|round| round.as_u64() > Some(1))
        {
            continue;
        }
        poison(&mut value, text);
        lines.push(serde_json::from_value(value).unwrap());
    }
    crate::support::read_back(&lines)
}

/// As many letters, where a reader sees as many characters.
fn harmless(hostile: &str) -> String {
    "x".repeat(hostile.trim().chars().count())
}

#[test]
fn no_text_does_harm_in_any_format() {
    for stored in [&STORED[0], &STORED[2], &STORED[3]] {
        let text = stored.text();
        for hostile in HOSTILE {
            let evil = poisoned(&text, hostile);
            let good = poisoned(&text, &harmless(hostile));
            let (of_evil, of_good) = (Report::new(&evil), Report::new(&good));
            for format in FORMATS {
                let evil = (format.make)(&evil, &of_evil).unwrap();
                let good = (format.make)(&good, &of_good).unwrap();
                let context = format!("{} of {} with {hostile:?}", format.name, stored.folder);
                if format.name == "sqlite" {
                    data_base(&evil, &good, &context);
                    continue;
                }
                let evil = String::from_utf8(evil).unwrap();
                let good = String::from_utf8(good).unwrap();
                no_control(&evil, &context);
                match format.name {
                    "csv" | "samples" => table(&evil, &good, &context),
                    "html" => markup(&evil, &good, &context),
                    "junit" => xml(&evil, &good, &context),
                    "json" => json(&evil, &of_evil, &context),
                    "latex" => latex(&evil, &good, &context),
                    "markdown" => page(&evil, &context),
                    other => panic!("nobody says what a text can do in {other}"),
                }
            }
            let context = format!("terminal of {} with {hostile:?}", stored.folder);
            no_control(&terminal::render(&of_evil, 80, false), &context);
            colours_only(&terminal::render(&of_evil, 160, true), &context);
            let excerpt = markdown::excerpt(&of_evil);
            no_control(&excerpt, &context);
            readme(&excerpt, &context);
        }
    }
}

fn hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn no_control(text: &str, context: &str) {
    let found = text
        .chars()
        .find(|c| c.is_control() && *c != '\n' || hidden(*c));
    assert_eq!(found, None, "{context}");
}

/// Escape sequences choose colours and weights, and nothing else.
fn colours_only(text: &str, context: &str) {
    for part in text.split('\u{1b}').skip(1) {
        let (inside, _) = part.split_once('m').unwrap_or(("?", ""));
        let digits = inside.strip_prefix('[').unwrap_or("?");
        assert!(
            digits.chars().all(|c| c.is_ascii_digit() || c == ';'),
            "{context}: {part:?}"
        );
    }
    no_control(&text.replace('\u{1b}', ""), context);
}

/// No field is a formula, and no text makes a field or a row of its own.
fn table(evil_text: &str, good: &str, context: &str) {
    let fields = |text: &str| -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let rows = reader
            .records()
            .map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect());
        rows.collect()
    };
    let (evil, good) = (fields(evil_text), fields(good));
    assert_eq!(evil.len(), good.len(), "{context}");
    assert_eq!(evil[0], good[0], "{context}");
    // Spreadsheets of some countries take the file as if its fields ended at semicolons, quotation marks or not.
    let between_semicolons = evil_text.lines().flat_map(|line| line.split(';'));
    let between_semicolons = between_semicolons.map(|field| field.trim_matches('"').to_owned());
    for field in evil.into_iter().flatten().chain(between_semicolons) {
        let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
        assert!(
            !formula || field.parse::<f64>().is_ok(),
            "{context}: {field}"
        );
    }
}

/// The tags of a page with the names of their attributes, in the order of the alphabet.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if rest.starts_with("!--") {
            rest = rest.split_once("-->").map_or("", |(_, rest)| rest);
            tags.push("comment".to_owned());
            continue;
        }
        let (mut tag, mut quote, mut length) = (String::new(), None, 0);
        for c in rest.chars() {
            length += c.len_utf8();
            match quote {
                Some(q) if c == q => quote = None,
                Some(_) => {}
                None if c == '>' => break,
                None if c == '"' || c == '\'' => quote = Some(c),
                None => tag.push(c),
            }
        }
        rest = &rest[length..];
        if tag.starts_with("script") || tag.starts_with("style") {
            let end = if tag.starts_with("script") {
                "</script"
            } else {
                "</style"
            };
            rest = &rest[rest.find(end).unwrap_or(rest.len())..];
        }
        tags.push(tag);
    }
    tags.sort();
    tags
}

/// The same tags and attributes, whatever the text.
fn markup(evil: &str, good: &str, context: &str) {
    let (evil, good) = (tags(evil), tags(good));
    let added = evil.iter().find(|tag| !good.contains(tag));
    assert_eq!(added, None, "{context}");
    assert_eq!(evil.len(), good.len(), "{context}");
}

fn xml(evil: &str, good: &str, context: &str) {
    let tree = roxmltree::Document::parse(evil).unwrap_or_else(|e| panic!("{context}: {e}"));
    markup(evil, good, context);
    let good = roxmltree::Document::parse(good).unwrap();
    assert_eq!(
        tree.descendants().count(),
        good.descendants().count(),
        "{context}"
    );
}

/// The texts are the record's, to the letter.
fn json(evil: &str, report: &Report, context: &str) {
    assert!(!evil.contains('<'), "{context}");
    let value: Value = serde_json::from_str(evil).unwrap();
    for (row, of_report) in value["rows"].as_array().unwrap().iter().zip(&report.rows) {
        assert_eq!(
            row["job"]["id"],
            of_report.summary.job.id.as_str(),
            "{context}"
        );
        assert_eq!(
            row["figures"]["model"]["text"],
            of_report.summary.job.model.name.as_str()
        );
    }
}

/// What LaTeX would act on, in order: commands, braces, signs with a meaning. Comments are left out.
fn acts(text: &str) -> Vec<String> {
    let mut acts = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('%')) {
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    let mut name = String::new();
                    while let Some(letter) = chars.next_if(char::is_ascii_alphabetic) {
                        name.push(letter);
                    }
                    if name.is_empty() {
                        name.extend(chars.next());
                    }
                    acts.push(format!("\\{name}"));
                    // Behind the end of a line it would be an argument.
                    if name == "\\" && chars.peek().is_some_and(|c| *c == '[' || *c == '*') {
                        acts.push("an argument".to_owned());
                    }
                }
                '{' | '}' | '$' | '&' | '#' | '^' | '_' | '~' | '%' => acts.push(c.to_string()),
                _ => {}
            }
        }
    }
    acts
}

/// Commands that stand for a character, and braces around or behind one.
const CHARACTERS: [&str; 17] = [
    "\\textbackslash",
    "\\textasciicircum",
    "\\textasciitilde",
    "\\textless",
    "\\textgreater",
    "\\textbar",
    "\\textquotedbl",
    "\\textasciigrave",
    "\\textquotesingle",
    "\\{",
    "\\}",
    "\\$",
    "\\&",
    "\\#",
    "\\%",
    "\\_",
    "{}",
];

/// Apart from characters, the same commands and signs, whatever the text, and braces that are closed.
fn latex(evil: &str, good: &str, context: &str) {
    let without_braces = |text: &str| -> Vec<String> {
        let acts = acts(text).into_iter();
        acts.filter(|act| {
            !["{", "}"].contains(&act.as_str()) && !CHARACTERS.contains(&act.as_str())
        })
        .collect()
    };
    assert_eq!(without_braces(evil), without_braces(good), "{context}");
    let mut depth = 0;
    for act in acts(evil) {
        depth += i32::from(act == "{") - i32::from(act == "}");
        assert!(depth >= 0, "{context}");
    }
    assert_eq!(depth, 0, "{context}");
    for line in evil.lines() {
        // A row that begins with a bracket would give it to the end of the row above.
        assert!(
            !line.trim_start().starts_with(['[', '*']),
            "{context}: {line}"
        );
    }
}

/// No markup but the page's own.
fn page(evil: &str, context: &str) {
    let (outside, command) = evil.split_once("\n```").unwrap();
    let fence = command.chars().take_while(|c| *c == '`').count() + 3;
    let last = command.trim_end().lines().next_back().unwrap();
    assert_eq!(last, "`".repeat(fence), "{context}");
    assert_eq!(command.matches(last).count(), 1, "{context}: {command}");
    inert_markdown(outside, context);
}

fn inert_markdown(text: &str, context: &str) {
    let mut columns = None;
    for line in text.lines() {
        assert!(!line.contains('<'), "{context}: {line}");
        let bare = bare(line);
        assert!(
            !bare.contains(['`', '[', ']', '!', '$', '~']),
            "{context}: {line}"
        );
        let bars = bare.matches('|').count();
        if line.starts_with('|') {
            assert_eq!(*columns.get_or_insert(bars), bars, "{context}: {line}");
        } else {
            columns = None;
            assert_eq!(bars, 0, "{context}: {line}");
        }
    }
}

/// A line without what is escaped.
fn bare(line: &str) -> String {
    let mut bare = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
        } else {
            bare.push(c);
        }
    }
    bare
}

/// An excerpt stays within its markers, however often it is put there.
fn readme(excerpt: &str, context: &str) {
    let (tables, command) = excerpt
        .split_once("- `bitbench` was called as <code>")
        .unwrap();
    inert_markdown(tables.trim_start_matches("> "), context);
    let command = command.strip_suffix("</code>\n").unwrap();
    inert_markdown(command, context);
    let name = "x86-energy";
    let file = format!("a\n<!-- bitbench:begin {name} -->\n<!-- bitbench:end {name} -->\nb\n");
    let once = spliced(file.as_bytes(), name, excerpt).unwrap();
    let twice = spliced(&once, name, excerpt).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_eq!(once, twice, "{context}");
}

/// The same tables with as many rows, and nothing in them that a terminal would act on.
fn data_base(evil: &[u8], good: &[u8], context: &str) {
    let (evil, good) = (open(evil), open(good));
    assert_eq!(tables(&evil), tables(&good), "{context}");
    let ok: String = evil
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(ok, "ok", "{context}");
    for table in tables(&good) {
        let mut shown: Vec<Vec<Option<String>>> = Vec::new();
        let mut rows = evil.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let width = rows.column_count();
        let mut rows = rows.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let text = |index| {
                row.get_ref(index)
                    .unwrap()
                    .as_str_or_null()
                    .ok()
                    .flatten()
                    .map(ToOwned::to_owned)
            };
            shown.push((0..width).map(text).collect());
        }
        let count: i64 = good
            .query_row(&format!("SELECT count(*) FROM {table}"), (), |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(shown.len() as i64, count, "{context}: {table}");
        for text in shown.iter().flatten().flatten() {
            no_control(text, context);
        }
    }
}
