//! Look-up of sums in portable Rust, and what the look-up families of all instruction sets share.
//!
//! Columns are taken in groups of two or three. The weights of a row in a group are an index; a table holds the sum of the
//! group's activations under each pattern of weights, so that one addition does for the whole group. Sums are exact: an entry
//! is at most 128 times the columns of a group in size, 16 bits hold a bounded run of them, and 32 bits the rest.
//!
//! With many tokens an entry is a vector, a sum for each token: the compiler adds it with the vectors that every CPU of the
//! target has, and one index serves all tokens.

use crate::activations::Activations;
use crate::grid::Tile;
use crate::kernels::Packed;
use std::ops::Range;

/// Patterns that a 4-bit index can name.
pub(crate) const ENTRIES: usize = 16;

/// The weights that each index stands for, for each column of a group of `GROUP`; indices without a meaning stand for zeros.
pub(crate) type Patterns<const GROUP: usize, const COUNT: usize = ENTRIES> = [[i16; COUNT]; GROUP];

/// Two weights: the index is `(w0 + 1) + 3 (w1 + 1)`, 0 to 8.
pub(crate) const PAIRS: Patterns<2> = {
    let mut patterns = [[0; ENTRIES]; 2];
    let mut index = 0;
    while index < 9 {
        patterns[0][index as usize] = index % 3 - 1;
        patterns[1][index as usize] = index / 3 - 1;
        index += 1;
    }
    patterns
};

/// Three weights up to their common sign: the index is `w0 + 3 w1 + 9 w2`, 0 to 13, so the weights are its digits in
/// balanced ternary.
pub(crate) const TRIPLES: Patterns<3> = {
    let mut patterns = [[0; ENTRIES]; 3];
    let mut index = 0;
    while index < 14 {
        patterns[0][index as usize] = (index + 1) % 3 - 1;
        patterns[1][index as usize] = (index + 4) / 3 % 3 - 1;
        patterns[2][index as usize] = (index + 13) / 9 % 3 - 1;
        index += 1;
    }
    patterns
};

/// [`TRIPLES`], and from [`ENTRIES`] on the same with the other sign.
pub(crate) const SIGNED_TRIPLES: Patterns<3, { 2 * ENTRIES }> = {
    let mut patterns = [[0; 2 * ENTRIES]; 3];
    let mut index = 0;
    while index < ENTRIES {
        let mut column = 0;
        while column < 3 {
            patterns[column][index] = TRIPLES[column][index];
            patterns[column][index + ENTRIES] = -TRIPLES[column][index];
            column += 1;
        }
        index += 1;
    }
    patterns
};

/// The index of two weights in [`PAIRS`].
pub(crate) fn pair_index(weights: [i8; 2]) -> u8 {
    ((weights[0] + 1) + 3 * (weights[1] + 1)).cast_unsigned()
}

/// Whether three weights are the negative of their pattern in [`TRIPLES`], and its index.
pub(crate) fn triple_index(weights: [i8; 3]) -> (bool, u8) {
    let value = weights[0] + 3 * weights[1] + 9 * weights[2];
    (value < 0, value.unsigned_abs())
}

/// Rows whose sums are kept while the tables pass: 64 KiB for 16 tokens.
const ROW_BLOCK: usize = 1024;
/// Bytes of tables that are used at a time, where there is more than one token: most of the smallest first-level cache.
const TABLE_BYTES: usize = 32 << 10;
/// Tokens of a vector.
const TOKENS: usize = 16;

/// The layout of one family.
pub(crate) struct Groups<'a, const GROUP: usize, const COUNT: usize> {
    /// The weights that each index stands for.
    pub(crate) patterns: &'a Patterns<GROUP, COUNT>,
    /// Groups of a row, a multiple of `block`.
    pub(crate) count: usize,
    /// Groups that are packed together.
    pub(crate) block: usize,
}

impl<const GROUP: usize, const COUNT: usize> Groups<'_, GROUP, COUNT> {
    /// Groups whose sums fit in 16 bits.
    const RUN: usize = i16::MAX as usize / (128 * GROUP);

    /// Multiplies by look-up. `indices(row, groups, out)` writes the indices, below `COUNT`, of some groups of a row, from the
    /// start of a block.
    pub(crate) fn multiply(
        &self,
        packed: &Packed,
        activations: &Activations,
        out: &mut Tile<'_>,
        indices: impl Fn(usize, Range<usize>, &mut [u8]),
    ) {
        if out.tokens().len() == 1 {
            // Rows pass once, and all tables are used for each.
            self.multiply_by::<1>(self.count, packed, activations, out, indices);
        } else {
            let chunk = TABLE_BYTES / (COUNT * TOKENS * size_of::<i16>());
            let chunk = chunk / self.block * self.block;
            self.multiply_by::<TOKENS>(chunk, packed, activations, out, indices);
        }
    }

    /// Multiplies by `T` tokens at a time, with the tables of `chunk` groups.
    fn multiply_by<const T: usize>(
        &self,
        chunk: usize,
        packed: &Packed,
        activations: &Activations,
        out: &mut Tile<'_>,
        indices: impl Fn(usize, Range<usize>, &mut [u8]),
    ) {
        let rows = out.cols();
        let mut tables = vec![[[0i16; T]; COUNT]; chunk.min(self.count)];
        let mut row_indices = vec![0u8; tables.len()];
        let mut sums = vec![[0i32; T]; ROW_BLOCK.min(rows.len())];
        for first in out.tokens().step_by(T) {
            let tokens = first..out.tokens().end.min(first + T);
            for start in rows.clone().step_by(ROW_BLOCK) {
                let block_rows = start..rows.end.min(start + ROW_BLOCK);
                let sums = &mut sums[..block_rows.len()];
                sums.fill([0; T]);
                for from in (0..self.count).step_by(chunk) {
                    let groups = from..self.count.min(from + chunk);
                    let tables = &mut tables[..groups.len()];
                    let row_indices = &mut row_indices[..groups.len()];
                    for (table, group) in tables.iter_mut().zip(groups.clone()) {
                        self.fill_table(table, activations, tokens.clone(), group);
                    }
                    for (row, sums) in block_rows.clone().zip(&mut *sums) {
                        indices(row, groups.clone(), row_indices);
                        add_look_ups(tables, row_indices, Self::RUN, sums);
                    }
                }
                let in_tile = start - rows.start..block_rows.end - rows.start;
                for (index, token) in tokens.clone().enumerate() {
                    let out = &mut out.token(token)[in_tile.clone()];
                    for (out, sums) in out.iter_mut().zip(&*sums) {
                        *out = activations.rescale(token, sums[index], packed.scale);
                    }
                }
            }
        }
    }

    /// The sums of a group under each pattern, for each token; zero beyond the last token.
    fn fill_table<const T: usize>(
        &self,
        table: &mut [[i16; T]; COUNT],
        activations: &Activations,
        tokens: Range<usize>,
        group: usize,
    ) {
        let mut values = [[0i16; T]; GROUP];
        for (index, token) in tokens.enumerate() {
            let columns = &activations.int8(token)[group * GROUP..][..GROUP];
            for (values, value) in values.iter_mut().zip(columns) {
                values[index] = i16::from(*value);
            }
        }
        for (entry, sums) in table.iter_mut().enumerate() {
            *sums = [0; T];
            for (values, pattern) in values.iter().zip(self.patterns) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += pattern[entry] * value;
                }
            }
        }
    }
}

/// Adds what `indices` pick from `tables`, in 16 bits for `run` groups at a time.
fn add_look_ups<const COUNT: usize, const T: usize>(
    tables: &[[[i16; T]; COUNT]],
    indices: &[u8],
    run: usize,
    sums: &mut [i32; T],
) {
    if T == 1 {
        // No vector of tokens, so nothing to gain from 16 bits.
        for (table, index) in tables.iter().zip(indices) {
            sums[0] += i32::from(entry(table, *index)[0]);
        }
        return;
    }
    for (tables, indices) in tables.chunks(run).zip(indices.chunks(run)) {
        for (sum, word) in sums.iter_mut().zip(look_up(tables, indices)) {
            *sum += i32::from(word);
        }
    }
}

/// The sums, in 16 bits, of what `indices` pick. Not inlined: next to the 32-bit sums the compiler would take vectors of half
/// the width.
#[inline(never)]
fn look_up<const COUNT: usize, const T: usize>(
    tables: &[[[i16; T]; COUNT]],
    indices: &[u8],
) -> [i16; T] {
    let mut words = [0; T];
    for (table, index) in tables.iter().zip(indices) {
        for (word, value) in words.iter_mut().zip(entry(table, *index)) {
            *word += value;
        }
    }
    words
}

/// The entry at `index`, which is below `COUNT`: the remainder changes nothing but spares a check.
fn entry<const COUNT: usize, const T: usize>(table: &[[i16; T]; COUNT], index: u8) -> &[i16; T] {
    const { assert!(COUNT.is_power_of_two()) };
    &table[usize::from(index) % COUNT]
}
