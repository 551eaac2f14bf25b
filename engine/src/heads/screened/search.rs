//! The search for the largest logits: the first plane for all rows, the second for some, half precision for the rest.

use super::super::fixed_point::{FixedPoint, set_all};
use super::super::lanes::{LANES, piece_rows};
use super::super::select::{self, Candidate, Largest};
use super::super::{Head, HeadWork, NotFinite, Team};
use super::Screened;
use super::bounds::{Bounds, Row, StoredRow};
use super::planes::{BLOCK_BYTES, refined_stride};
use crate::activations::Activations;
use crate::grid::Grid;
use crate::pieces::Pieces;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows whose logits are computed first, beside the `k` that must be: the better the best of them, the fewer are left.
const SCOUTS: usize = 7;
/// Rows of a share of the second plane's work.
const SHARE: usize = 64;
/// A token with `N |h|` above this is left to the half-precision head.
const LARGEST_PRODUCT: f64 = 1e30;

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
        let group_bytes = hidden.blocks() * BLOCK_BYTES;
        // A piece stays in the first-level cache between the two passes.
        let piece = piece_rows(group_bytes).min(SHARE * LANES);
        let pieces = Pieces::new(out, rows, piece, team.pool.threads());
        let found = Mutex::new(Vec::new());
        team.pool.run(&|thread| {
            let mut largest = Largest::new(most);
            while let Some(mut tile) = pieces.next(thread) {
                let cols = tile.cols();
                let (mut value, mut error) = ([0.0; SHARE * LANES], [0.0; SHARE * LANES]);
                let (value, error) = (&mut value[..cols.len()], &mut error[..cols.len()]);
                let groups = &self.screen.bytes()[cols.start / LANES * group_bytes..];
                self.isa.screen(groups, hidden, value, error);
                let known = &self.known()[cols.clone()];
                let tokens = u32::try_from(cols.start).unwrap_or(u32::MAX)..;
                let ends = value.iter_mut().zip(&mut *error);
                for ((token, row), (value, error)) in tokens.zip(known).zip(ends) {
                    let (middle, bound) = bounds.of_first(Row::from(*row), *value, *error);
                    (*value, *error) = (middle, middle + bound);
                    largest.offer(token, middle - bound);
                }
                tile.token(0).copy_from_slice(value);
                tile.token(1).copy_from_slice(error);
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

    /// The `k` largest logits, the first of equals before the others, and the bytes of weights that were read.
    ///
    /// # Errors
    /// [`NotFinite`] where a logit is not a finite number.
    pub(super) fn largest(
        &self,
        x: &[f32],
        k: usize,
        team: Team<'_>,
        work: &mut HeadWork,
    ) -> Result<(Vec<Candidate>, u64), NotFinite> {
        let hidden = &set_all(&mut work.fixed, x, self.half.cols())[0];
        let k = k.min(self.rows());
        let bounds = Bounds::of(hidden);
        // Written so that NaN is not below the limit.
        let tame = self.largest_norm * hidden.norm < LARGEST_PRODUCT
            && hidden.norm < LARGEST_PRODUCT
            && bounds.first < f32::MAX
            && bounds.both < f32::MAX;
        if !tame || k == 0 {
            let bytes = self.logits(x, team, work);
            work.check_logits()?;
            work.screen.rescored = [0, self.rows()];
            return Ok((select::top(&work.logits, k), bytes));
        }
        let HeadWork {
            logits,
            dense,
            fixed,
            screen,
        } = work;
        let fixed = &fixed[0];
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
