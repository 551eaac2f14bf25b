//! Says which energy sources this machine has, and reads the best one for a while.
//!
//! ```text
//! energy_probe [--sysfs-root DIR] [SECONDS]
//! ```
#![forbid(unsafe_code)]

use bitbench::energy::survey::survey;
use bitbench::energy::sysfs::SysFs;
use bitbench::meter::Meter;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sys = SysFs::machine();
    let mut seconds = 0.0;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--sysfs-root" => sys = SysFs::at(args.next().ok_or("--sysfs-root needs a folder")?),
            number => seconds = number.parse()?,
        }
    }
    for source in survey(&sys) {
        println!("{}: {}", source.name, source.status());
        for text in [source.reason(), source.remedy()].into_iter().flatten() {
            println!("  {text}");
        }
    }
    let mut meter = Meter::open(&sys);
    println!("{}", serde_json::to_string_pretty(&meter.info())?);
    if seconds > 0.0 {
        let window = meter.begin();
        std::thread::sleep(Duration::try_from_secs_f64(seconds)?);
        println!("{}", serde_json::to_string_pretty(&meter.end(window))?);
    }
    Ok(())
}
