//! Files that show a quantity at a moment: hwmon inputs and the gauges of batteries.

use super::reading::{ReadFault, parse_counter};
use super::sysfs::{CounterFile, FILE_BYTES, SysFs};
use super::unavailable::Unavailable;
use std::path::{Path, PathBuf};

/// One quantity, from a file or as the product of two (volts and amperes).
pub(super) struct Input {
    first: Box<dyn CounterFile>,
    second: Option<Box<dyn CounterFile>>,
    /// What one step of the file, or of the product, is in the unit of the domain: times the first, over the second.
    scale: (u64, u64),
}

impl Input {
    /// Opens a file and reads it once.
    ///
    /// # Errors
    /// [`Unavailable::NoPermission`] or [`Unavailable::Broken`].
    pub(super) fn file(sys: &SysFs, path: &Path) -> Result<Input, Unavailable> {
        let first = open(sys, path)?;
        Ok(Input {
            first,
            second: None,
            scale: (1, 1),
        })
    }

    /// Opens two files whose product counts.
    ///
    /// # Errors
    /// As for [`Input::file`].
    pub(super) fn product(
        sys: &SysFs,
        paths: [&PathBuf; 2],
        scale: (u64, u64),
    ) -> Result<Input, Unavailable> {
        Ok(Input {
            first: open(sys, paths[0])?,
            second: Some(open(sys, paths[1])?),
            scale,
        })
    }

    /// The quantity now.
    ///
    /// # Errors
    /// See [`ReadFault`].
    pub(super) fn read(&self) -> Result<u64, ReadFault> {
        let mut value = u128::from(read(self.first.as_ref())?);
        if let Some(second) = &self.second {
            value = value.saturating_mul(u128::from(read(second.as_ref())?));
        }
        let (times, per) = self.scale;
        let value = value.saturating_mul(u128::from(times)) / u128::from(per.max(1));
        Ok(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

fn open(sys: &SysFs, path: &Path) -> Result<Box<dyn CounterFile>, Unavailable> {
    let open = || {
        let file = sys.open(path)?;
        read(file.as_ref())?;
        Ok(file)
    };
    open().map_err(|fault| match fault {
        ReadFault::Denied => Unavailable::FileDenied {
            path: path.to_owned(),
        },
        fault => Unavailable::Broken {
            path: path.to_owned(),
            fault,
        },
    })
}

/// Drivers do not agree on the sign of a current that leaves a battery; the direction is known from elsewhere.
fn read(file: &dyn CounterFile) -> Result<u64, ReadFault> {
    let mut buffer = [0; FILE_BYTES];
    let length = file.read_start(&mut buffer)?;
    let text = &buffer[..length];
    parse_counter(text.strip_prefix(b"-").unwrap_or(text))
}
