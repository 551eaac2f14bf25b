//! Pieces of a parallel region, and who takes which.
//!
//! Threads of one machine are seldom equally fast: others use its cores and its memory too, and some cores are slower by
//! design. With one equal share each, all wait for the slowest. So shares are cut into pieces: a thread takes its own in
//! order, one stream of memory as before, and then the last pieces of whoever has most left.

use crate::grid::{Grid, Tile};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of weights that make a piece where there is a choice: some microseconds, many times what it costs to take it.
pub(crate) const PIECE_BYTES: usize = 128 << 10;

/// An output cut into pieces of rows for some threads.
pub(crate) struct Pieces<'a> {
    grid: Grid<'a>,
    turns: Turns,
}

impl<'a> Pieces<'a> {
    /// Cuts `out`, `[tokens][rows]`, into pieces of all tokens by `piece` rows.
    ///
    /// # Panics
    /// If `out` is not a whole number of tokens, or `rows` or `piece` is 0.
    pub(crate) fn new(out: &'a mut [f32], rows: usize, piece: usize, threads: usize) -> Pieces<'a> {
        let tokens = (out.len() / rows).max(1);
        let grid = Grid::new(out, rows, tokens, piece);
        let turns = Turns::new(grid.len(), threads);
        Pieces { grid, turns }
    }

    /// The piece that `thread` is to take next; `None` when none is left.
    pub(crate) fn next(&self, thread: usize) -> Option<Tile<'_>> {
        self.grid.take(self.turns.next(thread)?)
    }
}

/// The pieces that are left of each thread's share.
#[derive(Debug)]
pub(crate) struct Turns {
    /// For each thread: the first piece that is left, and in the upper half the end of its share.
    left: Vec<AtomicU64>,
}

impl Turns {
    /// Shares out the pieces `0..pieces` among `threads`.
    pub(crate) fn new(pieces: usize, threads: usize) -> Turns {
        let share = |thread| {
            let place = |thread: usize| u32::try_from(pieces * thread / threads);
            // More than 2^32 pieces have no memory to lie in.
            let (first, end) = (place(thread), place(thread + 1));
            join(first.unwrap_or(u32::MAX), end.unwrap_or(u32::MAX))
        };
        Turns {
            left: (0..threads).map(|t| AtomicU64::new(share(t))).collect(),
        }
    }

    /// The piece that `thread` is to take next; each piece is given once. `None` when none is left.
    pub(crate) fn next(&self, thread: usize) -> Option<usize> {
        let own = self.left[thread].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            let (first, end) = split(left);
            (first < end).then(|| join(first + 1, end))
        });
        if let Ok(left) = own {
            return Some(split(left).0 as usize);
        }
        loop {
            let counted = self.left.iter().map(|left| {
                let (first, end) = split(left.load(Ordering::Relaxed));
                (end - first, left)
            });
            let (most, richest) = counted.max_by_key(|(count, _)| *count)?;
            if most == 0 {
                return None;
            }
            let taken = richest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                let (first, end) = split(left);
                (first < end).then(|| join(first, end - 1))
            });
            if let Ok(left) = taken {
                return Some(split(left).1 as usize - 1);
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a word are taken apart"
)]
fn split(left: u64) -> (u32, u32) {
    (left as u32, (left >> 32) as u32)
}

fn join(first: u32, end: u32) -> u64 {
    u64::from(first) | u64::from(end) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::Pool;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn own_pieces_come_in_order_and_then_the_last_of_others() {
        let turns = Turns::new(6, 2);
        let taken: Vec<usize> = std::iter::from_fn(|| turns.next(1)).collect();
        assert_eq!(taken, [3, 4, 5, 2, 1, 0]);
        assert_eq!(turns.next(0), None);
    }

    #[test]
    fn fewer_pieces_than_threads_are_all_taken() {
        for thread in 0..5 {
            let turns = Turns::new(2, 5);
            let mut taken: Vec<usize> = std::iter::from_fn(|| turns.next(thread)).collect();
            taken.sort_unstable();
            assert_eq!(taken, [0, 1]);
        }
        assert_eq!(Turns::new(0, 3).next(2), None);
    }

    #[test]
    fn threads_that_race_take_every_piece_once() {
        let pool = Pool::new(4).expect("threads");
        for pieces in [1, 7, 1000] {
            for _ in 0..50 {
                let turns = Turns::new(pieces, 4);
                let taken: Vec<AtomicU32> = (0..pieces).map(|_| AtomicU32::new(0)).collect();
                pool.run(&|thread| {
                    while let Some(piece) = turns.next(thread) {
                        taken[piece].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(taken.iter().all(|t| t.load(Ordering::Relaxed) == 1));
            }
        }
    }
}
