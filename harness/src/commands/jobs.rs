//! Which jobs of a suite `run` and `gate` measure.

use crate::plan::Choices;
use crate::suite::{self, Threads};

/// Choices in the place of the suite's.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct JobArguments {
    /// Shape, GGUF file, Hugging Face folder, or a layer alone such as 6912x2560 (rows x columns) in the place of the suite's
    /// models; can be given more than once
    #[arg(long, value_name = "FILE|SHAPE")]
    model: Vec<String>,
    /// Kernel variants in the place of the suite's, such as 'i2s-*', or `tuned` for what `bitbench tune` chose; can be given
    /// more than once
    #[arg(long, value_name = "PATTERN")]
    kernel: Vec<String>,
    /// LM heads in the place of the suite's, such as f16,screened
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    head: Vec<String>,
    /// Numbers of threads in the place of the suite's, such as 1,2 or physical
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    threads: Vec<Threads>,
    /// Numbers of sequences that are decoded together in the place of the suite's, such as 1,8; of tokens for a layer alone
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(suite::LARGEST_TOKENS)))]
    batch: Vec<u32>,
    /// Leave threads to the system, rather than bind each to a core of its own
    #[arg(long)]
    no_pin: bool,
}

impl JobArguments {
    /// As the plan takes them.
    pub(super) fn choices(&self) -> Choices {
        Choices {
            models: self.model.clone(),
            kernels: self.kernel.clone(),
            heads: self.head.clone(),
            threads: self.threads.clone(),
            batch: self.batch.clone(),
            no_pin: self.no_pin,
            ..Choices::default()
        }
    }
}
