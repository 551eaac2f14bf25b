//! Every suite that is part of the binary has a plan, on machines large and small.

use bitbench::plan::{Choices, ControlChoice, Machine, Plan, expand};
use bitbench::suite::{LoadedSuite, load, suite_names};
use bitbench_engine::cpu::{Cpu, Feature};
use bitbench_reports::record::Precision;
use std::collections::BTreeSet;

/// The CPUs that this architecture knows: none of its features, this machine, and what older ones lack.
fn cpus() -> Vec<Cpu> {
    let this = Cpu::detect();
    let mut cpus = vec![Cpu::scalar(), this];
    for feature in [Feature::Avx512F, Feature::Dotprod] {
        if this.has(feature) {
            cpus.push(this.without(feature));
        }
    }
    cpus
}

fn plan(loaded: &LoadedSuite, cpu: &Cpu, cores: u32, memory: u64, quick: bool) -> Plan {
    let machine = Machine {
        cpu,
        physical_cores: cores,
        cores: Vec::new(),
        available_memory: Some(memory),
        shortest_energy_window: None,
    };
    let choices = Choices {
        quick,
        control: ControlChoice::Never,
        ..Choices::default()
    };
    expand(loaded, &choices, &machine).unwrap_or_else(|e| panic!("{}: {e}", loaded.name))
}

#[test]
fn every_embedded_suite_has_a_plan_on_every_cpu() {
    for name in suite_names() {
        let mut loaded = load(&name).unwrap();
        // How slow this machine is at the moment is not the point.
        loaded.suite.round_limit_s = 86_400.0;
        for cpu in cpus() {
            // The shortened form leaves out cases; one machine is enough to see that some are left.
            for quick in [Some(false), (cpu == Cpu::detect()).then_some(true)]
                .into_iter()
                .flatten()
            {
                let plan = plan(&loaded, &cpu, 8, 1 << 40, quick);
                let ids: BTreeSet<&str> = plan.jobs.iter().map(|j| j.job.id.as_str()).collect();
                assert_eq!(ids.len(), plan.jobs.len(), "{name}: two jobs of one name");
                for planned in &plan.jobs {
                    // What is not for this CPU is skipped; with memory and time enough nothing else is.
                    let lacks = |reason: &String| reason.contains("this CPU has no");
                    assert!(
                        planned.skip.as_ref().is_none_or(lacks),
                        "{name}: {planned:?}"
                    );
                }
                let runs = plan.jobs.iter().filter(|j| j.skip.is_none());
                let precisions: BTreeSet<Precision> = runs.map(|j| j.job.precision).collect();
                assert!(precisions.contains(&Precision::Ternary), "{name}");
                // There is no room for half precision anywhere at 100B.
                assert!(
                    precisions.contains(&Precision::Half) || name == "x86-100b",
                    "{name} has nothing to hold a row against"
                );
            }
        }
    }
}

#[test]
fn on_a_small_machine_a_suite_skips_and_says_why() {
    for name in suite_names() {
        let loaded = load(&name).unwrap();
        let plan = plan(&loaded, &Cpu::detect(), 1, 2 << 30, false);
        for reason in plan.jobs.iter().filter_map(|j| j.skip.as_ref()) {
            assert!(reason.len() > 10, "{name}: {reason}");
        }
    }
}
