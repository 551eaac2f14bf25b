//! What was seen of the machine that will be in the figures, the likely cause, and the command that mends it.

use bitbench_reports::record::{Host, Limits, Settings};
use serde::Serialize;

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Advice {
    pub(super) text: String,
    pub(super) fix: Option<String>,
}

impl Advice {
    fn new(text: impl Into<String>, fix: Option<&str>) -> Advice {
        Advice {
            text: text.into(),
            fix: fix.map(ToOwned::to_owned),
        }
    }
}

pub(super) fn of(host: &Host) -> Vec<Advice> {
    let mut advice = Vec::new();
    if let Some(settings) = &host.settings {
        of_settings(settings, &mut advice);
    }
    if let Some(limits) = &host.limits {
        of_limits(limits, host, &mut advice);
    }
    if host.transparent_huge_pages.as_deref() == Some("never") {
        advice.push(Advice::new(
            "transparent huge pages are off, which costs decode a few per cent",
            Some("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"),
        ));
    }
    let kinds = host.hardware.as_ref().map_or(0, |h| h.core_kinds.len());
    if kinds > 1 {
        advice.push(Advice::new(
            "cores of several kinds: a thread on a slow one holds all others up at every barrier; keep to one kind",
            None,
        ));
    }
    let nodes = host.hardware.as_ref().map_or(0, |h| h.memory_nodes.len());
    if nodes > 1 {
        advice.push(Advice::new(
            format!(
                "{nodes} memory nodes: weights on a far one are read more slowly; keep to one node"
            ),
            Some("numactl --cpunodebind=0 --membind=0 bitbench run ..."),
        ));
    }
    if let Some(load) = host.load_centi.filter(|load| *load > 50) {
        advice.push(Advice::new(
            format!(
                "the load average is {}.{:02}: something else is running and will be in the figures; `top` says what",
                load / 100,
                load % 100
            ),
            None,
        ));
    }
    let moment = host.moment.as_ref();
    if let Some(steal) = moment
        .and_then(|m| m.steal_per_mille)
        .filter(|steal| *steal >= 5)
    {
        advice.push(Advice::new(
            format!(
                "the hypervisor kept {}.{} % of the CPU time since boot for others: windows say when it does",
                steal / 10,
                steal % 10
            ),
            None,
        ));
    }
    if let Some(virtualisation) = &host.virtualisation {
        advice.push(Advice::new(
            format!(
                "{virtualisation}: neighbours share memory bandwidth and clocks, so compare within one run only"
            ),
            None,
        ));
    }
    advice
}

fn of_settings(settings: &Settings, advice: &mut Vec<Advice>) {
    let slow = |governor: &String| governor == "powersave" || governor == "ondemand";
    // With these drivers powersave is the normal mode, and the preference decides.
    let by_itself = |driver: &str| driver == "intel_pstate" || driver == "amd-pstate-epp";
    let driver = settings.frequency_driver.as_deref().unwrap_or_default();
    if settings.governors.iter().any(slow) && !by_itself(driver) {
        advice.push(Advice::new(
            format!(
                "the frequency governor is {}, so clocks may stay low",
                settings.governors.join(" and ")
            ),
            Some("sudo cpupower frequency-set -g performance"),
        ));
    }
    if let Some(preference) = settings.energy_preference.as_deref()
        && (preference == "power" || preference == "balance_power")
    {
        advice.push(Advice::new(
            format!("the energy preference is {preference}, so clocks rise late"),
            Some("echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference"),
        ));
    }
    if settings.numa_balancing == Some(true) {
        advice.push(Advice::new(
            "the kernel moves memory between nodes while it is measured",
            Some("sudo sysctl kernel.numa_balancing=0"),
        ));
    }
}

fn of_limits(limits: &Limits, host: &Host, advice: &mut Vec<Advice>) {
    let cores = u64::from(host.logical_cpus);
    if let Some(centi) = limits.cpu_centi.filter(|centi| *centi < cores * 100) {
        advice.push(Advice::new(
            format!(
                "control groups allow {}.{:02} of {cores} cores: threads are stopped in the middle of a token; bind to whole CPUs \
                 in the place of a quota",
                centi / 100,
                centi % 100
            ),
            Some("docker run --cpuset-cpus 0-3 ... in the place of --cpus"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitbench_reports::record::Moment;

    #[test]
    fn nothing_is_advised_without_cause_and_every_cause_has_its_advice() {
        assert_eq!(of(&Host::default()), []);
        let host = Host {
            logical_cpus: 4,
            load_centi: Some(210),
            virtualisation: Some("container".to_owned()),
            transparent_huge_pages: Some("never".to_owned()),
            settings: Some(Settings {
                governors: vec!["powersave".to_owned()],
                energy_preference: Some("power".to_owned()),
                numa_balancing: Some(true),
                ..Settings::default()
            }),
            limits: Some(Limits {
                cpu_centi: Some(150),
                ..Limits::default()
            }),
            moment: Some(Moment {
                steal_per_mille: Some(31),
                ..Moment::default()
            }),
            ..Host::default()
        };
        let all: String = of(&host)
            .iter()
            .map(|a| format!("{} [{}]\n", a.text, a.fix.as_deref().unwrap_or_default()))
            .collect();
        for words in [
            "governor is powersave",
            "frequency-set -g performance",
            "preference is power",
            "huge pages are off",
            "load average is 2.10",
            "kept 3.1 %",
            "1.50 of 4 cores",
            "kernel.numa_balancing=0",
            "container: neighbours",
        ] {
            assert!(all.contains(words), "{words} in {all}");
        }
        // With this driver powersave is no fault.
        let host = Host {
            settings: Some(Settings {
                governors: vec!["powersave".to_owned()],
                frequency_driver: Some("intel_pstate".to_owned()),
                ..Settings::default()
            }),
            ..Host::default()
        };
        assert_eq!(of(&host), []);
    }
}
