//! The intervals hold the logits, and are as narrow as the copies allow.

use super::super::fixed_point::{BLOCK, FixedPoint, up};
use super::super::isa;
use super::super::lanes::LANES;
use super::bounds::{Bounds, Row};
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

/// A row as its bytes in the two planes stand for it.
struct Decoded {
    /// `w1`
    coarse: Vec<f64>,
    /// `w2`
    fine: Vec<f64>,
    /// `D s` of each block.
    steps: Vec<f64>,
}

/// Reads a row of `cols` columns by the layout of the planes.
fn decode(group: &[u8], lane: usize, refined: &[u8], scale: f32, cols: usize) -> Decoded {
    let blocks = group.as_chunks::<BLOCK_BYTES>().0;
    let codes = &refined[cols.div_ceil(64) * 2..];
    let steps: Vec<f64> = blocks
        .iter()
        .map(|block| f64::from(scale) * f64::from(block[lane]))
        .collect();
    let upper = |column: usize| {
        let (half, step) = (column % 32 / 16, column % 16 / 4);
        let byte = blocks[column / 32][16 + 32 * step + 4 * lane + column % 4];
        f64::from((byte >> (4 * half)) & 15)
    };
    let lower = |column: usize| {
        let byte = codes[column / 64 * 32 + column % 32];
        f64::from((byte >> (column % 64 / 32 * 4)) & 15)
    };
    let coarse = |column| steps[column / 32] * (upper(column) - 7.5);
    let fine = |column| steps[column / 32] * (upper(column) - 7.5 + (lower(column) - 7.5) / 16.0);
    Decoded {
        coarse: (0..cols).map(coarse).collect(),
        fine: (0..cols).map(fine).collect(),
        steps: steps.clone(),
    }
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn difference(a: &[f64], b: &[f64]) -> f64 {
    norm(a.iter().zip(b).map(|(a, b)| a - b))
}

/// How wide the intervals of a row may be: both planes, each with the least and the most that its bound can be.
struct Widths {
    first: [f64; 2],
    both: [f64; 2],
}

/// Derives the widths from the weights and the bytes alone, whatever block decides. The least is what Cauchy-Schwarz gives
/// for the errors as they are. The most has what storing adds: a unit of the norms of the first plane, roundings.
fn widths(weights: &[f64], row: &Decoded, known: Row, x: &[f32], hidden: &FixedPoint) -> Widths {
    let (cols, blocks) = (weights.len(), row.steps.len());
    let h: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    let values = hidden.values[..cols].iter();
    let q: Vec<f64> = values
        .map(|v| f64::from(hidden.scale) * f64::from(*v))
        .collect();
    let q_norms: Vec<f64> = q.chunks(32).map(|q| norm(q.iter().copied())).collect();
    let g = |n: usize| n as f64 / (2f64.powi(24) - n as f64);
    let (h_norm, q_norm) = (norm(h.iter().copied()), norm(q.iter().copied()));
    let always = difference(&h, &q) + g(cols) * h_norm;
    let rounding = f64::from(known.norm) * (always + g(blocks + 8) * q_norm);
    let rounding_both = f64::from(known.norm) * (always + 4.0 * g(2 * blocks + 32) * q_norm);

    let rows = weights.chunks(32).zip(row.coarse.chunks(32));
    let errors = rows.map(|(weights, coarse)| difference(weights, coarse));
    let mut least = 0.0;
    for (block, (error, q)) in errors.zip(&q_norms).enumerate() {
        // No weight is further than half a step from its code.
        let step = row.steps[block];
        let largest = weights.iter().skip(32 * block).take(32);
        let largest = largest.fold(0.0f64, |largest, w| largest.max(w.abs()));
        assert!(step <= largest / 7.5 + f64::from(known.scale));
        assert!(error <= 32f64.sqrt() * step / 2.0 * (1.0 + 1e-9));
        least += error * q;
    }
    let unit = f64::from(known.error) * q_norms.iter().sum::<f64>();
    let fine = difference(weights, &row.fine);
    let all_steps = norm(row.steps.iter().map(|step| 32f64.sqrt() * step));
    assert!(fine <= all_steps / 32.0 * (1.0 + 1e-9));
    // Twice what the bounds are raised by against their own rounding.
    let guard = 1.0 + (blocks + 16) as f64 * 2f64.powi(-21);
    Widths {
        first: [least, (least + unit + rounding) * guard + 1e-37],
        both: [
            fine * q_norm,
            (fine * q_norm + rounding_both) * guard + 1e-37,
        ],
    }
}

#[test]
fn intervals_hold_the_logit_and_are_as_wide_as_the_errors_allow() {
    let (rows, cols) = (64, 2000);
    let stride = refined_stride(cols);
    let group_bytes = cols.div_ceil(BLOCK) * BLOCK_BYTES;
    let padded = cols.next_multiple_of(2 * BLOCK);
    let mut screen = vec![0; rows / LANES * group_bytes];
    let mut refined = vec![0; rows * stride];
    let (mut known, mut halves, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let mut weights = normals(padded, 1000 + row as u64);
        weights[row] *= 30.0;
        weights[cols..].fill(0.0);
        if row == 5 {
            weights.fill(0.0);
        }
        let copy = Copy::of(&weights, cols);
        let group = &mut screen[row / LANES * group_bytes..][..group_bytes];
        copy.write_first(row % LANES, group);
        let second = &mut refined[row * stride..][..stride];
        copy.write_second(second, cols);
        decoded.push(decode(group, row % LANES, second, copy.row.scale, cols));
        known.push(copy.row);
        let half = weights[..cols].iter();
        let half = half.map(|w| half::f16::from_f32(*w).to_f64());
        halves.push(half.collect::<Vec<f64>>());
    }
    let mut hidden = FixedPoint::default();
    let mut outlier = normals(cols, 99);
    outlier[17] *= 1000.0;
    for (case, x) in [normals(cols, 7), outlier].into_iter().enumerate() {
        hidden.set(&x);
        let bounds = Bounds::of(&hidden);
        for isa in isa::all(&Cpu::detect()) {
            let (mut value, mut error) = (vec![0.0; rows], vec![0.0; rows]);
            isa.screen(&screen, &hidden, &mut value, &mut error);
            let indices: Vec<u32> = (0..).take(rows).collect();
            let mut second = vec![0.0; rows];
            isa.refine(&refined, stride, &indices, &hidden, &mut second);
            let mut widest = 0.0f64;
            for row in 0..rows {
                let at = format!("{}, case {case}, row {row}", isa.name());
                let products = halves[row].iter().zip(&x);
                let logit: f64 = products.map(|(w, x)| w * f64::from(*x)).sum();
                let (first, bound) = bounds.of_first(known[row], value[row], error[row]);
                let (both, narrow) = bounds.of_both(known[row], first, second[row]);
                let (bound, narrow) = (f64::from(bound), f64::from(narrow));
                let off = [first, both].map(|middle| (f64::from(middle) - logit).abs());
                assert!(off[0] <= bound, "{at}: {off:?} and {bound}");
                assert!(off[1] <= narrow, "{at}, both planes: {off:?} and {narrow}");
                let widths = widths(&halves[row], &decoded[row], known[row], &x, &hidden);
                for (what, bound, [least, most]) in [
                    ("first plane", bound, widths.first),
                    ("both planes", narrow, widths.both),
                ] {
                    assert!(
                        least <= bound && bound <= most,
                        "{at}, {what}: {bound} is not in {least} to {most}"
                    );
                }
                // Among ordinary values the second plane divides errors by up to 16. Beside an outlier the errors of its block
                // decide the first bound and those of the whole row the second.
                let gain = if case == 0 { 6.0 } else { 1.0 };
                assert!(
                    row == 5 || narrow < bound / gain,
                    "{at}: {narrow} and {bound}"
                );
                if row != 5 {
                    let sigma = f64::from(known[row].norm) * hidden.norm / 2000f64.sqrt();
                    widest = widest.max(bound / sigma);
                }
            }
            // A step of a normal block is about 2 * 2.1 / 15 deviations, its error that over the root of 12; the outlier of a
            // row makes the 8-bit scales of its other blocks coarser.
            assert!(
                case == 1 || widest < 0.1 * 2000f64.sqrt(),
                "{widest} deviations"
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
