//! Fixture trees in temp folders, in the place of `/sys`.

use bitbench::energy::sysfs::{CpuFacts, SysFs, Vendor};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
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

    /// Any file, by its path under the root.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
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

/// Lets everybody into a folder of a test, or run a program.
pub(crate) fn reachable(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// A program where everybody can reach it; it is gone with the folder.
pub(crate) fn installed(program: &Path) -> (TempDir, PathBuf) {
    let bin = tempfile::tempdir().unwrap();
    reachable(bin.path());
    let copy = bin.path().join("program");
    fs::copy(program, &copy).unwrap();
    reachable(&copy);
    (bin, copy)
}

/// Runs bitbench as a user without rights, and gives what it prints; or why that cannot be done here.
pub(crate) fn as_nobody(args: &[&str]) -> Result<String, String> {
    let (_bin, bitbench) = installed(Path::new(env!("CARGO_BIN_EXE_bitbench")));
    let mut command = nobody(bitbench.to_str().unwrap());
    match command.args(args).current_dir("/").output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8(output.stdout).unwrap()),
        Ok(output) => Err(format!(
            "setpriv: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("setpriv: {error}")),
    }
}

/// A command as a user without rights: this one, or another if this one is root.
pub(crate) fn nobody(program: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut setpriv = Command::new("setpriv");
    setpriv.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        program,
    ]);
    setpriv
}
