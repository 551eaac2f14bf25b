//! The machine as it is stored, and which machines are so alike that their rows can be joined.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Installed memory may differ by this share: what the kernel keeps for itself changes from boot to boot.
const MEMORY_TOLERANCE: f64 = 0.02;

/// The machine a run was made on. A field that could not be read is absent, never guessed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// CPU model name.
    pub cpu: Option<String>,
    /// Target architecture, such as `x86_64`.
    pub arch: String,
    /// Instruction-set features the engine knows and this process may use, such as `avx2`.
    pub features: Vec<String>,
    /// Physical cores this process may use.
    pub physical_cores: u32,
    /// Hardware threads this process may use.
    pub logical_cpus: u32,
    /// Installed memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Size of the last-level cache in bytes.
    pub last_level_cache_bytes: Option<u64>,
    /// Operating system and kernel release.
    pub os: Option<String>,
    /// Microcode revision.
    pub microcode: Option<String>,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// Transparent huge page mode.
    pub transparent_huge_pages: Option<String>,
    /// Hypervisor or container the process runs under, where one was seen.
    pub virtualisation: Option<String>,
    /// Load average over one minute, in hundredths, when the run started.
    pub load_centi: Option<u32>,
    /// Instruction set that everything but the linear layers (attention, norms, head) runs on, the same in every row.
    pub shared_isa: String,
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
    /// What its administrator has set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// What this process may use of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How it was when the run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
    /// `blake3:` and the hash of all facts that stay: equal for hosts whose rows can be joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// What a machine is made of. Facts that stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Hardware {
    /// Family, model and stepping of the CPU, such as `25/33/2`, or implementer, part and revision on ARM.
    pub model: Option<String>,
    /// CPU packages.
    pub packages: Option<u32>,
    /// CPUs that are online, whether this process may use them or not.
    pub online_cpus: Option<String>,
    /// Kinds of cores, the fastest first; one where all are alike.
    pub core_kinds: Vec<CoreKind>,
    /// Caches of every level, each kind once.
    pub caches: Vec<CacheInfo>,
    /// Memory nodes (NUMA).
    pub memory_nodes: Vec<MemoryNode>,
    /// Transfers of the memory modules, in 10^6 a second, where the firmware tells.
    pub memory_mega_transfers: Option<u32>,
    /// Lowest and highest clock of the fastest kind of core, in kHz.
    pub khz: Option<(u64, u64)>,
}

/// Cores of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreKind {
    /// `performance` and `efficient` on a hybrid CPU of Intel, `capacity N` where the kernel rates cores, else `all`.
    pub name: String,
    /// Their CPUs, such as `0-7`.
    pub cpus: String,
    /// Physical cores.
    pub cores: u32,
    /// Highest clock in kHz.
    pub khz: Option<u64>,
}

/// Caches of one level and kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CacheInfo {
    /// Level, from 1.
    pub level: u32,
    /// `data`, `instruction` or `unified`.
    pub kind: String,
    /// Size of one of them in bytes.
    pub bytes: u64,
    /// CPUs that share one.
    pub shared_by: u32,
    /// How many there are.
    pub count: u32,
}

/// A memory node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemoryNode {
    /// Its number.
    pub node: u32,
    /// Its CPUs; empty for memory without any.
    pub cpus: String,
    /// Its memory in bytes.
    pub bytes: Option<u64>,
}

/// What an administrator has set. It stays until it is set anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Simultaneous multithreading: `on`, `off`, `forceoff`, `notsupported`.
    pub smt: Option<String>,
    /// Frequency driver, such as `amd-pstate-epp`.
    pub frequency_driver: Option<String>,
    /// Governors of all CPUs, each once.
    pub governors: Vec<String>,
    /// Energy performance preference of the first CPU.
    pub energy_preference: Option<String>,
    /// Whether clocks above the nominal one are allowed.
    pub boost: Option<bool>,
    /// Lowest and highest clock that is allowed, in kHz.
    pub allowed_khz: Option<(u64, u64)>,
    /// Defragmentation mode of transparent huge pages.
    pub huge_page_defrag: Option<String>,
    /// CPUs that the scheduler keeps free (isolcpus, nohz_full) and other words of the kernel's command line that matter.
    pub kernel_options: Option<Vec<String>>,
    /// Balancing of memory between nodes.
    pub numa_balancing: Option<bool>,
}

/// What this process may use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// CPU time that control groups allow, in hundredths of a core.
    pub cpu_centi: Option<u64>,
    /// Memory that control groups allow, in bytes.
    pub memory_bytes: Option<u64>,
    /// CPUs that this process may run on.
    pub cpus: Option<String>,
    /// Memory nodes that this process may use.
    pub memory_nodes: Option<String>,
    /// The container runtime, where one was seen.
    pub container: Option<String>,
}

/// How a machine was at one moment. It is never compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Moment {
    /// Steal since boot, in thousandths of the CPU time of all CPUs.
    pub steal_per_mille: Option<u64>,
    /// Temperature of the CPU, in thousandths of a degree Celsius.
    pub temperature_millicelsius: Option<i64>,
    /// Clocks of all CPUs in kHz: the lowest and the highest.
    pub khz: Option<(u64, u64)>,
}

impl Host {
    /// The facts that stay, with a name for each, in a fixed order. What is not known is left out.
    pub fn stable_facts(&self) -> Vec<(&'static str, String)> {
        let empty = (Hardware::default(), Settings::default(), Limits::default());
        let hardware = self.hardware.as_ref().unwrap_or(&empty.0);
        let settings = self.settings.as_ref().unwrap_or(&empty.1);
        let limits = self.limits.as_ref().unwrap_or(&empty.2);
        let range = |range: Option<(u64, u64)>| {
            range.map(|(low, high)| format!("{} to {} MHz", low / 1000, high / 1000))
        };
        let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
        let on = |on: Option<bool>| on.map(|on| if on { "on" } else { "off" }.to_owned());
        let shown = |number: Option<u64>| number.map(|n| n.to_string());
        let options = settings
            .kernel_options
            .as_ref()
            .map(|words| match &words[..] {
                [] => "nothing of note".to_owned(),
                words => words.join(" "),
            });
        let kinds = hardware.core_kinds.iter();
        let caches = hardware.caches.iter();
        let nodes = hardware.memory_nodes.iter();
        let facts: Vec<(&'static str, Option<String>)> = vec![
            ("CPU", self.cpu.clone()),
            ("architecture", Some(self.arch.clone())),
            ("CPU family, model, stepping", hardware.model.clone()),
            ("microcode", self.microcode.clone()),
            ("CPU features", Some(self.features.join(" "))),
            ("packages", shown(hardware.packages.map(u64::from))),
            ("CPUs online", hardware.online_cpus.clone()),
            (
                "cores",
                list(
                    kinds
                        .map(|k| format!("{} {} ({})", k.cores, k.name, k.cpus))
                        .collect(),
                ),
            ),
            (
                "physical cores for this process",
                Some(self.physical_cores.to_string()),
            ),
            (
                "hardware threads for this process",
                Some(self.logical_cpus.to_string()),
            ),
            ("caches", list(caches.map(CacheInfo::words).collect())),
            (
                "memory nodes",
                list(nodes.map(|n| format!("{}: {}", n.node, n.cpus)).collect()),
            ),
            (
                "memory speed",
                shown(hardware.memory_mega_transfers.map(u64::from)),
            ),
            ("clocks of the hardware", range(hardware.khz)),
            ("operating system", self.os.clone()),
            ("hypervisor or container", self.virtualisation.clone()),
            ("container", limits.container.clone()),
            ("SMT", settings.smt.clone()),
            ("frequency driver", settings.frequency_driver.clone()),
            (
                "frequency governor",
                list(settings.governors.clone()).or_else(|| self.governor.clone()),
            ),
            ("energy preference", settings.energy_preference.clone()),
            ("boost", on(settings.boost)),
            ("allowed clocks", range(settings.allowed_khz)),
            (
                "transparent huge pages",
                self.transparent_huge_pages.clone(),
            ),
            (
                "huge page defragmentation",
                settings.huge_page_defrag.clone(),
            ),
            ("kernel command line", options),
            ("balancing of memory nodes", on(settings.numa_balancing)),
            ("allowed CPU time", shown(limits.cpu_centi)),
            ("allowed memory", shown(limits.memory_bytes)),
            ("allowed CPUs", limits.cpus.clone()),
            ("allowed memory nodes", limits.memory_nodes.clone()),
        ];
        let known = |(name, fact): (&'static str, Option<String>)| Some((name, fact?));
        facts.into_iter().filter_map(known).collect()
    }
}

impl CacheInfo {
    /// `2 x 512 KiB L2 unified for 2`.
    fn words(&self) -> String {
        format!(
            "{} x {} KiB L{} {} for {}",
            self.count,
            self.bytes >> 10,
            self.level,
            self.kind,
            self.shared_by
        )
    }
}

/// In what two hosts differ, a sentence for each fact; empty where their rows can be joined. A fact that one of them does not
/// know, as in a record of an earlier format, is no difference; neither are load and temperature.
pub fn unlike(a: &Host, b: &Host) -> Vec<String> {
    let others = b.stable_facts();
    let mut differences = Vec::new();
    for (name, fact) in a.stable_facts() {
        let other = others.iter().find(|(same, _)| *same == name);
        if let Some((_, other)) = other.filter(|(_, other)| *other != fact) {
            differences.push(format!("{name}: {}", told_apart(&fact, other)));
        }
    }
    if let (Some(a), Some(b)) = (a.memory_bytes, b.memory_bytes) {
        let (a, b) = (a as f64, b as f64);
        if (a - b).abs() > MEMORY_TOLERANCE * a.max(b) {
            let gib = f64::from(1 << 30);
            differences.push(format!("memory: {:.1} GiB and {:.1} GiB", a / gib, b / gib));
        }
    }
    differences
}

/// Whether rows of these hosts can be joined.
pub fn alike(a: &Host, b: &Host) -> bool {
    unlike(a, b).is_empty()
}

/// Two texts that differ; of lists of words, the words that only one has.
fn told_apart(a: &str, b: &str) -> String {
    let words = |text: &str| -> Vec<String> { text.split(' ').map(ToOwned::to_owned).collect() };
    let (in_a, in_b) = (words(a), words(b));
    if in_a.len() < 8 && in_b.len() < 8 {
        return format!("{a} and {b}");
    }
    let only = |these: &[String], those: &[String]| -> String {
        let only: Vec<&str> = these
            .iter()
            .filter(|w| !those.contains(w))
            .map(String::as_str)
            .collect();
        if only.is_empty() {
            "nothing more".to_owned()
        } else {
            only.join(" ")
        }
    };
    if in_a.iter().all(|w| in_b.contains(w)) || in_b.iter().all(|w| in_a.contains(w)) {
        return format!(
            "{} and {} besides what both have",
            only(&in_a, &in_b),
            only(&in_b, &in_a)
        );
    }
    format!("{a} and {b}")
}
