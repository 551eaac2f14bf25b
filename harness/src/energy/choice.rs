//! The value of `--energy`: which source a run reads.

use super::{SOURCES, SourceKind};
use std::str::FromStr;

/// Which source to read.
#[derive(Debug, Clone, Default)]
pub enum Choice {
    /// The best that opens without being named.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one or none.
    Named {
        /// The source.
        kind: &'static SourceKind,
        /// What it is to read, for those that need to be told.
        argument: String,
    },
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        match text {
            "auto" => return Ok(Choice::Auto),
            "off" => return Ok(Choice::Off),
            _ => {}
        }
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let Some(kind) = SourceKind::find(name) else {
            let names: Vec<String> = SOURCES.iter().map(|kind| kind.usage()).collect();
            return Err(format!(
                "there is no source {name}; there are auto, off, {}",
                names.join(", ")
            ));
        };
        match (kind.argument, argument) {
            (Some(_), None | Some("")) => Err(format!("it must be {}", kind.usage())),
            (None, Some(_)) => Err(format!("{name} takes nothing after its name")),
            (_, argument) => Ok(Choice::Named {
                kind,
                argument: argument.unwrap_or_default().to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_can_be_named() {
        for kind in SOURCES {
            let text = kind
                .usage()
                .replace("FILE", "a:b.csv")
                .replace("COMMAND", "x y");
            let Ok(Choice::Named {
                kind: named,
                argument,
            }) = text.parse()
            else {
                panic!("{text}");
            };
            assert_eq!(named.name, kind.name);
            let expected = text.split_once(':').map_or("", |(_, argument)| argument);
            assert_eq!(argument, expected);
        }
        assert!(matches!("auto".parse(), Ok(Choice::Auto)));
        assert!(matches!("off".parse(), Ok(Choice::Off)));
    }

    #[test]
    fn slips_are_told() {
        let told = |text: &str| text.parse::<Choice>().unwrap_err();
        assert!(
            told("rapl")
                .starts_with("there is no source rapl; there are auto, off, powercap, perf, ")
        );
        assert_eq!(told("meter-file"), "it must be meter-file:FILE");
        assert_eq!(told("meter-command:"), "it must be meter-command:COMMAND");
        assert_eq!(told("perf:0"), "perf takes nothing after its name");
    }
}
