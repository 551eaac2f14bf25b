//! The intervals hold the logits, and are as narrow as the copies allow.

use super::super::fixed_point::{BLOCK, FixedPoint, up};
use super::super::isa;
use super::super::lanes::LANES;
use super::bounds::Bounds;
use super::copy::{Copy, certified};
use super::planes::{BLOCK_BYTES, refined_stride};
use crate::cpu::Cpu;

/// Roughly normal numbers from a seed.
fn normals(count: usize, mut state: u64) -> Vec<f32> {
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::from_be_bytes([
            state.to_be_bytes()[0],
            state.to_be_bytes()[1],
        ])) / 32768.0
            - 1.0
    };
    (0..count)
        .map(|_| (0..12).map(|_| unit()).sum::<f32>() / 2.0)
        .collect()
}

#[test]
fn intervals_hold_the_logit_and_are_as_wide_as_the_errors_allow() {
    let (rows, cols) = (64, 2000);
    let stride = refined_stride(cols);
    let blocks = cols.div_ceil(BLOCK);
    let padded = cols.next_multiple_of(2 * BLOCK);
    let mut hidden = FixedPoint::default();
    let mut x = normals(cols, 99);
    x[17] *= 1000.0;
    for (case, x) in [normals(cols, 7), x].into_iter().enumerate() {
        hidden.set(&x);
        let bounds = Bounds::of(&hidden);
        let mut group = vec![0; rows / LANES * blocks * BLOCK_BYTES];
        let mut refined = vec![0; rows * stride];
        let (mut known, mut logits) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let mut weights = normals(padded, 1000 + row as u64);
            weights[row] *= 30.0;
            weights[cols..].fill(0.0);
            if row == 5 {
                weights.fill(0.0);
            }
            let copy = Copy::of(&weights, cols);
            copy.write_first(
                row % LANES,
                &mut group[row / LANES * blocks * BLOCK_BYTES..][..blocks * BLOCK_BYTES],
            );
            copy.write_second(&mut refined[row * stride..][..stride], cols);
            known.push(copy.row);
            let half = weights.iter().map(|w| half::f16::from_f32(*w).to_f64());
            logits.push(half.zip(&x).map(|(w, x)| w * f64::from(*x)).sum::<f64>());
        }
        for isa in isa::all(&Cpu::detect()) {
            let (mut value, mut error) = (vec![0.0; rows], vec![0.0; rows]);
            isa.screen(&group, &hidden, &mut value, &mut error);
            let indices: Vec<u32> = (0..).take(rows).collect();
            let mut second = vec![0.0; rows];
            isa.refine(&refined, stride, &indices, &hidden, &mut second);
            let mut widest = [0.0f64; 2];
            for row in 0..rows {
                let (first, bound) = bounds.of_first(known[row], value[row], error[row]);
                let off = (f64::from(first) - logits[row]).abs();
                assert!(
                    off <= f64::from(bound),
                    "case {case}, row {row}: {off} and {bound}"
                );
                let (both, narrow) = bounds.of_both(known[row], first, second[row]);
                let off = (f64::from(both) - logits[row]).abs();
                assert!(
                    off <= f64::from(narrow),
                    "case {case}, row {row}, both planes: {off} and {narrow}"
                );
                // With an outlier among the hidden values the errors of its block decide, which differ from row to row.
                let gain = if case == 0 { 6.0 } else { 1.0 };
                assert!(
                    row == 5 || narrow < bound / gain,
                    "case {case}: the second plane divides errors by up to 16: {narrow} and {bound}"
                );
                let sigma = f64::from(known[row].norm) * hidden.norm / 2000f64.sqrt();
                if sigma > 0.0 {
                    widest = [
                        widest[0].max(f64::from(bound) / sigma),
                        widest[1].max(f64::from(narrow) / sigma),
                    ];
                }
            }
            // A step of a normal block is about 2 * 2.1 / 15 deviations, its error that over the root of 12; the outlier of a
            // row makes the 8-bit scales of its other blocks coarser.
            assert!(
                case == 1 || widest[0] < 0.1 * 2000f64.sqrt(),
                "case {case}: {widest:?} deviations"
            );
        }
    }
}

#[test]
fn bytes_of_norms_are_certified() {
    for (value, unit) in [
        (1.0, 0.3),
        (0.0, 0.0),
        (0.0, 1.0),
        (255.0, 1.0),
        (1e-30, 1e-32),
        (0.1 + 0.2, 0.1),
    ] {
        let t = certified(value, f64::from(up(unit)));
        assert!(f64::from(t) * f64::from(up(unit)) >= value);
        assert!(t == 0 || f64::from(t - 1) * f64::from(up(unit)) < value);
    }
}
