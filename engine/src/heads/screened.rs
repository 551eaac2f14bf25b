//! The half-precision head's answer at a fraction of its bytes: a 4-bit copy rules out the rows that cannot win, certified.
//!
//! Beside each row `w` in half precision lie two planes of 4 bits. The first gives a coarse row `w1`, both together an 8-bit
//! row `w2`. With the norms of `w - w1` and `w - w2`, which are computed from the actual weights when they are packed and
//! rounded upwards, every logit of the half-precision head is known to lie in an interval. A row whose interval ends below
//! what `k` other rows reach for certain is not among the `k` largest. The first plane is read for all rows, the second for
//! the few rows that are left, and the half-precision rows for the few that are left then: those logits are computed by the
//! half-precision kernel itself, so the answer is that of the `f16` head, equal values included.
//!
//! # Why the intervals are right
//!
//! `h` is the hidden state, `q = scale * a` its fixed point with integers `a`, `x_b` the part of a vector in block `b` of 32
//! columns, `|x|` the Euclidean norm, `u = 2^-24`, and `g(n) = n u / (1 - n u)`: a sum of products with at most `n` roundings
//! for each term is off by at most `g(n)` times the sum of the absolute products, in any order of the additions, fused or not
//! (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
//!
//! 1. The half-precision kernels widen weights without rounding, multiply and add in single precision, and multiply the sum by
//!    1. So a logit `L` of `K` columns has `|L - w.h| <= g(K) |w| |h|`, for the sum of `|w_i h_i|` is at most `|w| |h|`.
//! 2. `w.h = w1.q + (w - w1).q + w.(h - q)`, and by Cauchy-Schwarz `|(w - w1).q| <= sum over b of |(w - w1)_b| |q_b|` and
//!    `|w.(h - q)| <= |w| |h - q|`.
//! 3. The screen computes `S = D scale/2 sum over b of s_b p_b`, `p_b = (2 u_b - 15).a_b`, where `w1_b = D s_b (u_b - 7.5)`. `p_b`
//!    is an integer below 2^24, exact in single precision, and so is `s_b`. Each term is rounded when it is multiplied, at each
//!    addition and at the two last multiplications: `|S - w1.q| <= g(B + 3) sum over b of |w1_b| |q_b| <= g(B + 3) |w1| |q|`.
//!
//! So `|L - S| <= E sum over b of t_b |q_b| + N (|h - q| + g(K) |h| + g(B + 8) |q|)`, where `E t_b >= |(w - w1)_b|` and `N` is at least
//! `|w|`, `|w1|` and `|w2|`. The five roundings more in `g(B + 8)` cover those of the ends of the interval, `S` plus and minus the
//! bound, since `|S|` is at most `N |q|` and a little. The bound itself is computed in single precision from terms that are not
//! negative, and raised by `1 + (B + 16) 2^-22`, four times what rounding could have taken. What underflow can do is far below
//! 2^-126 a row, which is added. Overflow cannot happen, because a token with `N |h|` above 10^30 for any row is left to the
//! half-precision head as a whole, and so is one that is not finite.
//!
//! With the second plane `v`, `w2_b = D s_b (u_b - 7.5 + (v_b - 7.5) / 16)` and the norm of a whole row: `S2 = S + D scale/32 sum over b of s_b
//! ((2 v_b - 15).a_b)`, of which each product of eight lanes is exact again. `|w2 - w1| <= 2 N`, so the two sums and their addition are
//! off by at most `3 g(2 B + 32) N |q|`, and `|L - S2| <= E2 |q| + N (|h - q| + g(K) |h| + 4 g(2 B + 32) |q|)`.
//!
//! # Layout
//!
//! ```text
//! first plane: groups of eight rows, blocks of 32 columns, a step of four columns of eight rows in 32 bytes
//! group, block b            | s of 8 rows: 8 B | t of 8 rows: 8 B | step 0 and 4: 32 B | 1 and 5 | 2 and 6 | 3 and 7 |    144 bytes
//! byte 4 r + c of step j    bits 7-4: u of row r, column 16 + 4 j + c; bits 3-0: column 4 j + c
//!
//! second plane: row after row, because the rows that are read lie apart; whole cache lines
//! row                       | s of each block | 64 columns: 32 B | 64 columns | ...
//! byte i of 64 columns k    bits 7-4: v of column 64 k + 32 + i; bits 3-0: column 64 k + i
//! ```

use super::f16::half_logits;
use super::fixed_point::{BLOCK, FixedPoint, up};
use super::isa::{self, Isa};
use super::lanes::{LANES, pack_groups};
use super::select::{Candidate, Largest};
use super::{Head, HeadChoice, HeadSource, HeadWork, NotFinite, Team};
use crate::activations::Activations;
use crate::buffer::PackedBytes;
use crate::grid::Grid;
use crate::kernels::{PackError, PackedMatrix};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub(super) static CHOICE: HeadChoice = HeadChoice {
    name: "screened",
    bits_per_weight: 4.5 + 4.25,
    keeps_half: true,
    exact: true,
    about: "half precision for the rows that a 4-bit copy cannot rule out: the tokens of f16 at fewer bytes",
    pack,
};

/// Bytes of a block of the first plane.
pub(super) const BLOCK_BYTES: usize = 2 * LANES + LANES * BLOCK / 2;
/// Rows whose logits are computed first, beside the `k` that must be: the better the best of them, the fewer are left.
const SCOUTS: usize = 7;
/// Rows of a share of the second plane's work.
const SHARE: usize = 64;
/// A token with `N |h|` above this is left to the half-precision head.
const LARGEST_PRODUCT: f64 = 1e30;
/// What a norm computed in double precision is raised by; see [`super::fixed_point`].
const OUTWARDS: f64 = 1.0 + 1e-9;

/// Bytes of the scales of a row of the second plane.
pub(super) fn refined_scale_bytes(cols: usize) -> usize {
    cols.div_ceil(2 * BLOCK) * 2
}

/// Bytes of a row of the second plane.
pub(super) fn refined_stride(cols: usize) -> usize {
    (refined_scale_bytes(cols) + cols.div_ceil(2 * BLOCK) * BLOCK).next_multiple_of(64)
}

/// What is known of a row beside its codes.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// `D`, what the 8-bit scales are multiplied by.
    scale: f32,
    /// `E`, what the 8-bit norms of the errors of the first plane are multiplied by.
    error: f32,
    /// `E2`, the norm of the error of both planes.
    refined_error: f32,
    /// `N`, the largest norm of the row and its two copies.
    norm: f32,
}

/// How a [`Row`] lies in memory: scale, error, refined error, norm.
type StoredRow = [f32; 4];

impl From<StoredRow> for Row {
    #[inline(always)]
    fn from([scale, error, refined_error, norm]: StoredRow) -> Row {
        Row {
            scale,
            error,
            refined_error,
            norm,
        }
    }
}

impl From<Row> for StoredRow {
    fn from(row: Row) -> StoredRow {
        [row.scale, row.error, row.refined_error, row.norm]
    }
}

struct Screened {
    isa: Box<dyn Isa>,
    half: Arc<dyn PackedMatrix>,
    half_kernel: &'static str,
    /// The first plane.
    screen: PackedBytes,
    /// The second plane.
    refined: PackedBytes,
    /// `[rows]`, then zeros up to a multiple of eight.
    rows: PackedBytes,
    /// The largest `N`.
    largest_norm: f64,
}

/// Working memory.
#[derive(Debug, Default)]
pub(super) struct ScreenWork {
    /// `[2][rows]`: the sums of the first plane, then the bounds' sums; after that the values and the upper ends.
    screen: Vec<f32>,
    /// `[2][candidates]`: lower and upper ends.
    refined: Vec<f32>,
    /// Of the last token, the rows of which the second plane and the half-precision rows were read.
    pub(super) rescored: [usize; 2],
}

fn pack(source: &HeadSource<'_>) -> Result<Box<dyn Head>, PackError> {
    let weights = source.weights;
    let (rows, cols) = (weights.rows(), weights.cols());
    let blocks = cols.div_ceil(BLOCK);
    let padded = cols.next_multiple_of(2 * BLOCK);
    let stride = refined_stride(cols);
    let parts = [
        blocks * BLOCK_BYTES,
        LANES * stride,
        LANES * size_of::<StoredRow>(),
    ];
    let [screen, refined, known_rows] = pack_groups(
        weights,
        padded,
        parts,
        |first_row, values, [screen, refined, known]| {
            let known: &mut [StoredRow] = bytemuck::cast_slice_mut(known);
            for (lane, row) in values
                .chunks_exact(padded)
                .enumerate()
                .take(rows - first_row)
            {
                let copy = Copy::of(row, cols);
                known[lane] = copy.row.into();
                copy.write_first(lane, screen);
                copy.write_second(&mut refined[lane * stride..][..stride], cols);
            }
        },
    )?;
    let known: &[StoredRow] = bytemuck::cast_slice(known_rows.bytes());
    let norms = known.iter().map(|row| f64::from(Row::from(*row).norm));
    let largest_norm = norms.fold(0.0, f64::max);
    Ok(Box::new(Screened {
        isa: isa::best(source.cpu),
        half: (source.half)()?,
        half_kernel: source.half_kernel,
        screen,
        refined,
        largest_norm,
        rows: known_rows,
    }))
}

/// A row in 8 bits, its norms and those of its errors.
struct Copy {
    row: Row,
    /// `s` of each block, of two blocks at a time.
    scales: Vec<u8>,
    /// `t` of each block.
    errors: Vec<u8>,
    /// `16 u + v` of each column.
    codes: Vec<u8>,
}

impl Copy {
    /// Copies a row of `cols` columns, padded with zeros, as half precision holds it.
    fn of(row: &[f32], cols: usize) -> Copy {
        let blocks = row.len() / BLOCK;
        let weights: Vec<f64> = row
            .iter()
            .map(|w| half::f16::from_f32(*w).to_f64())
            .collect();
        let largest = |block: &[f64]| block.iter().fold(0.0f64, |largest, w| largest.max(w.abs()));
        // The steps of a block reach 7.5 times as far as d: the largest weight is on the end of the last one.
        let scale = up(largest(&weights) / 7.5 / 255.0);
        let mut copy = Copy {
            row: Row {
                scale,
                error: 0.0,
                refined_error: 0.0,
                norm: 0.0,
            },
            scales: vec![0; blocks],
            errors: vec![0; blocks],
            codes: vec![0; row.len()],
        };
        let mut errors = vec![0.0f64; blocks];
        let mut squares = [0.0f64; 4];
        for (block, weights) in weights.chunks_exact(BLOCK).enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 255"
            )]
            let s = (largest(weights) / 7.5 / f64::from(scale))
                .ceil()
                .clamp(0.0, 255.0) as u8;
            copy.scales[block] = s;
            let d = f64::from(scale) * f64::from(s);
            let mut square = 0.0;
            for (at, weight) in weights.iter().enumerate() {
                let column = block * BLOCK + at;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to 255"
                )]
                let code = if d > 0.0 {
                    (16.0 * weight / d + 127.5)
                        .round_ties_even()
                        .clamp(0.0, 255.0) as u8
                } else {
                    0
                };
                copy.codes[column] = code;
                // Padding is copied as something, but meets zeros of the hidden state.
                if column < cols {
                    let coarse = d * (f64::from(code >> 4) - 7.5);
                    let fine = d * (f64::from(code) - 127.5) / 16.0;
                    square += (weight - coarse).powi(2);
                    for (sum, v) in squares
                        .iter_mut()
                        .zip([*weight, coarse, fine, weight - fine])
                    {
                        *sum += v * v;
                    }
                }
            }
            errors[block] = square.sqrt() * OUTWARDS;
        }
        copy.row.error = up(largest(&errors) / 255.0);
        for (t, error) in copy.errors.iter_mut().zip(&errors) {
            *t = certified(*error, f64::from(copy.row.error));
        }
        let [weight, coarse, fine, rest] = squares.map(|square| up(square.sqrt() * OUTWARDS));
        copy.row.norm = weight.max(coarse).max(fine);
        copy.row.refined_error = rest;
        copy
    }
}

impl Copy {
    /// Puts the upper halves of the codes in their places in a group of the first plane.
    fn write_first(&self, lane: usize, group: &mut [u8]) {
        for (block, bytes) in group
            .as_chunks_mut::<BLOCK_BYTES>()
            .0
            .iter_mut()
            .enumerate()
        {
            bytes[lane] = self.scales[block];
            bytes[LANES + lane] = self.errors[block];
            for column in 0..BLOCK {
                let (half, step) = (column / 16, column % 16 / 4);
                let byte = 2 * LANES + step * 4 * LANES + 4 * lane + column % 4;
                bytes[byte] |= self.codes[block * BLOCK + column] >> 4 << (4 * half);
            }
        }
    }

    /// Puts the lower halves of the codes in a row of the second plane.
    fn write_second(&self, row: &mut [u8], cols: usize) {
        let (scales, codes) = row.split_at_mut(refined_scale_bytes(cols));
        scales.copy_from_slice(&self.scales);
        for (bytes, columns) in codes
            .chunks_exact_mut(BLOCK)
            .zip(self.codes.chunks_exact(2 * BLOCK))
        {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = columns[at] & 0x0f | (columns[BLOCK + at] & 0x0f) << 4;
            }
        }
    }
}

/// The least byte `t` with `t * unit >= value`, where 255 units are at least `value`.
fn certified(value: f64, unit: f64) -> u8 {
    let mut t = 0;
    if unit > 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 255"
        )]
        let near = (value / unit).floor().clamp(0.0, 255.0) as u8;
        t = near;
    }
    // A unit has 24 bits and a byte 8: the product is exact.
    while f64::from(t) * unit < value && t < u8::MAX {
        t += 1;
    }
    t
}

/// `g(n)`, rounded upwards.
fn gamma(roundings: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "columns of a matrix")]
    let share = roundings as f64 * 2f64.powi(-24);
    // A row of 2^23 columns would have no bound; the token would go to the half-precision head.
    if share < 0.5 {
        share / (1.0 - share) * OUTWARDS
    } else {
        f64::INFINITY
    }
}

/// What the bounds of one token are made of; see the text above.
struct Bounds {
    /// Half the scale of the hidden state.
    half_scale: f32,
    /// What `N` is multiplied by in the bound of the first plane.
    first: f32,
    /// The same with both planes.
    both: f32,
    /// What `E2` is multiplied by.
    fixed_norm: f32,
    /// What raises a bound above its rounding.
    guard: f32,
}

impl Bounds {
    fn of(hidden: &FixedPoint) -> Bounds {
        let (cols, blocks) = (hidden.cols(), hidden.blocks());
        let always = hidden.rounding_norm + gamma(cols) * hidden.norm;
        #[expect(clippy::cast_precision_loss, reason = "blocks of a row")]
        let guard = 1.0 + (blocks + 16) as f64 * 2f64.powi(-22);
        Bounds {
            half_scale: hidden.scale / 2.0,
            first: up((always + gamma(blocks + 8) * hidden.fixed_norm) * OUTWARDS),
            both: up((always + 4.0 * gamma(2 * blocks + 32) * hidden.fixed_norm) * OUTWARDS),
            fixed_norm: up(hidden.fixed_norm),
            guard: up(guard),
        }
    }

    /// The value of the first plane and its bound, from their sums.
    #[inline(always)]
    fn of_first(&self, row: Row, value: f32, error: f32) -> (f32, f32) {
        let bound = (error * row.error + row.norm * self.first) * self.guard + f32::MIN_POSITIVE;
        (value * self.half_scale * row.scale, bound)
    }

    /// The value of both planes and its bound.
    #[inline(always)]
    fn of_both(&self, row: Row, first: f32, value: f32) -> (f32, f32) {
        let bound = (row.refined_error * self.fixed_norm + row.norm * self.both) * self.guard
            + f32::MIN_POSITIVE;
        (first + value * (self.half_scale / 16.0) * row.scale, bound)
    }
}

impl Screened {
    fn rows(&self) -> usize {
        self.half.rows()
    }

    fn known(&self) -> &[StoredRow] {
        bytemuck::cast_slice(self.rows.bytes())
    }

    /// Bytes of the half-precision rows that are computed together.
    fn half_group_bytes(&self) -> u64 {
        (self.half.bytes().len() / self.rows().div_ceil(self.half.row_block())) as u64
    }

    /// Puts values and upper ends of all rows into `out`, `[2][rows]`, and gives the rows with the largest lower ends.
    fn screen(
        &self,
        hidden: &FixedPoint,
        bounds: &Bounds,
        most: usize,
        team: Team<'_>,
        out: &mut Vec<f32>,
    ) -> Vec<Candidate> {
        let rows = self.rows();
        out.resize(2 * rows, 0.0);
        let grid = Grid::stripes(out, rows, team.pool.threads(), LANES);
        let group_bytes = hidden.blocks() * BLOCK_BYTES;
        let found = Mutex::new(Vec::new());
        team.pool.run(&|thread| {
            let Some(mut tile) = grid.take(thread) else {
                return;
            };
            let cols = tile.cols();
            let mut largest = Largest::new(most);
            let mut token = u32::try_from(cols.start).unwrap_or(u32::MAX);
            // In parts that stay in the first-level cache between the two passes.
            for first in cols.clone().step_by(SHARE * LANES) {
                let part = first - cols.start..(first + SHARE * LANES).min(cols.end) - cols.start;
                let (mut value, mut error) = ([0.0; SHARE * LANES], [0.0; SHARE * LANES]);
                let (value, error) = (&mut value[..part.len()], &mut error[..part.len()]);
                let groups = &self.screen.bytes()[first / LANES * group_bytes..];
                self.isa.screen(groups, hidden, value, error);
                let known = &self.known()[first..];
                for ((value, error), row) in value.iter_mut().zip(&mut *error).zip(known) {
                    let (middle, bound) = bounds.of_first(Row::from(*row), *value, *error);
                    (*value, *error) = (middle, middle + bound);
                    largest.offer(token, middle - bound);
                    token += 1;
                }
                tile.token(0)[part.clone()].copy_from_slice(value);
                tile.token(1)[part].copy_from_slice(error);
            }
            if let Ok(mut found) = found.lock() {
                found.extend(largest.sorted());
            }
        });
        let mut largest = Largest::new(most);
        for candidate in found.into_inner().unwrap_or_default() {
            largest.offer(candidate.token, candidate.logit);
        }
        largest.sorted()
    }

    /// The rows whose upper end is at least `floor`, in order.
    fn above(upper: &[f32], floor: f32, team: Team<'_>) -> Vec<u32> {
        let threads = team.pool.threads();
        let share = upper.len().div_ceil(threads);
        let found: Vec<Mutex<Vec<u32>>> = (0..threads).map(|_| Mutex::default()).collect();
        team.pool.run(&|thread| {
            let first = (thread * share).min(upper.len());
            let part = &upper[first..upper.len().min(first + share)];
            let mut rows = Vec::new();
            for (index, part) in part.chunks(64).enumerate() {
                // Mostly nothing is left of 64 rows, which one look in vectors says.
                if part
                    .iter()
                    .fold(false, |any, upper| any | (*upper >= floor))
                {
                    let at = |row| u32::try_from(first + index * 64 + row).unwrap_or(u32::MAX);
                    rows.extend((0..part.len()).filter(|row| part[*row] >= floor).map(at));
                }
            }
            if let Ok(mut found) = found[thread].lock() {
                *found = rows;
            }
        });
        found
            .into_iter()
            .flat_map(|rows| rows.into_inner().unwrap_or_default())
            .collect()
    }

    /// Puts the lower and upper ends that both planes give for some rows into `out`, `[2][rows]`.
    fn refine(
        &self,
        rows: &[u32],
        first: &[f32],
        hidden: &FixedPoint,
        bounds: &Bounds,
        team: Team<'_>,
        out: &mut Vec<f32>,
    ) {
        let stride = refined_stride(hidden.cols());
        out.resize(2 * rows.len(), 0.0);
        let grid = Grid::new(out, rows.len(), 2, SHARE);
        let next = AtomicUsize::new(0);
        team.pool.run(&|_| {
            while let Some(mut tile) = grid.take(next.fetch_add(1, Ordering::Relaxed)) {
                let rows = &rows[tile.cols()];
                let mut values = [0.0; SHARE];
                let values = &mut values[..rows.len()];
                self.isa
                    .refine(self.refined.bytes(), stride, rows, hidden, values);
                for (at, (row, value)) in rows.iter().zip(values).enumerate() {
                    let known = Row::from(self.known()[*row as usize]);
                    let (middle, bound) = bounds.of_both(known, first[*row as usize], *value);
                    tile.token(0)[at] = middle - bound;
                    tile.token(1)[at] = middle + bound;
                }
            }
        });
    }

    /// Computes the logits of some rows, in order, by the half-precision kernel, into their places in `logits`. Gives the bytes
    /// that were read.
    fn exact(&self, rows: &[u32], dense: &Activations, team: Team<'_>, logits: &mut [f32]) -> u64 {
        let block = self.half.row_block();
        let mut groups: Vec<usize> = rows.iter().map(|row| *row as usize / block).collect();
        groups.dedup();
        let grid = Grid::new(logits, self.rows(), 1, block);
        let next = AtomicUsize::new(0);
        team.pool.run(&|_| {
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(mut tile) = grid.take(*group) {
                    self.half.multiply(dense, &mut tile);
                }
            }
        });
        groups.len() as u64 * self.half_group_bytes()
    }
}

impl Head for Screened {
    fn choice(&self) -> &'static HeadChoice {
        &CHOICE
    }

    fn kernel(&self) -> String {
        format!("screened-{}+{}", self.isa.name(), self.half_kernel)
    }

    fn bytes(&self) -> u64 {
        [&self.screen, &self.refined, &self.rows]
            .iter()
            .map(|plane| plane.bytes().len() as u64)
            .sum()
    }

    fn half(&self) -> Option<&Arc<dyn PackedMatrix>> {
        Some(&self.half)
    }

    fn streams(&self) -> Vec<&[u8]> {
        vec![self.screen.bytes(), self.rows.bytes()]
    }

    fn logits(&self, x: &[f32], team: Team<'_>, work: &mut HeadWork) -> u64 {
        let HeadWork { logits, dense, .. } = work;
        half_logits(&*self.half, x, team, dense, logits)
    }

    fn top(
        &self,
        x: &[f32],
        k: usize,
        team: Team<'_>,
        work: &mut HeadWork,
    ) -> Result<(Vec<Candidate>, u64), NotFinite> {
        work.fixed.set(x);
        let k = k.min(self.rows());
        let bounds = Bounds::of(&work.fixed);
        // Written so that NaN is not below the limit.
        let tame = self.largest_norm * work.fixed.norm < LARGEST_PRODUCT
            && work.fixed.norm < LARGEST_PRODUCT
            && bounds.first < f32::MAX
            && bounds.both < f32::MAX;
        if !tame || k == 0 {
            let bytes = self.logits(x, team, work);
            work.check_logits()?;
            work.screen.rescored = [0, self.rows()];
            return Ok((super::select::top(&work.logits, k), bytes));
        }
        let HeadWork {
            logits,
            dense,
            fixed,
            screen,
        } = work;
        let fixed = &*fixed;
        dense.prepare(x, self.half.cols(), team.pool, team.isa);
        logits.resize(self.rows(), 0.0);
        let mut bytes: u64 = self
            .streams()
            .iter()
            .map(|stream| stream.len() as u64)
            .sum();

        let scouts = self.screen(fixed, &bounds, k + SCOUTS, team, &mut screen.screen);
        let (first, upper) = screen.screen.split_at(self.rows());
        let mut scouts: Vec<u32> = scouts.iter().map(|scout| scout.token).collect();
        scouts.sort_unstable();
        bytes += self.exact(&scouts, dense, team, logits);
        let mut floor = Largest::new(k);
        scouts
            .iter()
            .for_each(|row| floor.offer(*row, logits[*row as usize]));
        let floor = floor.least().unwrap_or(f32::NEG_INFINITY);

        let mut rows = Self::above(upper, floor, team);
        screen.rescored[0] = 0;
        if rows.len() > scouts.len() {
            screen.rescored[0] = rows.len();
            self.refine(&rows, first, fixed, &bounds, team, &mut screen.refined);
            bytes += (rows.len() * refined_stride(fixed.cols())) as u64;
            let (lower, upper) = screen.refined.split_at(rows.len());
            let mut ends = Largest::new(k);
            rows.iter()
                .zip(lower)
                .for_each(|(row, lower)| ends.offer(*row, *lower));
            let floor = ends.least().map_or(floor, |least| least.max(floor));
            let mut upper = upper.iter();
            rows.retain(|_| upper.next().is_some_and(|upper| *upper >= floor));
        }
        bytes += self.exact(&rows, dense, team, logits);
        screen.rescored[1] = scouts.len() + rows.len();
        let mut largest = Largest::new(k);
        rows.iter()
            .for_each(|row| largest.offer(*row, logits[*row as usize]));
        Ok((largest.sorted(), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::isa;
    use super::*;
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
}
