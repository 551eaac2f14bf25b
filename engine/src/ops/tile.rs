//! The register tile of attention, and the widening of the KV cache: the two things of this folder that compilers do not make
//! well of portable code.
//!
//! Each instruction set does the same operations on every lane, in the same order, with products rounded before they are
//! added, so all give the same bits; a test holds them against the portable one.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls across the target-feature boundary")
)]

use super::LANES;
use half::f16;

/// A value that proves an instruction set, and what it is used for.
pub(super) trait Lanes: Copy {
    /// Writes finite half-precision numbers in single precision.
    fn widen(self, from: &[f16; LANES], to: &mut [f32; LANES]);
}

/// A tile of `N` factors by [`LANES`] sums.
pub(super) trait AddProducts<const N: usize>: Lanes {
    /// `sums[n] += factors[n][step] * rows[step]` in each lane, step after step. The factors are as long as the rows.
    fn add_products(
        self,
        rows: &[[f32; LANES]],
        factors: [&[f32]; N],
        sums: &mut [[f32; LANES]; N],
    );
}

/// What the target always has.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    /// By integer operations and one multiplication, which moves the exponent to its place and gives subnormal numbers their
    /// value too.
    #[inline(always)]
    fn widen(self, from: &[f16; LANES], to: &mut [f32; LANES]) {
        for (to, from) in to.iter_mut().zip(from) {
            let bits = u32::from(from.to_bits());
            let magnitude =
                f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
            *to = f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16);
        }
    }
}

#[inline(always)]
fn add_product(sums: &mut [f32; LANES], factor: f32, row: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] += factor * row[lane];
    }
}

impl AddProducts<1> for Portable {
    #[inline(always)]
    fn add_products(
        self,
        rows: &[[f32; LANES]],
        factors: [&[f32]; 1],
        sums: &mut [[f32; LANES]; 1],
    ) {
        let [mut a] = *sums;
        for (row, factor) in rows.iter().zip(factors[0]) {
            add_product(&mut a, *factor, row);
        }
        *sums = [a];
    }
}

impl AddProducts<4> for Portable {
    #[inline(always)]
    fn add_products(
        self,
        rows: &[[f32; LANES]],
        factors: [&[f32]; 4],
        sums: &mut [[f32; LANES]; 4],
    ) {
        // Four names and not an array: so the sums stay in registers.
        let [mut a, mut b, mut c, mut d] = *sums;
        let [fa, fb, fc, fd] = factors;
        for ((((row, fa), fb), fc), fd) in rows.iter().zip(fa).zip(fb).zip(fc).zip(fd) {
            add_product(&mut a, *fa, row);
            add_product(&mut b, *fb, row);
            add_product(&mut c, *fc, row);
            add_product(&mut d, *fd, row);
        }
        *sums = [a, b, c, d];
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{AddProducts, LANES, Lanes};
    use crate::cpu::x86_64::{
        load_f32x8, load_f32x16, load_u16x8, load_u16x16, store_f32x8, store_f32x16,
    };
    use crate::cpu::{Avx2F16c, Avx512};
    use half::f16;
    use half::slice::HalfFloatSliceExt;
    use std::arch::x86_64::*;

    fn bits(halves: &[f16; LANES]) -> &[u16; LANES] {
        let bits: &[u16] = halves.reinterpret_cast();
        bits.as_array().expect("as many bits as halves")
    }

    impl Lanes for Avx2F16c {
        #[inline(always)]
        fn widen(self, from: &[f16; LANES], to: &mut [f32; LANES]) {
            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn widen(from: &[u16; LANES], to: &mut [f32; LANES]) {
                let (from, _) = from.as_chunks::<8>();
                let (to, _) = to.as_chunks_mut::<8>();
                for half in 0..2 {
                    store_f32x8(&mut to[half], _mm256_cvtph_ps(load_u16x8(&from[half])));
                }
            }
            // SAFETY: `self` exists only where these features were detected.
            unsafe { widen(bits(from), to) }
        }
    }

    impl<const N: usize> AddProducts<N> for Avx2F16c {
        #[inline(always)]
        fn add_products(
            self,
            rows: &[[f32; LANES]],
            factors: [&[f32]; N],
            sums: &mut [[f32; LANES]; N],
        ) {
            // SAFETY: `self` exists only where these features were detected.
            unsafe { avx2(rows, factors, sums) }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn avx2<const N: usize>(
        rows: &[[f32; LANES]],
        factors: [&[f32]; N],
        sums: &mut [[f32; LANES]; N],
    ) {
        let mut equal = [&[][..]; N];
        for n in 0..N {
            equal[n] = &factors[n][..rows.len()];
        }
        let mut held = [[_mm256_setzero_ps(); 2]; N];
        for n in 0..N {
            let (halves, _) = sums[n].as_chunks::<8>();
            held[n] = [load_f32x8(&halves[0]), load_f32x8(&halves[1])];
        }
        for (step, row) in rows.iter().enumerate() {
            let (halves, _) = row.as_chunks::<8>();
            let row = [load_f32x8(&halves[0]), load_f32x8(&halves[1])];
            for n in 0..N {
                let factor = _mm256_set1_ps(equal[n][step]);
                held[n][0] = _mm256_add_ps(held[n][0], _mm256_mul_ps(factor, row[0]));
                held[n][1] = _mm256_add_ps(held[n][1], _mm256_mul_ps(factor, row[1]));
            }
        }
        for n in 0..N {
            let (halves, _) = sums[n].as_chunks_mut::<8>();
            store_f32x8(&mut halves[0], held[n][0]);
            store_f32x8(&mut halves[1], held[n][1]);
        }
    }

    impl Lanes for Avx512 {
        #[inline(always)]
        fn widen(self, from: &[f16; LANES], to: &mut [f32; LANES]) {
            #[inline]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
            fn widen(from: &[u16; LANES], to: &mut [f32; LANES]) {
                store_f32x16(to, _mm512_cvtph_ps(load_u16x16(from)));
            }
            // SAFETY: `self` exists only where these features were detected.
            unsafe { widen(bits(from), to) }
        }
    }

    impl<const N: usize> AddProducts<N> for Avx512 {
        #[inline(always)]
        fn add_products(
            self,
            rows: &[[f32; LANES]],
            factors: [&[f32]; N],
            sums: &mut [[f32; LANES]; N],
        ) {
            // SAFETY: `self` exists only where these features were detected.
            unsafe { avx512(rows, factors, sums) }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw")]
    fn avx512<const N: usize>(
        rows: &[[f32; LANES]],
        factors: [&[f32]; N],
        sums: &mut [[f32; LANES]; N],
    ) {
        let mut equal = [&[][..]; N];
        for n in 0..N {
            equal[n] = &factors[n][..rows.len()];
        }
        let mut held = [_mm512_setzero_ps(); N];
        for n in 0..N {
            held[n] = load_f32x16(&sums[n]);
        }
        for (step, row) in rows.iter().enumerate() {
            let row = load_f32x16(row);
            for n in 0..N {
                let factor = _mm512_set1_ps(equal[n][step]);
                held[n] = _mm512_add_ps(held[n], _mm512_mul_ps(factor, row));
            }
        }
        for n in 0..N {
            store_f32x16(&mut sums[n], held[n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::Cpu;

    /// Rows, factors and first sums of a tile, of both signs and many sizes.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits((state & 0x8fff_ffff) | 0x3000_0000)
        };
        (0..count).map(|_| next()).collect()
    }

    fn check<const N: usize>(isa: impl AddProducts<N>) {
        for steps in [0, 1, 7, 128] {
            let rows = numbers(steps * LANES, 1);
            let rows = rows.as_chunks::<LANES>().0;
            let factors = numbers(steps * N, 2);
            let first = numbers(N * LANES, 3);
            let mut sums = [[0.0; LANES]; N];
            sums.as_flattened_mut().copy_from_slice(&first);
            let mut lists = [&[][..]; N];
            for (n, list) in lists.iter_mut().enumerate() {
                *list = &factors[n * steps..][..steps];
            }
            isa.add_products(rows, lists, &mut sums);
            for n in 0..N {
                for lane in 0..LANES {
                    let mut expected = first[n * LANES + lane];
                    for step in 0..steps {
                        expected += lists[n][step] * rows[step][lane];
                    }
                    assert_eq!(sums[n][lane].to_bits(), expected.to_bits());
                }
            }
        }
    }

    fn check_widening(isa: impl Lanes) {
        for first in (0..=u16::MAX).step_by(LANES) {
            let mut halves = [f16::ZERO; LANES];
            for (half, bits) in halves.iter_mut().zip(first..=u16::MAX) {
                *half = f16::from_bits(bits);
            }
            let mut wide = [0.0; LANES];
            isa.widen(&halves, &mut wide);
            for (half, wide) in halves.iter().zip(wide) {
                assert!(!half.is_finite() || half.to_f32().to_bits() == wide.to_bits());
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_definition() {
        check::<1>(Portable);
        check::<4>(Portable);
        check_widening(Portable);
        #[cfg(target_arch = "x86_64")]
        {
            let cpu = Cpu::detect();
            if let Ok(proof) = cpu.avx2_f16c() {
                check::<1>(proof);
                check::<4>(proof);
                check_widening(proof);
            }
            if let Ok(proof) = cpu.avx512() {
                check::<1>(proof);
                check::<4>(proof);
                check::<8>(proof);
                check_widening(proof);
            }
        }
    }
}
