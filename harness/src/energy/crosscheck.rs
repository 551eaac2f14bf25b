//! powercap against perf: two ways to the same registers, which must say the same.

use super::sysfs::SysFs;
use super::window::OpenWindow;
use super::{EnergySource, SourceKind};
use bitbench_reports::record::{Energy, WindowEnergy};
use std::fmt;
use std::time::Duration;

/// The two sources.
const PAIR: [&str; 2] = ["powercap", "perf"];

/// How long both are read: a thousand updates, so that they agree to 0.1 % where both are right.
const TIME: Duration = Duration::from_secs(1);

/// Largest relative difference that is not pointed out.
const TOLERANCE: f64 = 0.02;

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossCheck {
    names: [String; 2],
    /// Each domain that both count, and the power of the first source over that of the second; or why there is none.
    ratios: Vec<(String, Result<f64, String>)>,
}

/// Compares powercap with perf where both can be opened, which takes a second.
pub fn cross_check(sys: &SysFs) -> Option<CrossCheck> {
    let open = |name| {
        let kind = SourceKind::find(name)?;
        (kind.open)(sys, "").ok()
    };
    let [mut first, mut second] = [open(PAIR[0])?, open(PAIR[1])?];
    Some(CrossCheck::of(first.as_mut(), second.as_mut(), TIME))
}

/// Whether a source has another that it can be held against.
pub fn has_partner(name: &str) -> bool {
    PAIR.contains(&name)
}

impl CrossCheck {
    /// Reads two sources at the same moments, `time` apart.
    pub fn of(
        first: &mut dyn EnergySource,
        second: &mut dyn EnergySource,
        time: Duration,
    ) -> CrossCheck {
        let one = OpenWindow::open(first.snapshot());
        let other = OpenWindow::open(second.snapshot());
        std::thread::sleep(time);
        let one = one.close(first.snapshot(), first.info());
        let other = other.close(second.snapshot(), second.info());
        let (one_info, other_info) = (first.info(), second.info());
        let counted = one_info.domains.iter().filter(|d| d.info.counted);
        let shared = counted.filter(|d| {
            other_info
                .domains
                .iter()
                .any(|o| o.info.name == d.info.name)
        });
        let ratio = |name: &str| {
            let (one, other) = (watts(&one, name)?, watts(&other, name)?);
            Ok(one / other)
        };
        CrossCheck {
            names: [one_info.name, other_info.name].map(str::to_owned),
            ratios: shared
                .map(|d| (d.info.name.clone(), ratio(&d.info.name)))
                .collect(),
        }
    }

    /// Whether they differ by more than 2 % somewhere.
    pub fn differs(&self) -> bool {
        let off = |ratio: &f64| (ratio - 1.0).abs() > TOLERANCE;
        self.ratios
            .iter()
            .filter_map(|(_, r)| r.as_ref().ok())
            .any(off)
    }
}

/// The mean power of a domain.
fn watts(energy: &Energy, name: &str) -> Result<f64, String> {
    let window: &WindowEnergy = match energy {
        Energy::Measured(window) => window,
        Energy::Unavailable { reason } => return Err(reason.clone()),
    };
    let domain = window.domains.iter().find(|d| d.name == name);
    let domain = domain.ok_or_else(|| "no reading".to_owned())?;
    let fault = || domain.fault.clone().unwrap_or_default();
    let joules = domain.energy_uj.ok_or_else(fault)?.joules();
    Ok(joules / Duration::from_nanos(window.window_ns).as_secs_f64())
}

impl fmt::Display for CrossCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = &self.names;
        if self.differs() {
            let percent = 100.0 * TOLERANCE;
            write!(
                f,
                "{first} and {second} DIFFER by more than {percent} %, trust neither: "
            )?;
        }
        write!(f, "cross-check, {first} / {second}")?;
        for (index, (name, ratio)) in self.ratios.iter().enumerate() {
            let separator = if index == 0 { ":" } else { "," };
            match ratio {
                Ok(ratio) => write!(f, "{separator} {name} {ratio:.4}")?,
                Err(reason) => write!(f, "{separator} {name} no figure ({reason})")?,
            }
        }
        if self.ratios.is_empty() {
            f.write_str(": no domain in common")?;
        }
        Ok(())
    }
}
