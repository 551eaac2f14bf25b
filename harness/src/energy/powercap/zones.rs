//! The zones that powercap lists, and what their names mean.
//!
//! `/sys/class/powercap` holds links, flat, to every control type (`intel-rapl`) and zone (`intel-rapl:0`,
//! `intel-rapl:0:0`); behind the links the zones are nested. A tree that was copied or mounted may have either form.

use crate::energy::reading::ReadFault;
use crate::energy::sysfs::{SysFs, Vendor};
use crate::energy::unavailable::Unavailable;
use bitbench_reports::record::DomainKind;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// How deep zones are followed; RAPL has two levels.
const DEPTH: usize = 4;

/// One zone as listed.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    /// Name of its folder, such as `intel-rapl:0:1`. The numbers are an order of discovery and say nothing of the socket.
    pub(super) id: String,
    /// The part before the first colon.
    pub(super) control_type: String,
    /// The id of the zone it lies in.
    pub(super) parent: Option<String>,
    /// The name of the zone it lies in.
    pub(super) parent_name: Option<String>,
    /// Its folder.
    pub(super) path: PathBuf,
    /// What its file `name` says.
    pub(super) name: Result<String, ReadFault>,
}

/// Order of zones: control type, then the numbers of the id.
type Key = (String, Vec<u32>);

/// Lists all zones: by control type (`intel-rapl` before `intel-rapl-mmio`), then by number.
///
/// # Errors
/// [`Unavailable::NoPermission`] when the folder may not be listed. A folder that is absent has no zones.
pub(super) fn list(sys: &SysFs) -> Result<Vec<Zone>, Unavailable> {
    let class = sys.path("class/powercap");
    let names = match sys.list(&class) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Unavailable::NoPermission {
                mode: sys.mode(&class),
                path: class,
            });
        }
        Err(_) => return Ok(Vec::new()),
    };
    // The flat paths first: they are the shorter ones, and those that remedies name.
    let mut found: BTreeMap<Key, PathBuf> = BTreeMap::new();
    for name in &names {
        found.extend(key(name).map(|key| (key, class.join(name))));
    }
    for name in &names {
        visit(sys, &class.join(name), name, DEPTH, &mut found);
    }

    let mut names_by_id = BTreeMap::new();
    let mut zones = Vec::new();
    for ((control_type, _), path) in found {
        let Some(id) = path.file_name().and_then(|n| n.to_str()) else {
            continue;
        };
        let parent = id.rsplit_once(':').map(|(parent, _)| parent.to_owned());
        let parent = parent.filter(|p| p.contains(':'));
        let name = sys.line(&path.join("name")).map_err(ReadFault::from);
        if let Ok(name) = &name {
            names_by_id.insert(id.to_owned(), name.clone());
        }
        zones.push(Zone {
            id: id.to_owned(),
            control_type,
            // A parent comes first in the order of the keys.
            parent_name: parent.as_ref().and_then(|p| names_by_id.get(p).cloned()),
            parent,
            path,
            name,
        });
    }
    Ok(zones)
}

/// Takes a folder if its name is that of a zone, and looks for zones in it. The first path found for an id is kept.
fn visit(sys: &SysFs, path: &Path, name: &str, depth: usize, found: &mut BTreeMap<Key, PathBuf>) {
    if let Some(key) = key(name) {
        found.entry(key).or_insert_with(|| path.to_owned());
    }
    // A zone lists its children, and also links such as `device` and `subsystem`, which lead out again.
    let prefix = format!("{name}:");
    if depth == 0 {
        return;
    }
    for child in sys.list(path).unwrap_or_default() {
        if child.starts_with(&prefix) {
            visit(sys, &path.join(&child), &child, depth - 1, found);
        }
    }
}

/// The key of a zone's id; none for a control type and for anything else. The kernel writes the numbers in hexadecimal.
fn key(id: &str) -> Option<Key> {
    let (control_type, numbers) = id.split_once(':')?;
    let numbers = numbers.split(':').map(|n| u32::from_str_radix(n, 16));
    Some((
        control_type.to_owned(),
        numbers.collect::<Result<_, _>>().ok()?,
    ))
}

/// What the name of a zone means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZoneName {
    /// Name of the domain, such as `package-0` or `package-0/dram`.
    pub(super) text: String,
    /// Number of the package it is of, where the name tells.
    pub(super) package: Option<u32>,
    /// Number of the die, on machines that have several in a package.
    pub(super) die: Option<u32>,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Package,
    Platform,
    Core,
    Uncore,
    Dram,
    Other,
}

impl ZoneName {
    /// Reads the names of a zone and of the zone it lies in.
    pub(super) fn parse(name: &str, parent: Option<&str>) -> ZoneName {
        let (package, die) = parse_package(parent.unwrap_or(name));
        let part = match name {
            "psys" => Part::Platform,
            "core" => Part::Core,
            "uncore" => Part::Uncore,
            "dram" => Part::Dram,
            _ if parent.is_none() && package.is_some() => Part::Package,
            _ => Part::Other,
        };
        ZoneName {
            text: match parent {
                Some(parent) => format!("{parent}/{name}"),
                None => name.to_owned(),
            },
            package,
            die,
            part,
        }
    }

    /// A zone whose name cannot be read.
    pub(super) fn unknown(id: &str) -> ZoneName {
        ZoneName {
            text: id.to_owned(),
            package: None,
            die: None,
            part: Part::Other,
        }
    }

    /// Whether it is a package or a die of one.
    pub(super) fn is_package(&self) -> bool {
        self.part == Part::Package
    }

    /// What the domain covers.
    pub(super) fn kind(&self, vendor: Vendor) -> DomainKind {
        match self.part {
            Part::Package => DomainKind::Package,
            Part::Platform => DomainKind::Platform,
            Part::Core if vendor == Vendor::Amd => DomainKind::OneCore,
            Part::Core => DomainKind::Cores,
            Part::Uncore => DomainKind::Uncore,
            Part::Dram => DomainKind::Dram,
            Part::Other => DomainKind::Other,
        }
    }
}

/// The numbers in `package-1` or `package-1-die-0`.
fn parse_package(name: &str) -> (Option<u32>, Option<u32>) {
    let Some(numbers) = name.strip_prefix("package-") else {
        return (None, None);
    };
    match numbers.split_once("-die-") {
        None => (numbers.parse().ok(), None),
        Some((package, die)) => match (package.parse().ok(), die.parse().ok()) {
            (Some(package), Some(die)) => (Some(package), Some(die)),
            _ => (None, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_package_die_and_part() {
        let parsed = |name, parent| {
            let name = ZoneName::parse(name, parent);
            (name.text, name.package, name.die, name.part)
        };
        let own = str::to_owned;
        assert_eq!(
            parsed("package-3", None),
            (own("package-3"), Some(3), None, Part::Package)
        );
        assert_eq!(
            parsed("package-0-die-1", None),
            (own("package-0-die-1"), Some(0), Some(1), Part::Package)
        );
        assert_eq!(
            parsed("dram", Some("package-1")),
            (own("package-1/dram"), Some(1), None, Part::Dram)
        );
        for odd in [
            "package-",
            "package-x",
            "package-0-die-",
            "package-0-die-x",
            "",
            "cpu",
        ] {
            assert_eq!(parsed(odd, None), (own(odd), None, None, Part::Other));
        }
    }

    #[test]
    fn ids_are_hexadecimal_and_sort_by_number() {
        assert_eq!(key("intel-rapl:a:1"), Some((RAPL.to_owned(), vec![10, 1])));
        assert!(key("intel-rapl:2") < key("intel-rapl:a"));
        assert!(key("intel-rapl:0") < key("intel-rapl:0:0"));
        assert!(key("intel-rapl:ffff") < key("intel-rapl-mmio:0"));
        for odd in [
            "intel-rapl",
            "intel-rapl:",
            "intel-rapl:0:",
            "intel-rapl:g",
            "intel-rapl:fffffffff",
        ] {
            assert_eq!(key(odd), None, "{odd}");
        }
    }

    const RAPL: &str = "intel-rapl";
}
