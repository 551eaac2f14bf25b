//! Keys and values of the positions so far, in half precision.

use crate::model::Config;
use crate::weights::saturate;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use memmap2::MmapMut;
use std::io;

/// Keys and values, each `[layer][kv_head][capacity][head_dim]`. Pages are touched as positions are reached.
#[derive(Debug)]
pub(crate) struct KvCache {
    keys: MmapMut,
    values: MmapMut,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    positions: usize,
}

impl KvCache {
    /// An empty cache for `capacity` positions.
    ///
    /// # Errors
    /// If the system has no memory for it: `capacity` comes from the user and from files.
    pub(crate) fn new(config: &Config, capacity: usize) -> io::Result<Self> {
        let sizes = [
            config.layers,
            config.kv_heads,
            config.head_dim,
            size_of::<u16>(),
        ];
        let bytes = sizes.into_iter().try_fold(capacity, usize::checked_mul);
        let bytes = bytes
            .ok_or_else(|| io::Error::other("more bytes than there are addresses"))?
            .max(2);
        Ok(KvCache {
            keys: MmapMut::map_anon(bytes)?,
            values: MmapMut::map_anon(bytes)?,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            capacity,
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

    /// Stores keys and values of some tokens, each `[tokens][kv_heads * head_dim]`, from position `first` on. The inputs are
    /// brought into the range of half precision.
    pub(crate) fn store(&mut self, layer: usize, first: usize, key: &mut [f32], value: &mut [f32]) {
        saturate(key);
        saturate(value);
        let width = self.kv_heads * self.head_dim;
        for (token, (key, value)) in key
            .chunks_exact(width)
            .zip(value.chunks_exact(width))
            .enumerate()
        {
            for head in 0..self.kv_heads {
                let at = self.offset(layer, head) + (first + token) * self.head_dim;
                let from = head * self.head_dim;
                let dims = self.head_dim;
                halves_mut(&mut self.keys)[at..][..dims]
                    .convert_from_f32_slice(&key[from..][..dims]);
                halves_mut(&mut self.values)[at..][..dims]
                    .convert_from_f32_slice(&value[from..][..dims]);
            }
        }
    }

    /// Keys of one head at the first `positions` positions, `[positions][head_dim]`.
    pub(crate) fn keys(&self, layer: usize, head: usize, positions: usize) -> &[f16] {
        &halves(&self.keys)[self.offset(layer, head)..][..positions * self.head_dim]
    }

    /// Values of one head at the first `positions` positions, `[positions][head_dim]`.
    pub(crate) fn values(&self, layer: usize, head: usize, positions: usize) -> &[f16] {
        &halves(&self.values)[self.offset(layer, head)..][..positions * self.head_dim]
    }

    fn offset(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.capacity * self.head_dim
    }
}

fn halves(map: &MmapMut) -> &[f16] {
    bytemuck::cast_slice::<u8, u16>(map).reinterpret_cast()
}

fn halves_mut(map: &mut MmapMut) -> &mut [f16] {
    bytemuck::cast_slice_mut::<u8, u16>(map).reinterpret_cast_mut()
}
