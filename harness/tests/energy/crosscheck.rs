//! Two ways to the same counters, held against each other.

use bitbench::energy::crosscheck::CrossCheck;
use bitbench::energy::reading::Snapshot;
use bitbench::energy::tick::Tick;
use bitbench::energy::{Domain, EnergySource, Reads, SourceInfo};
use bitbench_reports::record::{DomainInfo, DomainKind, Provenance};
use std::collections::VecDeque;
use std::time::Duration;

/// A source that gives its readings one a second.
struct Scripted {
    info: SourceInfo,
    readings: VecDeque<Vec<u64>>,
    at: Duration,
}

impl EnergySource for Scripted {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn snapshot(&mut self) -> Snapshot {
        self.at += Duration::from_secs(1);
        Snapshot {
            before: self.at,
            after: self.at,
            asleep: Duration::ZERO,
            values: self
                .readings
                .pop_front()
                .unwrap()
                .into_iter()
                .map(Ok)
                .collect(),
        }
    }
}

fn source(
    name: &'static str,
    tick: Tick,
    domains: &[(&str, DomainKind)],
    ends: &[u64],
) -> Scripted {
    let domain = |(name, kind): &(&str, DomainKind)| Domain {
        info: DomainInfo {
            name: (*name).to_owned(),
            kind: *kind,
            counted: *kind == DomainKind::Package || *kind == DomainKind::Dram,
            range_uj: None,
            joules_per_tick: None,
            origin: String::new(),
        },
        reads: Reads::Counter(tick),
        range: None,
        update_period: Duration::from_millis(1),
        max_watts: 1000,
        min_window: Duration::from_millis(100),
    };
    Scripted {
        info: SourceInfo {
            name,
            provenance: Provenance::Simulated,
            domains: domains.iter().map(domain).collect(),
            caveats: Vec::new(),
        },
        readings: VecDeque::from([vec![0; ends.len()], ends.to_vec()]),
        at: Duration::ZERO,
    }
}

const PACKAGE: (&str, DomainKind) = ("package-0", DomainKind::Package);
const DRAM: (&str, DomainKind) = ("package-0/dram", DomainKind::Dram);
const CORE: (&str, DomainKind) = ("package-0/core", DomainKind::Cores);

fn checked(package_uj: u64, dram_uj: u64) -> CrossCheck {
    let powercap_domains = [PACKAGE, CORE, DRAM];
    let ends = [package_uj, 9_000_000, dram_uj];
    let mut powercap = source("powercap", Tick::MICROJOULE, &powercap_domains, &ends);
    let tick = Tick::of_joule_shifted(32).unwrap();
    let ends = [40 << 32, 4 << 32, 2 << 32];
    let mut perf = source("perf", tick, &[PACKAGE, DRAM, CORE], &ends);
    CrossCheck::of(&mut powercap, &mut perf, Duration::ZERO)
}

#[test]
fn sources_that_agree_are_said_to() {
    let check = checked(39_998_000, 4_000_000);
    assert!(!check.differs());
    assert_eq!(
        check.to_string(),
        "cross-check, powercap / perf: package-0 0.9999, package-0/dram 1.0000"
    );
}

#[test]
fn a_difference_above_two_per_cent_is_pointed_out() {
    let check = checked(40_000_000, 4_120_000);
    assert!(check.differs());
    assert_eq!(
        check.to_string(),
        "powercap and perf DIFFER by more than 2 %, trust neither: \
         cross-check, powercap / perf: package-0 1.0000, package-0/dram 1.0300"
    );
    assert!(!checked(40_700_000, 4_000_000).differs());
    assert!(checked(39_100_000, 4_000_000).differs());
}

#[test]
fn what_gives_no_figure_has_no_ratio() {
    let check = checked(0, 4_000_000);
    assert!(!check.differs());
    let text = check.to_string();
    assert!(
        text.contains("package-0 no figure (counter did not move for 1.000 s"),
        "{text}"
    );
    let mut powercap = source("powercap", Tick::MICROJOULE, &[PACKAGE], &[5_000_000]);
    let mut perf = source("perf", Tick::MICROJOULE, &[DRAM], &[5_000_000]);
    let check = CrossCheck::of(&mut powercap, &mut perf, Duration::ZERO);
    assert_eq!(
        check.to_string(),
        "cross-check, powercap / perf: no domain in common"
    );
}
