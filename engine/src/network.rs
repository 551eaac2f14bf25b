//! A network packed for one kernel variant.

use crate::cpu::Cpu;
use crate::heads::{self, Head, HeadChoice, HeadSource};
use crate::kernels::{self, Family, KernelVariant, PackError, PackedMatrix};
use crate::limits::Reader;
use crate::model::{Config, HeadNorms, InputNorms, Model};
use crate::ops::SharedIsa;
use crate::threads::Pool;
use crate::weights::LinearWeights;
use std::sync::Arc;

/// A network whose linear layers are packed by one variant. The embedding is in half precision, and so is the head unless
/// another was chosen; both run on the best kernel of the CPU whatever the linear layers run on, so that two rows of a report
/// with the same head differ in the kernel alone.
pub struct Network {
    pub(crate) config: Config,
    kernel: &'static KernelVariant,
    pub(crate) isa: SharedIsa,
    pub(crate) embedding: Arc<dyn PackedMatrix>,
    pub(crate) layers: Vec<PackedLayer>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) head: Box<dyn Head>,
    /// Whether the embedding serves as head.
    tied_head: bool,
    pub(crate) rope_factors: Option<Vec<f32>>,
}

/// How the head is kept and computed.
#[derive(Debug, Clone, Copy)]
pub struct HeadOptions {
    /// Which head.
    pub choice: &'static HeadChoice,
    /// Whether its integer loops are the portable ones: a reference. Rows in half precision run on the best kernel all the same.
    pub portable: bool,
}

impl Default for HeadOptions {
    fn default() -> Self {
        HeadOptions {
            choice: heads::default(),
            portable: false,
        }
    }
}

/// One layer; see [`crate::model::Layer`] for shapes.
pub(crate) struct PackedLayer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Box<dyn PackedMatrix>,
    pub(crate) key: Box<dyn PackedMatrix>,
    pub(crate) value: Box<dyn PackedMatrix>,
    pub(crate) head_norms: Option<HeadNorms>,
    pub(crate) attention_sub_norm: Option<Vec<f32>>,
    pub(crate) output: Box<dyn PackedMatrix>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) gate: Option<Box<dyn PackedMatrix>>,
    pub(crate) up: Box<dyn PackedMatrix>,
    pub(crate) ffn_sub_norm: Option<Vec<f32>>,
    pub(crate) down: Box<dyn PackedMatrix>,
    pub(crate) input_norms: Option<InputNorms>,
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
    /// Packs every tensor of a model, on all CPUs, with the default head.
    ///
    /// # Errors
    /// [`PackFailure`] names the first tensor that cannot be packed by this variant.
    pub fn pack(
        model: &Model,
        kernel: &'static KernelVariant,
        cpu: &Cpu,
    ) -> Result<Network, PackFailure> {
        Network::pack_with_head(model, kernel, HeadOptions::default(), cpu)
    }

    /// Packs every tensor of a model, on all CPUs, and its head as chosen.
    ///
    /// # Errors
    /// [`PackFailure`] names the first tensor that cannot be packed.
    pub fn pack_with_head(
        model: &Model,
        kernel: &'static KernelVariant,
        head: HeadOptions,
        cpu: &Cpu,
    ) -> Result<Network, PackFailure> {
        let half_kernel = kernels::best(Family::F16, cpu);
        let pack = |tensor: String, weights: &LinearWeights, kernel: &'static KernelVariant| {
            (kernel.pack)(weights, cpu).map_err(|source| PackFailure { tensor, source })
        };
        let dense = |name: &str, matrix: &crate::weights::DenseMatrix| {
            pack(
                name.to_owned(),
                &LinearWeights::Dense(matrix.clone()),
                half_kernel,
            )
            .map(Arc::from)
        };
        let embedding: Arc<dyn PackedMatrix> = dense("embedding", &model.embedding)?;
        let mut layers = Vec::with_capacity(model.layers.len());
        for (index, layer) in model.layers.iter().enumerate() {
            let linear =
                |name: &str, weights| pack(format!("layer {index} {name}"), weights, kernel);
            layers.push(PackedLayer {
                attention_norm: layer.attention_norm.clone(),
                query: linear("attn_q", &layer.query)?,
                key: linear("attn_k", &layer.key)?,
                value: linear("attn_v", &layer.value)?,
                head_norms: layer.head_norms.clone(),
                attention_sub_norm: layer.attention_sub_norm.clone(),
                output: linear("attn_output", &layer.output)?,
                ffn_norm: layer.ffn_norm.clone(),
                gate: match &layer.gate {
                    Some(gate) => Some(linear("ffn_gate", gate)?),
                    None => None,
                },
                up: linear("ffn_up", &layer.up)?,
                ffn_sub_norm: layer.ffn_sub_norm.clone(),
                down: linear("ffn_down", &layer.down)?,
                input_norms: layer.input_norms.clone(),
            });
        }
        // A failure of the head's own packing is named as such.
        let half = || match &model.head {
            Some(head) => dense("head", head).map_err(|failure| failure.source),
            None => Ok(Arc::clone(&embedding)),
        };
        let source = HeadSource {
            weights: model.head.as_ref().unwrap_or(&model.embedding),
            half: &half,
            half_kernel: half_kernel.name,
            cpu: if head.portable { &Cpu::scalar() } else { cpu },
        };
        let head = (head.choice.pack)(&source).map_err(|source| PackFailure {
            tensor: "head".to_owned(),
            source,
        })?;
        Ok(Network {
            config: model.config.clone(),
            kernel,
            isa: SharedIsa::best(cpu),
            embedding,
            layers,
            final_norm: model.final_norm.clone(),
            head,
            tied_head: model.head.is_none(),
            rope_factors: model.rope_factors.clone(),
        })
    }

    /// Bytes a network of this configuration takes once it is packed by `kernel` with such a head, padding not counted.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bytes of a model are far below 2^52"
    )]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    #[expect(clippy::cast_sign_loss, reason = "weights and bits are positive")]
    pub fn estimated_bytes(
        config: &Config,
        tied_head: bool,
        kernel: &KernelVariant,
        head: &HeadChoice,
    ) -> u64 {
        let linear = config.linear_weights() as f64 * f64::from(kernel.bits_per_weight);
        let table = (config.vocab * config.hidden) as f64;
        let halves = if head.keeps_half && !tied_head {
            2.0
        } else {
            1.0
        };
        ((linear + table * (16.0 * halves + head.bits_per_weight)) / 8.0) as u64
    }

    /// Hyperparameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The variant of the linear layers.
    pub fn kernel(&self) -> &'static KernelVariant {
        self.kernel
    }

    /// How the head is kept.
    pub fn head(&self) -> &'static HeadChoice {
        self.head.choice()
    }

    /// The kernels of the head, for the record.
    pub fn head_kernel(&self) -> String {
        self.head.kernel()
    }

    /// The instruction set of everything else.
    pub fn shared_isa(&self) -> SharedIsa {
        self.isa
    }

    fn linear(&self) -> impl Iterator<Item = &dyn PackedMatrix> {
        self.layers.iter().flat_map(|l| {
            [&l.query, &l.key, &l.value, &l.output, &l.up, &l.down]
                .into_iter()
                .chain(&l.gate)
                .map(AsRef::as_ref)
        })
    }

    fn norm_values(&self) -> usize {
        let len = |norm: &Option<Vec<f32>>| norm.as_ref().map_or(0, Vec::len);
        let layer = |l: &PackedLayer| {
            let heads = l.head_norms.as_ref();
            let heads = heads.map_or(0, |n| n.query.len() + n.key.len());
            let inputs = l.input_norms.as_ref().map_or(0, |n| {
                let all = [&n.query, &n.key, &n.value, &n.gate, &n.up];
                all.into_iter().map(Vec::len).sum()
            });
            let sub_norms = len(&l.attention_sub_norm) + len(&l.ffn_sub_norm);
            l.attention_norm.len() + l.ffn_norm.len() + sub_norms + heads + inputs
        };
        self.final_norm.len() + self.layers.iter().map(layer).sum::<usize>()
    }

    /// Parameters: linear layers, embedding, head, norms.
    pub fn parameters(&self) -> u64 {
        let table = self.embedding.rows() * self.embedding.cols();
        let tables = if self.tied_head { 1 } else { 2 };
        self.config.linear_weights() + (tables * table + self.norm_values()) as u64
    }

    /// Bytes of the packed linear layers, padding and scales included.
    pub fn linear_bytes(&self) -> u64 {
        self.linear()
            .map(|m| (m.bytes().len() + size_of::<f32>()) as u64)
            .sum()
    }

    /// Bytes of all weights in memory, every copy of the head counted.
    pub fn weights_bytes(&self) -> u64 {
        let own_half = self
            .head
            .half()
            .filter(|half| !Arc::ptr_eq(half, &self.embedding))
            .map_or(0, |half| half.bytes().len());
        let embedding = self.embedding.bytes().len();
        let dense = embedding + own_half + 4 * self.norm_values();
        self.linear_bytes() + self.head.bytes() + dense as u64
    }

    /// Bytes of weights read for each decoded token, whatever the token: linear layers, norms, one row of the embedding, and what
    /// the head reads from end to end. What a head reads beyond that depends on the token: see [`crate::session::Session::head_bytes`].
    pub fn weights_bytes_per_token(&self) -> u64 {
        let row = self.embedding.bytes().len() / self.embedding.rows();
        self.linear_bytes() + self.head_stream_bytes() + (4 * self.norm_values() + row) as u64
    }

    /// Bytes of the head that every decoded token reads from end to end.
    pub fn head_stream_bytes(&self) -> u64 {
        self.head.streams().iter().map(|s| s.len() as u64).sum()
    }

    /// Bytes the KV cache takes for each position, all layers together.
    pub fn kv_bytes_per_position(&self) -> u64 {
        let c = &self.config;
        2 * size_of::<half::f16>() as u64 * (c.layers * c.kv_heads * c.head_dim) as u64
    }

    /// Reads the packed linear layers and what every token reads of the head once, with the widest loads of `cpu`, and gives the
    /// number of bytes: the plain read that decode is held against. Threads share it as they share decode.
    pub fn read_weights(&self, cpu: &Cpu, pool: &Pool) -> u64 {
        let mut streams: Vec<&[u8]> = self.linear().map(PackedMatrix::bytes).collect();
        streams.extend(self.head.streams());
        Reader::best(cpu).read_once(&streams, cpu, pool)
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Network({:?} on {})", self.config, self.kernel.name)
    }
}
