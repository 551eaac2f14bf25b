//! Five ternary weights in a byte, to the base of 3.
//!
//! The five digits `d = w + 1` are those of a fraction: the byte is the fraction `0.d0 d1 d2 d3 d4` to the base of 3 in
//! 256ths, rounded up. Its first digit is then the integer part of three times the fraction, and what is left after it is the
//! fraction of the digits that follow. 3^5 = 243 fractions lie at least 256/243 > 1 apart, so rounding up to a whole byte loses
//! none of them and never reaches the next.

/// Digits of a byte.
pub(crate) const DIGITS: usize = 5;

/// The byte of five weights in {-1, 0, +1}.
pub(crate) fn encode(weights: [i8; DIGITS]) -> u8 {
    let value = weights.iter().fold(0u16, |value, w| {
        value * 3 + u16::from((w + 1).cast_unsigned())
    });
    u8::try_from((value * 256).div_ceil(243)).unwrap_or(u8::MAX)
}

/// Weight `digit` of a byte.
pub(crate) fn decode(byte: u8, digit: usize) -> i8 {
    let fraction = (0..digit).fold(byte, |fraction, _| fraction.wrapping_mul(3));
    match fraction {
        0..=85 => -1,
        86..=170 => 0,
        171..=255 => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_of_five_weights_comes_back() {
        let mut seen = std::collections::HashSet::new();
        for value in 0..243usize {
            let weights = [81, 27, 9, 3, 1].map(|power| [-1i8, 0, 1][value / power % 3]);
            let byte = encode(weights);
            assert!(seen.insert(byte), "{byte} stands for two groups");
            for (digit, weight) in weights.into_iter().enumerate() {
                assert_eq!(decode(byte, digit), weight, "digit {digit} of {value}");
            }
        }
    }
}
