//! Half precision (IEEE 754 binary16): 2 bytes a weight, little-endian; sign, 5 bits of exponent, 10 of mantissa.

use super::{Encode, Encoder, TensorFormat};

pub(super) static FORMAT: TensorFormat = TensorFormat {
    name: "F16",
    gguf_type: 1,
    block_elements: 1,
    block_bytes: 2,
    trailer_bytes: 0,
    decode,
    ternary: None,
    encode: Some(Encoder {
        file_type: 1,
        encode: Encode::Numbers {
            blocks: encode,
            largest: 65504.0,
        },
    }),
};

fn decode(blocks: &[u8], _trailer: &[u8], out: &mut [f32]) {
    for (weight, bytes) in out.iter_mut().zip(blocks.as_chunks().0) {
        *weight = widen(u16::from_le_bytes(*bytes));
    }
}

fn encode(weights: &[f32], blocks: &mut [u8]) {
    for (bytes, weight) in blocks.as_chunks_mut().0.iter_mut().zip(weights) {
        *bytes = half::f16::from_f32(*weight).to_le_bytes();
    }
}

/// Selects instead of branches, so that the loop over a row becomes vector code on any CPU (`half` converts some four times
/// slower, for want of being inlined), and no arithmetic on subnormals, which may be slow or flushed.
fn widen(half: u16) -> f32 {
    const EXPONENT: u32 = 0x1f << 23;
    /// What the exponents of the two types differ by.
    const BIAS: u32 = (127 - 15) << 23;
    /// The exponent of the smallest normal half, as f32.
    const SMALLEST: u32 = BIAS + (1 << 23);
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff) << 13;
    let exponent = magnitude & EXPONENT;
    // Infinite and NaN have all bits of the exponent set, in either type.
    let normal = magnitude + if exponent == EXPONENT { 2 * BIAS } else { BIAS };
    // Without a leading bit: put there, and its worth taken off again.
    let subnormal = f32::from_bits(magnitude + SMALLEST) - f32::from_bits(SMALLEST);
    let bits = if exponent == 0 {
        subnormal.to_bits()
    } else {
        normal
    };
    f32::from_bits(bits | sign)
}

#[cfg(test)]
mod tests {
    use super::widen;

    #[test]
    fn all_halves_widen_as_the_half_crate_has_it() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let found = widen(bits);
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{bits:#06x}: {found}, not {expected}"
            );
        }
    }
}
