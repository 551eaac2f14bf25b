//! What sysfs says of a PMU: `/sys/bus/event_source/devices/NAME`.

use super::event::EventCode;
use crate::energy::reading::ReadFault;
use crate::energy::sysfs::SysFs;
use std::path::PathBuf;

/// Most CPUs that are taken of a mask; two for each socket of the largest machines.
const CPUS: usize = 64;

/// A PMU that sysfs lists.
#[derive(Debug, Clone)]
pub struct Pmu {
    name: String,
    folder: PathBuf,
    number: u32,
}

/// What could not be read of a PMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PmuFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: ReadFault,
}

impl Pmu {
    /// Looks for a PMU by name.
    ///
    /// # Errors
    /// [`ReadFault::Gone`] where it is not listed.
    pub fn find(sys: &SysFs, name: &str) -> Result<Pmu, PmuFault> {
        let folder = sys.path("bus/event_source/devices").join(name);
        let path = folder.join("type");
        let fault = |fault| PmuFault {
            path: path.clone(),
            fault,
        };
        let text = sys.line(&path).map_err(|error| fault(error.into()))?;
        let number = text
            .parse()
            .map_err(|_| fault(ReadFault::NotANumber { text }))?;
        Ok(Pmu {
            name: name.to_owned(),
            folder,
            number,
        })
    }

    /// The names of its events, sorted, without their units and scales.
    pub fn events(&self, sys: &SysFs) -> Vec<String> {
        let names = sys.list(&self.folder.join("events")).unwrap_or_default();
        let is_event = |n: &String| !n.contains('.');
        names.into_iter().filter(is_event).collect()
    }

    /// The code of an event: `event=0x02` in its file, and `config:0-7` in `format/event`.
    ///
    /// # Errors
    /// [`ReadFault::Gone`] where it is not listed; a term of which the format does not tell where it goes.
    pub fn event(&self, sys: &SysFs, event: &str) -> Result<EventCode, PmuFault> {
        let path = self.folder.join("events").join(event);
        let at = |path: &PathBuf, fault| PmuFault {
            path: path.clone(),
            fault,
        };
        let terms = sys.line(&path).map_err(|error| at(&path, error.into()))?;
        let mut config = 0;
        for term in terms.split(',') {
            let (name, value) = term.split_once('=').unwrap_or((term, "1"));
            let digits = value.strip_prefix("0x");
            let value = match digits {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => value.parse(),
            };
            let text = || ReadFault::NotANumber {
                text: terms.clone(),
            };
            let value = value.map_err(|_| at(&path, text()))?;
            let format = self.folder.join("format").join(name);
            let place = sys
                .line(&format)
                .map_err(|error| at(&format, error.into()))?;
            let misfit = || {
                let text = place.clone();
                at(&format, ReadFault::NotANumber { text })
            };
            config |= placed(value, &place).ok_or_else(misfit)?;
        }
        Ok(EventCode {
            name: format!("{}/{event}", self.name),
            pmu: self.number,
            config,
        })
    }

    /// The file of an event that says in what its counts are.
    pub fn unit(&self, sys: &SysFs, event: &str) -> Option<String> {
        let path = self.folder.join("events").join(format!("{event}.unit"));
        sys.line(&path).ok()
    }

    /// The file of an event that says what one count is worth.
    pub fn scale(&self, sys: &SysFs, event: &str) -> Option<f64> {
        let path = self.folder.join("events").join(format!("{event}.scale"));
        sys.line(&path).ok()?.parse().ok()
    }

    /// Where it is described.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// The CPUs on which an event must be opened to see the whole machine, one for each package or die. A PMU without a mask
    /// is one of every CPU; the first then speaks for it.
    pub fn cpus(&self, sys: &SysFs) -> Vec<u32> {
        let mask = sys.line(&self.folder.join("cpumask")).unwrap_or_default();
        match list(&mask) {
            cpus if cpus.is_empty() => vec![0],
            cpus => cpus,
        }
    }
}

/// A value at the bits that `config:0-7` or `config:13` names.
fn placed(value: u64, place: &str) -> Option<u64> {
    let bits = place.strip_prefix("config:")?;
    let (low, high) = bits.split_once('-').unwrap_or((bits, bits));
    let (low, high): (u32, u32) = (low.parse().ok()?, high.parse().ok()?);
    let width = high.checked_sub(low)? + 1;
    let fits = high < 64 && (width == 64 || value < 1 << width);
    fits.then(|| value << low)
}

/// CPUs in the kernel's form: `0,64` or `0-3`.
fn list(text: &str) -> Vec<u32> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse::<u32>()) {
            cpus.extend((first..=last).take(CPUS - cpus.len().min(CPUS)));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_go_where_the_format_says() {
        assert_eq!(placed(2, "config:0-7"), Some(2));
        assert_eq!(placed(2, "config:8-15"), Some(512));
        assert_eq!(placed(1, "config:63"), Some(1 << 63));
        assert_eq!(placed(u64::MAX, "config:0-63"), Some(u64::MAX));
        for odd in [
            "config:0-0",
            "config1:0-7",
            "config:7-0",
            "config:60-64",
            "config:",
            "0-7",
            "",
        ] {
            assert_eq!(placed(2, odd), None, "{odd}");
        }
    }

    #[test]
    fn masks_are_lists_and_ranges() {
        assert_eq!(list("0"), [0]);
        assert_eq!(list("0,64"), [0, 64]);
        assert_eq!(list("0-1,8"), [0, 1, 8]);
        assert_eq!(list("0-4294967295").len(), CPUS);
        for odd in ["", "x", "3-1"] {
            assert!(list(odd).is_empty(), "{odd}");
        }
    }
}
