//! An output array that threads write in disjoint tiles.
#![expect(
    unsafe_code,
    reason = "hands disjoint parts of one slice to several threads"
)]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// A `[tokens][stride]` array, cut into tiles of a number of tokens by a number of columns. Each tile can be taken once.
pub struct Grid<'a> {
    base: *mut f32,
    stride: usize,
    tokens: usize,
    token_block: usize,
    col_block: usize,
    col_blocks: usize,
    taken: Taken,
    _output: PhantomData<&'a mut [f32]>,
}

/// Marks of the tiles that were taken; few of them need no allocation, which matters for the many small regions of decode.
enum Taken {
    Few([AtomicBool; FEW]),
    Many(Box<[AtomicBool]>),
}

const FEW: usize = 64;

/// One tile, for one thread.
pub struct Tile<'a> {
    base: *mut f32,
    stride: usize,
    tokens: Range<usize>,
    cols: Range<usize>,
    _output: PhantomData<&'a mut [f32]>,
}

// SAFETY: a grid gives access to its array through tiles alone; a tile is taken at most once (`taken`) and tiles do not
// overlap, so threads never reach the same element.
unsafe impl Sync for Grid<'_> {}

impl<'a> Grid<'a> {
    /// Cuts `output`, shape `[tokens][stride]`, into tiles of `token_block` by `col_block`.
    ///
    /// # Panics
    /// If `output` is not a whole number of tokens, or a block is empty.
    pub fn new(output: &'a mut [f32], stride: usize, token_block: usize, col_block: usize) -> Self {
        assert!(
            stride > 0 && output.len().is_multiple_of(stride),
            "{} values in rows of {stride}",
            output.len()
        );
        assert!(token_block > 0 && col_block > 0, "a tile holds something");
        let tokens = output.len() / stride;
        let col_blocks = stride.div_ceil(col_block);
        let tiles = tokens.div_ceil(token_block) * col_blocks;
        let taken = if tiles <= FEW {
            Taken::Few([const { AtomicBool::new(false) }; FEW])
        } else {
            Taken::Many((0..tiles).map(|_| AtomicBool::new(false)).collect())
        };
        Grid {
            base: output.as_mut_ptr(),
            stride,
            tokens,
            token_block,
            col_block,
            col_blocks,
            taken,
            _output: PhantomData,
        }
    }

    /// Cuts `output`, shape `[tokens][stride]`, into one stripe of columns for each of `threads`, at multiples of `row_block`.
    pub fn stripes(output: &'a mut [f32], stride: usize, threads: usize, row_block: usize) -> Self {
        let tokens = (output.len() / stride).max(1);
        Grid::new(
            output,
            stride,
            tokens,
            stride.div_ceil(threads).next_multiple_of(row_block),
        )
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.tokens.div_ceil(self.token_block) * self.col_blocks
    }

    /// Whether there is no tile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes tile `index`; column blocks come first, then token blocks. `None` past the end.
    ///
    /// # Panics
    /// If the tile was taken before.
    pub fn take(&self, index: usize) -> Option<Tile<'_>> {
        if index >= self.len() {
            return None;
        }
        let mark = match &self.taken {
            Taken::Few(marks) => &marks[index],
            Taken::Many(marks) => &marks[index],
        };
        assert!(
            !mark.swap(true, Ordering::Relaxed),
            "tile {index} was taken twice"
        );
        let (token_index, col_index) = (index / self.col_blocks, index % self.col_blocks);
        let first_token = token_index * self.token_block;
        let first_col = col_index * self.col_block;
        Some(Tile {
            base: self.base,
            stride: self.stride,
            tokens: first_token..self.tokens.min(first_token + self.token_block),
            cols: first_col..self.stride.min(first_col + self.col_block),
            _output: PhantomData,
        })
    }
}

impl Tile<'_> {
    /// The tokens of this tile.
    pub fn tokens(&self) -> Range<usize> {
        self.tokens.clone()
    }

    /// The columns of this tile.
    pub fn cols(&self) -> Range<usize> {
        self.cols.clone()
    }

    /// The part of this tile that is one token.
    ///
    /// # Panics
    /// If the token is not in this tile.
    pub fn one(&mut self, token: usize) -> Tile<'_> {
        assert!(
            self.tokens.contains(&token),
            "token {token} of {:?}",
            self.tokens
        );
        // Borrowed from this tile, which is out of use as long as the part is.
        Tile {
            base: self.base,
            stride: self.stride,
            tokens: token..token + 1,
            cols: self.cols.clone(),
            _output: PhantomData,
        }
    }

    /// The values of one token in the columns of this tile.
    ///
    /// # Panics
    /// If the token is not in this tile.
    #[inline]
    pub fn token(&mut self, token: usize) -> &mut [f32] {
        assert!(
            self.tokens.contains(&token),
            "token {token} of {:?}",
            self.tokens
        );
        let first = self
            .base
            .wrapping_add(token * self.stride + self.cols.start);
        // SAFETY: `base` is valid for tokens * stride values for the life of the grid, token and columns lie within
        // (`tokens` and `cols` were cut from them), and no other tile covers these values.
        unsafe { std::slice::from_raw_parts_mut(first, self.cols.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_everything_once() {
        for (tokens, stride, token_block, col_block) in
            [(1, 1, 1, 1), (3, 10, 2, 4), (5, 8, 5, 8), (7, 130, 1, 1)]
        {
            let mut output = vec![0.0; tokens * stride];
            let grid = Grid::new(&mut output, stride, token_block, col_block);
            let count = grid.len();
            for index in 0..count {
                let mut tile = grid.take(index).expect("within len");
                for token in tile.tokens() {
                    tile.token(token).iter_mut().for_each(|v| *v += 1.0);
                }
            }
            assert!(grid.take(count).is_none());
            assert!(
                output.iter().all(|v| *v == 1.0),
                "{tokens} x {stride} in {token_block} x {col_block}"
            );
        }
    }

    #[test]
    #[should_panic(expected = "taken twice")]
    fn a_tile_is_taken_once() {
        let mut output = vec![0.0; 4];
        let grid = Grid::new(&mut output, 4, 1, 2);
        let _first = grid.take(1);
        let _second = grid.take(1);
    }
}
