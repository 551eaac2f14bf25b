//! Temperature of the CPU, and how often it slowed down for it.

use super::{Seen, number};
use crate::roots::{Roots, numbered, read};
use std::fs::File;
use std::path::PathBuf;

/// hwmon drivers that tell the temperature of a CPU, and the labels that mean all of it, the best first.
const SENSORS: [(&str, &[&str]); 6] = [
    ("coretemp", &["Package id "]),
    // Tctl can be offset from the temperature of the die.
    ("k10temp", &["Tdie", "Tctl"]),
    ("zenpower", &["Tdie", "Tctl"]),
    ("cpu_thermal", &[]),
    ("scpi_sensors", &["SoC"]),
    ("soc_thermal", &[]),
];
/// Types of thermal zones that are a CPU's.
const ZONES: [&str; 4] = ["x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal"];

/// The sensors that were found, kept open.
#[derive(Debug)]
pub(super) struct Heat {
    temperatures: Vec<(PathBuf, File)>,
    throttles: Vec<File>,
}

impl Heat {
    pub(super) fn open(roots: &Roots) -> Heat {
        let open = |path: PathBuf| Some((path.clone(), File::open(path).ok()?));
        let mut temperatures: Vec<_> = hwmon(roots).into_iter().filter_map(open).collect();
        if temperatures.is_empty() {
            temperatures = zones(roots).into_iter().filter_map(open).collect();
        }
        let mut throttles = Vec::new();
        for (_, cpu) in numbered(&roots.sys("devices/system/cpu"), "cpu") {
            for name in ["core_throttle_count", "package_throttle_count"] {
                throttles.extend(File::open(cpu.join("thermal_throttle").join(name)).ok());
            }
        }
        Heat {
            temperatures,
            throttles,
        }
    }

    /// The hottest sensor, in thousandths of a degree Celsius.
    pub(super) fn temperature(&self) -> Option<i64> {
        let read = |(_, file): &(PathBuf, File)| super::again(file)?.trim().parse::<i64>().ok();
        self.temperatures.iter().filter_map(read).max()
    }

    /// Every throttle counter.
    pub(super) fn throttles(&self) -> Vec<Option<u64>> {
        self.throttles.iter().map(number).collect()
    }

    pub(super) fn seen_temperature(&self, roots: &Roots) -> Seen {
        let found = self.temperature().and(self.temperatures.first());
        Seen {
            name: "temperature",
            state: found.map(|(path, _)| path.display().to_string()).ok_or_else(|| {
                format!(
                    "no sensor of a CPU under {} or {}",
                    roots.sys("class/hwmon").display(),
                    roots.sys("class/thermal").display()
                )
            }),
            fix: found.is_none().then_some(
                "sudo modprobe coretemp (Intel) or sudo modprobe k10temp (AMD); a virtual machine has none",
            ),
        }
    }

    pub(super) fn seen_throttles(&self, roots: &Roots) -> Seen {
        let folder = roots.sys("devices/system/cpu/cpu*/thermal_throttle");
        Seen {
            name: "throttling",
            state: if self.throttles().iter().any(Option::is_some) {
                Ok(folder.display().to_string())
            } else {
                Err(format!(
                    "no {}: only the kernel's driver for Intel CPUs counts it",
                    folder.display()
                ))
            },
            fix: None,
        }
    }
}

/// The largest difference of a throttle counter; nothing where there is none.
pub(super) fn throttled(before: &[Option<u64>], now: &[Option<u64>]) -> Option<u64> {
    let pairs = before.iter().zip(now);
    pairs
        .filter_map(|(before, now)| Some((*now)?.saturating_sub((*before)?)))
        .max()
}

fn hwmon(roots: &Roots) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (_, chip) in numbered(&roots.sys("class/hwmon"), "hwmon") {
        let Some(name) = read(&chip.join("name")) else {
            continue;
        };
        let Some((_, labels)) = SENSORS.iter().find(|(known, _)| *known == name) else {
            continue;
        };
        let inputs = inputs(&chip);
        let of_label = |wanted: &str| -> Vec<PathBuf> {
            let labelled = inputs.iter().filter(|(label, _)| {
                label
                    .as_deref()
                    .is_some_and(|label| label.starts_with(wanted))
            });
            labelled.map(|(_, path)| path.clone()).collect()
        };
        let best = labels
            .iter()
            .map(|label| of_label(label))
            .find(|l| !l.is_empty());
        // A chip without those labels: its hottest sensor.
        found.extend(best.unwrap_or_else(|| inputs.iter().map(|(_, path)| path.clone()).collect()));
    }
    found
}

/// The temperature inputs of a chip with their labels.
fn inputs(chip: &std::path::Path) -> Vec<(Option<String>, PathBuf)> {
    let input = |number: u32| {
        let path = chip.join(format!("temp{number}_input"));
        let label = read(&chip.join(format!("temp{number}_label")));
        path.exists().then_some((label, path))
    };
    (1..=128).filter_map(input).collect()
}

fn zones(roots: &Roots) -> Vec<PathBuf> {
    let zones = numbered(&roots.sys("class/thermal"), "thermal_zone").into_iter();
    let of_cpu = zones.filter(|(_, zone)| {
        read(&zone.join("type")).is_some_and(|kind| ZONES.contains(&kind.as_str()))
    });
    of_cpu.map(|(_, zone)| zone.join("temp")).collect()
}
