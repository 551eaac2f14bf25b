//! Sources beside RAPL, and the choice among them.

use crate::tree::{AMD, ARM, INTEL, Tree};
use bitbench::energy::choice::Choice;
use bitbench::energy::reading::ReadFault;
use bitbench::energy::survey::{survey, survey_for};
use bitbench::energy::sysfs::{CpuFacts, SysFs};
use bitbench::energy::unavailable::Unavailable;
use bitbench::energy::window::OpenWindow;
use bitbench::energy::{EnergySource, Reads, SourceKind};
use bitbench_reports::record::{Energy, Provenance};
use std::time::Duration;

pub(crate) fn open(
    name: &str,
    sys: &SysFs,
    argument: &str,
) -> Result<Box<dyn EnergySource>, Unavailable> {
    (SourceKind::find(name).unwrap().open)(sys, argument)
}

fn described(source: &dyn EnergySource) -> Vec<String> {
    let domains = source.info().domains.iter().map(|d| &d.info);
    domains
        .map(|d| format!("{}{}", if d.counted { "+" } else { "" }, d.name))
        .collect()
}

pub(crate) fn values(source: &mut dyn EnergySource) -> Vec<u64> {
    let values = source.snapshot().values;
    values.into_iter().map(Result::unwrap).collect()
}

fn hwmon(tree: &Tree, number: u32, files: &[(&str, &str)]) {
    for (file, text) in files {
        tree.file(
            &format!("class/hwmon/hwmon{number}/{file}"),
            &format!("{text}\n"),
        );
    }
}

#[test]
fn a_jetson_counts_what_comes_in() {
    let tree = Tree::new();
    hwmon(
        &tree,
        3,
        &[
            ("name", "ina3221"),
            ("in1_label", "VDD_IN"),
            ("in1_input", "5000"),
            ("curr1_input", "2000"),
            ("in2_label", "VDD_CPU_GPU_CV"),
            ("in2_input", "5000"),
            ("curr2_input", "800"),
            ("in3_label", "VDD_SOC"),
            ("in3_input", "5000"),
            ("curr3_input", "400"),
            // Shunts, and their sum: no rails.
            ("in4_label", "sum of shunt voltages"),
            ("in4_input", "12"),
        ],
    );
    // A graphics card and a fan are not asked what they take.
    hwmon(
        &tree,
        0,
        &[
            ("name", "amdgpu"),
            ("power1_label", "VDD_IN"),
            ("power1_input", "99"),
        ],
    );
    let mut source = open("hwmon", &tree.sys(ARM), "").unwrap();
    assert_eq!(
        described(source.as_ref()),
        ["+VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    );
    // 5 V times 2 A, in microwatts.
    assert_eq!(values(source.as_mut()), [10_000_000, 4_000_000, 2_000_000]);
    let info = source.info();
    assert_eq!(info.provenance, Provenance::Simulated);
    assert!(
        info.caveats
            .contains(&"ignored: amdgpu (not known)".to_owned())
    );
    assert!(matches!(info.domains[0].reads, Reads::Power { .. }));
    assert_eq!(info.domains[0].min_window, Duration::from_secs(60));
}

#[test]
fn an_altra_is_the_sum_of_its_rails() {
    let tree = Tree::new();
    let labels = ["CORE VRD", "SoC", "DIMM VRD1", "DIMM VRD2", "RCA VRD"];
    let mut files = vec![("name".to_owned(), "smpro_hwmon".to_owned())];
    for (index, label) in labels.iter().enumerate() {
        let number = index + 1;
        files.push((format!("power{number}_label"), (*label).to_owned()));
        files.push((format!("power{number}_input"), format!("{number}000000")));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(f, t)| (f.as_str(), t.as_str()))
        .collect();
    hwmon(&tree, 1, &files);
    let mut source = open("hwmon", &tree.sys(ARM), "").unwrap();
    assert_eq!(
        described(source.as_ref()),
        labels.map(|label| format!("+{label}"))
    );
    assert_eq!(values(source.as_mut()).iter().sum::<u64>(), 15_000_000);
    // A rail that cannot be read is not left out of the sum.
    std::fs::write(tree.root().join("class/hwmon/hwmon1/power3_input"), "").unwrap();
    let reason = open("hwmon", &tree.sys(ARM), "").err().unwrap().to_string();
    assert!(
        reason.ends_with("power3_input cannot be used: the counter file is empty"),
        "{reason}"
    );
}

#[test]
fn a_grace_counts_its_sockets_once() {
    let tree = Tree::new();
    let meters = [
        "Module Power Socket 0",
        "Grace Power Socket 0",
        "CPU Power Socket 0",
        "SysIO Power Socket 0",
    ];
    for (number, label) in (0..).zip(meters) {
        hwmon(
            &tree,
            number,
            &[
                ("name", "power_meter"),
                ("device/power1_oem_info", label),
                ("power1_average", "200000000"),
            ],
        );
    }
    // Another maker's meter of a whole server says nothing of itself.
    hwmon(
        &tree,
        7,
        &[("name", "power_meter"), ("power1_average", "900000000")],
    );
    let source = open("hwmon", &tree.sys(ARM), "").unwrap();
    assert_eq!(
        described(source.as_ref()),
        [
            "Module Power Socket 0",
            "+Grace Power Socket 0",
            "CPU Power Socket 0",
            "SysIO Power Socket 0"
        ]
    );
}

#[test]
fn amd_energy_counts_sockets_and_not_their_cores() {
    let tree = Tree::new();
    hwmon(
        &tree,
        2,
        &[
            ("name", "amd_energy"),
            ("energy1_label", "Ecore000"),
            ("energy1_input", "77"),
            ("energy2_label", "Esocket0"),
            ("energy2_input", "123456789"),
        ],
    );
    let mut source = open("hwmon", &tree.sys(AMD), "").unwrap();
    assert_eq!(described(source.as_ref()), ["+Esocket0"]);
    assert_eq!(values(source.as_mut()), [123_456_789]);
    assert!(matches!(source.info().domains[0].reads, Reads::Counter(_)));
}

#[test]
fn unknown_sensors_are_no_source() {
    let tree = Tree::new();
    hwmon(
        &tree,
        0,
        &[
            ("name", "nvme"),
            ("power1_label", "x"),
            ("power1_input", "5"),
        ],
    );
    hwmon(
        &tree,
        1,
        &[
            ("name", "ina3221"),
            ("in1_label", "fan"),
            ("in1_input", "5"),
        ],
    );
    let reason = open("hwmon", &tree.sys(ARM), "").err().unwrap().to_string();
    assert!(reason.starts_with("no known power sensor in "), "{reason}");
}

fn battery(tree: &Tree, name: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        tree.file(
            &format!("class/power_supply/{name}/{file}"),
            &format!("{text}\n"),
        );
    }
}

#[test]
fn a_battery_is_metered_while_it_discharges() {
    let tree = Tree::new();
    battery(&tree, "AC", &[("type", "Mains"), ("online", "0")]);
    battery(
        &tree,
        "hidpp_battery_0",
        &[
            ("type", "Battery"),
            ("scope", "Device"),
            ("status", "Discharging"),
            ("energy_now", "1"),
        ],
    );
    battery(
        &tree,
        "BAT0",
        &[
            ("type", "Battery"),
            ("status", "Discharging"),
            ("energy_now", "41000000"),
        ],
    );
    let mut source = open("battery", &tree.sys(INTEL), "").unwrap();
    assert_eq!(described(source.as_ref()), ["+BAT0"]);
    let at = |s: u64, values| bitbench::energy::reading::Snapshot {
        before: Duration::from_secs(s),
        after: Duration::from_secs(s),
        asleep: Duration::ZERO,
        values,
    };
    let first = at(0, source.snapshot().values);
    // 2.5 Wh in ten minutes are 9 kJ at 15 W.
    battery(&tree, "BAT0", &[("energy_now", "38500000")]);
    let last = at(600, source.snapshot().values);
    let Energy::Measured(window) =
        OpenWindow::open(first.clone()).close(last.clone(), source.info())
    else {
        panic!("no figure");
    };
    assert_eq!(window.total_joules(), Ok(9000.0));
    // Five minutes at least.
    let short = at(200, last.values);
    let Energy::Measured(window) = OpenWindow::open(first).close(short, source.info()) else {
        panic!("no figure");
    };
    assert!(
        window
            .total_joules()
            .unwrap_err()
            .contains("at least 300 s are needed")
    );
    // The plug goes in.
    battery(&tree, "BAT0", &[("status", "Charging")]);
    let status = "Charging".to_owned();
    assert_eq!(
        source.snapshot().values,
        [Err(ReadFault::NotDischarging { status })]
    );
    let reason = open("battery", &tree.sys(INTEL), "").err().unwrap();
    assert!(
        reason
            .to_string()
            .starts_with("battery BAT0 is \"Charging\""),
        "{reason}"
    );
}

#[test]
fn a_battery_that_shows_volts_and_amperes_is_sampled() {
    let tree = Tree::new();
    // The sign of the current is a matter of the driver.
    let files = [
        ("type", "Battery"),
        ("status", "Discharging"),
        ("voltage_now", "12000000"),
        ("current_now", "-1500000"),
    ];
    battery(&tree, "BAT1", &files);
    let mut source = open("battery", &tree.sys(INTEL), "").unwrap();
    assert_eq!(values(source.as_mut()), [18_000_000]);
    assert!(matches!(
        source.info().domains[0].reads,
        Reads::Power { .. }
    ));
}

/// A device of registers as a sparse file. Intel's lie far enough apart; AMD's overlap, so its counter stands in the unit's
/// upper bytes, which are not looked at.
fn registers(tree: &Tree, cpu: u32, values: &[(u64, u64)]) {
    let path = format!("dev/cpu/{cpu}/msr");
    tree.file(&path, "");
    let file = std::fs::File::options()
        .write(true)
        .open(tree.root().join(path))
        .unwrap();
    for (register, value) in values {
        std::os::unix::fs::FileExt::write_all_at(&file, &value.to_le_bytes(), *register).unwrap();
    }
}

#[test]
fn registers_are_read_once_for_each_package_and_masked() {
    let tree = Tree::new();
    for cpu in 0..4 {
        // 2^-14 J, with other bits set around; and reserved bits above the counter.
        registers(
            &tree,
            cpu,
            &[
                (0x606, 0xA_0E03),
                (0x611, 0xffff_0000_0000_0000 | u64::from(cpu + 1) << 14),
            ],
        );
        let path = format!("devices/system/cpu/cpu{cpu}/topology/physical_package_id");
        tree.file(&path, if cpu < 2 { "0\n" } else { "1\n" });
    }
    let mut source = open("msr", &tree.sys(INTEL), "").unwrap();
    assert_eq!(described(source.as_ref()), ["+package-0", "+package-1"]);
    assert_eq!(values(source.as_mut()), [1 << 14, 3 << 14]);
    let domain = &source.info().domains[0];
    assert_eq!(domain.range, Some(0xffff_ffff));
    assert_eq!(domain.info.joules_per_tick, Some(2f64.powi(-14)));
    // 2^32 - 1 units are 262 143 J.
    assert_eq!(domain.info.range_uj, Some(262_143_999_939));
    let reason = open("msr", &Tree::new().sys(INTEL), "").err().unwrap();
    assert!(matches!(
        reason,
        Unavailable::ModuleNotLoaded { module: "msr", .. }
    ));
}

#[test]
fn psys_is_the_total_only_when_named() {
    let tree = Tree::new();
    let range = crate::tree::CLIENT_RANGE;
    tree.zone("intel-rapl:0", "package-0", range);
    tree.zone("intel-rapl:1", "psys", range);
    let powercap = open("powercap", &tree.sys(INTEL), "").unwrap();
    assert_eq!(described(powercap.as_ref()), ["+package-0", "psys"]);
    let psys = open("psys", &tree.sys(INTEL), "").unwrap();
    assert_eq!(described(psys.as_ref()), ["package-0", "+psys"]);
    assert_eq!(psys.info().name, "psys");
    std::fs::remove_dir_all(tree.zone_path("intel-rapl:1")).unwrap();
    let reason = open("psys", &tree.sys(INTEL), "")
        .err()
        .unwrap()
        .to_string();
    assert!(reason.starts_with("no psys zone in "), "{reason}");
}

#[test]
fn only_sources_of_the_cpu_are_tried_unnamed() {
    let tree = Tree::new();
    battery(
        &tree,
        "BAT0",
        &[
            ("type", "Battery"),
            ("status", "Discharging"),
            ("energy_now", "41000000"),
        ],
    );
    let vm = CpuFacts {
        hypervisor: true,
        ..INTEL
    };
    let sys = tree.sys(vm);
    let state = |surveyed: Vec<bitbench::energy::survey::Surveyed>| {
        let battery = surveyed.iter().find(|s| s.name == "battery").unwrap();
        (
            battery.status(),
            surveyed.iter().filter(|s| s.chosen).count(),
        )
    };
    assert_eq!(state(survey(&sys)), ("available when named", 0));
    assert_eq!(
        state(survey_for(&sys, &"battery".parse().unwrap())),
        ("chosen", 1)
    );
    // One that was named and cannot be read has no stand-in.
    tree.zone("intel-rapl:0", "package-0", crate::tree::CLIENT_RANGE);
    assert_eq!(state(survey(&sys)).1, 1);
    let choice: Choice = "hwmon".parse().unwrap();
    assert_eq!(state(survey_for(&sys, &choice)).1, 0);
    let mut meter = bitbench::meter::Meter::open_choice(&sys, &choice);
    let window = meter.begin();
    let Energy::Unavailable { reason } = meter.end(window) else {
        panic!("a figure of another source");
    };
    assert!(
        reason.starts_with("hwmon: no known power sensor in "),
        "{reason}"
    );
}
