//! Encoders of the tensor formats: the engine's where it has one, which `gguf_write.rs` holds against other tools', and for the
//! others one weight at a time and by position, unlike the decoders.

use super::encode_k;
use bitbench_engine::model::formats::{self, Encode, Scale, TensorFormat};
use half::f16;

/// The bytes of a tensor in the format of this number; the weights are whole blocks.
pub(crate) fn by_id(id: u32, weights: &[f32]) -> Vec<u8> {
    let format = formats::by_id(id).unwrap();
    if let Some(encoder) = &format.encode {
        return shipped(format, &encoder.encode, weights);
    }
    match id {
        2 => blocks(weights, 32, q4_0),
        3 => blocks(weights, 32, q4_1),
        6 => blocks(weights, 32, encode_k::q5_0),
        7 => blocks(weights, 32, encode_k::q5_1),
        8 => blocks(weights, 32, q8_0),
        10 => blocks(weights, 256, encode_k::q2_k),
        11 => blocks(weights, 256, encode_k::q3_k),
        12 => blocks(weights, 256, encode_k::q4_k),
        13 => blocks(weights, 256, encode_k::q5_k),
        14 => blocks(weights, 256, q6_k),
        20 => blocks(weights, 32, encode_k::iq4_nl),
        23 => blocks(weights, 256, encode_k::iq4_xs),
        39 => blocks(weights, 32, encode_k::mxfp4),
        _ => panic!("no encoder for type {id}"),
    }
}

/// Ternary weights are multiplied by the largest magnitude of the tensor or block, as the format keeps it.
fn shipped(format: &TensorFormat, encode: &Encode, weights: &[f32]) -> Vec<u8> {
    let blocks = weights.len() / format.block_elements;
    let mut bytes = vec![0; blocks * format.block_bytes + format.trailer_bytes];
    let (data, end) = bytes.split_at_mut(blocks * format.block_bytes);
    match encode {
        Encode::Numbers { blocks, .. } => blocks(weights, data),
        Encode::Ternary { blocks, trailer } => {
            let per_block = matches!(format.ternary.as_ref().unwrap().scale, Scale::Block(_));
            let (elements, size) = match per_block {
                true => (format.block_elements, format.block_bytes),
                false => (weights.len(), data.len()),
            };
            for (weights, data) in weights.chunks(elements).zip(data.chunks_mut(size)) {
                let scale = largest(weights);
                let trits: Vec<i8> = weights
                    .iter()
                    .map(|w| i8::try_from(nearest(*w, scale, -1, 1)).unwrap())
                    .collect();
                blocks(&trits, scale, data);
            }
            trailer(largest(weights), end);
        }
    }
    bytes
}

pub(crate) fn f32(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|w| w.to_le_bytes()).collect()
}

pub(crate) fn f16(weights: &[f32]) -> Vec<u8> {
    weights.iter().flat_map(|w| half(*w)).collect()
}

pub(super) fn half(number: f32) -> [u8; 2] {
    f16::from_f32(number).to_le_bytes()
}

/// What a scale becomes by being stored.
pub(super) fn stored(number: f32) -> f32 {
    f16::from_f32(number).to_f32()
}

fn blocks(weights: &[f32], size: usize, block: fn(&[f32]) -> Vec<u8>) -> Vec<u8> {
    assert_eq!(weights.len() % size, 0, "whole blocks");
    weights.chunks(size).flat_map(block).collect()
}

pub(super) fn largest(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0, |max, w| w.abs().max(max))
}

/// The nearest integer to `number / scale` in a range, and 0 for a scale of 0.
pub(super) fn nearest(number: f32, scale: f32, low: i16, high: i16) -> i16 {
    if scale == 0.0 {
        return 0;
    }
    let nearest = (number / scale).round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an integer in a range of i16"
    )]
    let nearest = nearest.clamp(f32::from(low), f32::from(high)) as i16;
    nearest
}

pub(super) fn byte(integer: i16) -> u8 {
    u8::try_from(integer & 0xff).unwrap()
}

fn q8_0(weights: &[f32]) -> Vec<u8> {
    let d = largest(weights) / 127.0;
    let mut out = half(d).to_vec();
    out.extend(
        weights
            .iter()
            .map(|w| byte(nearest(*w, stored(d), -127, 127))),
    );
    out
}

fn q4_0(weights: &[f32]) -> Vec<u8> {
    let d = largest(weights) / 7.0;
    let code = |at: usize| byte(nearest(weights[at], stored(d), -8, 7) + 8);
    let mut out = half(d).to_vec();
    out.extend((0..16).map(|at| code(at) | code(at + 16) << 4));
    out
}

fn q4_1(weights: &[f32]) -> Vec<u8> {
    let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let d = (most - least) / 15.0;
    let code = |at: usize| byte(nearest(weights[at] - stored(least), stored(d), 0, 15));
    let mut out = half(d).to_vec();
    out.extend(half(least));
    out.extend((0..16).map(|at| code(at) | code(at + 16) << 4));
    out
}

fn q6_k(weights: &[f32]) -> Vec<u8> {
    let wanted: Vec<f32> = weights
        .chunks(16)
        .map(|part| largest(part) / 31.0)
        .collect();
    let d = largest(&wanted) / 127.0;
    let mut out = vec![0; 210];
    for (at, weight) in weights.iter().enumerate() {
        let scale = nearest(wanted[at / 16], stored(d), 0, 127);
        let code = byte(nearest(*weight, stored(d) * f32::from(scale), -32, 31) + 32);
        let (span, group, lane) = (at / 128, at / 32 % 4, at % 32);
        let (low, high) = match group {
            0 => (code & 15, code >> 4),
            1 => (code & 15, code >> 4 << 2),
            2 => (code << 4, code >> 4 << 4),
            _ => (code << 4, code >> 4 << 6),
        };
        out[64 * span + if group % 2 == 0 { lane } else { lane + 32 }] |= low;
        out[128 + 32 * span + lane] |= high;
        out[192 + at / 16] = byte(scale);
    }
    out[208..].copy_from_slice(&half(d));
    out
}
