//! One linear layer, packed so often that no cache holds all of it, and what it is multiplied by.
//!
//! Single-precision activations go in and single-precision products come out: what a kernel does to the activations before it
//! multiplies them, such as rounding them to int8, is part of its time.

use super::burn::Burn;
use super::protocol::{LoadedReply, Reply, WindowReply};
use super::serve::{enough, nanoseconds};
use crate::gate::instructions::ONE_COPY;
use crate::host;
use crate::suite::LayerShape;
use bitbench_engine::activations::Activations;
use bitbench_engine::cpu::Cpu;
use bitbench_engine::kernels::{KernelVariant, PackedMatrix};
use bitbench_engine::limits::Reader;
use bitbench_engine::linear::linear;
use bitbench_engine::ops::SharedIsa;
use bitbench_engine::threads::Pool;
use bitbench_engine::weights::LinearWeights;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use std::path::Path;
use std::time::Instant;

/// Bytes of all copies together, and how often they are the last-level cache where that is large.
const SET_BYTES: u64 = 256 << 20;
const BEYOND_CACHE: u64 = 2;
/// Most copies: small layers stay in a cache, as they would in a network of so few weights.
const MOST_COPIES: u64 = 512;
/// Multiply-adds of a repetition: a few milliseconds, so that reading the clock costs nothing and a record stays small.
const REPETITION: u64 = 1 << 28;

/// A layer ready to be measured.
pub(super) struct Layer {
    shape: LayerShape,
    kernel: &'static KernelVariant,
    cpu: Cpu,
    pool: Pool,
    matrices: Vec<Box<dyn PackedMatrix>>,
    /// Copies that a window is made for: those that are packed, unless one stands for all.
    copies: usize,
    /// Activations, `[tokens][columns]`.
    x: Vec<f32>,
    activations: Activations,
    /// Products, `[tokens][rows]`.
    products: Vec<f32>,
    /// The copy that comes next.
    next: usize,
}

/// How many copies of a layer a variant packs on this machine.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "bytes of a matrix are far below 2^52"
)]
pub(crate) fn copies(shape: LayerShape, kernel: &KernelVariant) -> usize {
    let caches = host::caches(Path::new("/sys"));
    let last_level = caches.last().map_or(0, |cache| cache.bytes);
    let set = SET_BYTES.max(BEYOND_CACHE * last_level);
    let weights = (shape.rows * shape.cols) as f64;
    let bytes = (weights * f64::from(kernel.bits_per_weight) / 8.0).max(1.0) as u64;
    set.div_ceil(bytes).clamp(1, MOST_COPIES) as usize
}

/// Matrices that each repetition multiplies by.
pub(crate) fn matrices_of_repetition(shape: LayerShape, tokens: u32, copies: usize) -> usize {
    let each = (shape.rows * shape.cols) as u64 * u64::from(tokens.max(1));
    usize::try_from(REPETITION.div_ceil(each))
        .unwrap_or(usize::MAX)
        .clamp(1, copies.max(1))
}

impl Layer {
    /// Packs random weights from `seed` for `kernel`, and makes as many tokens of activations.
    ///
    /// # Errors
    /// If the kernel cannot run here, or there is no memory.
    pub(super) fn pack(
        shape: LayerShape,
        seed: u64,
        kernel: &'static KernelVariant,
        tokens: u32,
        cpu: &Cpu,
        pool: Pool,
    ) -> Result<Layer, String> {
        let weights = LinearWeights::synthetic(shape.rows, shape.cols, seed);
        let pack = |_| (kernel.pack)(&weights, cpu).map_err(|e| e.to_string());
        let copies = copies(shape, kernel);
        let packed = std::env::var_os(ONE_COPY).map_or(copies, |_| 1);
        let matrices = (0..packed).map(pack).collect::<Result<_, _>>()?;
        let tokens = tokens.max(1) as usize;
        Ok(Layer {
            shape,
            kernel,
            cpu: *cpu,
            pool,
            matrices,
            copies,
            x: activations(tokens * shape.cols, seed),
            activations: Activations::new(kernel.family.preparation()),
            products: vec![0.0; tokens * shape.rows],
            next: 0,
        })
    }

    /// The variant.
    pub(super) fn kernel(&self) -> &'static KernelVariant {
        self.kernel
    }

    /// The threads.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Bytes of one copy, its scale included.
    fn bytes(&self) -> u64 {
        (self.matrices[0].bytes().len() + size_of::<f32>()) as u64
    }

    /// What was loaded.
    pub(super) fn loaded(&self, duration_ns: u64, cpus: Option<Vec<u32>>) -> LoadedReply {
        let weights = self.shape.rows as u64 * self.shape.cols as u64;
        let copies = self.matrices.len() as u64;
        LoadedReply {
            duration_ns,
            parameters: weights,
            linear_weights: weights,
            linear_bytes: self.bytes(),
            weights_bytes: self.bytes() * copies,
            weights_bytes_per_token: self.bytes(),
            head_bytes_per_token: 0,
            kv_bytes_per_position: 0,
            head_kernel: "none".to_owned(),
            shape: None,
            cpus,
        }
    }

    /// A window of multiplications. Equal work must give equal products.
    pub(super) fn window(&mut self, least_ns: u64, burn: Burn) -> Result<Reply, String> {
        let tokens = u32::try_from(self.x.len() / self.shape.cols).unwrap_or(u32::MAX);
        let count = matrices_of_repetition(self.shape, tokens, self.copies);
        let mut reply = WindowReply {
            matrices: u32::try_from(count).ok(),
            ..WindowReply::default()
        };
        let begin = Instant::now();
        while !enough(&reply, begin, least_ns) {
            let start = Instant::now();
            let work = burn.begin();
            self.multiply(count);
            work.end();
            reply.durations_ns.push(nanoseconds(start.elapsed()));
        }
        let bytes: Vec<u8> = self.products.iter().flat_map(|p| p.to_le_bytes()).collect();
        reply.digest = Some(format!("blake3:{}", blake3::hash(&bytes).to_hex()));
        Ok(Reply::Window(reply))
    }

    /// Multiplies by the next `count` copies, one after the other.
    pub(super) fn multiply(&mut self, count: usize) {
        let isa = SharedIsa::best(&self.cpu);
        for _ in 0..count {
            let matrix = &*self.matrices[self.next];
            self.activations
                .prepare(&self.x, matrix.cols(), &self.pool, isa);
            linear(
                &self.pool,
                &self.activations,
                &mut [(matrix, &mut self.products)],
            );
            self.next = (self.next + 1) % self.matrices.len();
        }
    }

    /// The newest products, `[tokens][rows]`; equal for every copy.
    pub(super) fn products(&self) -> &[f32] {
        &self.products
    }

    /// Reads all copies plainly and gives the number of bytes.
    pub(super) fn read(&self) -> u64 {
        let streams: Vec<&[u8]> = self.matrices.iter().map(|m| m.bytes()).collect();
        Reader::best(&self.cpu).read_once(&streams, &self.cpu, &self.pool)
    }
}

/// Numbers between -1 and 1 from a seed.
fn activations(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
    let mut number = || {
        let bits = u16::try_from(random.next_u64() >> 48).unwrap_or(0);
        f32::from(bits) / 32768.0 - 1.0
    };
    (0..count).map(|_| number()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitbench_engine::kernels::VARIANTS;

    #[test]
    fn every_copy_of_every_variant_gives_the_same_products() {
        let cpu = Cpu::detect();
        let shape = LayerShape {
            rows: 96,
            cols: 160,
        };
        for kernel in VARIANTS.iter().filter(|k| cpu.require(k.requires).is_ok()) {
            for tokens in [1, 7] {
                let pool = Pool::new(2).expect("threads");
                let mut layer = Layer::pack(shape, 1, kernel, tokens, &cpu, pool).expect("packs");
                assert!(layer.matrices.len() > 1, "{}", kernel.name);
                layer.multiply(1);
                let first = layer.products().to_vec();
                assert!(first.iter().any(|v| *v != 0.0), "{}", kernel.name);
                layer.multiply(1);
                assert_eq!(layer.products(), first, "{} {tokens}", kernel.name);
                assert_eq!(
                    layer.read(),
                    (layer.bytes() - 4) * layer.matrices.len() as u64,
                    "{}",
                    kernel.name
                );
            }
        }
    }

    #[test]
    fn a_repetition_is_a_few_milliseconds_of_work() {
        let shape = LayerShape {
            rows: 2560,
            cols: 2560,
        };
        assert_eq!(matrices_of_repetition(shape, 1, 160), 41);
        assert_eq!(matrices_of_repetition(shape, 8, 160), 6);
        assert_eq!(matrices_of_repetition(shape, 512, 160), 1);
        assert_eq!(matrices_of_repetition(shape, 1, 3), 3);
    }
}
