//! Hardware as a root path: where `/sys` is, how its files are opened, and what `/proc/cpuinfo` says.

use super::perf::event::{self, EventCode, EventCounter};
use super::reading::printable;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most bytes that are read of a sysfs file; a longer one is not a counter.
pub const FILE_BYTES: usize = 64;

/// Most entries that are taken of a folder.
const FOLDER_ENTRIES: usize = 4096;

/// An open file whose value is read again and again.
pub trait CounterFile: Send {
    /// Reads from the beginning into `buffer` and gives the number of bytes.
    ///
    /// # Errors
    /// What the kernel says; `ENODEV` or `EIO` when the counter went away.
    fn read_start(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads from an offset, which for a device of registers is the number of the register.
    ///
    /// # Errors
    /// As for [`CounterFile::read_start`]; by default that it cannot be done.
    fn read_offset(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl CounterFile for File {
    fn read_start(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_at(buffer, 0)
    }

    fn read_offset(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }
}

/// The file operations that sources need; the seam at which tests script errors.
pub trait Files: Send + Sync {
    /// Names of the entries of a folder, dangling links included.
    ///
    /// # Errors
    /// As for [`std::fs::read_dir`].
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for repeated reading.
    ///
    /// # Errors
    /// As for [`File::open`].
    fn open(&self, path: &Path) -> io::Result<Box<dyn CounterFile>>;

    /// Permission bits of a file, where they can be seen.
    fn mode(&self, path: &Path) -> Option<u32>;

    /// Opens an event of perf on a CPU.
    ///
    /// # Errors
    /// As for [`event::open`].
    fn open_event(&self, event: &EventCode, cpu: u32) -> io::Result<Box<dyn EventCounter>> {
        event::open(event, cpu)
    }
}

/// The file operations of this machine.
#[derive(Debug, Clone, Copy)]
pub struct RealFiles;

impl Files for RealFiles {
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)?.take(FOLDER_ENTRIES) {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn CounterFile>> {
        // Non-blocking, so that a pipe in the place of a counter is an error and not an endless wait.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(metadata.permissions().mode() & 0o7777)
    }
}

/// Who made the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Vendor {
    /// Intel.
    Intel,
    /// AMD, and Hygon, whose counters are the same.
    Amd,
    /// Any other, ARM among them.
    #[default]
    Other,
}

/// What `/proc/cpuinfo` says that matters for energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuFacts {
    /// Who made it.
    pub vendor: Vendor,
    /// Whether the `hypervisor` flag is set: this is a virtual machine.
    pub hypervisor: bool,
    /// Whether SGX is enabled: Intel then adds noise to RAPL (INTEL-SA-00389).
    pub sgx: bool,
}

impl CpuFacts {
    /// Reads the text of `/proc/cpuinfo`; the first CPU speaks for all.
    pub fn parse(cpuinfo: &str) -> CpuFacts {
        let value = |key: &str| {
            let of_key = |line: &str| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == key).then(|| value.trim().to_owned())
            };
            cpuinfo.lines().find_map(of_key).unwrap_or_default()
        };
        let flags = value("flags");
        let has = |flag: &str| flags.split_ascii_whitespace().any(|f| f == flag);
        CpuFacts {
            vendor: match value("vendor_id").as_str() {
                "GenuineIntel" => Vendor::Intel,
                "AuthenticAMD" | "HygonGenuine" => Vendor::Amd,
                _ => Vendor::Other,
            },
            hypervisor: has("hypervisor"),
            sgx: has("sgx"),
        }
    }

    /// Reads a cpuinfo file; the first CPU is within its first 16 KiB.
    fn read(path: &Path) -> Option<CpuFacts> {
        let mut bytes = Vec::new();
        let file = File::open(path).ok()?;
        file.take(16 << 10).read_to_end(&mut bytes).ok()?;
        Some(CpuFacts::parse(&String::from_utf8_lossy(&bytes)))
    }
}

/// The place where hardware is looked for.
#[derive(Clone)]
pub struct SysFs {
    root: PathBuf,
    overridden: bool,
    cpu: CpuFacts,
    files: Arc<dyn Files>,
}

impl SysFs {
    /// This machine: `/sys` and `/proc/cpuinfo`.
    pub fn machine() -> SysFs {
        SysFs {
            root: PathBuf::from("/sys"),
            overridden: false,
            cpu: CpuFacts::read(Path::new("/proc/cpuinfo")).unwrap_or_default(),
            files: Arc::new(RealFiles),
        }
    }

    /// Another folder in the place of `/sys`; whatever is read there is simulated, and stays so labelled.
    ///
    /// A file `cpuinfo` in it stands for `/proc/cpuinfo`; without one this machine's own is read.
    pub fn at(root: impl Into<PathBuf>) -> SysFs {
        let root = root.into();
        let machine = SysFs::machine();
        SysFs {
            cpu: CpuFacts::read(&root.join("cpuinfo")).unwrap_or(machine.cpu),
            root,
            overridden: true,
            ..machine
        }
    }

    /// The same place with another CPU.
    #[must_use]
    pub fn with_cpu(self, cpu: CpuFacts) -> SysFs {
        SysFs { cpu, ..self }
    }

    /// The same place with other file operations. Readings become simulated.
    #[must_use]
    pub fn with_files(self, files: Arc<dyn Files>) -> SysFs {
        SysFs {
            files,
            overridden: true,
            ..self
        }
    }

    /// Whether this is anything but the machine's own `/sys`.
    pub fn is_overridden(&self) -> bool {
        self.overridden
    }

    /// What the CPU says of itself.
    pub fn cpu(&self) -> CpuFacts {
        self.cpu
    }

    /// A path under the root.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A path under `/dev`, or under `dev` of another root.
    pub fn device(&self, relative: &str) -> PathBuf {
        match self.root == Path::new("/sys") {
            true => Path::new("/dev").join(relative),
            false => self.root.join("dev").join(relative),
        }
    }

    /// Names in a folder, sorted.
    ///
    /// # Errors
    /// As for [`Files::list`].
    pub fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.files.list(folder)
    }

    /// Opens a file for repeated reading.
    ///
    /// # Errors
    /// As for [`Files::open`].
    pub fn open(&self, path: &Path) -> io::Result<Box<dyn CounterFile>> {
        self.files.open(path)
    }

    /// Permission bits of a file, where they can be seen.
    pub fn mode(&self, path: &Path) -> Option<u32> {
        self.files.mode(path)
    }

    /// Opens an event of perf on a CPU.
    ///
    /// # Errors
    /// As for [`Files::open_event`].
    pub fn open_event(&self, event: &EventCode, cpu: u32) -> io::Result<Box<dyn EventCounter>> {
        self.files.open_event(event, cpu)
    }

    /// `kernel.perf_event_paranoid`; a file of that name in another root stands for it.
    pub fn perf_event_paranoid(&self) -> Option<i32> {
        let own = Path::new("/proc/sys/kernel/perf_event_paranoid");
        let text = self.line(&self.path("perf_event_paranoid"));
        text.or_else(|_| self.line(own)).ok()?.parse().ok()
    }

    /// The first line of a short text file, made safe to print.
    ///
    /// # Errors
    /// As for [`Files::open`] and [`CounterFile::read_start`].
    pub fn line(&self, path: &Path) -> io::Result<String> {
        let mut buffer = [0; FILE_BYTES];
        let length = self.open(path)?.read_start(&mut buffer)?;
        let is_end = |b: &u8| *b == b'\n' || *b == 0;
        let line = buffer[..length].split(is_end).next().unwrap_or_default();
        Ok(printable(line.trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_gives_vendor_and_flags_of_the_first_cpu() {
        let text = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sgx hypervisor\n\n\
                    processor\t: 1\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu\n";
        let facts = CpuFacts {
            vendor: Vendor::Intel,
            hypervisor: true,
            sgx: true,
        };
        assert_eq!(CpuFacts::parse(text), facts);
        // `sgx_lc` is another flag: launch control, there even when SGX is off.
        let text = "vendor_id : HygonGenuine\nvmx flags : hypervisor\nflags : fpu sgx_lc\n";
        let facts = CpuFacts {
            vendor: Vendor::Amd,
            ..CpuFacts::default()
        };
        assert_eq!(CpuFacts::parse(text), facts);
        assert_eq!(
            CpuFacts::parse("CPU implementer : 0x41\n"),
            CpuFacts::default()
        );
    }

    #[test]
    fn only_the_machines_own_tree_is_not_overridden() {
        assert!(!SysFs::machine().is_overridden());
        assert!(SysFs::at("/sys").is_overridden());
        assert!(
            SysFs::machine()
                .with_files(Arc::new(RealFiles))
                .is_overridden()
        );
    }
}
