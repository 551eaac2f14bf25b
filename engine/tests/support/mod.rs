//! Making GGUF files for tests: a writer, encoders that share no code with the decoders under test, and tiny models.

pub(crate) mod encode;
mod encode_k;
mod writer;

use bitbench_engine::model::formats::TensorFormat;
pub(crate) use writer::{GgufWriter, Kv};

/// What [`tiny_model`] writes.
pub(crate) struct Tiny {
    /// `general.architecture`.
    pub(crate) architecture: &'static str,
    /// Format of the linear tensors.
    pub(crate) linear: &'static TensorFormat,
    /// Whether linear weights are {-s, 0, +s}.
    pub(crate) ternary: bool,
    /// Whether there is an `output.weight`.
    pub(crate) head: bool,
}

pub(crate) const HIDDEN: usize = 256;
pub(crate) const FFN: usize = 512;
pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const HEAD_DIM: usize = 64;
pub(crate) const VOCAB: usize = 48;
/// What -1, 0 and +1 are multiplied by in a ternary tensor.
pub(crate) const SCALE: f32 = 0.03125;

/// A model with seeded weights: 2 layers, 256 wide.
pub(crate) fn tiny_model(tiny: &Tiny) -> GgufWriter {
    let arch = tiny.architecture;
    let key = |part: &str| format!("{arch}.{part}");
    let size = |size: usize| Kv::U32(u32::try_from(size).unwrap());
    let mut file = GgufWriter::new();
    file.kv("general.architecture", Kv::Str(arch.into()));
    file.kv(&key("block_count"), size(LAYERS));
    file.kv(&key("context_length"), size(128));
    file.kv(&key("embedding_length"), size(HIDDEN));
    file.kv(&key("feed_forward_length"), size(FFN));
    file.kv(&key("attention.head_count"), size(HEADS));
    file.kv(&key("attention.head_count_kv"), size(KV_HEADS));
    file.kv(&key("attention.layer_norm_rms_epsilon"), Kv::F32(1e-5));
    file.kv(&key("rope.dimension_count"), size(HEAD_DIM));
    file.kv(&key("rope.freq_base"), Kv::F32(10000.0));

    let mut random = Random(7);
    let mut dense = |file: &mut GgufWriter, name: &str, rows: usize| {
        let weights: Vec<f32> = (0..rows * HIDDEN).map(|_| random.uniform()).collect();
        file.tensor(name, &[HIDDEN, rows], 1, encode::f16(&weights));
    };
    dense(&mut file, "token_embd.weight", VOCAB);
    if tiny.head {
        dense(&mut file, "output.weight", VOCAB);
    }
    let norm = |file: &mut GgufWriter, name: &str, len: usize| {
        file.tensor(name, &[len], 0, encode::f32(&vec![1.25; len]));
    };
    norm(&mut file, "output_norm.weight", HIDDEN);

    let q = HEADS * HEAD_DIM;
    let kv = KV_HEADS * HEAD_DIM;
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        norm(&mut file, &name("attn_norm"), HIDDEN);
        norm(&mut file, &name("ffn_norm"), HIDDEN);
        if arch.starts_with("bitnet") {
            norm(&mut file, &name("attn_sub_norm"), q);
            norm(&mut file, &name("ffn_sub_norm"), FFN);
        }
        if arch == "qwen3" {
            norm(&mut file, &name("attn_q_norm"), HEAD_DIM);
            norm(&mut file, &name("attn_k_norm"), HEAD_DIM);
        }
        for (part, rows, cols) in [
            ("attn_q", q, HIDDEN),
            ("attn_k", kv, HIDDEN),
            ("attn_v", kv, HIDDEN),
            ("attn_output", HIDDEN, q),
            ("ffn_gate", FFN, HIDDEN),
            ("ffn_up", FFN, HIDDEN),
            ("ffn_down", HIDDEN, FFN),
        ] {
            let weights: Vec<f32> = (0..rows * cols)
                .map(|_| match tiny.ternary {
                    true => f32::from(random.trit()) * SCALE,
                    false => random.uniform(),
                })
                .collect();
            let id = tiny.linear.gguf_type;
            file.tensor(&name(part), &[cols, rows], id, encode::by_id(id, &weights));
        }
    }
    file
}

/// A small generator (xorshift64*), so that a test depends on no crate's sequence.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.next() >> 33) % (bound as u64)).unwrap()
    }

    /// -1, 0 or +1.
    pub(crate) fn trit(&mut self) -> i8 {
        [-1, 0, 1][self.below(3)]
    }

    /// In -1..1, in steps of 1/128.
    pub(crate) fn uniform(&mut self) -> f32 {
        f32::from(i16::try_from(self.below(256)).unwrap() - 128) / 128.0
    }
}

/// Compiled into every test binary that uses this module, so that none of it is unused in any.
mod tests {
    use super::*;
    use bitbench_engine::model::{LoadOptions, formats, load};
    use bitbench_engine::weights::LinearWeights;

    #[test]
    fn a_tiny_model_of_each_architecture_loads() {
        let folder = tempfile::tempdir().unwrap();
        for (architecture, head) in [
            ("bitnet-b1.58", false),
            ("bitnet", false),
            ("llama", true),
            ("qwen3", false),
        ] {
            let tiny = Tiny {
                architecture,
                linear: formats::by_id(36).unwrap(),
                ternary: true,
                head,
            };
            let path = folder.path().join("tiny.gguf");
            let mut file = tiny_model(&tiny);
            file.kv("general.name", Kv::Str("tiny".into()));
            file.kv("tests.strings", Kv::Strs(vec!["a".into(), "b".into()]));
            file.kv("tests.integers", Kv::I32s(vec![-1, 2]));
            file.kv("tests.floats", Kv::F32s(vec![0.5]));
            file.kv("tests.bool", Kv::Bool(true));
            file.set_alignment(64);
            file.write(&path);
            assert!(file.entries().any(|(key, value)| {
                key == "general.alignment" && matches!(value, Kv::U32(64))
            }));
            assert!(file.tensors().iter().all(|tensor| !tensor.3.is_empty()));
            let model = load(&path, LoadOptions::default()).unwrap();
            let config = &model.config;
            assert_eq!(
                (config.vocab, config.hidden, config.ffn, config.layers),
                (VOCAB, HIDDEN, FFN, LAYERS)
            );
            assert_eq!(
                (config.heads, config.kv_heads, config.head_dim),
                (HEADS, KV_HEADS, HEAD_DIM)
            );
            assert_eq!(model.head.is_some(), head);
            let LinearWeights::Ternary(down) = &model.layers[1].down else {
                panic!("the weights are ternary");
            };
            assert_eq!(down.scale(), SCALE);
            for (name, shard) in file.split("split", 2) {
                shard.write(&folder.path().join(name));
            }
            let split = folder.path().join("split-00002-of-00002.gguf");
            assert_eq!(
                load(&split, LoadOptions::default()).unwrap().config,
                *config
            );
        }
    }
}
