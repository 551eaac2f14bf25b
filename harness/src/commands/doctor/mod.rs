//! `bitbench doctor`: what can be measured here, what cannot, and what would help.

mod advice;
mod examined;

use super::energy::EnergyArguments;
use super::{Code, CommandError};
use crate::noise::{self, Noise};
use crate::{host, probe, roofline};
use anyhow::Context;
use bitbench_engine::cpu::Cpu;
use bitbench_reports::record::Host;
use examined::Examined;
use std::time::Duration;

/// Seconds of `--noise` without a number.
const NOISE_S: &str = "20";
/// Characters of a line.
const WIDTH: usize = 80;

/// Arguments of `bitbench doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bitbench doctor
  bitbench doctor --noise --probe
  bitbench doctor --json --require energy,quiet

Exit codes: 0 what is required can be measured; 3 with --require energy where no energy counter can be read; \
5 with --require quiet where the machine is too noisy to compare kernels.")]
pub struct Arguments {
    /// Measure for so long how noisy the machine is [default without a number: 20]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = NOISE_S, value_parser = seconds)]
    noise: Option<f64>,
    /// Measure what a barrier costs and what memory gives, by number of threads
    #[arg(long)]
    probe: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    /// Fail unless this is so: energy (exit code 3), quiet (exit code 5; implies --noise)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    require: Vec<Requirement>,
    #[command(flatten)]
    energy: EnergyArguments,
}

/// What a script can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Requirement {
    /// An energy counter can be read.
    Energy,
    /// Kernels can be compared.
    Quiet,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if (1.0..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("1 to 3600 seconds".to_owned())
    }
}

/// Prints what the machine is and can do.
///
/// # Errors
/// See [`CommandError`].
pub fn doctor(arguments: &Arguments) -> Result<Code, CommandError> {
    let cpu = Cpu::detect();
    let host = host::capture(&cpu);
    let mut examined = Examined::of(host, &cpu, &arguments.energy.surveyed()?);
    let mut code = Code::Done;
    if !arguments.json {
        code = print(&examined, &arguments.energy)?;
    }
    if arguments.probe {
        let threads = roofline::default_threads(examined.host.physical_cores);
        let probed = probe::measure(&cpu, &threads)
            .context("probe")
            .map_err(CommandError::internal)?;
        examined.probe = Some(probed);
        if !arguments.json {
            print_probe(&examined);
        }
    }
    let quiet = arguments.require.contains(&Requirement::Quiet);
    let length = arguments
        .noise
        .or_else(|| quiet.then(|| NOISE_S.parse().unwrap_or(20.0)));
    if let Some(length) = length {
        if !arguments.json {
            say!("Noise");
            tell!("  measuring for {length:.0} s ...");
        }
        let threads = examined.host.physical_cores.max(1);
        let noise = noise::measure(&cpu, threads, Duration::from_secs_f64(length))
            .context("noise")
            .map_err(CommandError::internal)?;
        if !arguments.json {
            print_noise(&noise);
        }
        examined.noise = Some(noise);
    }
    if arguments.json {
        let text = serde_json::to_string_pretty(&examined).map_err(CommandError::internal)?;
        say!("{text}");
    }
    Ok(match required(&arguments.require, &examined) {
        Code::Done => code,
        code => code,
    })
}

/// Energy before noise: where it is absent there is no need to wait for quiet.
fn required(required: &[Requirement], examined: &Examined) -> Code {
    let no_energy = !examined
        .energy
        .iter()
        .any(|source| source.status == "chosen");
    if required.contains(&Requirement::Energy) && no_energy {
        return Code::NoEnergy;
    }
    let noisy = examined.noise.as_ref().is_some_and(Noise::is_too_noisy);
    if required.contains(&Requirement::Quiet) && noisy {
        return Code::Noisy;
    }
    Code::Done
}

fn print(examined: &Examined, energy: &EnergyArguments) -> Result<Code, CommandError> {
    print_machine(&examined.host);
    say!("Kernels");
    for kernel in &examined.kernels {
        match &kernel.missing {
            None => say!("  {:<16} runs here", kernel.name),
            Some(missing) => say!("  {:<16} cannot run: {missing}", kernel.name),
        }
    }
    say!("Energy");
    let code = energy.print_doctor()?;
    say!("Around each window");
    for seen in &examined.around_windows {
        match &seen.missing {
            None => say!(
                "  {:<28} {}",
                seen.name,
                seen.note.as_deref().unwrap_or("read")
            ),
            Some(missing) => {
                say!("  {:<28} absent", seen.name);
                paragraph("    why: ", missing);
                seen.fix.iter().for_each(|fix| say!("    fix: {fix}"));
            }
        }
    }
    say!("Advice");
    if examined.advice.is_empty() {
        say!("  nothing seen that would disturb a measurement");
    }
    for advice in &examined.advice {
        paragraph("  ", &advice.text);
        advice.fix.iter().for_each(|fix| say!("    fix: {fix}"));
    }
    Ok(code)
}

fn print_machine(host: &Host) {
    say!("Machine");
    for (name, fact) in host.stable_facts() {
        paragraph("  ", &format!("{name}: {fact}"));
    }
    let gigabytes = |bytes: Option<u64>| {
        bytes.map_or("unknown".to_owned(), |b| {
            format!("{:.1} GB", to_gigabytes(b))
        })
    };
    say!(
        "  memory: {}, {} available",
        gigabytes(host.memory_bytes),
        gigabytes(host::available_memory())
    );
    let moment = host.moment.as_ref();
    let temperature = moment.and_then(|m| m.temperature_millicelsius);
    let now = [
        host.load_centi
            .map(|load| format!("load {}.{:02}", load / 100, load % 100)),
        moment
            .and_then(|m| m.steal_per_mille)
            .map(|steal| format!("steal since boot {}.{} %", steal / 10, steal % 10)),
        temperature.map(|t| format!("{} degrees Celsius", t / 1000)),
        moment
            .and_then(|m| m.khz)
            .map(|(low, high)| format!("clocks {} to {} MHz", low / 1000, high / 1000)),
    ];
    let now: Vec<String> = now.into_iter().flatten().collect();
    if !now.is_empty() {
        paragraph("  ", &format!("now: {}", now.join(", ")));
    }
    if let Some(fingerprint) = &host.fingerprint {
        // Enough of it to compare by eye.
        say!(
            "  fingerprint: {}",
            fingerprint.chars().take(23).collect::<String>()
        );
    }
}

fn print_probe(examined: &Examined) {
    say!("Probe");
    for probe in examined.probe.iter().flatten() {
        // One thread waits for no other.
        let barrier = match probe.threads {
            1 => String::new(),
            _ => format!("a barrier takes {:.2} us, ", probe.barrier_us),
        };
        say!(
            "  {:>3} {}: {barrier}memory gives {:.1} GB/s",
            probe.threads,
            if probe.threads == 1 {
                "thread"
            } else {
                "threads"
            },
            probe.read_gb_per_second
        );
    }
}

fn print_noise(noise: &Noise) {
    let score = format!(
        "{}: figures that differ by less than {:.1} % cannot be told apart here ({} windows of 1/8 s on {} threads; \
         computing {:.1} %, memory {:.1} %)",
        noise.word(),
        noise.percent(),
        noise.windows,
        noise.threads,
        noise.compute_percent,
        noise.memory_percent
    );
    paragraph("  ", &score);
    let cores =
        |cores: Option<f64>| cores.map_or("unknown".to_owned(), |c| format!("{c:.2} of a core"));
    let around = format!(
        "wake-ups {:.0} us late, one in a hundred {:.0} us; other processes {}, steal {}",
        noise.wake_up_us,
        noise.late_wake_up_us,
        cores(noise.others_cores),
        cores(noise.stolen_cores)
    );
    paragraph("  ", &around);
    for advice in noise.advice() {
        paragraph("  advice: ", &advice);
    }
}

/// Prints a text in lines of [`WIDTH`] characters; those after the first are indented by six.
fn paragraph(start: &str, text: &str) {
    let mut line = start.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            say!("{line}");
            line = "      ".to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    say!("{line}");
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn to_gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}
