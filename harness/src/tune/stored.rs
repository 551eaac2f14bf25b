//! What `bitbench tune` found, kept for `--kernel tuned`: a choice is worth something on the host and with the version that
//! made it, and nowhere else.

use super::{LayerShape, Phase};
use crate::host;
use bitbench_engine::cpu::Cpu;
use bitbench_reports::record::{Host, Precision};
use bitbench_reports::roofline::Cache;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file, unless another one is named.
pub const TUNED_FILE: &str = "bitbench-results/tuned.toml";

/// Number of the stored format.
const SCHEMA: u32 = 1;

/// Everything that was tuned on one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// Number of the format.
    schema: u32,
    /// The host and the version.
    pub fingerprint: Fingerprint,
    /// The models, by their layers.
    #[serde(default, rename = "model")]
    pub models: Vec<TunedModel>,
}

/// What a choice depends on beside the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Version of bitbench, with its revision.
    pub bitbench: String,
    /// Target architecture.
    pub arch: String,
    /// CPU model name, where it is known.
    pub cpu: Option<String>,
    /// Physical cores of this process.
    pub physical_cores: u32,
    /// Instruction-set features.
    pub features: Vec<String>,
    /// Caches of data.
    #[serde(default)]
    pub caches: Vec<Cache>,
}

/// The choices for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunedModel {
    /// Its name when it was tuned; another model of the same layers is as good.
    pub name: String,
    /// When, RFC 3339, UTC.
    pub tuned_at: String,
    /// Layers.
    pub layers: usize,
    /// Tokens of the batch that stood for prefill.
    pub prefill_tokens: usize,
    /// Rounds.
    pub rounds: u32,
    /// Shapes of each layer.
    #[serde(rename = "shape")]
    pub shapes: Vec<LayerShape>,
    /// The choices.
    #[serde(rename = "choice")]
    pub choices: Vec<Choice>,
}

/// The fastest variant for one phase and number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The phase.
    pub phase: Phase,
    /// What the weights are.
    pub precision: Precision,
    /// Threads.
    pub threads: u32,
    /// The variant.
    pub kernel: String,
    /// Tokens a second of the linear layers alone, the median over rounds.
    pub linear_tokens_per_second: f64,
    /// The second, if there was one.
    pub runner_up: Option<String>,
    /// Whether the second may be as fast.
    pub within_noise: bool,
    /// Whether this number of threads is the fastest of those tried.
    pub fastest_threads: bool,
}

/// Why there is no choice to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// There is no file.
    #[error("nothing was tuned here: there is no {path}. Run `{command}`")]
    NotTuned {
        /// Where it was looked for.
        path: PathBuf,
        /// What makes it.
        command: String,
    },
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is something else.
    #[error("{path}: not what `bitbench tune` stores: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// It was made on another host or by another version.
    #[error("{path} was made for another {what}: {then} then, {now} now. Run `{command}` again")]
    Stale {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What it was.
        then: String,
        /// What it is.
        now: String,
        /// What makes it anew.
        command: String,
    },
    /// The model or the number of threads was not tuned.
    #[error("{path} has no {what}. Run `{command}`")]
    NoChoice {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: String,
        /// What adds it.
        command: String,
    },
}

impl Fingerprint {
    /// The fingerprint of this host.
    pub fn of_this_host(cpu: &Cpu) -> Fingerprint {
        Fingerprint::of(&host::capture(cpu), host::caches(Path::new("/sys")))
    }

    /// The fingerprint of a host for this version of bitbench.
    pub fn of(host: &Host, caches: Vec<Cache>) -> Fingerprint {
        Fingerprint {
            bitbench: crate::VERSION.to_owned(),
            arch: host.arch.clone(),
            cpu: host.cpu.clone(),
            physical_cores: host.physical_cores,
            features: host.features.clone(),
            caches,
        }
    }

    /// The first thing that differs: what it is called, what it was, what it is.
    fn difference(&self, now: &Fingerprint) -> Option<(&'static str, String, String)> {
        let cpu = |f: &Fingerprint| f.cpu.clone().unwrap_or_else(|| "not known".to_owned());
        let caches = |f: &Fingerprint| {
            let caches: Vec<String> = f
                .caches
                .iter()
                .map(|c| format!("L{} {} KiB", c.level, c.bytes >> 10))
                .collect();
            caches.join(", ")
        };
        let of = |f: &Fingerprint| {
            [
                ("CPU", format!("{} ({})", cpu(f), f.arch)),
                ("number of cores", f.physical_cores.to_string()),
                ("set of CPU features", f.features.join(" ")),
                ("set of caches", caches(f)),
                ("version of bitbench", f.bitbench.clone()),
            ]
        };
        let pairs = of(self).into_iter().zip(of(now));
        pairs
            .map(|((what, then), (_, now))| (what, then, now))
            .find(|(_, then, now)| then != now)
    }
}

impl Tuned {
    /// Reads the file.
    ///
    /// # Errors
    /// [`StoredError::NotTuned`], [`StoredError::Io`], [`StoredError::Content`]; `command` is what makes it.
    fn read(path: &Path, command: &str) -> Result<Tuned, StoredError> {
        let text = fs::read_to_string(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoredError::NotTuned {
                path: path.to_owned(),
                command: command.to_owned(),
            },
            _ => StoredError::Io {
                path: path.to_owned(),
                source,
            },
        })?;
        let content = |message: String| StoredError::Content {
            path: path.to_owned(),
            message,
        };
        let tuned: Tuned = toml::from_str(&text).map_err(|e| content(e.message().to_owned()))?;
        if tuned.schema != SCHEMA {
            return Err(content(format!("its format is {}", tuned.schema)));
        }
        Ok(tuned)
    }

    /// Reads the file for use on this host.
    ///
    /// # Errors
    /// See [`StoredError`]; `command` is what makes it anew.
    pub fn load(path: &Path, now: &Fingerprint, command: &str) -> Result<Tuned, StoredError> {
        let tuned = Tuned::read(path, command)?;
        match tuned.fingerprint.difference(now) {
            None => Ok(tuned),
            Some((what, then, now)) => Err(StoredError::Stale {
                path: path.to_owned(),
                what,
                then,
                now,
                command: command.to_owned(),
            }),
        }
    }

    /// The choice for these layers.
    pub fn choice(
        &self,
        layers: usize,
        shapes: &[LayerShape],
        phase: Phase,
        precision: Precision,
        threads: u32,
    ) -> Option<&Choice> {
        let model = self.model(layers, shapes)?;
        let mut choices = model.choices.iter();
        choices.find(|c| (c.phase, c.precision, c.threads) == (phase, precision, threads))
    }

    /// The model of these layers.
    pub fn model(&self, layers: usize, shapes: &[LayerShape]) -> Option<&TunedModel> {
        let same = |m: &&TunedModel| m.layers == layers && m.shapes == shapes;
        self.models.iter().find(same)
    }

    /// Adds a model to the file, in the place of one with the same layers. Choices of another host or version are dropped:
    /// they could not be used.
    ///
    /// # Errors
    /// [`StoredError::Io`]; [`StoredError::Content`] where a file of another kind is in the way.
    pub fn store(
        path: &Path,
        fingerprint: &Fingerprint,
        model: TunedModel,
    ) -> Result<(), StoredError> {
        let kept = match Tuned::load(path, fingerprint, "bitbench tune") {
            Ok(tuned) => tuned.models,
            Err(StoredError::NotTuned { .. } | StoredError::Stale { .. }) => Vec::new(),
            Err(other) => return Err(other),
        };
        let same = |m: &TunedModel| m.layers == model.layers && m.shapes == model.shapes;
        let mut models: Vec<TunedModel> = kept.into_iter().filter(|m| !same(m)).collect();
        models.push(model);
        let tuned = Tuned {
            schema: SCHEMA,
            fingerprint: fingerprint.clone(),
            models,
        };
        let text = toml::to_string_pretty(&tuned).map_err(|e| StoredError::Content {
            path: path.to_owned(),
            message: e.to_string(),
        })?;
        let io = |source| StoredError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io)?;
        }
        // Written beside it and moved, so that a kill leaves the old choices or the new ones.
        let beside = path.with_extension("toml.new");
        fs::write(&beside, text).map_err(io)?;
        fs::rename(&beside, path).map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint() -> Fingerprint {
        Fingerprint {
            bitbench: "0.1.0 (0123456)".to_owned(),
            arch: "x86_64".to_owned(),
            cpu: Some("Example CPU 3000".to_owned()),
            physical_cores: 2,
            features: vec!["avx2".to_owned()],
            caches: vec![Cache {
                level: 1,
                bytes: 32768,
                shared_by: Some(1),
            }],
        }
    }

    fn shapes() -> Vec<LayerShape> {
        vec![LayerShape {
            rows: 8,
            cols: 4,
            in_layer: 7,
        }]
    }

    fn model(layers: usize, kernel: &str) -> TunedModel {
        TunedModel {
            name: "tiny".to_owned(),
            tuned_at: "2026-01-02T03:04:05Z".to_owned(),
            layers,
            prefill_tokens: 128,
            rounds: 5,
            shapes: shapes(),
            choices: vec![Choice {
                phase: Phase::Decode,
                precision: Precision::Ternary,
                threads: 2,
                kernel: kernel.to_owned(),
                linear_tokens_per_second: 12.5,
                runner_up: None,
                within_noise: false,
                fastest_threads: true,
            }],
        }
    }

    fn kernel(tuned: &Tuned, layers: usize, threads: u32) -> Option<&str> {
        let (phase, precision) = (Phase::Decode, Precision::Ternary);
        let choice = tuned.choice(layers, &shapes(), phase, precision, threads)?;
        Some(&choice.kernel)
    }

    #[test]
    fn a_choice_is_found_by_its_layers_and_a_newer_one_replaces_it() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("deep/tuned.toml");
        let load = || Tuned::load(&path, &fingerprint(), "bitbench tune");
        assert!(matches!(load(), Err(StoredError::NotTuned { .. })));
        Tuned::store(&path, &fingerprint(), model(3, "i2s-avx2")).expect("stored");
        Tuned::store(&path, &fingerprint(), model(4, "i2s-scalar")).expect("stored");
        Tuned::store(&path, &fingerprint(), model(3, "tl2-avx2")).expect("stored");
        let tuned = load().expect("loaded");
        assert_eq!(tuned.models.len(), 2);
        assert_eq!(kernel(&tuned, 3, 2), Some("tl2-avx2"));
        assert_eq!(kernel(&tuned, 4, 2), Some("i2s-scalar"));
        assert_eq!(kernel(&tuned, 3, 1), None);
        assert_eq!(kernel(&tuned, 5, 2), None);
    }

    #[test]
    fn another_host_or_version_is_an_error_that_says_what_differs() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("tuned.toml");
        Tuned::store(&path, &fingerprint(), model(3, "i2s-avx2")).expect("stored");
        let good = fingerprint();
        for (what, now) in [
            (
                "CPU",
                Fingerprint {
                    cpu: None,
                    ..good.clone()
                },
            ),
            (
                "number of cores",
                Fingerprint {
                    physical_cores: 4,
                    ..good.clone()
                },
            ),
            (
                "set of CPU features",
                Fingerprint {
                    features: Vec::new(),
                    ..good.clone()
                },
            ),
            (
                "set of caches",
                Fingerprint {
                    caches: Vec::new(),
                    ..good.clone()
                },
            ),
            (
                "version of bitbench",
                Fingerprint {
                    bitbench: "0.2.0".to_owned(),
                    ..good
                },
            ),
        ] {
            let error = Tuned::load(&path, &now, "bitbench tune --model tiny");
            let message = error.expect_err(what).to_string();
            assert!(message.contains(what), "{message}");
            assert!(
                message.contains("`bitbench tune --model tiny` again"),
                "{message}"
            );
        }
        // A tune on this host starts afresh.
        let now = Fingerprint {
            physical_cores: 4,
            ..fingerprint()
        };
        Tuned::store(&path, &now, model(4, "i2s-avx2")).expect("stored");
        let tuned = Tuned::load(&path, &now, "bitbench tune").expect("loaded");
        assert_eq!(tuned.models.len(), 1);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("tuned.toml");
        for text in [
            "",
            "schema = 1",
            "schema = \"x\"",
            "{",
            "schema = 1\nmodel = 3",
        ] {
            fs::write(&path, text).expect("write");
            let error = Tuned::load(&path, &fingerprint(), "bitbench tune");
            assert!(matches!(error, Err(StoredError::Content { .. })), "{text}");
            assert!(Tuned::store(&path, &fingerprint(), model(3, "x")).is_err());
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
    }
}
