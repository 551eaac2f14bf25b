//! A network packed for one kernel variant.

use crate::cpu::Cpu;
use crate::kernels::{self, Family, KernelVariant, PackError, PackedMatrix};
use crate::model::{Config, Model};
use crate::ops::{self, SharedIsa};
use crate::threads::Pool;
use crate::weights::LinearWeights;
use std::sync::atomic::{AtomicU64, Ordering};

/// A network whose linear layers are packed by one variant. Embedding and head are in half precision, on the best variant of
/// the CPU whatever the linear layers run on, so that two rows of a report differ in the kernel alone.
pub struct Network {
    pub(crate) config: Config,
    kernel: &'static KernelVariant,
    head_kernel: &'static KernelVariant,
    pub(crate) isa: SharedIsa,
    pub(crate) embedding: Box<dyn PackedMatrix>,
    pub(crate) layers: Vec<PackedLayer>,
    pub(crate) final_norm: Vec<f32>,
    /// Absent where the embedding serves as head.
    pub(crate) head: Option<Box<dyn PackedMatrix>>,
    pub(crate) rope_factors: Option<Vec<f32>>,
}

/// One layer; see [`crate::model::Layer`] for shapes.
pub(crate) struct PackedLayer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Box<dyn PackedMatrix>,
    pub(crate) key: Box<dyn PackedMatrix>,
    pub(crate) value: Box<dyn PackedMatrix>,
    pub(crate) attention_sub_norm: Option<Vec<f32>>,
    pub(crate) output: Box<dyn PackedMatrix>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: Box<dyn PackedMatrix>,
    pub(crate) up: Box<dyn PackedMatrix>,
    pub(crate) ffn_sub_norm: Option<Vec<f32>>,
    pub(crate) down: Box<dyn PackedMatrix>,
}

/// A tensor that could not be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{tensor}: {source}")]
pub struct PackFailure {
    /// Name of the tensor, such as `layer 3 ffn_down`.
    pub tensor: String,
    /// Why.
    pub source: PackError,
}

impl Network {
    /// Packs every tensor of a model, on all CPUs.
    ///
    /// # Errors
    /// [`PackFailure`] names the first tensor that cannot be packed by this variant.
    pub fn pack(
        model: &Model,
        kernel: &'static KernelVariant,
        cpu: &Cpu,
    ) -> Result<Network, PackFailure> {
        let head_kernel = kernels::best(Family::F16, cpu);
        let pack = |tensor: String, weights: &LinearWeights, kernel: &'static KernelVariant| {
            (kernel.pack)(weights, cpu).map_err(|source| PackFailure { tensor, source })
        };
        let dense = |name: &str, matrix: &crate::weights::DenseMatrix| {
            pack(
                name.to_owned(),
                &LinearWeights::Dense(matrix.clone()),
                head_kernel,
            )
        };
        let mut layers = Vec::with_capacity(model.layers.len());
        for (index, layer) in model.layers.iter().enumerate() {
            let linear =
                |name: &str, weights| pack(format!("layer {index} {name}"), weights, kernel);
            layers.push(PackedLayer {
                attention_norm: layer.attention_norm.clone(),
                query: linear("attn_q", &layer.query)?,
                key: linear("attn_k", &layer.key)?,
                value: linear("attn_v", &layer.value)?,
                attention_sub_norm: layer.attention_sub_norm.clone(),
                output: linear("attn_output", &layer.output)?,
                ffn_norm: layer.ffn_norm.clone(),
                gate: linear("ffn_gate", &layer.gate)?,
                up: linear("ffn_up", &layer.up)?,
                ffn_sub_norm: layer.ffn_sub_norm.clone(),
                down: linear("ffn_down", &layer.down)?,
            });
        }
        Ok(Network {
            config: model.config.clone(),
            kernel,
            head_kernel,
            isa: SharedIsa::best(cpu),
            embedding: dense("embedding", &model.embedding)?,
            layers,
            final_norm: model.final_norm.clone(),
            head: model
                .head
                .as_ref()
                .map(|head| dense("head", head))
                .transpose()?,
            rope_factors: model.rope_factors.clone(),
        })
    }

    /// Bytes a network of this configuration takes once it is packed by `kernel`, padding not counted.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bytes of a model are far below 2^52"
    )]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    #[expect(clippy::cast_sign_loss, reason = "weights and bits are positive")]
    pub fn estimated_bytes(config: &Config, tied_head: bool, kernel: &KernelVariant) -> u64 {
        let linear = config.linear_weights() as f64 * f64::from(kernel.bits_per_weight) / 8.0;
        let tables = if tied_head { 1 } else { 2 };
        linear as u64 + tables * 2 * (config.vocab * config.hidden) as u64
    }

    /// Hyperparameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The variant of the linear layers.
    pub fn kernel(&self) -> &'static KernelVariant {
        self.kernel
    }

    /// The variant of embedding and head.
    pub fn head_kernel(&self) -> &'static KernelVariant {
        self.head_kernel
    }

    /// The instruction set of everything else.
    pub fn shared_isa(&self) -> SharedIsa {
        self.isa
    }

    /// The LM head: a matrix of its own or the embedding.
    pub(crate) fn head(&self) -> &dyn PackedMatrix {
        self.head.as_ref().unwrap_or(&self.embedding).as_ref()
    }

    fn linear(&self) -> impl Iterator<Item = &dyn PackedMatrix> {
        self.layers.iter().flat_map(|l| {
            [
                &l.query, &l.key, &l.value, &l.output, &l.gate, &l.up, &l.down,
            ]
            .into_iter()
            .map(AsRef::as_ref)
        })
    }

    fn norm_values(&self) -> usize {
        let len = |norm: &Option<Vec<f32>>| norm.as_ref().map_or(0, Vec::len);
        let layer = |l: &PackedLayer| {
            l.attention_norm.len()
                + len(&l.attention_sub_norm)
                + l.ffn_norm.len()
                + len(&l.ffn_sub_norm)
        };
        self.final_norm.len() + self.layers.iter().map(layer).sum::<usize>()
    }

    /// Parameters: linear layers, embedding, head, norms.
    pub fn parameters(&self) -> u64 {
        let table = self.embedding.rows() * self.embedding.cols();
        let head = self.head.as_ref().map_or(0, |h| h.rows() * h.cols());
        self.config.linear_weights() + (table + head + self.norm_values()) as u64
    }

    /// Bytes of the packed linear layers, padding and scales included.
    pub fn linear_bytes(&self) -> u64 {
        self.linear()
            .map(|m| (m.bytes().len() + size_of::<f32>()) as u64)
            .sum()
    }

    /// Bytes of all weights in memory.
    pub fn weights_bytes(&self) -> u64 {
        let head = self.head.as_ref().map_or(0, |h| h.bytes().len());
        self.linear_bytes() + (self.embedding.bytes().len() + head + 4 * self.norm_values()) as u64
    }

    /// Bytes of weights read for each decoded token: linear layers, head, norms, one row of the embedding.
    pub fn weights_bytes_per_token(&self) -> u64 {
        let row = self.embedding.bytes().len() / self.embedding.rows();
        self.linear_bytes() + (self.head().bytes().len() + 4 * self.norm_values() + row) as u64
    }

    /// Bytes the KV cache takes for each position, all layers together.
    pub fn kv_bytes_per_position(&self) -> u64 {
        let c = &self.config;
        2 * size_of::<half::f16>() as u64 * (c.layers * c.kv_heads * c.head_dim) as u64
    }

    /// Reads the packed linear layers and the head once, each thread its share, and gives the number of bytes and a checksum
    /// that keeps the reads from being optimised away: the plain read that decode is held against.
    pub fn read_weights(&self, pool: &Pool) -> (u64, u64) {
        let streams: Vec<&[u8]> = self
            .linear()
            .chain([self.head()])
            .map(PackedMatrix::bytes)
            .collect();
        let checksum = AtomicU64::new(0);
        pool.run(&|thread| {
            let mut sum = 0u64;
            for stream in &streams {
                let share = stream.len().div_ceil(pool.threads()).next_multiple_of(64);
                let start = stream.len().min(thread * share);
                let end = stream.len().min(start + share);
                sum = sum.wrapping_add(ops::sum_bytes(self.isa, &stream[start..end]));
            }
            checksum.fetch_add(sum, Ordering::Relaxed);
        });
        (
            streams.iter().map(|s| s.len() as u64).sum(),
            checksum.into_inner(),
        )
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({:?} on {})", self.config, self.kernel.name)
    }
}
