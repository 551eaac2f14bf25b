//! The inner loops of heads: one instruction set a file, one list. All give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_loops;
mod portable;

use super::fixed_point::FixedPoint;
use crate::cpu::Cpu;

/// The loops of one instruction set; to hold one is proof that it can run. Layouts are drawn in the files of the heads; a
/// group is eight rows, and `groups` may go on after the last one that is asked for.
pub(super) trait Isa: Send + Sync {
    /// Its name, as in `q8_0-avx2`.
    fn name(&self) -> &'static str;
    /// Rows of `q8_0`: `out[r] = scale * sum over blocks of d * (q . values)`.
    fn q8_0(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]);
    /// Rows of `q6_k`: `out[r] = scale * sum over blocks of d * sum over 16 columns of s * ((c - 32) . values)`.
    fn q6_k(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]);
    /// The first plane of `screened`: `value[r] = sum over blocks of s * ((2 u - 15) . values)` and `error[r] = sum over blocks
    /// of t * norm of the block`.
    fn screen(&self, groups: &[u8], hidden: &FixedPoint, value: &mut [f32], error: &mut [f32]);
    /// Rows of the second plane of `screened`, each `stride` bytes: `out[i] = sum over blocks of s * ((2 v - 15) . values)` of
    /// row `rows[i]`, which are in order.
    fn refine(
        &self,
        plane: &[u8],
        stride: usize,
        rows: &[u32],
        hidden: &FixedPoint,
        out: &mut [f32],
    );
}

/// Gives the loops of an instruction set where the CPU has it.
type Detect = fn(&Cpu) -> Option<Box<dyn Isa>>;

/// Every instruction set of this architecture, the best first; the last needs nothing.
static ISAS: &[Detect] = &[
    #[cfg(target_arch = "x86_64")]
    avx512_vnni::detect,
    #[cfg(target_arch = "x86_64")]
    avx2::detect,
    #[cfg(target_arch = "aarch64")]
    neon_dotprod::detect,
    #[cfg(target_arch = "aarch64")]
    neon::detect,
    portable::detect,
];

/// Those this CPU has, the best first.
pub(super) fn all(cpu: &Cpu) -> Vec<Box<dyn Isa>> {
    ISAS.iter().filter_map(|detect| detect(cpu)).collect()
}

/// The best of this CPU.
pub(super) fn best(cpu: &Cpu) -> Box<dyn Isa> {
    all(cpu).swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::super::{fixed_point::FixedPoint, lanes::LANES, q6_k, q8_0, screened};
    use super::*;

    /// A stream of bytes from a seed (xorshift64*, Vigna 2016).
    fn noise(length: usize, mut state: u64) -> Vec<u8> {
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    /// Hidden states with the largest magnitudes that fixed point has, and ordinary ones.
    fn states(cols: usize) -> Vec<Vec<f32>> {
        let small = noise(cols, 5)
            .into_iter()
            .map(|b| f32::from(b.cast_signed()) / 16.0)
            .collect();
        let alternating = (0..cols)
            .map(|c| if c % 3 == 0 { -1.0 } else { 1.0 })
            .collect();
        vec![
            small,
            alternating,
            vec![1.0; cols],
            vec![-1.0; cols],
            vec![-32384.5 / 32512.0; cols],
        ]
    }

    /// Every bit pattern is a row, so noise and the extremes are weights: what saturates somewhere shows.
    fn weights(length: usize, scales: impl Fn(&mut [u8])) -> Vec<Vec<u8>> {
        let kinds = [
            noise(length, 1),
            vec![0xff; length],
            vec![0; length],
            vec![0x80; length],
            vec![0x7f; length],
        ];
        kinds
            .map(|mut bytes| {
                scales(&mut bytes);
                bytes
            })
            .into()
    }

    /// Half-precision scales that are finite.
    fn tame(bytes: &mut [u8]) {
        for d in bytes.chunks_exact_mut(2) {
            d[1] = d[1] & 0x83 | 0x2c;
        }
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_portable_one() {
        let isas = all(&Cpu::detect());
        let (portable, others) = isas.split_last().expect("the portable one");
        assert_eq!(portable.name(), "portable");
        if isas.len() < ISAS.len() {
            let names: Vec<_> = isas.iter().map(|isa| isa.name()).collect();
            assert!(
                std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_none(),
                "of {} instruction sets only {names:?} run here",
                ISAS.len()
            );
            println!("skipped: this CPU has only the loops of {names:?}");
        }
        for cols in [1, 31, 32, 33, 64, 100, 255, 256, 257, 576, 2560] {
            for (state, x) in states(cols).iter().enumerate() {
                let mut hidden = FixedPoint::default();
                hidden.set(x);
                let blocks = hidden.blocks();
                let rows = 3 * LANES - 2;
                let check = |what: &str, run: &dyn Fn(&dyn Isa) -> Vec<f32>| {
                    let expected = run(&**portable);
                    for isa in others {
                        let got = run(&**isa);
                        for (row, (got, expected)) in got.iter().zip(&expected).enumerate() {
                            let name = isa.name();
                            assert_eq!(
                                got.to_bits(),
                                expected.to_bits(),
                                "{what}-{name}, {cols} columns, state {state}, row {row}: {got} and {expected}"
                            );
                        }
                    }
                };
                let q8_0 = weights(3 * blocks * q8_0::BLOCK_BYTES, |bytes| {
                    bytes
                        .chunks_exact_mut(q8_0::BLOCK_BYTES)
                        .for_each(|b| tame(&mut b[..q8_0::SCALE_BYTES]));
                });
                let q6_k = weights(3 * q6_k::group_bytes(cols), |bytes| {
                    for group in bytes.chunks_exact_mut(q6_k::group_bytes(cols)) {
                        let block = q6_k::D_BYTES + q6_k::PARTS * q6_k::PART_BYTES;
                        group
                            .chunks_mut(block)
                            .for_each(|b| tame(&mut b[..q6_k::D_BYTES]));
                    }
                });
                let screen = weights(3 * blocks * screened::BLOCK_BYTES, |_| {});
                let stride = screened::refined_stride(cols);
                let refined = weights(rows * stride, |_| {});
                for kind in 0..q8_0.len() {
                    check("q8_0", &|isa| {
                        let mut out = vec![f32::NAN; rows];
                        isa.q8_0(&q8_0[kind], &hidden, &mut out);
                        out
                    });
                    check("q6_k", &|isa| {
                        let mut out = vec![f32::NAN; rows];
                        isa.q6_k(&q6_k[kind], &hidden, &mut out);
                        out
                    });
                    check("screen", &|isa| {
                        let (mut value, mut error) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
                        isa.screen(&screen[kind], &hidden, &mut value, &mut error);
                        value.append(&mut error);
                        value
                    });
                    check("refine", &|isa| {
                        let wanted = [0, 1, 5, 6, 20, 21];
                        let mut out = vec![f32::NAN; wanted.len()];
                        isa.refine(&refined[kind], stride, &wanted, &hidden, &mut out);
                        out
                    });
                }
            }
        }
    }
}
