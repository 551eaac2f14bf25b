//! Random weights in the shape of a model: speed and memory do not depend on what the weights are.

use super::{Architecture, Config, HeadNorms, InputNorms, Layer, Model};
use crate::weights::{
    DenseMatrix, DenseRows, LinearWeights, TernaryMatrix, TernaryRows, round_bf16,
};
use std::sync::Arc;

impl Model {
    /// A network of this shape with weights from `seed`: -1, 0 and +1 with a third each (-1 and +1 in the binary family), scaled
    /// so that every layer keeps the size of its input; norms of 1; a uniform embedding. Equal seeds give equal weights on every machine and for every
    /// kernel. Nothing is allocated: rows are made when they are packed.
    pub fn synthetic(config: &Config, tied_head: bool, seed: u64) -> Model {
        let mut tensor = 0;
        let mut next_seed = || {
            tensor += 1;
            mix(seed ^ mix(tensor))
        };
        let kind = match config.architecture {
            Architecture::BinaryBitnet => Values::Binary,
            _ => Values::Ternary,
        };
        let mut ternary = |rows, cols| kind.weights(rows, cols, next_seed());
        let (hidden, ffn) = (config.hidden, config.ffn);
        let (query, kv) = (
            config.heads * config.head_dim,
            config.kv_heads * config.head_dim,
        );
        let ones = |width| vec![1.0; width];
        let sub_norm = |width| config.has_sub_norms().then(|| ones(width));
        let head_norms = || HeadNorms {
            query: ones(config.head_dim),
            key: ones(config.head_dim),
        };
        let input_norms = || InputNorms {
            query: ones(hidden),
            key: ones(hidden),
            value: ones(hidden),
            gate: ones(hidden),
            up: ones(hidden),
        };
        let layers = (0..config.layers)
            .map(|_| Layer {
                attention_norm: ones(hidden),
                query: ternary(query, hidden),
                key: ternary(kv, hidden),
                value: ternary(kv, hidden),
                head_norms: config.has_head_norms().then(head_norms),
                attention_sub_norm: sub_norm(query),
                output: ternary(hidden, query),
                ffn_norm: ones(hidden),
                gate: config.has_gate().then(|| ternary(ffn, hidden)),
                up: ternary(ffn, hidden),
                ffn_sub_norm: sub_norm(ffn),
                down: ternary(hidden, ffn),
                input_norms: config.has_input_norms().then(input_norms),
            })
            .collect();
        let mut table = || {
            let source = SyntheticDense {
                seed: next_seed(),
                range: dense_range(hidden),
            };
            DenseMatrix::new(
                config.vocab,
                hidden,
                Arc::new(source),
                "an embedding is not a linear layer",
            )
        };
        let embedding = table();
        let head = (!tied_head).then(table);
        Model {
            config: config.clone(),
            embedding,
            layers,
            final_norm: ones(hidden),
            head,
            rope_factors: None,
            pooling: None,
            notes: Vec::new(),
        }
    }
}

impl LinearWeights {
    /// One ternary matrix of random weights, to measure a kernel on.
    pub fn synthetic(rows: usize, cols: usize, seed: u64) -> LinearWeights {
        Values::Ternary.weights(rows, cols, seed)
    }
}

/// What the weights of linear layers are.
#[derive(Clone, Copy)]
enum Values {
    /// -1, 0 and +1.
    Ternary,
    /// -1 and +1.
    Binary,
}

impl Values {
    fn weights(self, rows: usize, cols: usize, seed: u64) -> LinearWeights {
        let source = Arc::new(SyntheticTernary { seed, values: self });
        LinearWeights::Ternary(TernaryMatrix::new(rows, cols, self.scale(cols), source))
    }

    /// Two thirds of ternary weights are not zero, and all binary ones: with this scale a product has the variance of its
    /// input. It has no more than eight significant bits, so that a file in any format holds the very same weights.
    #[expect(clippy::cast_precision_loss, reason = "columns of a matrix")]
    fn scale(self, cols: usize) -> f32 {
        let inverse_share = match self {
            Values::Ternary => 1.5,
            Values::Binary => 1.0,
        };
        f32::from_bits(u32::from(round_bf16((inverse_share / cols as f32).sqrt())) << 16)
    }

    fn of(self, byte: u8) -> i8 {
        match self {
            // 0, 1 or 2, with 86, 85 and 85 of the 256 values of a byte.
            Values::Ternary => (u16::from(byte) * 3).to_be_bytes()[0].cast_signed() - 1,
            Values::Binary => (byte >> 7 << 1).cast_signed() - 1,
        }
    }
}

/// A uniform distribution over +-range has the variance range^2 / 3: logits of a normalised state have variance 1.
#[expect(clippy::cast_precision_loss, reason = "columns of a matrix")]
fn dense_range(cols: usize) -> f32 {
    (3.0 / cols as f32).sqrt()
}

struct SyntheticTernary {
    seed: u64,
    values: Values,
}

impl TernaryRows for SyntheticTernary {
    fn read_row(&self, row: usize, out: &mut [i8]) {
        let stream = mix(self.seed ^ row as u64);
        for (index, out) in out.chunks_mut(8).enumerate() {
            let bytes = mix(stream.wrapping_add(index as u64)).to_le_bytes();
            for (out, byte) in out.iter_mut().zip(bytes) {
                *out = self.values.of(byte);
            }
        }
    }
}

struct SyntheticDense {
    seed: u64,
    range: f32,
}

impl DenseRows for SyntheticDense {
    fn read_row(&self, row: usize, out: &mut [f32]) {
        let stream = mix(self.seed ^ row as u64);
        for (index, out) in out.chunks_mut(4).enumerate() {
            let bytes = mix(stream.wrapping_add(index as u64)).to_le_bytes();
            for (out, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                let unit = f32::from(i16::from_le_bytes(*pair)) / 32768.0;
                *out = unit * self.range;
            }
        }
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014), with its increment: neighbours give unlike numbers.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seed: u64, values: Values, row: usize) -> Vec<i8> {
        let mut out = vec![0i8; 30_000];
        SyntheticTernary { seed, values }.read_row(row, &mut out);
        out
    }

    #[test]
    fn weights_of_each_kind_are_as_many() {
        for (values, kinds, bounds) in [
            (Values::Ternary, &[-1, 0, 1][..], 9_500..10_500),
            (Values::Binary, &[-1, 1][..], 14_500..15_500),
        ] {
            let weights = row(7, values, 3);
            for kind in kinds {
                let count = weights.iter().filter(|w| *w == kind).count();
                assert!(bounds.contains(&count), "{kind}: {count}");
            }
            assert_ne!(weights, row(7, values, 4));
        }
    }
}
