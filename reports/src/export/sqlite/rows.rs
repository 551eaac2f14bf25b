//! Lines of the record as rows of tables.

use crate::record::{
    ColdStart, CounterReadings, End, Energy, EnergySourceInfo, Host, Job, JobOutcome, Loaded,
    Memory, Outcome, Place, Resumed, Run, Sample, WeightsOrigin, WindowEnergy,
};
use crate::render::{RenderError, plain};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::Serialize;
use std::collections::HashMap;

/// A column and what stands in it.
type Field = (&'static str, Value);

/// Puts lines into the tables of a data base.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    /// The plan, and the place of each job in it by its id.
    jobs: &'a [Job],
    places: HashMap<&'a str, u64>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection, jobs: &'a [Job]) -> Rows<'a> {
        let mut places = HashMap::new();
        for (place, job) in (0..).zip(jobs) {
            places.entry(job.id.as_str()).or_insert(place);
        }
        Rows {
            connection,
            jobs,
            places,
        }
    }

    fn insert(&self, table: &'static str, fields: &[Field]) -> Result<(), RenderError> {
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let names = names.join(", ");
        // Names come from this file; everything from outside is bound.
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({marks})");
        let mut statement = self.connection.prepare_cached(&sql)?;
        statement.execute(params_from_iter(fields.iter().map(|(_, value)| value)))?;
        Ok(())
    }

    /// The columns that every line of a round begins with; nothing for a job that the plan does not have.
    fn placed(&self, line: u64, place: &Place) -> Option<Vec<Field>> {
        let job = *self.places.get(place.job.as_str())?;
        Some(vec![
            ("line", whole(line)),
            ("job", whole(job)),
            ("round", place.round.into()),
            ("process", place.process.into()),
        ])
    }

    pub(super) fn run(&self, run: &Run) -> Result<(), RenderError> {
        let budget = run.budget.unwrap_or_default();
        let mut fields = vec![
            ("record_format", run.schema.into()),
            ("started_at", text(&run.started_at)),
            ("bitbench", text(&run.bitbench)),
            ("command", list(&run.command)?),
            ("suite", text(&run.suite.name)),
            ("suite_about", text(&run.suite.about)),
            ("suite_hash", text(&run.suite.hash)),
            ("suite_leads", known(run.suite.leads.as_ref(), word)),
            ("quick", run.suite.quick.into()),
            ("seed", Value::Text(run.seed.to_string())),
            ("design", known(run.design.as_ref(), word)),
            ("budget_s", budget.time_s.into()),
            (
                "target_precision_percent",
                budget.target_precision_percent.into(),
            ),
        ];
        match &run.energy {
            EnergySourceInfo::Open {
                source,
                provenance,
                domains,
                caveats,
            } => {
                fields.extend([
                    ("energy_source", text(source)),
                    ("energy_provenance", word(provenance)),
                ]);
                for domain in domains {
                    self.insert(
                        "energy_domain",
                        &[
                            ("name", text(&domain.name)),
                            ("kind", word(&domain.kind)),
                            ("counted", domain.counted.into()),
                            ("range_uj", maybe(domain.range_uj)),
                            ("joules_per_tick", domain.joules_per_tick.into()),
                            ("origin", text(&domain.origin)),
                        ],
                    )?;
                }
                for caveat in caveats {
                    self.insert("energy_caveat", &[("text", text(caveat))])?;
                }
            }
            EnergySourceInfo::Unavailable { reason, remedy } => fields.extend([
                ("energy_reason", text(reason)),
                ("energy_remedy", known(remedy.as_deref(), text)),
            ]),
        }
        self.insert("run", &fields)?;
        self.host(&run.host)?;
        for (place, job) in (0..).zip(self.jobs) {
            self.job(place, job)?;
        }
        Ok(())
    }

    /// Every fact of the host under its path in the record, such as `hardware.caches.0.bytes`.
    fn host(&self, host: &Host) -> Result<(), RenderError> {
        let mut facts = vec![(String::new(), serde_json::to_value(host)?)];
        while let Some((path, value)) = facts.pop() {
            let below = |name: String| match path.as_str() {
                "" => name,
                path => format!("{path}.{name}"),
            };
            let value = match value {
                serde_json::Value::Object(fields) => {
                    facts.extend(fields.into_iter().map(|(name, value)| (below(name), value)));
                    continue;
                }
                serde_json::Value::Array(items) => {
                    let items = items.into_iter().enumerate();
                    facts.extend(items.map(|(i, value)| (below(i.to_string()), value)));
                    continue;
                }
                serde_json::Value::Null => continue,
                serde_json::Value::String(words) => text(&words),
                other => Value::Text(other.to_string()),
            };
            self.insert("host", &[("fact", Value::Text(path)), ("value", value)])?;
        }
        Ok(())
    }

    fn job(&self, place: u64, job: &Job) -> Result<(), RenderError> {
        let mut fields = vec![
            ("job", whole(place)),
            ("id", text(&job.id)),
            ("model", text(&job.model.name)),
            ("ternarized", job.model.ternarized.into()),
            ("layer_rows", maybe(job.layer.map(|layer| layer.rows))),
            ("layer_columns", maybe(job.layer.map(|layer| layer.columns))),
            ("engine", text(&job.engine.name)),
            ("engine_version", text(&job.engine.version)),
            ("kernel", text(&job.kernel)),
            ("head", text(&job.head)),
            ("precision", word(&job.precision)),
            ("threads", job.threads.into()),
            ("prefill_tokens", job.prefill_tokens.into()),
            ("decode_tokens", job.decode_tokens.into()),
            ("batch", job.batch.into()),
            ("rounds", job.rounds.into()),
            ("control_of", known(job.control_of.as_deref(), text)),
            ("injected_percent", job.injected_percent.into()),
        ];
        match &job.model.weights {
            WeightsOrigin::Synthetic { seed } => fields.extend([
                ("weights", Value::Text("synthetic".to_owned())),
                ("weights_seed", Value::Text(seed.to_string())),
            ]),
            WeightsOrigin::File { path, hash } => fields.extend([
                ("weights", Value::Text("file".to_owned())),
                ("weights_path", text(path)),
                ("weights_hash", text(hash)),
            ]),
        }
        self.insert("job", &fields)
    }

    pub(super) fn resumed(&self, line: u64, resumed: &Resumed) -> Result<(), RenderError> {
        self.insert(
            "resumed",
            &[
                ("line", whole(line)),
                ("at", text(&resumed.at)),
                ("bitbench", text(&resumed.bitbench)),
                ("command", list(&resumed.command)?),
            ],
        )
    }

    pub(super) fn ended(&self, line: u64, end: &End) -> Result<(), RenderError> {
        self.insert(
            "ended",
            &[
                ("line", whole(line)),
                ("at", text(&end.at)),
                ("interrupted", end.interrupted.into()),
                ("stopped_by", known(end.stopped_by.as_ref(), word)),
            ],
        )
    }

    pub(super) fn loaded(&self, line: u64, loaded: &Loaded) -> Result<(), RenderError> {
        let Some(mut fields) = self.placed(line, &loaded.place) else {
            return Ok(());
        };
        fields.extend([
            ("duration_ns", whole(loaded.duration_ns)),
            ("parameters", whole(loaded.parameters)),
            ("linear_weights", whole(loaded.linear_weights)),
            ("linear_bytes", whole(loaded.linear_bytes)),
            ("weights_bytes", whole(loaded.weights_bytes)),
            (
                "weights_bytes_per_token",
                whole(loaded.weights_bytes_per_token),
            ),
            ("head_bytes_per_token", maybe(loaded.head_bytes_per_token)),
            ("kv_bytes_per_position", whole(loaded.kv_bytes_per_position)),
            ("head_kernel", text(&loaded.head_kernel)),
        ]);
        if let Some(shape) = &loaded.shape {
            fields.extend([
                ("layers", whole(shape.layers)),
                ("hidden", whole(shape.hidden)),
                ("ffn", whole(shape.ffn)),
                ("ffn_matrices", whole(shape.ffn_matrices)),
                ("heads", whole(shape.heads)),
                ("kv_heads", whole(shape.kv_heads)),
                ("head_dim", whole(shape.head_dim)),
                ("vocab", whole(shape.vocab)),
            ]);
        }
        self.insert("loaded", &fields)?;
        let bound = loaded.cpus.iter().flatten().enumerate();
        let bound = bound.map(|(thread, cpu)| (Some(thread as u64), *cpu));
        let left = loaded.harness_cpus.iter().flatten().map(|cpu| (None, *cpu));
        for (thread, cpu) in bound.chain(left) {
            let fields = [
                ("line", whole(line)),
                ("thread", maybe(thread)),
                ("cpu", cpu.into()),
            ];
            self.insert("bound_cpu", &fields)?;
        }
        Ok(())
    }

    pub(super) fn sample(&self, line: u64, sample: &Sample) -> Result<(), RenderError> {
        let Some(mut fields) = self.placed(line, &sample.place) else {
            return Ok(());
        };
        fields.extend([
            ("phase", word(&sample.phase)),
            ("slice", sample.slice.into()),
            ("at_ns", whole(sample.at_ns)),
            ("tokens", sample.tokens.into()),
            ("matrices", sample.matrices.into()),
            ("bytes", maybe(sample.bytes)),
            ("operations", maybe(sample.operations)),
            ("peak", known(sample.peak.as_deref(), text)),
            ("rescored_bytes", maybe(sample.rescored_bytes)),
            ("digest", known(sample.digest.as_deref(), text)),
        ]);
        match &sample.energy {
            Energy::Measured(window) => fields.extend([
                ("energy_source", text(&window.source)),
                ("energy_provenance", word(&window.provenance)),
                ("energy_window_ns", whole(window.window_ns)),
                ("energy_polls", window.polls.into()),
            ]),
            Energy::Unavailable { reason } => fields.push(("energy_reason", text(reason))),
        }
        if let Some(around) = &sample.surroundings {
            let celsius = around.temperature_millicelsius;
            fields.extend([
                ("span_ns", whole(around.span_ns)),
                ("looks_ns", whole(around.looks_ns)),
                ("worker_cpu_ns", maybe(around.worker_cpu_ns)),
                ("worker_system_ns", maybe(around.worker_system_ns)),
                ("harness_cpu_ns", maybe(around.harness_cpu_ns)),
                ("others_cpu_ns", maybe(around.others_cpu_ns)),
                ("steal_ns", maybe(around.steal_ns)),
                ("major_faults", maybe(around.major_faults)),
                ("minor_faults", maybe(around.minor_faults)),
                ("voluntary_switches", maybe(around.voluntary_switches)),
                ("involuntary_switches", maybe(around.involuntary_switches)),
                ("cpu_pressure_ns", maybe(around.cpu_pressure_ns)),
                ("memory_pressure_ns", maybe(around.memory_pressure_ns)),
                ("temperature_millicelsius", celsius.into()),
                ("throttles", maybe(around.throttles)),
                ("cpufreq_khz", maybe(around.cpufreq_khz)),
            ]);
        }
        self.insert("sample", &fields)?;
        self.durations(line, "repetition", &sample.durations_ns)?;
        self.durations(line, "step", &sample.token_durations_ns)?;
        if let Energy::Measured(window) = &sample.energy {
            self.domains(line, window)?;
        }
        if let Some(counters) = &sample.counters {
            self.events(line, counters)?;
        }
        Ok(())
    }

    /// Into the table and column of this name.
    fn durations(
        &self,
        line: u64,
        name: &'static str,
        durations_ns: &[u64],
    ) -> Result<(), RenderError> {
        for (number, duration_ns) in (0..).zip(durations_ns) {
            let fields = [
                ("line", whole(line)),
                (name, whole(number)),
                ("duration_ns", whole(*duration_ns)),
            ];
            self.insert(name, &fields)?;
        }
        Ok(())
    }

    fn domains(&self, line: u64, window: &WindowEnergy) -> Result<(), RenderError> {
        for (place, domain) in (0..).zip(&window.domains) {
            self.insert(
                "domain_energy",
                &[
                    ("line", whole(line)),
                    ("place", whole(place)),
                    ("name", text(&domain.name)),
                    ("kind", word(&domain.kind)),
                    ("counted", domain.counted.into()),
                    ("start_uj", whole(domain.start_uj)),
                    ("end_uj", maybe(domain.end_uj)),
                    ("start_ticks", maybe(domain.start_ticks)),
                    ("end_ticks", maybe(domain.end_ticks)),
                    ("wraps", domain.wraps.into()),
                    ("energy_uj", maybe(domain.energy_uj.map(|energy| energy.0))),
                    ("fault", known(domain.fault.as_deref(), text)),
                ],
            )?;
        }
        Ok(())
    }

    fn events(&self, line: u64, counters: &CounterReadings) -> Result<(), RenderError> {
        for (name, count) in &counters.counts {
            self.insert(
                "event",
                &[
                    ("line", whole(line)),
                    ("name", text(name)),
                    ("count", whole(count.count)),
                    ("enabled_ns", whole(count.enabled_ns)),
                    ("running_ns", whole(count.running_ns)),
                    ("user_only", count.user_only.into()),
                ],
            )?;
        }
        for (name, reason) in &counters.missing {
            let fields = [
                ("line", whole(line)),
                ("name", text(name)),
                ("missing", text(reason)),
            ];
            self.insert("event", &fields)?;
        }
        Ok(())
    }

    pub(super) fn memory(&self, line: u64, memory: &Memory) -> Result<(), RenderError> {
        let Some(mut fields) = self.placed(line, &memory.place) else {
            return Ok(());
        };
        fields.extend([
            ("peak_bytes", maybe(memory.peak_bytes)),
            ("anonymous_bytes", maybe(memory.anonymous_bytes)),
            ("file_bytes", maybe(memory.file_bytes)),
            ("allocated_peak_bytes", maybe(memory.allocated_peak_bytes)),
        ]);
        self.insert("memory", &fields)
    }

    pub(super) fn cold_start(&self, line: u64, cold: &ColdStart) -> Result<(), RenderError> {
        let Some(mut fields) = self.placed(line, &cold.place) else {
            return Ok(());
        };
        fields.extend([
            ("duration_ns", whole(cold.duration_ns)),
            ("file_bytes", whole(cold.file_bytes)),
            ("storage_bytes", maybe(cold.storage_bytes)),
        ]);
        self.insert("cold_start", &fields)
    }

    pub(super) fn outcome(&self, line: u64, outcome: &JobOutcome) -> Result<(), RenderError> {
        let Some(mut fields) = self.placed(line, &outcome.place) else {
            return Ok(());
        };
        let (word, reason) = match &outcome.outcome {
            Outcome::Measured => ("measured", Value::Null),
            Outcome::Skipped { reason } => ("skipped", text(reason)),
            Outcome::Failed { reason } => ("failed", text(reason)),
        };
        fields.extend([
            ("outcome", Value::Text(word.to_owned())),
            ("reason", reason),
        ]);
        self.insert("outcome", &fields)
    }
}

/// A whole number; those beyond 2^63 - 1, which SQLite does not have, as a floating-point number.
fn whole(number: u64) -> Value {
    i64::try_from(number).map_or(Value::Real(number as f64), Value::Integer)
}

fn maybe(number: Option<u64>) -> Value {
    number.map_or(Value::Null, whole)
}

/// A text without what a terminal would act on when somebody looks at the table.
fn text(text: &str) -> Value {
    Value::Text(plain(text))
}

fn known<T: ?Sized>(value: Option<&T>, as_value: impl Fn(&T) -> Value) -> Value {
    value.map_or(Value::Null, as_value)
}

/// The word that the record has for it.
fn word(value: &impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Value::Text(word),
        _ => Value::Null,
    }
}

fn list(words: &[String]) -> Result<Value, RenderError> {
    let words: Vec<String> = words.iter().map(|word| plain(word)).collect();
    Ok(Value::Text(serde_json::to_string(&words)?))
}
