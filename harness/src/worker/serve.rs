//! The embedded engine as a worker.

use super::burn::Burn;
use super::layer::Layer;
use super::pinned;
use super::protocol::{LoadedReply, ModelSource, PROTOCOL, Reply, Request, WindowReply};
use crate::memory;
use crate::suite::LayerShape;
use bitbench_engine::batch::Batch;
use bitbench_engine::cpu::{Cpu, Unsupported};
use bitbench_engine::model::{Config, Model};
use bitbench_engine::network::{HeadOptions, Network};
use bitbench_engine::session::greedy;
use bitbench_engine::{heads, kernels};
use bitbench_reports::record::NetworkShape;
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most repetitions of a window: a window never grows without bound, however fast the work.
const MOST_REPETITIONS: usize = 100_000;

/// Shortest repetition of the compute peak: far longer than it takes to start the threads on it.
const PEAK_REPETITION: Duration = Duration::from_millis(2);

/// Answers requests until standard input ends.
///
/// # Errors
/// If the streams fail.
pub fn serve(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    die_with_parent();
    let mut worker = Worker {
        cpu: Cpu::detect(),
        batch: None,
        layer: None,
        prepared: None,
        burn: Burn::default(),
    };
    for line in input.lines() {
        let reply = match serde_json::from_str(&line?) {
            Ok(request) => worker
                .answer(request)
                .unwrap_or_else(|message| Reply::Error { message }),
            Err(e) => Reply::Error {
                message: format!("not a request: {e}"),
            },
        };
        serde_json::to_writer(&mut output, &reply)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// A worker whose harness was killed must not go on computing beside the next run.
#[cfg(target_os = "linux")]
fn die_with_parent() {
    // A refusal leaves the end of standard input as the signal, which comes later but comes.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() {}

struct Worker {
    cpu: Cpu,
    batch: Option<Batch>,
    /// In the place of a network.
    layer: Option<Layer>,
    /// Positions of the prepared prompts, and the token that follows each.
    prepared: Option<(Vec<usize>, Vec<u32>)>,
    burn: Burn,
}

impl Worker {
    fn answer(&mut self, request: Request) -> Result<Reply, String> {
        match request {
            Request::Hello => Ok(Reply::Hello {
                name: "bitbench".to_owned(),
                version: crate::VERSION.to_owned(),
                protocol: PROTOCOL,
            }),
            Request::Load {
                model,
                kernel,
                head,
                portable_head,
                threads,
                sequences,
                positions,
                cpus,
                burn_percent,
            } => {
                #[cfg(feature = "slow-kernel")]
                let burn_percent = burn_percent.or_else(|| super::burn::of_kernel(&kernel));
                self.burn = Burn::percent(burn_percent.unwrap_or(0.0));
                let choice =
                    heads::find(&head).ok_or_else(|| format!("there is no head `{head}`"))?;
                let head = HeadOptions {
                    choice,
                    portable: portable_head,
                };
                let room = Room {
                    threads,
                    sequences,
                    positions,
                    cpus,
                };
                self.load(&model, &kernel, head, &room)
            }
            Request::Check {
                prompts,
                continuations,
                logits,
            } => {
                check(self.batch()?, &prompts, &continuations, &logits)?;
                Ok(Reply::Done)
            }
            Request::Prefill { prompts, least_ns } => {
                let burn = self.burn;
                let batch = self.batch()?;
                measure(least_ns, || {
                    let start = Instant::now();
                    let work = burn.begin();
                    let tokens = prefill(batch, &prompts)?;
                    work.end();
                    Ok((start.elapsed(), tokens, Vec::new()))
                })
            }
            Request::PrepareDecode { prompts } => {
                let tokens = prefill(self.batch()?, &prompts)?;
                self.prepared = Some((prompts.iter().map(Vec::len).collect(), tokens));
                Ok(Reply::Done)
            }
            Request::Decode { tokens, least_ns } => {
                let (positions, first) = self.prepared.clone().ok_or("no prompt was prepared")?;
                let burn = self.burn;
                let batch = self.batch()?;
                let head_bytes = batch.head_bytes();
                let reply = measure(least_ns, || {
                    for (sequence, positions) in positions.iter().enumerate() {
                        batch.truncate(sequence, *positions);
                    }
                    let start = Instant::now();
                    let (generated, step_durations) = decode(batch, first.clone(), tokens, burn)?;
                    Ok((start.elapsed(), generated, step_durations))
                })?;
                let head_bytes = batch.head_bytes() - head_bytes;
                let stream_bytes = batch.network().head_stream_bytes();
                Ok(with_rescored(reply, head_bytes, stream_bytes, tokens))
            }
            Request::Whole {
                prompts,
                tokens,
                least_ns,
            } => {
                let burn = self.burn;
                let batch = self.batch()?;
                measure(least_ns, || {
                    let start = Instant::now();
                    let work = burn.begin();
                    let first = prefill(batch, &prompts)?;
                    work.end();
                    let mut generated = first.clone();
                    let (others, _) = decode(batch, first, tokens.saturating_sub(1), burn)?;
                    generated.extend(others);
                    Ok((start.elapsed(), generated, Vec::new()))
                })
            }
            Request::CheckProducts { products } => {
                let layer = self.layer()?;
                layer.multiply(1);
                write(&products, layer.products())?;
                Ok(Reply::Done)
            }
            Request::Multiply { least_ns } => {
                let burn = self.burn;
                let layer = self.layer()?;
                layer.window(least_ns, burn)
            }
            Request::Allocated => Ok(Reply::Allocated {
                peak_bytes: memory::allocated_peak(),
            }),
            Request::ReadBandwidth { least_ns } => {
                let mut reply = WindowReply::default();
                let begin = Instant::now();
                while !enough(&reply, begin, least_ns) {
                    let start = Instant::now();
                    let bytes = self.read_weights()?;
                    reply.durations_ns.push(nanoseconds(start.elapsed()));
                    reply.bytes = Some(bytes);
                }
                Ok(Reply::Window(reply))
            }
            Request::ComputePeak { least_ns } => {
                let cpu = self.cpu;
                let (kernel, pool) = match (&self.layer, &self.batch) {
                    (Some(layer), _) => (layer.kernel(), layer.pool()),
                    (None, Some(batch)) => (batch.network().kernel(), batch.pool()),
                    (None, None) => return Err(NOTHING_LOADED.to_owned()),
                };
                let peak = kernel
                    .peak()
                    .ok_or_else(|| format!("no multiply-add peak is known for {}", kernel.name))?;
                let lacks = |missing: Unsupported| missing.to_string();
                let repeats = peak
                    .repeats_for(&cpu, pool, PEAK_REPETITION)
                    .map_err(lacks)?;
                let mut reply = WindowReply {
                    peak: Some(peak.name.to_owned()),
                    ..WindowReply::default()
                };
                let begin = Instant::now();
                while !enough(&reply, begin, least_ns) {
                    let start = Instant::now();
                    let operations = peak.run(&cpu, pool, repeats).map_err(lacks)?;
                    reply.durations_ns.push(nanoseconds(start.elapsed()));
                    reply.operations = Some(operations);
                }
                Ok(Reply::Window(reply))
            }
        }
    }

    fn load(
        &mut self,
        model: &ModelSource,
        kernel: &str,
        head: HeadOptions,
        room: &Room,
    ) -> Result<Reply, String> {
        let start = Instant::now();
        let kernel = kernels::find(kernel)
            .ok_or_else(|| format!("there is no kernel variant `{kernel}`"))?;
        (self.batch, self.layer) = (None, None);
        let model = match model {
            &ModelSource::Layer {
                rows,
                columns: cols,
                seed,
            } => {
                let (pool, cpus) = pinned::pool(room.threads.max(1) as usize, &room.cpus)?;
                let shape = LayerShape { rows, cols };
                let layer = Layer::pack(shape, seed, kernel, room.sequences, &self.cpu, pool)?;
                let duration_ns = nanoseconds(start.elapsed());
                let reply = layer.loaded(duration_ns, cpus);
                self.layer = Some(layer);
                return Ok(Reply::Loaded(reply));
            }
            ModelSource::Synthetic { shape, seed } => {
                let config = shape.config().map_err(|e| e.to_string())?;
                Model::synthetic(&config, shape.tied_head, *seed)
            }
            ModelSource::File { path, ternarize } => {
                crate::models::open(path, *ternarize)
                    .map_err(|e| e.to_string())?
                    .model
            }
        };
        let network =
            Network::pack_with_head(&model, kernel, head, &self.cpu).map_err(|e| e.to_string())?;
        // The file is not needed any more; letting go of it before the windows keeps its pages out of the figures.
        drop(model);
        let (pool, cpus) = pinned::pool(room.threads.max(1) as usize, &room.cpus)?;
        let batch = Batch::on(
            Arc::new(network),
            pool,
            room.sequences.max(1) as usize,
            room.positions as usize,
        )
        .map_err(|e| e.to_string())?;
        let duration_ns = nanoseconds(start.elapsed());
        let network = self.batch.insert(batch).network();
        Ok(Reply::Loaded(LoadedReply {
            duration_ns,
            parameters: network.parameters(),
            linear_weights: network.config().linear_weights(),
            linear_bytes: network.linear_bytes(),
            weights_bytes: network.weights_bytes(),
            weights_bytes_per_token: network.weights_bytes_per_token(),
            kv_bytes_per_position: network.kv_bytes_per_position(),
            head_bytes_per_token: network.head_stream_bytes(),
            head_kernel: network.head_kernel(),
            shape: Some(shape_of(network.config())),
            cpus,
        }))
    }

    fn batch(&mut self) -> Result<&mut Batch, String> {
        self.batch.as_mut().ok_or_else(|| NOTHING_LOADED.to_owned())
    }

    fn layer(&mut self) -> Result<&mut Layer, String> {
        self.layer
            .as_mut()
            .ok_or_else(|| "no layer was loaded".to_owned())
    }

    /// Reads all packed weights once, and gives the number of bytes.
    fn read_weights(&mut self) -> Result<u64, String> {
        if let Some(layer) = &self.layer {
            return Ok(layer.read());
        }
        let cpu = self.cpu;
        let batch = self.batch()?;
        Ok(batch.network().read_weights(&cpu, batch.pool()))
    }
}

const NOTHING_LOADED: &str = "no model was loaded";

/// Writes numbers, little-endian.
fn write(path: &Path, numbers: &[f32]) -> Result<(), String> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    std::fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// What a loaded network is to have beside its weights.
struct Room {
    threads: u32,
    sequences: u32,
    positions: u32,
    /// A CPU for each thread, or none for any.
    cpus: Vec<u32>,
}

/// The dimensions that models of energy rest on.
pub fn shape_of(config: &Config) -> NetworkShape {
    NetworkShape {
        layers: config.layers as u64,
        hidden: config.hidden as u64,
        ffn: config.ffn as u64,
        ffn_matrices: if config.has_gate() { 3 } else { 2 },
        heads: config.heads as u64,
        kv_heads: config.kv_heads as u64,
        head_dim: config.head_dim as u64,
        vocab: config.vocab as u64,
    }
}

/// Runs the prompts from empty caches and gives the token that follows each.
fn prefill(batch: &mut Batch, prompts: &[Vec<u32>]) -> Result<Vec<u32>, String> {
    let prompts = of_each(batch, prompts)?;
    for sequence in 0..batch.sequences() {
        batch.truncate(sequence, 0);
    }
    batch.advance(&prompts).map_err(|e| e.to_string())?;
    batch.greedy().map_err(|e| e.to_string())
}

/// Generates so many tokens of each sequence after the given ones; gives them step by step, and the duration of each step.
fn decode(
    batch: &mut Batch,
    first: Vec<u32>,
    tokens: u32,
    burn: Burn,
) -> Result<(Vec<u32>, Vec<u64>), String> {
    let mut generated = Vec::with_capacity(tokens as usize * first.len());
    let mut durations = Vec::with_capacity(tokens as usize);
    let mut newest = first;
    let mut last = Instant::now();
    for _ in 0..tokens {
        let work = burn.begin();
        let next: Vec<&[u32]> = newest.chunks(1).collect();
        batch.advance(&next).map_err(|e| e.to_string())?;
        newest = batch.greedy().map_err(|e| e.to_string())?;
        generated.extend_from_slice(&newest);
        work.end();
        let now = Instant::now();
        durations.push(nanoseconds(now - last));
        last = now;
    }
    Ok((generated, durations))
}

/// The tokens of each sequence, none without.
fn of_each<'t>(batch: &Batch, tokens: &'t [Vec<u32>]) -> Result<Vec<&'t [u32]>, String> {
    let given = tokens.iter().filter(|tokens| !tokens.is_empty()).count();
    if given != batch.sequences() || tokens.len() != given {
        return Err(format!(
            "tokens of {given} sequences for the {} that were loaded",
            batch.sequences()
        ));
    }
    Ok(tokens.iter().map(Vec::as_slice).collect())
}

/// Runs prompts and continuations and writes the logits after the prompts and after each step, `[1 + tokens][sequences][vocab]`.
fn check(
    batch: &mut Batch,
    prompts: &[Vec<u32>],
    continuations: &[Vec<u32>],
    path: &Path,
) -> Result<(), String> {
    let cannot_write = |e: io::Error| format!("{}: {e}", path.display());
    let mut file = BufWriter::new(File::create(path).map_err(cannot_write)?);
    let continuations = of_each(batch, continuations)?;
    let steps = continuations.iter().map(|tokens| tokens.len()).min();
    let mut chosen = prefill(batch, prompts)?;
    for step in 0..=steps.unwrap_or(0) {
        if let Some(step) = step.checked_sub(1) {
            let next: Vec<&[u32]> = continuations.iter().map(|all| &all[step..=step]).collect();
            batch.advance(&next).map_err(|e| e.to_string())?;
            chosen = batch.greedy().map_err(|e| e.to_string())?;
        }
        let (head, vocab) = (batch.network().head().name, batch.network().config().vocab);
        let logits = batch.logits().map_err(|e| e.to_string())?;
        for (row, token) in logits.chunks_exact(vocab).zip(&chosen) {
            for value in row {
                file.write_all(&value.to_le_bytes()).map_err(cannot_write)?;
            }
            let expected = greedy(row);
            if !says(row, *token, expected, chosen.len()) {
                return Err(format!(
                    "the {head} head chooses token {token} where its logits say {expected}"
                ));
            }
        }
    }
    file.flush().map_err(cannot_write)
}

/// Whether logits say that `token` is the choice where `expected` has the largest. A head that rules tokens out computes the
/// logits that are left of one sequence after the other; several together are added up in another order, so that two logits
/// that are equal but for that may change places.
fn says(logits: &[f32], token: u32, expected: u32, sequences: usize) -> bool {
    let (Some(chosen), Some(largest)) = (logits.get(token as usize), logits.get(expected as usize))
    else {
        return false;
    };
    token == expected || (sequences > 1 && largest - chosen <= 1e-5 * largest.abs())
}

/// What one repetition gives: its duration, its tokens, and the duration of each step.
type Repetition = (Duration, Vec<u32>, Vec<u64>);

/// Repeats work until the window is long enough. Equal work must give equal tokens.
fn measure(
    least_ns: u64,
    mut repeat: impl FnMut() -> Result<Repetition, String>,
) -> Result<Reply, String> {
    let mut reply = WindowReply::default();
    let mut first: Option<Vec<u32>> = None;
    let begin = Instant::now();
    while !enough(&reply, begin, least_ns) {
        let (duration, tokens, step_durations) = repeat()?;
        reply.durations_ns.push(nanoseconds(duration));
        reply.token_durations_ns.extend(step_durations);
        match &first {
            None => first = Some(tokens),
            Some(first) if *first != tokens => {
                return Err("two repetitions gave different tokens".to_owned());
            }
            Some(_) => {}
        }
    }
    reply.digest = first.map(|tokens| digest(&tokens));
    Ok(Reply::Window(reply))
}

/// Adds what the head read beyond the bytes of every token; nothing where it reads the same for every token.
fn with_rescored(reply: Reply, head_bytes: u64, stream_bytes: u64, tokens: u32) -> Reply {
    match reply {
        Reply::Window(mut window) => {
            let steps = window.durations_ns.len() as u64 * u64::from(tokens);
            let beyond = head_bytes.saturating_sub(steps * stream_bytes);
            window.rescored_bytes = (beyond > 0).then_some(beyond);
            Reply::Window(window)
        }
        other => other,
    }
}

pub(super) fn enough(reply: &WindowReply, begin: Instant, least_ns: u64) -> bool {
    let repetitions = reply.durations_ns.len();
    repetitions >= MOST_REPETITIONS || (repetitions > 0 && nanoseconds(begin.elapsed()) >= least_ns)
}

/// Hash of tokens, as little-endian 32-bit numbers.
fn digest(tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    format!("blake3:{}", blake3::hash(&bytes).to_hex())
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
