//! Suites: what is measured, as data. `suites/README.md` documents the format.

pub(crate) mod embedded;
mod engines;
mod layers;
mod models;

pub use embedded::{EmbeddedFile, suite_names};
pub use engines::{Engine, load_engine};
pub use layers::{LARGEST_TOKENS, LayerShape, layer_shape};
pub use models::{Shape, ShapeError, find_shape, load_shapes};

use bitbench_engine::heads::{self, HEADS};
use bitbench_reports::record::{GatePolicy, Topic};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A suite file. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Why the suite exists and how to read it.
    pub about: String,
    /// Kernel variants, `*` matching anything.
    pub kernels: Vec<String>,
    /// How the LM head is kept, by name.
    #[serde(default = "default_heads")]
    pub heads: Vec<String>,
    /// Numbers of threads.
    pub threads: Vec<Threads>,
    /// Fresh processes for each job.
    pub rounds: u32,
    /// What to do without an energy counter.
    #[serde(default)]
    pub energy: EnergyPolicy,
    /// Each window repeats its work until it is this long, in seconds.
    pub window_s: f64,
    /// The same where energy counters are read.
    pub energy_window_s: f64,
    /// Where no counter is read, the contenders of a round are alive together and take turns at each window in slices of this
    /// length, in seconds; one after the other where it is left out.
    #[serde(default)]
    pub slice_s: Option<f64>,
    /// Length of the idle windows before and after a round where energy counters are read, in seconds.
    pub idle_s: f64,
    /// Whether whole requests are measured in a window of their own; where counters are read, unless it says otherwise.
    #[serde(default)]
    pub requests: Option<bool>,
    /// A job whose round is predicted to take longer than this is skipped, in seconds.
    pub round_limit_s: f64,
    /// Tokens of the prompt (pp).
    pub prefill: u32,
    /// Tokens generated (tg).
    pub decode: u32,
    /// Numbers of sequences that are prefilled and decoded together.
    #[serde(default = "default_batch")]
    pub batch: Vec<u32>,
    /// The models.
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
    /// Which columns a terminal shows first; those of speed where it is left out.
    #[serde(default)]
    pub leads: Option<Topic>,
    /// What `bitbench gate` calls a regression; what it calls one anywhere where it is left out.
    #[serde(default)]
    pub gate: Option<GatePolicy>,
    /// What `--quick` changes.
    pub quick: Quick,
}

/// One model of a suite. What it leaves out is as the suite says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Name of a shape in `models.toml`, path of a file, or `ROWSxCOLUMNS` for a layer alone.
    pub model: String,
    /// Kernel variants.
    pub kernels: Option<Vec<String>>,
    /// How the LM head is kept, by name.
    pub heads: Option<Vec<String>>,
    /// Fresh processes for each job.
    pub rounds: Option<u32>,
    /// Tokens of the prompt (pp).
    pub prefill: Option<u32>,
    /// Tokens generated (tg).
    pub decode: Option<u32>,
    /// Numbers of sequences that are prefilled and decoded together.
    pub batch: Option<Vec<u32>>,
    /// Whether `--quick` runs it.
    #[serde(default)]
    pub quick: bool,
}

/// Half precision alone.
fn default_heads() -> Vec<String> {
    vec![heads::default().name.to_owned()]
}

/// One sequence at a time.
fn default_batch() -> Vec<u32> {
    vec![1]
}

/// What `--quick` changes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quick {
    /// Fresh processes for each job.
    pub rounds: u32,
    /// Shortest window in seconds.
    pub window_s: f64,
    /// Shortest window with energy counters, in seconds.
    pub energy_window_s: f64,
    /// Length of the idle windows, in seconds.
    pub idle_s: f64,
    /// Tokens of the prompt (pp).
    pub prefill: u32,
    /// Tokens generated (tg).
    pub decode: u32,
}

/// A number of threads, or the physical cores of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// So many.
    Count(u32),
    /// One for each physical core.
    Physical,
    /// 1, 2, 4 and so on below the physical cores, and one for each of these.
    Doubling,
}

/// What to do without an energy counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergyPolicy {
    /// Measure nothing and exit with code 3.
    Required,
    /// Measure the rest and say why there is no energy.
    #[default]
    Preferred,
    /// Read no counter.
    Off,
}

/// A suite, where it was found, and a hash of its text.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedSuite {
    /// Name, without `.toml`.
    pub name: String,
    /// The suite.
    pub suite: Suite,
    /// `blake3:` and the hash of the text.
    pub hash: String,
}

/// Why a suite or a list of models could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// No such suite.
    #[error(
        "there is no suite `{name}`; there are: {known}. A path that ends in .toml is read as a file"
    )]
    Unknown {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The text is not a suite; the message has the line.
    #[error("{origin}: {message}")]
    Parse {
        /// The file.
        origin: String,
        /// What the parser said.
        message: String,
    },
    /// A value makes no sense.
    #[error("{origin}: {message}")]
    Value {
        /// The file.
        origin: String,
        /// Which and why.
        message: String,
    },
}

/// Longest line of a parser's message: it quotes the line of the file, which can be all of it.
const LONGEST_LINE: usize = 200;

impl SuiteError {
    fn parse(origin: &str, error: &toml::de::Error) -> SuiteError {
        let message = error.to_string();
        let short = |line: &str| line.chars().take(LONGEST_LINE).collect::<String>();
        let lines: Vec<String> = message.trim_end().lines().map(short).collect();
        SuiteError::Parse {
            origin: origin.to_owned(),
            message: lines.join("\n"),
        }
    }
}

/// Loads a suite by name (a file of this name under `suites/` in the current folder wins over the embedded one) or by path.
///
/// # Errors
/// See [`SuiteError`].
pub fn load(name: &str) -> Result<LoadedSuite, SuiteError> {
    let file = embedded::find(name)?;
    let suite = parse(&file)?;
    let hash = format!("blake3:{}", blake3::hash(file.text.as_bytes()).to_hex());
    Ok(LoadedSuite {
        name: file.name,
        suite,
        hash,
    })
}

/// Reads what a gate calls a regression from a file of its own: the keys of `[gate]`, without that line.
///
/// # Errors
/// See [`SuiteError`].
pub fn load_policy(path: &Path) -> Result<GatePolicy, SuiteError> {
    let EmbeddedFile { origin, text, .. } = embedded::read(String::new(), path.to_owned())?;
    let policy: GatePolicy = toml::from_str(&text).map_err(|e| SuiteError::parse(&origin, &e))?;
    match policy.check() {
        Ok(()) => Ok(policy),
        Err(message) => Err(SuiteError::Value { origin, message }),
    }
}

fn parse(file: &EmbeddedFile) -> Result<Suite, SuiteError> {
    let suite: Suite =
        toml::from_str(&file.text).map_err(|e| SuiteError::parse(&file.origin, &e))?;
    check(&suite).map_err(|message| SuiteError::Value {
        origin: file.origin.clone(),
        message,
    })?;
    Ok(suite)
}

/// Largest number of tokens, rounds or threads a suite can ask for: larger ones are slips of the pen.
const LARGEST: u32 = 1 << 20;

fn check(suite: &Suite) -> Result<(), String> {
    let number = |key: &str, value: u32| {
        if (1..=LARGEST).contains(&value) {
            Ok(())
        } else {
            Err(format!("`{key}` is {value}; it must be 1 to {LARGEST}"))
        }
    };
    let seconds = |key: &str, value: f64| {
        let fits = value.is_finite() && (0.0..=86_400.0).contains(&value);
        if fits {
            Ok(())
        } else {
            Err(format!("`{key}` is {value}; it must be 0 to 86400 seconds"))
        }
    };
    number("rounds", suite.rounds)?;
    number("prefill", suite.prefill)?;
    number("decode", suite.decode)?;
    number("quick.rounds", suite.quick.rounds)?;
    number("quick.prefill", suite.quick.prefill)?;
    number("quick.decode", suite.quick.decode)?;
    seconds("window_s", suite.window_s)?;
    seconds("energy_window_s", suite.energy_window_s)?;
    seconds("idle_s", suite.idle_s)?;
    check_slice(suite.slice_s)?;
    if let Some(policy) = &suite.gate {
        policy
            .check()
            .map_err(|message| format!("[gate]: {message}"))?;
    }
    seconds("round_limit_s", suite.round_limit_s)?;
    seconds("quick.window_s", suite.quick.window_s)?;
    seconds("quick.energy_window_s", suite.quick.energy_window_s)?;
    seconds("quick.idle_s", suite.quick.idle_s)?;
    if suite.cases.is_empty() {
        return Err("there is no [[case]]".to_owned());
    }
    if suite.threads.is_empty() {
        return Err("`threads` is empty".to_owned());
    }
    let known = |list: &[String]| {
        if list.is_empty() {
            return Err("`heads` is empty".to_owned());
        }
        match list.iter().find(|name| heads::find(name).is_none()) {
            None => Ok(()),
            Some(unknown) => {
                let known: Vec<&str> = HEADS.iter().map(|h| h.name).collect();
                Err(format!(
                    "there is no head `{unknown}`; there are: {}",
                    known.join(", ")
                ))
            }
        }
    };
    known(&suite.heads)?;
    let layers = suite.cases.iter().all(|c| layer_shape(&c.model).is_some());
    check_batch(&suite.batch, layers)?;
    for (index, case) in suite.cases.iter().enumerate() {
        if let Some(heads) = &case.heads {
            known(heads).map_err(|message| format!("case `{}`: {message}", case.model))?;
        }
        if let Some(batch) = &case.batch {
            check_batch(batch, layer_shape(&case.model).is_some())
                .map_err(|message| format!("case `{}`: {message}", case.model))?;
        }
        if suite.cases[..index].iter().any(|c| c.model == case.model) {
            return Err(format!("two cases have the model `{}`", case.model));
        }
        for (key, value) in [
            ("rounds", case.rounds),
            ("prefill", case.prefill),
            ("decode", case.decode),
        ] {
            value.map_or(Ok(()), |v| {
                number(&format!("case `{}`: {key}", case.model), v)
            })?;
        }
        let kernels = case.kernels.as_ref().unwrap_or(&suite.kernels);
        if kernels.is_empty() {
            return Err(format!("case `{}`: `kernels` is empty", case.model));
        }
    }
    Ok(())
}

/// Shortest slice of a window, in seconds: a request and its reply take some fifty microseconds.
pub const SHORTEST_SLICE_S: f64 = 0.005;

fn check_slice(slice_s: Option<f64>) -> Result<(), String> {
    match slice_s {
        Some(slice_s) if !(SHORTEST_SLICE_S..=3600.0).contains(&slice_s) => Err(format!(
            "`slice_s` is {slice_s}; it must be {SHORTEST_SLICE_S} to 3600 seconds"
        )),
        _ => Ok(()),
    }
}

/// Most sequences that a suite can ask to be run together: the check of a worker writes the logits of each.
pub const LARGEST_BATCH: u32 = 64;

fn check_batch(batch: &[u32], layers: bool) -> Result<(), String> {
    let (largest, what) = match layers {
        false => (LARGEST_BATCH, "sequences"),
        true => (LARGEST_TOKENS, "tokens"),
    };
    if batch.is_empty() {
        return Err("`batch` is empty".to_owned());
    }
    match batch.iter().find(|b| !(1..=largest).contains(*b)) {
        None => Ok(()),
        Some(wrong) => Err(format!(
            "`batch` has {wrong}; it must be 1 to {largest} {what}"
        )),
    }
}

/// Whether `name` matches `pattern`, in which each `*` stands for any text.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pattern
        .contains('*')
        .then(|| parts.next_back().unwrap_or_default())
    else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Threads {
    /// The numbers on a host with so many physical cores.
    pub fn counts(self, physical_cores: u32) -> Vec<u32> {
        match self {
            Threads::Count(count) => vec![count],
            Threads::Physical => vec![physical_cores],
            Threads::Doubling => {
                let below = (0..u32::BITS).map(|power| 1 << power);
                let mut counts: Vec<u32> = below.take_while(|n| *n < physical_cores).collect();
                counts.push(physical_cores);
                counts
            }
        }
    }

    /// What a list of them stands for, each number once.
    pub fn all(list: &[Threads], physical_cores: u32) -> Vec<u32> {
        let mut counts: Vec<u32> = list.iter().flat_map(|t| t.counts(physical_cores)).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }
}

impl Suite {
    /// What the suite is in a line: the first of `about`.
    pub fn title(&self) -> &str {
        self.about.trim().lines().next().unwrap_or_default()
    }
}

impl std::str::FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "physical" => Ok(Threads::Physical),
            "doubling" => Ok(Threads::Doubling),
            _ => match text.parse() {
                Ok(count @ 1..=1024) => Ok(Threads::Count(count)),
                _ => Err(format!(
                    "`{text}` is no number of threads: 1 to 1024, \"physical\" or \"doubling\""
                )),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Threads;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of threads (1 to 1024), \"physical\" or \"doubling\"")
            }

            fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Threads, E> {
                count.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Threads, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_suite_is_valid_and_names_known_shapes() {
        let shapes = load_shapes().expect("models.toml");
        assert!(!suite_names().is_empty());
        for name in suite_names() {
            let loaded = load(&name).expect("an embedded suite");
            for case in &loaded.suite.cases {
                let known = find_shape(&shapes, &case.model).is_some();
                assert!(
                    known || layer_shape(&case.model).is_some(),
                    "{}",
                    case.model
                );
            }
        }
    }

    #[test]
    fn a_list_has_one_line_for_every_embedded_suite() {
        for name in suite_names() {
            let loaded = load(&name).expect("an embedded suite");
            let title = loaded.suite.title();
            assert!(title.ends_with('.'), "{name}: {title}");
            let line = format!("  {name:<12} {title}");
            assert!(line.len() <= 79, "{name}: {title}");
            let rest = loaded.suite.about.trim().len() - title.len();
            assert!(rest > 100, "{name} does not say how to read it");
        }
    }

    #[test]
    fn threads_double_up_to_the_cores() {
        for (cores, expected) in [
            (1, &[1][..]),
            (2, &[1, 2]),
            (6, &[1, 2, 4, 6]),
            (8, &[1, 2, 4, 8]),
        ] {
            assert_eq!(Threads::Doubling.counts(cores), expected, "{cores}");
        }
        let list: Vec<Threads> = ["8", "doubling", "physical"]
            .iter()
            .map(|t| t.parse().expect(t))
            .collect();
        assert_eq!(Threads::all(&list, 3), [1, 2, 3, 8]);
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let good = embedded::find("x86-energy").expect("embedded").text;
        let cases = [
            (good.replacen("rounds = 5", "ronuds = 5", 1), "ronuds"),
            (
                good.replacen("rounds = 5", "rounds = \"five\"", 1),
                "invalid type",
            ),
            (
                good.replacen("threads = [1,", "threads = [0,", 1),
                "1 to 1024",
            ),
            (
                good.replacen("rounds = 5", "rounds = 0", 1),
                "`rounds` is 0",
            ),
            (
                good.replacen("window_s = 0.5", "window_s = nan", 1),
                "window_s",
            ),
            (
                good.replacen("decode = 32", "decode = 99999999", 1),
                "decode",
            ),
            (
                good.replacen("model = \"700M\"", "model = \"125M\"", 1),
                "two cases",
            ),
            (
                good.replacen("energy = \"preferred\"", "energy = \"maybe\"", 1),
                "maybe",
            ),
            (
                good.replacen("rounds = 5", "rounds = 5\nheads = [\"f32\"]", 1),
                "no head `f32`",
            ),
            (
                good.replacen("rounds = 3", "heads = []", 1),
                "`heads` is empty",
            ),
            (
                good.replacen("rounds = 5", "rounds = 5\nbatch = []", 1),
                "`batch` is empty",
            ),
            (
                good.replacen("rounds = 3", "batch = [1, 65]", 1),
                "case `2B4T`: `batch` has 65",
            ),
            (
                good.replacen("rounds = 5", "rounds = 5\nbatch = 8", 1),
                "invalid type",
            ),
            (good[..good.len() / 2].to_owned(), "mine.toml"),
        ];
        for (text, expected) in cases {
            let file = EmbeddedFile {
                name: "mine".into(),
                origin: "mine.toml".into(),
                text: text.clone(),
            };
            let message = parse(&file).expect_err(expected).to_string();
            assert!(
                message.contains("mine.toml") && message.contains(expected),
                "{expected}: {message}"
            );
            if message.contains("TOML parse error") {
                assert!(message.contains("line "), "{message}");
            }
        }
    }

    #[test]
    fn damaged_suites_are_errors_and_never_panics() {
        let good = embedded::find("x86-energy").expect("embedded").text;
        for cut in 0..good.len() {
            if let Some(text) = good.get(..cut) {
                let file = EmbeddedFile {
                    name: "cut".into(),
                    origin: "cut.toml".into(),
                    text: text.into(),
                };
                assert!(
                    parse(&file).is_err() || text.contains("[quick]"),
                    "cut at {cut}"
                );
            }
        }
        for at in 0..good.len() {
            for bit in [1u8, 4, 32] {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    // A flipped letter of the description is still a suite; what counts is that nothing panics.
                    let _ = parse(&EmbeddedFile {
                        name: "flip".into(),
                        origin: "flip.toml".into(),
                        text,
                    });
                }
            }
        }
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, name, expected) in [
            ("i2s-*", "i2s-avx2", true),
            ("i2s-*", "f16-avx2", false),
            ("*", "anything", true),
            ("*-avx2", "i2s-avx2", true),
            ("*-avx2", "i2s-avx2x", false),
            ("i2s-avx2", "i2s-avx2", true),
            ("i2s-avx2", "i2s-avx25", false),
            ("i*s*2", "i2s-avx2", true),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
