//! LM heads: how the vocabulary is multiplied by the hidden state. One file each, one list.
//!
//! The head of a small ternary model weighs more than its layers when it is kept in half precision, so it can be kept in
//! other ways. `f16` and `screened` give the same tokens, `q8_0` and `q6_k` are approximations of them and named in every
//! record. To add a head: write `<name>.rs` with a `CHOICE` in it, and name it here. What the heads share is the hidden state
//! in fixed point (`fixed_point`) and, for each instruction set, the inner loops over packed rows (`isa`): a head is a
//! storage format, an instruction set is a file of its own, and every combination gives the same bits.

mod f16;
mod fixed_point;
mod isa;
mod lanes;
mod q6_k;
mod q8_0;
mod screened;
mod select;

pub use select::Candidate;

use crate::activations::{Activations, Preparation};
use crate::cpu::Cpu;
use crate::forward::Workspace;
use crate::kernels::{PackError, PackedMatrix};
use crate::ops::SharedIsa;
use crate::threads::Pool;
use crate::weights::DenseMatrix;
use fixed_point::FixedPoint;
use screened::ScreenWork;
use std::sync::Arc;

/// One way of keeping the LM head.
#[derive(Debug)]
pub struct HeadChoice {
    /// Name in records and on the command line, also the name of the file.
    pub name: &'static str,
    /// Bits for each weight that are kept for the head, the embedding that it may share not counted.
    pub bits_per_weight: f64,
    /// Whether it also needs the rows in half precision, which are the embedding where that serves as head.
    pub keeps_half: bool,
    /// Whether its logits are those of the half-precision head, bit for bit.
    pub exact: bool,
    /// One line on how it works.
    pub about: &'static str,
    /// Packs the rows.
    pub pack: fn(&HeadSource<'_>) -> Result<Box<dyn Head>, PackError>,
}

/// Every head; the first is the default.
pub static HEADS: &[&HeadChoice] = &[
    &f16::CHOICE,
    &q8_0::CHOICE,
    &q6_k::CHOICE,
    &screened::CHOICE,
];

/// The head of this name.
pub fn find(name: &str) -> Option<&'static HeadChoice> {
    HEADS.iter().copied().find(|h| h.name == name)
}

/// The head that is meant where none is named: half precision.
pub fn default() -> &'static HeadChoice {
    &f16::CHOICE
}

/// What a head is packed from.
pub struct HeadSource<'a> {
    /// The rows, `[vocab][hidden]`.
    pub weights: &'a DenseMatrix,
    /// Packs the rows in half precision, or shares those of the embedding.
    pub half: &'a dyn Fn() -> Result<Arc<dyn PackedMatrix>, PackError>,
    /// Name of the variant that does so.
    pub half_kernel: &'static str,
    /// What the loops over other rows may use: the CPU, or less for a reference.
    pub cpu: &'a Cpu,
}

/// A packed head. To hold one is proof that its kernels can run.
pub trait Head: Send + Sync {
    /// Which one it is.
    fn choice(&self) -> &'static HeadChoice;
    /// Its rows.
    fn vocab(&self) -> usize;
    /// The kernels that compute it, for the record.
    fn kernel(&self) -> String;
    /// Bytes in memory beside the rows in half precision.
    fn bytes(&self) -> u64;
    /// The rows in half precision, where it needs them.
    fn half(&self) -> Option<&Arc<dyn PackedMatrix>> {
        None
    }
    /// What every decoded token reads from end to end.
    fn streams(&self) -> Vec<&[u8]>;
    /// Computes all logits of some tokens: `x` is `[tokens][hidden]`, `work.logits` becomes `[tokens][vocab]`. Gives the bytes
    /// of weights that were read, once for all tokens.
    fn logits(&self, x: &[f32], team: Team<'_>, work: &mut HeadWork) -> u64;
    /// The `k` largest logits of each token, the first of equals before the others; `x` is `[tokens][hidden]`. Gives the bytes
    /// of weights that were read.
    ///
    /// # Errors
    /// [`NotFinite`] where a logit is not a finite number.
    fn top(
        &self,
        x: &[f32],
        k: usize,
        team: Team<'_>,
        work: &mut HeadWork,
    ) -> Result<(Vec<Vec<Candidate>>, u64), NotFinite> {
        let bytes = self.logits(x, team, work);
        work.check_logits()?;
        let rows = work.logits.chunks_exact(self.vocab());
        Ok((rows.map(|row| select::top(row, k)).collect(), bytes))
    }
}

/// A logit that is infinite or not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

/// The threads and the instruction set of a session.
#[derive(Debug, Clone, Copy)]
pub struct Team<'a> {
    /// The threads.
    pub pool: &'a Pool,
    /// What everything but the linear layers is compiled for.
    pub isa: SharedIsa,
}

impl<'a> Team<'a> {
    pub(crate) fn of(work: &'a Workspace) -> Team<'a> {
        Team {
            pool: &work.pool,
            isa: work.isa,
        }
    }
}

/// Working memory of a head; it grows with use and is kept.
#[derive(Debug)]
pub struct HeadWork {
    /// `[tokens][vocab]`
    pub(crate) logits: Vec<f32>,
    dense: Activations,
    /// One for each token.
    fixed: Vec<FixedPoint>,
    screen: ScreenWork,
}

impl HeadWork {
    /// No memory yet.
    pub fn new() -> HeadWork {
        HeadWork {
            logits: Vec::new(),
            dense: Activations::new(Preparation::F32),
            fixed: Vec::new(),
            screen: ScreenWork::default(),
        }
    }

    /// All logits of the last call, `[tokens][vocab]`.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Of the last token of a screened head, the rows of which the second plane and the half-precision rows were read.
    pub fn rescored_rows(&self) -> [usize; 2] {
        self.screen.rescored
    }

    /// Whether all logits are finite numbers.
    pub(crate) fn check_logits(&self) -> Result<(), NotFinite> {
        // Whole chunks without a branch: a test of each number by itself would take longer than a small head.
        let finite = |chunk: &[f32]| chunk.iter().fold(true, |all, v| all & v.is_finite());
        if self.logits.chunks(256).all(finite) {
            Ok(())
        } else {
            Err(NotFinite)
        }
    }
}

impl Default for HeadWork {
    fn default() -> Self {
        HeadWork::new()
    }
}

/// Names of the instruction sets that heads have kernels for on this CPU, widest first; the last is portable.
pub fn isa_names(cpu: &Cpu) -> Vec<&'static str> {
    isa::all(cpu).iter().map(|isa| isa.name()).collect()
}
