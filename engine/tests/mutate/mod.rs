//! Seeded damage to a file that has text in it.

use crate::support::Random;

/// A copy with one to three changes in its first `within` bytes: bits flipped, characters of JSON put in, pieces removed or
/// doubled, numbers made absurd.
pub(crate) fn mutated(sound: &[u8], within: usize, random: &mut Random) -> Vec<u8> {
    const CHARACTERS: &[u8] = b"0123456789-+.eE,:{}[]\"\\utfnals \xff\x00";
    const NUMBERS: [&str; 10] = [
        "0",
        "-1",
        "1e999",
        "1e-999",
        "3",
        "4294967296",
        "9223372036854775807",
        "18446744073709551616",
        "null",
        "0.5",
    ];
    let mut bytes = sound.to_vec();
    for _ in 0..1 + random.below(3) {
        let within = within.min(bytes.len());
        if within == 0 {
            break;
        }
        let at = random.below(within);
        let len = 1 + random.below(24.min(within - at));
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = CHARACTERS[random.below(CHARACTERS.len())],
            2 => drop(bytes.drain(at..at + len)),
            3 => {
                let piece = bytes[at..at + len].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let is_digit = |byte: &u8| byte.is_ascii_digit();
                let Some(start) = bytes[at..within].iter().position(is_digit) else {
                    continue;
                };
                let start = at + start;
                let digits = bytes[start..].iter().take_while(|b| is_digit(b)).count();
                let number = NUMBERS[random.below(NUMBERS.len())];
                bytes.splice(start..start + digits, number.bytes());
            }
        }
    }
    bytes
}
