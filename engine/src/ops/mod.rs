//! The float operations around the linear layers: norms, rotary embedding, gate, attention, quantisation of activations.
//!
//! They are written once in portable Rust with a fixed number of lanes and compiled again for wider vectors. Multiplications
//! and additions are never fused and never reordered, so every instruction set gives the same bits, and so do any batch
//! size and any number of threads: what differs between two rows of a report is the kernel of the linear layers alone.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls across the target-feature boundary")
)]

mod attention;
mod gate;
mod norm;
mod quantize;
mod rope;
mod tile;

pub(crate) use attention::{Attention, Scratch as AttentionScratch};
pub(crate) use norm::Norm;
pub(crate) use rope::RopeTable;

use crate::cpu::{Avx2F16c, Avx512, Cpu};
use crate::grid::Tile;

/// Lanes of every reduction: the order of additions is part of the result.
const LANES: usize = 16;

/// The instruction set that everything but the linear layers is compiled for.
#[derive(Debug, Clone, Copy)]
pub enum SharedIsa {
    /// What the target always has.
    Portable,
    /// 256-bit vectors.
    Avx2(Avx2F16c),
    /// 512-bit vectors.
    Avx512(Avx512),
}

impl SharedIsa {
    /// The widest that this CPU has.
    pub fn best(cpu: &Cpu) -> SharedIsa {
        if let Ok(proof) = cpu.avx512() {
            return SharedIsa::Avx512(proof);
        }
        match cpu.avx2_f16c() {
            Ok(proof) => SharedIsa::Avx2(proof),
            Err(_) => SharedIsa::Portable,
        }
    }

    /// Its name in a record.
    pub fn name(self) -> &'static str {
        match self {
            SharedIsa::Portable => "portable",
            SharedIsa::Avx2(_) => "avx2",
            SharedIsa::Avx512(_) => "avx512",
        }
    }
}

/// Defines a function that runs an `#[inline(always)]` body compiled for the shared instruction set.
macro_rules! on_shared_isa {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? = $body:path;) => {
        $(#[$doc])*
        $vis fn $name(isa: SharedIsa, $($arg: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $type),*) $(-> $result)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
            fn avx512($($arg: $type),*) $(-> $result)? {
                $body($($arg),*)
            }
            match isa {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the variant holds the proof of exactly these features.
                SharedIsa::Avx2(_) => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the variant holds the proof of exactly these features.
                SharedIsa::Avx512(_) => unsafe { avx512($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    };
}

on_shared_isa! {
    /// RMSNorm of one token: out = x / sqrt(mean(x^2) + epsilon) * weight, all of the same length.
    fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = norm::rms_norm;
}
on_shared_isa! {
    /// The same, in the place of `x`.
    fn rms_norm_in_place(x: &mut [f32], weight: &[f32], epsilon: f32) = norm::rms_norm_in_place;
}
on_shared_isa! {
    /// LayerNorm of one token without a bias, in the place of `x`: (x - mean) / sqrt(variance + epsilon) * weight.
    fn layer_norm_in_place(x: &mut [f32], weight: &[f32], epsilon: f32) = norm::layer_norm_in_place;
}
on_shared_isa! {
    /// `x += y`, element by element: the residual stream.
    pub(crate) fn add(x: &mut [f32], y: &[f32]) = norm::add;
}
on_shared_isa! {
    /// Absmax quantisation of one token to int8: gives max|x| / 127 and the sum of the quantised values.
    pub(crate) fn quantize_absmax(x: &[f32], smallest_absmax: f32, out: &mut [i8]) -> (f32, i32) = quantize::absmax;
}
on_shared_isa! {
    /// The bfloat16 bits nearest to each value, ties to even.
    pub(crate) fn round_to_bf16(x: &[f32], out: &mut [u16]) = quantize::to_bf16;
}
on_shared_isa! {
    /// `out = silu(gate) * up`, element by element.
    pub(crate) fn silu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) = gate::silu;
}
on_shared_isa! {
    /// `out = max(gate, 0)^2 * up`, element by element.
    pub(crate) fn squared_relu_gate(gate: &[f32], up: &[f32], out: &mut [f32]) = gate::squared_relu;
}
on_shared_isa! {
    /// `out = gelu(x)`, element by element, in the form with tanh.
    pub(crate) fn gelu(x: &[f32], out: &mut [f32]) = gate::gelu;
}
on_shared_isa! {
    /// Turns every head of one token, shape `[heads][head_dim]`, to its position, which `table` has reached.
    pub(crate) fn turn(table: &RopeTable, heads: &mut [f32], position: usize) = RopeTable::turn;
}

/// Attention of some query heads that share a key-value head; see [`Attention`]. The registers of an instruction set decide
/// how many queries are worked at together, which changes no bit.
pub(crate) fn attend(
    isa: SharedIsa,
    task: &Attention<'_>,
    scratch: &mut AttentionScratch,
    out: &mut Tile<'_>,
) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn avx2(
        proof: Avx2F16c,
        task: &Attention<'_>,
        scratch: &mut AttentionScratch,
        out: &mut Tile<'_>,
    ) {
        // Four by two vectors are eight sums of 16 registers.
        attention::attend::<4>(proof, task, scratch, out);
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
    fn avx512(
        proof: Avx512,
        task: &Attention<'_>,
        scratch: &mut AttentionScratch,
        out: &mut Tile<'_>,
    ) {
        attention::attend::<8>(proof, task, scratch, out);
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `proof` exists only where these features were detected.
        SharedIsa::Avx2(proof) => unsafe { avx2(proof, task, scratch, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `proof` exists only where these features were detected.
        SharedIsa::Avx512(proof) => unsafe { avx512(proof, task, scratch, out) },
        _ => attention::attend::<4>(tile::Portable, task, scratch, out),
    }
}

/// Sum of the lanes, pairwise, in a fixed order.
#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
