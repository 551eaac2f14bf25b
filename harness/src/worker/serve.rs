//! The embedded engine as a worker.

use super::protocol::{LoadedReply, ModelSource, PROTOCOL, Reply, Request, WindowReply};
use bitbench_engine::cpu::{Cpu, Unsupported};
use bitbench_engine::model::Model;
use bitbench_engine::network::{HeadOptions, Network};
use bitbench_engine::session::{Session, greedy};
use bitbench_engine::{heads, kernels};
use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
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
        session: None,
        prepared: None,
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
    session: Option<Session>,
    /// Positions of the prepared prompt and the token that follows it.
    prepared: Option<(usize, u32)>,
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
                positions,
            } => {
                let choice =
                    heads::find(&head).ok_or_else(|| format!("there is no head `{head}`"))?;
                let head = HeadOptions {
                    choice,
                    portable: portable_head,
                };
                self.load(&model, &kernel, head, threads, positions)
            }
            Request::Check {
                prompt,
                continuation,
                logits,
            } => {
                let session = self.session()?;
                let file =
                    File::create(&logits).map_err(|e| format!("{}: {e}", logits.display()))?;
                let mut file = BufWriter::new(file);
                session.truncate(0);
                let batches = std::iter::once(&prompt[..]).chain(continuation.chunks(1));
                for batch in batches {
                    let row = session.run(batch).map_err(|e| e.to_string())?;
                    for value in row {
                        file.write_all(&value.to_le_bytes())
                            .map_err(|e| format!("{}: {e}", logits.display()))?;
                    }
                    let expected = greedy(row);
                    let token = session.greedy().map_err(|e| e.to_string())?;
                    if token != expected {
                        let head = session.network().head().name;
                        return Err(format!(
                            "the {head} head chooses token {token} where its logits say {expected}"
                        ));
                    }
                }
                file.flush()
                    .map_err(|e| format!("{}: {e}", logits.display()))?;
                Ok(Reply::Done)
            }
            Request::Prefill { prompt, least_ns } => {
                let session = self.session()?;
                measure(least_ns, || {
                    session.truncate(0);
                    let start = Instant::now();
                    let token = session.run_greedy(&prompt).map_err(|e| e.to_string())?;
                    Ok((start.elapsed(), vec![token], Vec::new()))
                })
            }
            Request::PrepareDecode { prompt } => {
                let session = self.session()?;
                session.truncate(0);
                let token = session.run_greedy(&prompt).map_err(|e| e.to_string())?;
                self.prepared = Some((prompt.len(), token));
                Ok(Reply::Done)
            }
            Request::Decode { tokens, least_ns } => {
                let (positions, first) = self.prepared.ok_or("no prompt was prepared")?;
                let session = self.session()?;
                let head_bytes = session.head_bytes();
                let reply = measure(least_ns, || {
                    session.truncate(positions);
                    let mut generated = Vec::with_capacity(tokens as usize);
                    let mut token_durations = Vec::with_capacity(tokens as usize);
                    let mut token = first;
                    let start = Instant::now();
                    let mut last = start;
                    for _ in 0..tokens {
                        token = session.run_greedy(&[token]).map_err(|e| e.to_string())?;
                        generated.push(token);
                        let now = Instant::now();
                        token_durations.push(nanoseconds(now - last));
                        last = now;
                    }
                    Ok((last - start, generated, token_durations))
                })?;
                let head_bytes = session.head_bytes() - head_bytes;
                let stream_bytes = session.network().head_stream_bytes();
                Ok(with_rescored(reply, head_bytes, stream_bytes, tokens))
            }
            Request::ReadBandwidth { least_ns } => {
                let cpu = self.cpu;
                let session = self.session()?;
                let mut reply = WindowReply::default();
                let begin = Instant::now();
                while !enough(&reply, begin, least_ns) {
                    let start = Instant::now();
                    let bytes = session.network().read_weights(&cpu, session.pool());
                    reply.durations_ns.push(nanoseconds(start.elapsed()));
                    reply.bytes = Some(bytes);
                }
                Ok(Reply::Window(reply))
            }
            Request::ComputePeak { least_ns } => {
                let cpu = self.cpu;
                let session = self.session()?;
                let (kernel, pool) = (session.network().kernel(), session.pool());
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
        threads: u32,
        positions: u32,
    ) -> Result<Reply, String> {
        let start = Instant::now();
        let kernel = kernels::find(kernel)
            .ok_or_else(|| format!("there is no kernel variant `{kernel}`"))?;
        self.session = None;
        let model = match model {
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
        let session = Session::new(
            Arc::new(network),
            threads.max(1) as usize,
            positions as usize,
        )
        .map_err(|e| e.to_string())?;
        let duration_ns = nanoseconds(start.elapsed());
        let network = self.session.insert(session).network();
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
        }))
    }

    fn session(&mut self) -> Result<&mut Session, String> {
        self.session
            .as_mut()
            .ok_or_else(|| "no model was loaded".to_owned())
    }
}

/// What one repetition gives: its duration, its tokens, and the duration of each token.
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
        let (duration, tokens, token_durations) = repeat()?;
        reply.durations_ns.push(nanoseconds(duration));
        reply.token_durations_ns.extend(token_durations);
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

fn enough(reply: &WindowReply, begin: Instant, least_ns: u64) -> bool {
    let repetitions = reply.durations_ns.len();
    repetitions >= MOST_REPETITIONS || (repetitions > 0 && nanoseconds(begin.elapsed()) >= least_ns)
}

/// Hash of tokens, as little-endian 32-bit numbers.
fn digest(tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    format!("blake3:{}", blake3::hash(&bytes).to_hex())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
