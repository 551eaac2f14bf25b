//! Portable Rust: eight lanes in arrays, which compilers turn into vectors.

use super::super::fixed_point::{BLOCK, FixedPoint};
use super::super::lanes::LANES;
use super::super::{q6_k, q8_0, screened};
use super::Isa;
use crate::cpu::Cpu;

struct Portable;

#[expect(
    clippy::unnecessary_wraps,
    reason = "as every instruction set of the list"
)]
pub(super) fn detect(_: &Cpu) -> Option<Box<dyn Isa>> {
    Some(Box::new(Portable))
}

impl Isa for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn q8_0(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
        let group_bytes = hidden.blocks() * q8_0::BLOCK_BYTES;
        for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
            let blocks = group.as_chunks::<{ q8_0::BLOCK_BYTES }>().0;
            let mut sums = [0.0f32; LANES];
            for (block, values) in blocks.iter().zip(hidden.values.as_chunks::<BLOCK>().0) {
                let (d, weights) = block.split_at(q8_0::SCALE_BYTES);
                let mut products = [0i32; LANES];
                let steps = weights.as_chunks::<{ 2 * LANES }>().0;
                for (step, pair) in steps.iter().zip(values.as_chunks::<2>().0) {
                    for lane in 0..LANES {
                        products[lane] += i32::from(step[2 * lane].cast_signed())
                            * i32::from(pair[0])
                            + i32::from(step[2 * lane + 1].cast_signed()) * i32::from(pair[1]);
                    }
                }
                let d = halves(d);
                for lane in 0..LANES {
                    sums[lane] += to_f32(products[lane]) * d[lane];
                }
            }
            finish(sums, hidden.scale, out);
        }
    }

    fn q6_k(&self, groups: &[u8], hidden: &FixedPoint, out: &mut [f32]) {
        let group_bytes = q6_k::group_bytes(hidden.cols());
        for (out, group) in out.chunks_mut(LANES).zip(groups.chunks_exact(group_bytes)) {
            let mut sums = [0.0f32; LANES];
            let mut values = hidden
                .values
                .as_chunks::<BLOCK>()
                .0
                .iter()
                .zip(&hidden.sums16_32);
            for block in group.chunks(q6_k::D_BYTES + q6_k::PARTS * q6_k::PART_BYTES) {
                let (d, parts) = block.split_at(q6_k::D_BYTES);
                let mut scaled = [0.0f32; LANES];
                for (part, (values, offsets)) in parts
                    .as_chunks::<{ q6_k::PART_BYTES }>()
                    .0
                    .iter()
                    .zip(&mut values)
                {
                    let (scales, codes) = part.split_at(q6_k::S_BYTES);
                    let steps = codes.as_chunks::<{ 4 * LANES }>().0;
                    for half in 0..2 {
                        let mut products = [-offsets[half]; LANES];
                        for step in 0..4 {
                            let (high, low) = (&steps[half], &steps[2 + step]);
                            let values = &values[16 * half + 4 * step..][..4];
                            for (lane, product) in products.iter_mut().enumerate() {
                                for (column, value) in values.iter().enumerate() {
                                    let byte = 4 * lane + column;
                                    let code = (low[byte] >> (4 * half)) & 0x0f
                                        | ((high[byte] >> (2 * step)) & 3) << 4;
                                    *product += i32::from(code) * i32::from(*value);
                                }
                            }
                        }
                        for lane in 0..LANES {
                            let scale = f32::from(scales[half * LANES + lane].cast_signed());
                            scaled[lane] += to_f32(products[lane]) * scale;
                        }
                    }
                }
                let d = halves(d);
                for lane in 0..LANES {
                    sums[lane] += scaled[lane] * d[lane];
                }
            }
            finish(sums, hidden.scale, out);
        }
    }

    fn screen(&self, groups: &[u8], hidden: &FixedPoint, value: &mut [f32], error: &mut [f32]) {
        let group_bytes = hidden.blocks() * screened::BLOCK_BYTES;
        let outs = value.chunks_mut(LANES).zip(error.chunks_mut(LANES));
        for ((value, error), group) in outs.zip(groups.chunks_exact(group_bytes)) {
            let (mut sums, mut errors) = ([0.0f32; LANES], [0.0f32; LANES]);
            let blocks = group.as_chunks::<{ screened::BLOCK_BYTES }>().0;
            for (index, (block, values)) in blocks
                .iter()
                .zip(hidden.values.as_chunks::<BLOCK>().0)
                .enumerate()
            {
                let (scales, codes) = block.split_at(2 * LANES);
                let mut products = [0i32; LANES];
                for (step, codes) in codes.as_chunks::<{ 4 * LANES }>().0.iter().enumerate() {
                    for half in 0..2 {
                        let values = &values[16 * half + 4 * step..][..4];
                        for (lane, product) in products.iter_mut().enumerate() {
                            for (column, value) in values.iter().enumerate() {
                                let code = (codes[4 * lane + column] >> (4 * half)) & 0x0f;
                                *product += i32::from(code) * i32::from(*value);
                            }
                        }
                    }
                }
                for lane in 0..LANES {
                    let product = 2 * products[lane] - hidden.fifteen_sums[index];
                    sums[lane] += to_f32(product) * f32::from(scales[lane]);
                    errors[lane] += f32::from(scales[LANES + lane]) * hidden.block_norms[index];
                }
            }
            value.copy_from_slice(&sums[..value.len()]);
            error.copy_from_slice(&errors[..error.len()]);
        }
    }

    fn refine(
        &self,
        plane: &[u8],
        stride: usize,
        rows: &[u32],
        hidden: &FixedPoint,
        out: &mut [f32],
    ) {
        let scale_bytes = screened::refined_scale_bytes(hidden.cols());
        for (out, row) in out.iter_mut().zip(rows) {
            let (scales, codes) = plane[*row as usize * stride..][..stride].split_at(scale_bytes);
            let mut sums = [0.0f32; LANES];
            for (index, codes) in codes
                .as_chunks::<BLOCK>()
                .0
                .iter()
                .take(scale_bytes / 2)
                .enumerate()
            {
                for half in 0..2 {
                    let block = 2 * index + half;
                    let values = &hidden.values[block * BLOCK..][..BLOCK];
                    let scale = f32::from(scales[block]);
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let mut product = 0;
                        for column in 4 * lane..4 * lane + 4 {
                            let code = (codes[column] >> (4 * half)) & 0x0f;
                            product += i32::from(code) * i32::from(values[column]);
                        }
                        let product = 2 * product - hidden.fifteen_sums4[block][lane];
                        *sum += to_f32(product) * scale;
                    }
                }
            }
            *out = sum(sums);
        }
    }
}

/// Single precision, to nearest even.
#[expect(
    clippy::cast_precision_loss,
    reason = "the screen counts this rounding; where codes are narrow it is exact"
)]
fn to_f32(product: i32) -> f32 {
    product as f32
}

fn halves(bytes: &[u8]) -> [f32; LANES] {
    std::array::from_fn(|lane| {
        half::f16::from_le_bytes([bytes[2 * lane], bytes[2 * lane + 1]]).to_f32()
    })
}

fn finish(sums: [f32; LANES], scale: f32, out: &mut [f32]) {
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum * scale;
    }
}

/// The sum of the lanes, in the order that all instruction sets keep.
pub(super) fn sum(lanes: [f32; LANES]) -> f32 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6]))
        + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}
