//! Keys and values of the positions so far, in half precision.

use crate::model::Config;
use crate::weights::saturate;
use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Keys and values, each `[layer][kv_head][capacity][head_dim]`. Pages are touched as positions are reached.
#[derive(Debug)]
pub(crate) struct KvCache {
    keys: Vec<u16>,
    values: Vec<u16>,
    kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    positions: usize,
}

impl KvCache {
    /// An empty cache for `capacity` positions.
    pub(crate) fn new(config: &Config, capacity: usize) -> Self {
        let size = config.layers * config.kv_heads * capacity * config.head_dim;
        KvCache {
            keys: vec![0; size],
            values: vec![0; size],
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            capacity,
            positions: 0,
        }
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
                let into = |to: &mut [u16], from: &[f32]| {
                    to.reinterpret_cast_mut::<f16>()
                        .convert_from_f32_slice(from)
                };
                into(
                    &mut self.keys[at..][..self.head_dim],
                    &key[from..][..self.head_dim],
                );
                into(
                    &mut self.values[at..][..self.head_dim],
                    &value[from..][..self.head_dim],
                );
            }
        }
    }

    /// Keys of one head at the first `positions` positions, `[positions][head_dim]`.
    pub(crate) fn keys(&self, layer: usize, head: usize, positions: usize) -> &[f16] {
        self.keys[self.offset(layer, head)..][..positions * self.head_dim].reinterpret_cast()
    }

    /// Values of one head at the first `positions` positions, `[positions][head_dim]`.
    pub(crate) fn values(&self, layer: usize, head: usize, positions: usize) -> &[f16] {
        self.values[self.offset(layer, head)..][..positions * self.head_dim].reinterpret_cast()
    }

    fn offset(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.capacity * self.head_dim
    }
}
