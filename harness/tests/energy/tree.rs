//! Fixture trees in temp folders, in the place of `/sys`.

use bitbench::energy::sysfs::{CpuFacts, SysFs, Vendor};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// 2^32 - 1 units of 2^-14 J: client Intel.
pub(crate) const CLIENT_RANGE: &str = "262143328850\n";
/// 2^32 - 1 units of 2^-16 J: Xeon and AMD.
pub(crate) const SERVER_RANGE: &str = "65532610987\n";
/// 2^32 - 1 units of 15.3 uJ: server DRAM.
pub(crate) const DRAM_RANGE: &str = "65712999613\n";

pub(crate) const INTEL: CpuFacts = CpuFacts {
    vendor: Vendor::Intel,
    hypervisor: false,
    sgx: false,
};
pub(crate) const AMD: CpuFacts = CpuFacts {
    vendor: Vendor::Amd,
    ..INTEL
};
pub(crate) const ARM: CpuFacts = CpuFacts {
    vendor: Vendor::Other,
    ..INTEL
};

/// A folder that stands for `/sys`.
pub(crate) struct Tree {
    folder: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Tree {
        Tree {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn sys(&self, cpu: CpuFacts) -> SysFs {
        SysFs::at(self.root()).with_cpu(cpu)
    }

    /// The folder of a zone, by its path under `class/powercap`.
    pub(crate) fn zone_path(&self, zone: &str) -> PathBuf {
        self.root().join("class/powercap").join(zone)
    }

    pub(crate) fn folder(&self, path: &str) {
        fs::create_dir_all(self.root().join(path)).unwrap();
    }

    pub(crate) fn write(&self, zone: &str, file: &str, text: impl AsRef<[u8]>) {
        let folder = self.zone_path(zone);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
    }

    pub(crate) fn remove(&self, zone: &str, file: &str) {
        fs::remove_file(self.zone_path(zone).join(file)).unwrap();
    }

    /// A zone as a plain folder, with its files.
    pub(crate) fn zone(&self, zone: &str, name: &str, range: &str) {
        self.write(zone, "name", format!("{name}\n"));
        self.write(zone, "energy_uj", "1000000\n");
        self.write(zone, "max_energy_range_uj", range);
        self.write(zone, "enabled", "0\n");
    }

    /// A link with nothing behind it, as in a container that masks the real folders.
    pub(crate) fn dangling(&self, zone: &str) {
        self.folder("class/powercap");
        symlink(
            "../../devices/virtual/powercap/masked",
            self.zone_path(zone),
        )
        .unwrap();
    }
}
