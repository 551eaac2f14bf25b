//! Encoders of llama.cpp's mixtures: codes first, then where each bit of them goes.

use super::encode::{byte, half, largest, nearest, stored};

/// Size and offset of the parts of a block, and the codes of its weights in some of them.
struct Codes {
    /// Scale and minimum of all parts.
    d: f32,
    m: f32,
    /// Scale and minimum of each part, as integers.
    parts: Vec<(u8, u8)>,
    codes: Vec<u8>,
}

/// Weights in parts of `size` as d * scale * code - m * minimum.
fn with_minimums(weights: &[f32], size: usize, most_scale: i16, most_code: i16) -> Codes {
    let span = |part: &[f32]| {
        let least = part.iter().copied().fold(0.0, f32::min);
        let most = part.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        ((most - least) / f32::from(most_code), -least)
    };
    let spans: Vec<(f32, f32)> = weights.chunks(size).map(span).collect();
    let most = |each: fn(&(f32, f32)) -> f32| {
        stored(spans.iter().map(each).fold(0.0, f32::max) / f32::from(most_scale))
    };
    let (d, m) = (most(|span| span.0), most(|span| span.1));
    let integer = |number, unit| byte(nearest(number, unit, 0, most_scale));
    let parts: Vec<(u8, u8)> = spans
        .iter()
        .map(|(scale, least)| (integer(*scale, d), integer(*least, m)))
        .collect();
    let code = |(at, weight): (usize, &f32)| {
        let (scale, minimum) = parts[at / size];
        let (scale, minimum) = (d * f32::from(scale), m * f32::from(minimum));
        byte(nearest(weight + minimum, scale, 0, most_code))
    };
    let codes = weights.iter().enumerate().map(code).collect();
    Codes { d, m, parts, codes }
}

/// A scale of 6 bits for each part, 32 more than what `d` is multiplied by, for parts whose largest code is `most_code`.
fn scales_of_six_bits(weights: &[f32], size: usize, most_code: f32) -> (f32, Vec<u8>) {
    let wanted: Vec<f32> = weights
        .chunks(size)
        .map(|part| largest(part) / most_code)
        .collect();
    let d = stored(largest(&wanted) / 31.0);
    let scales = wanted.iter().map(|w| byte(nearest(*w, d, 0, 31) + 32));
    (d, scales.collect())
}

pub(super) fn q5_0(weights: &[f32]) -> Vec<u8> {
    let d = largest(weights) / 15.0;
    let code = |weight: &f32| byte(nearest(*weight, stored(d), -16, 15) + 16);
    let codes: Vec<u8> = weights.iter().map(code).collect();
    let mut out = half(d).to_vec();
    out.extend(five_bits(&codes));
    out
}

pub(super) fn q5_1(weights: &[f32]) -> Vec<u8> {
    let least = weights.iter().copied().fold(f32::INFINITY, f32::min);
    let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let d = (most - least) / 31.0;
    let code = |weight: &f32| byte(nearest(weight - stored(least), stored(d), 0, 31));
    let codes: Vec<u8> = weights.iter().map(code).collect();
    let mut out = half(d).to_vec();
    out.extend(half(least));
    out.extend(five_bits(&codes));
    out
}

fn five_bits(codes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 20];
    for (at, code) in codes.iter().enumerate() {
        out[at / 8] |= (code >> 4) << (at % 8);
        out[4 + at % 16] |= (code & 15) << if at < 16 { 0 } else { 4 };
    }
    out
}

fn two_bits(codes: &[u8], out: &mut [u8]) {
    for (at, code) in codes.iter().enumerate() {
        out[at / 128 * 32 + at % 32] |= (code & 3) << (at % 128 / 32 * 2);
    }
}

fn four_bits(codes: &[u8], out: &mut [u8]) {
    for (at, code) in codes.iter().enumerate() {
        out[at / 64 * 32 + at % 32] |= (code & 15) << if at % 64 < 32 { 0 } else { 4 };
    }
}

pub(super) fn q2_k(weights: &[f32]) -> Vec<u8> {
    let block = with_minimums(weights, 16, 15, 3);
    let mut out: Vec<u8> = block.parts.iter().map(|(s, m)| s | m << 4).collect();
    out.resize(80, 0);
    two_bits(&block.codes, &mut out[16..]);
    out.extend(half(block.d));
    out.extend(half(block.m));
    out
}

pub(super) fn q3_k(weights: &[f32]) -> Vec<u8> {
    let (d, scales) = scales_of_six_bits(weights, 16, 3.0);
    let mut out = vec![0; 108];
    let mut codes = Vec::new();
    for (at, weight) in weights.iter().enumerate() {
        let scale = d * (f32::from(scales[at / 16]) - 32.0);
        let code = byte(nearest(*weight, scale, -4, 3) + 4);
        out[at % 32] |= (code >> 2) << (at / 32);
        codes.push(code);
    }
    two_bits(&codes, &mut out[32..]);
    for (at, scale) in scales.iter().enumerate() {
        out[96 + at % 8] |= (scale & 15) << if at < 8 { 0 } else { 4 };
        out[104 + at % 4] |= (scale >> 4) << (at / 4 * 2);
    }
    out.extend(half(d));
    out
}

/// d, m and the twelve bytes of eight scales and eight minimums.
fn head_with_minimums(block: &Codes) -> Vec<u8> {
    let mut out = half(block.d).to_vec();
    out.extend(half(block.m));
    let mut packed = [0; 12];
    for (at, (scale, minimum)) in block.parts.iter().enumerate() {
        if at < 4 {
            packed[at] |= scale;
            packed[at + 4] |= minimum;
        } else {
            packed[at + 4] = (scale & 15) | minimum << 4;
            packed[at - 4] |= scale >> 4 << 6;
            packed[at] |= minimum >> 4 << 6;
        }
    }
    out.extend(packed);
    out
}

pub(super) fn q4_k(weights: &[f32]) -> Vec<u8> {
    let block = with_minimums(weights, 32, 63, 15);
    let mut out = head_with_minimums(&block);
    out.resize(144, 0);
    four_bits(&block.codes, &mut out[16..]);
    out
}

pub(super) fn q5_k(weights: &[f32]) -> Vec<u8> {
    let block = with_minimums(weights, 32, 63, 31);
    let mut out = head_with_minimums(&block);
    out.resize(176, 0);
    for (at, code) in block.codes.iter().enumerate() {
        out[16 + at % 32] |= (code >> 4) << (at / 32);
    }
    four_bits(&block.codes, &mut out[48..]);
    out
}

/// The code of the nearest of these levels, times `scale`.
fn nearest_level(weight: f32, scale: f32, levels: &[i8; 16]) -> u8 {
    let off = |code: &u8| (weight - scale * f32::from(levels[usize::from(*code)])).abs();
    let nearest = (0..16).min_by(|a, b| off(a).total_cmp(&off(b)));
    nearest.unwrap()
}

const DENSE_AT_ZERO: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

fn halves(weights: &[f32], scale: f32, levels: &[i8; 16]) -> Vec<u8> {
    let code = |at: usize| nearest_level(weights[at], scale, levels);
    (0..16).map(|at| code(at) | code(at + 16) << 4).collect()
}

pub(super) fn iq4_nl(weights: &[f32]) -> Vec<u8> {
    let d = largest(weights) / 113.0;
    let mut out = half(d).to_vec();
    out.extend(halves(weights, stored(d), &DENSE_AT_ZERO));
    out
}

pub(super) fn iq4_xs(weights: &[f32]) -> Vec<u8> {
    let (d, scales) = scales_of_six_bits(weights, 32, 113.0);
    let mut out = half(d).to_vec();
    out.resize(8, 0);
    for (at, (part, packed)) in weights.chunks(32).zip(&scales).enumerate() {
        out[2 + at / 4] |= (packed >> 4) << (at % 4 * 2);
        out[4 + at / 2] |= (packed & 15) << if at % 2 == 0 { 0 } else { 4 };
        let scale = d * (f32::from(*packed) - 32.0);
        out.extend(halves(part, scale, &DENSE_AT_ZERO));
    }
    out
}

pub(super) fn mxfp4(weights: &[f32]) -> Vec<u8> {
    // The smallest power of two of which six reach the largest weight.
    let exponent = (0u8..254).find(|e| 6.0 * power(*e) >= largest(weights));
    let exponent = exponent.unwrap();
    let doubled = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
    let mut out = vec![exponent];
    out.extend(halves(weights, power(exponent) / 2.0, &doubled));
    out
}

fn power(exponent: u8) -> f32 {
    2f32.powi(i32::from(exponent) - 127)
}
