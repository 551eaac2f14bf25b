//! Keys and values of the positions so far, in half precision.

use crate::model::Config;
use crate::weights::saturate;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use memmap2::MmapMut;
use std::io;
use std::ops::Range;

/// Positions whose keys lie together, a lane each: what attention multiplies at once.
pub(crate) const KEY_BLOCK: usize = 16;

/// Keys, `[layer][kv_head][block of positions][head_dim][KEY_BLOCK]`, and values, `[layer][kv_head][capacity][head_dim]`. So a
/// score is summed within its lane, as a weighted sum of values is. Pages are touched as positions are reached.
#[derive(Debug)]
pub(crate) struct KvCache {
    keys: MmapMut,
    values: MmapMut,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    /// Positions there is memory for: the capacity, up to a whole block.
    room: usize,
    positions: usize,
}

impl KvCache {
    /// An empty cache for `capacity` positions.
    ///
    /// # Errors
    /// If the system has no memory for it: `capacity` comes from the user and from files.
    pub(crate) fn new(config: &Config, capacity: usize) -> io::Result<Self> {
        let too_many = || io::Error::other("more bytes than there are addresses");
        let room = capacity
            .checked_next_multiple_of(KEY_BLOCK)
            .ok_or_else(too_many)?;
        let sizes = [
            config.layers,
            config.kv_heads,
            config.head_dim,
            size_of::<u16>(),
        ];
        let bytes = sizes.into_iter().try_fold(room, usize::checked_mul);
        let bytes = bytes.ok_or_else(too_many)?.max(2);
        Ok(KvCache {
            keys: MmapMut::map_anon(bytes)?,
            values: MmapMut::map_anon(bytes)?,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            capacity,
            room,
            positions: 0,
        })
    }

    /// Positions that hold something.
    pub(crate) fn positions(&self) -> usize {
        self.positions
    }

    /// Positions that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets every position from `positions` on.
    pub(crate) fn truncate(&mut self, positions: usize) {
        self.positions = self.positions.min(positions);
    }

    /// Counts `tokens` positions as filled, once all layers have stored them.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.positions += tokens;
    }

    /// The heads of one layer, in order, to store keys and values in.
    pub(crate) fn heads_mut(&mut self, layer: usize) -> impl Iterator<Item = HeadMut<'_>> {
        let dims = self.head_dim;
        let head_size = self.room * dims;
        let (offset, layer_size) = (self.offset(layer, 0), self.kv_heads * head_size);
        let keys = &mut halves_mut(&mut self.keys)[offset..][..layer_size];
        let values = &mut halves_mut(&mut self.values)[offset..][..layer_size];
        keys.chunks_exact_mut(head_size)
            .zip(values.chunks_exact_mut(head_size))
            .enumerate()
            .map(move |(head, (keys, values))| HeadMut {
                keys,
                values,
                columns: head * dims..(head + 1) * dims,
            })
    }

    /// Keys of one head at the first `positions` positions and those that fill their last block,
    /// `[block of positions][head_dim][KEY_BLOCK]`.
    pub(crate) fn keys(&self, layer: usize, head: usize, positions: usize) -> &[f16] {
        let positions = positions.next_multiple_of(KEY_BLOCK);
        &halves(&self.keys)[self.offset(layer, head)..][..positions * self.head_dim]
    }

    /// Values of one head at the first `positions` positions, `[positions][head_dim]`.
    pub(crate) fn values(&self, layer: usize, head: usize, positions: usize) -> &[f16] {
        &halves(&self.values)[self.offset(layer, head)..][..positions * self.head_dim]
    }

    fn offset(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.room * self.head_dim
    }
}

/// One head of one layer.
pub(crate) struct HeadMut<'a> {
    keys: &'a mut [f16],
    values: &'a mut [f16],
    /// Where its dimensions lie in the keys and values of a token.
    columns: Range<usize>,
}

impl HeadMut<'_> {
    /// Stores its part of the keys and values of some tokens, each `[tokens][width]`, from position `first` on. They are brought
    /// into the range of half precision.
    pub(crate) fn store(self, first: usize, key: &[f32], value: &[f32], width: usize) {
        let dims = self.columns.len();
        let mut row = vec![0.0; dims];
        let mut halves = vec![f16::ZERO; dims];
        for (position, (key, value)) in
            (first..).zip(key.chunks_exact(width).zip(value.chunks_exact(width)))
        {
            row.copy_from_slice(&key[self.columns.clone()]);
            saturate(&mut row);
            halves.convert_from_f32_slice(&row);
            let (block, lane) = (position / KEY_BLOCK, position % KEY_BLOCK);
            let lanes = self.keys[block * KEY_BLOCK * dims + lane..]
                .iter_mut()
                .step_by(KEY_BLOCK);
            for (to, from) in lanes.zip(&halves) {
                *to = *from;
            }
            row.copy_from_slice(&value[self.columns.clone()]);
            saturate(&mut row);
            self.values[position * dims..][..dims].convert_from_f32_slice(&row);
        }
    }
}

fn halves(map: &MmapMut) -> &[f16] {
    bytemuck::cast_slice::<u8, u16>(map).reinterpret_cast()
}

fn halves_mut(map: &mut MmapMut) -> &mut [f16] {
    bytemuck::cast_slice_mut::<u8, u16>(map).reinterpret_cast_mut()
}
