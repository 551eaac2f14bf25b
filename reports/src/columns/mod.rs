//! What a table can show: one column a file, one list for every renderer.
//!
//! To add a column, add a file with a `COLUMN` and a line to [`COLUMNS`]; terminal, CSV, Markdown and HTML follow.

use crate::compare::{Against, Comparison};
use crate::summary::Summary;

mod allocated_mb;
mod anonymous_mb;
mod bandwidth_share_percent;
mod batch;
mod bits_per_weight;
mod cold_load_seconds;
mod compute_peak_gop_per_second;
mod cpus;
mod decode_cache_misses_per_token;
mod decode_compute_share_percent;
mod decode_context_switches;
mod decode_effective_mhz;
mod decode_gb_per_second;
mod decode_instructions_per_cycle;
mod decode_joules_per_token;
mod decode_limit;
mod decode_ms_per_token;
mod decode_net_error_percent;
mod decode_net_joules_per_token;
mod decode_others_cores;
mod decode_page_faults_per_token;
mod decode_speedup;
mod decode_stolen_cores;
mod decode_tokens;
mod decode_tokens_per_second;
mod decode_tokens_per_second_each;
mod decode_watts;
mod decode_worker_cores;
mod energy_saved_percent;
mod engine;
mod file_mb;
mod first_token_ms;
mod head;
mod head_mb_per_token;
mod job;
mod kernel;
mod kv_kb_per_token;
mod linear_mb;
mod load_seconds;
mod model;
mod multiply_bandwidth_share_percent;
mod multiply_compute_share_percent;
mod multiply_gb_per_second;
mod multiply_gop_per_second;
mod multiply_speedup;
mod multiply_uj;
mod multiply_us;
mod peak_mb;
mod precision;
mod prefill_compute_share_percent;
mod prefill_energy_saved_percent;
mod prefill_gop_per_second;
mod prefill_joules_per_token;
mod prefill_speedup;
mod prefill_tokens;
mod prefill_tokens_per_second;
mod prefill_watts;
mod provenance;
mod read_bandwidth_gb_per_second;
mod reason;
mod request_joules;
mod request_seconds;
mod request_watts;
mod saved_by_speed_percent;
mod status;
mod steady_mb;
mod ternarized;
mod threads;
mod weights_mb;

pub use crate::cell::{Cell, Spread};

/// One row: a job, what its samples say, and how it stands against its baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The job and its figures.
    pub summary: Summary,
    /// Against the baseline.
    pub comparison: Comparison,
}

impl Row {
    /// The row against its baseline in what a run is asked first: how fast it decodes, or how fast a layer alone multiplies.
    pub fn speedup(&self) -> &Against {
        match self.summary.job.layer {
            None => &self.comparison.decode_speedup,
            Some(_) => &self.comparison.multiply_speedup,
        }
    }
}

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Stable id, lower case, with the unit where a number is raw: the header of the CSV and the name of the file.
    pub id: &'static str,
    /// Title for people.
    pub title: &'static str,
    /// Unit of the numbers; empty for texts and plain counts.
    pub unit: &'static str,
    /// One sentence: what it is and how it is measured.
    pub help: &'static str,
    /// How it follows from the record: fields of `records.jsonl` and files of `reports/src` in backticks, other columns bare.
    pub derived: &'static str,
    /// The part of a page it belongs to.
    pub section: Section,
    /// What its cells are.
    pub kind: Kind,
    /// Which direction is good.
    pub better: Better,
    /// Place in line for a narrow terminal: the lowest stays longest. A column without one is only in the CSV.
    pub rank: Option<u8>,
    /// What it says of a row.
    pub cell: fn(&Row) -> Cell,
}

impl Column {
    /// The column of this id.
    pub fn find(id: &str) -> Option<&'static Column> {
        COLUMNS.iter().copied().find(|column| column.id == id)
    }
}

/// The part of a page that a column belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Which job: repeated in every table.
    Job,
    /// Latency and tokens/s.
    Speed,
    /// Energy and power.
    Energy,
    /// Memory and bandwidth.
    Memory,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// A number that does not vary from round to round.
    Fact {
        /// Most decimals shown.
        decimals: usize,
    },
    /// A median over rounds, with its spread.
    Measured {
        /// Most decimals shown.
        decimals: usize,
        /// Whether tables for people show the spread; the CSV always has it.
        spread_shown: bool,
    },
    /// An estimate from pairs of rounds, with the interval that holds it or the range of the pairs.
    Ratio {
        /// Most decimals shown.
        decimals: usize,
    },
}

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither is.
    Neither,
}

/// Every column, in the order of the CSV.
pub static COLUMNS: &[&Column] = &[
    &job::COLUMN,
    &model::COLUMN,
    &engine::COLUMN,
    &kernel::COLUMN,
    &head::COLUMN,
    &precision::COLUMN,
    &ternarized::COLUMN,
    &threads::COLUMN,
    &cpus::COLUMN,
    &prefill_tokens::COLUMN,
    &decode_tokens::COLUMN,
    &batch::COLUMN,
    &status::COLUMN,
    &reason::COLUMN,
    &provenance::COLUMN,
    &prefill_tokens_per_second::COLUMN,
    &prefill_speedup::COLUMN,
    &decode_tokens_per_second::COLUMN,
    &decode_tokens_per_second_each::COLUMN,
    &decode_ms_per_token::COLUMN,
    &decode_speedup::COLUMN,
    &first_token_ms::COLUMN,
    &load_seconds::COLUMN,
    &cold_load_seconds::COLUMN,
    &request_seconds::COLUMN,
    &decode_joules_per_token::COLUMN,
    &energy_saved_percent::COLUMN,
    &saved_by_speed_percent::COLUMN,
    &prefill_joules_per_token::COLUMN,
    &prefill_energy_saved_percent::COLUMN,
    &decode_net_joules_per_token::COLUMN,
    &decode_net_error_percent::COLUMN,
    &decode_watts::COLUMN,
    &prefill_watts::COLUMN,
    &request_joules::COLUMN,
    &request_watts::COLUMN,
    &bits_per_weight::COLUMN,
    &linear_mb::COLUMN,
    &weights_mb::COLUMN,
    &head_mb_per_token::COLUMN,
    &peak_mb::COLUMN,
    &anonymous_mb::COLUMN,
    &file_mb::COLUMN,
    &steady_mb::COLUMN,
    &allocated_mb::COLUMN,
    &kv_kb_per_token::COLUMN,
    &decode_gb_per_second::COLUMN,
    &read_bandwidth_gb_per_second::COLUMN,
    &bandwidth_share_percent::COLUMN,
    &prefill_gop_per_second::COLUMN,
    &compute_peak_gop_per_second::COLUMN,
    &prefill_compute_share_percent::COLUMN,
    &decode_compute_share_percent::COLUMN,
    &decode_limit::COLUMN,
    &multiply_us::COLUMN,
    &multiply_speedup::COLUMN,
    &multiply_gb_per_second::COLUMN,
    &multiply_bandwidth_share_percent::COLUMN,
    &multiply_gop_per_second::COLUMN,
    &multiply_compute_share_percent::COLUMN,
    &multiply_uj::COLUMN,
    &decode_worker_cores::COLUMN,
    &decode_others_cores::COLUMN,
    &decode_stolen_cores::COLUMN,
    &decode_page_faults_per_token::COLUMN,
    &decode_context_switches::COLUMN,
    &decode_instructions_per_cycle::COLUMN,
    &decode_effective_mhz::COLUMN,
    &decode_cache_misses_per_token::COLUMN,
];
