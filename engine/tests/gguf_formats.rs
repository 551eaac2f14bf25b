//! The tensor formats against blocks worked out by hand and against independent encoders.

mod support;

use bitbench_engine::model::formats::{self, FORMATS, LARGEST_BLOCK, Scale, TensorFormat};
use bitbench_engine::model::gguf::Gguf;
use support::{Random, encode};

const ONE: [u8; 2] = [0x00, 0x3c];
const HALF: [u8; 2] = [0x00, 0x38];
const MINUS_TWO: [u8; 2] = [0x00, 0xc0];

fn decode(format: &TensorFormat, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.len() - format.trailer_bytes;
    let mut out = vec![f32::NAN; blocks / format.block_bytes * format.block_elements];
    (format.decode)(&bytes[..blocks], &bytes[blocks..], &mut out);
    out
}

fn decode_as(id: u32, bytes: &[u8]) -> Vec<f32> {
    decode(formats::by_id(id).unwrap(), bytes)
}

#[test]
fn numbers_and_blocks_are_sound() {
    for (at, format) in FORMATS.iter().enumerate() {
        assert_eq!(LARGEST_BLOCK % format.block_elements, 0, "{}", format.name);
        for other in &FORMATS[..at] {
            assert_ne!(format.gguf_type, other.gguf_type);
            assert_ne!(format.name, other.name);
        }
    }
}

#[test]
fn plain_numbers() {
    assert_eq!(
        decode_as(0, &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]),
        [1.0, -2.5]
    );
    // 0x3555 is 0.333251953125, 0x0001 the smallest subnormal 2^-24.
    let halves = [0x55, 0x35, 0x01, 0x00, 0x00, 0xc0, 0x00, 0x7c];
    let expected = [0.333_251_95, 2f32.powi(-24), -2.0, f32::INFINITY];
    assert_eq!(decode_as(1, &halves), expected);
    assert_eq!(decode_as(30, &[0x80, 0x3f, 0x20, 0xc0]), [1.0, -2.5]);
}

#[test]
fn q8_0_by_hand() {
    let mut block = HALF.to_vec();
    block.extend([2, 0xff, 127, 0x80]);
    block.resize(34, 6);
    let weights = decode_as(8, &block);
    assert_eq!(weights[..5], [1.0, -0.5, 63.5, -64.0, 3.0]);
}

#[test]
fn q4_0_by_hand() {
    let mut block = HALF.to_vec();
    block.extend([0xf0, 0x98]);
    block.resize(18, 0x88);
    let weights = decode_as(2, &block);
    assert_eq!((weights[0], weights[16]), (-4.0, 3.5));
    assert_eq!((weights[1], weights[17]), (0.0, 0.5));
    assert_eq!(weights[2], 0.0);
}

#[test]
fn q4_1_by_hand() {
    let mut block = HALF.to_vec();
    block.extend(MINUS_TWO);
    block.extend([0xf0, 0x41]);
    block.resize(20, 0);
    let weights = decode_as(3, &block);
    assert_eq!((weights[0], weights[16]), (-2.0, 5.5));
    assert_eq!((weights[1], weights[17]), (-1.5, 0.0));
}

#[test]
fn q6_k_by_hand() {
    let mut block = vec![0u8; 210];
    // Scale i is i + 1, but the last is -1; d is 1/2.
    for (at, scale) in block[192..208].iter_mut().enumerate() {
        *scale = u8::try_from(at).unwrap() + 1;
    }
    block[207] = 0xff;
    block[208..].copy_from_slice(&HALF);
    // Byte 3 of the first span: low half of weight 3, high half of weight 67.
    block[3] = 0x5a;
    // Bit pairs of weights 3, 35, 67, 99: 0, 1, 2, 3.
    block[128 + 3] = 0b1110_0100;
    // Second span, last byte: weights 128 + 63 and 128 + 127.
    block[127] = 0x21;
    let weights = decode_as(14, &block);
    assert_eq!(weights[3], 0.5 * 1.0 * (10.0 - 32.0));
    assert_eq!(weights[35], 0.5 * 3.0 * (16.0 - 32.0));
    assert_eq!(weights[67], 0.5 * 5.0 * (5.0 + 32.0 - 32.0));
    assert_eq!(weights[99], 0.5 * 7.0 * (48.0 - 32.0));
    assert_eq!(weights[128 + 63], 0.5 * 12.0 * (1.0 - 32.0));
    assert_eq!(weights[255], -0.5 * (2.0 - 32.0));
}

#[test]
fn tq1_0_by_hand() {
    // Digits 2 1 0 2 1 are 2*81 + 27 + 0 + 6 + 1 = 196; ceil(196 * 256 / 243) = 207.
    // Digits 0 0 0 0 0 are 0; digits 1 1 1 1 1 are 121, ceil(121 * 256 / 243) = 128.
    let mut block = vec![128u8; 52];
    block[1] = 207;
    block[47] = 0;
    // Digits 2 0 1 2 (0) are 162 + 9 + 6 = 177; ceil(177 * 256 / 243) = 187.
    block[51] = 187;
    block.extend(HALF);
    let weights = decode_as(34, &block);
    assert_eq!(
        [1, 33, 65, 97, 129].map(|at| weights[at]),
        [0.5, 0.0, -0.5, 0.5, 0.0]
    );
    assert_eq!([175, 191, 207, 223, 239].map(|at| weights[at]), [-0.5; 5]);
    assert_eq!(
        [243, 247, 251, 255].map(|at| weights[at]),
        [0.5, -0.5, 0.0, 0.5]
    );
    assert_eq!((weights[0], weights[2], weights[240]), (0.0, 0.0, 0.0));
}

#[test]
fn tq2_0_by_hand() {
    let mut block = vec![0x55u8; 64];
    block[0] = 0b10_00_01_10;
    block[63] = 0b00_10_10_01;
    block.extend(MINUS_TWO);
    let weights = decode_as(35, &block);
    assert_eq!(
        [0, 32, 64, 96].map(|at| weights[at]),
        [-2.0, 0.0, 2.0, -2.0]
    );
    assert_eq!(
        [159, 191, 223, 255].map(|at| weights[at]),
        [0.0, -2.0, -2.0, 2.0]
    );
    assert_eq!(weights[1], 0.0);
}

#[test]
fn i2_s_by_hand() {
    let mut bytes = vec![0x55u8; 64];
    bytes[0] = 0b10_00_01_10;
    bytes[63] = 0b00_10_10_01;
    bytes.extend(0.25f32.to_le_bytes());
    bytes.resize(64 + 32, 0xee);
    let weights = decode_as(36, &bytes);
    assert_eq!(
        [0, 32, 64, 96].map(|at| weights[at]),
        [0.25, -0.25, 0.0, 0.25]
    );
    assert_eq!(
        [159, 191, 223, 255].map(|at| weights[at]),
        [-0.25, 0.25, 0.25, 0.0]
    );
}

#[test]
fn invalid_codes_are_found_anywhere() {
    for id in [35, 36] {
        let format = formats::by_id(id).unwrap();
        let view = format.ternary.as_ref().unwrap();
        let mut row = vec![0xaa; 3 * format.block_bytes];
        assert!(!(view.has_invalid_code)(&row));
        if id == 35 {
            // A scale of all ones is no code.
            row[64..66].fill(0xff);
            assert!(!(view.has_invalid_code)(&row));
        }
        for shift in [0, 2, 4, 6] {
            for at in [0, 31, format.block_bytes, 2 * format.block_bytes + 31] {
                let mut row = row.clone();
                row[at] |= 3 << shift;
                assert!((view.has_invalid_code)(&row), "{} at {at}", format.name);
            }
        }
    }
}

/// Weights that an encoder sees, and how far from them the decoded ones may be: half a step and the rounding of the scale.
#[test]
fn every_format_comes_back_from_an_encoder() {
    let mut random = Random(11);
    for format in FORMATS {
        let ternary = format.ternary.is_some();
        for blocks in [1, 2, 7] {
            let count = blocks * format.block_elements;
            let mut weights: Vec<f32> = (0..count)
                .map(|_| {
                    if ternary {
                        f32::from(random.trit())
                    } else {
                        random.uniform()
                    }
                })
                .collect();
            // So that the scale of a ternary block is 1.
            weights
                .iter_mut()
                .step_by(format.block_elements)
                .for_each(|w| *w = 1.0);
            let tolerance = match format.name {
                "Q8_0" => 0.5 / 127.0 + 1e-3,
                "Q4_0" | "Q4_1" => 0.5 / 7.0 + 1e-2,
                "Q6_K" => 0.5 / 31.0 + 1e-2,
                "Q5_0" | "Q5_1" => 0.5 / 15.0 + 1e-2,
                // Half a step of the codes, and of the scales of the parts.
                "Q2_K" => (0.5 + 1.5 / 15.0) * 2.0 / 3.0 + 0.5 / 15.0,
                "Q3_K" => (0.5 + 2.0 / 31.0) / 3.0,
                "Q4_K" | "Q5_K" => 0.5 * 2.0 / 15.0 + 2e-2,
                // Half of the widest gap between levels: 24 of 113.
                "IQ4_NL" | "IQ4_XS" => 12.0 / 113.0 + 3e-2,
                // Up to 1 of 6 where the largest level is 8 of 6 times the weight.
                "MXFP4" => 0.5 * 2.0 / 4.0,
                _ => 0.0,
            };
            let bytes = encode::by_id(format.gguf_type, &weights);
            assert_eq!(
                bytes.len(),
                blocks * format.block_bytes + format.trailer_bytes
            );
            let decoded = decode(format, &bytes);
            for (at, (found, wanted)) in decoded.iter().zip(&weights).enumerate() {
                let name = format.name;
                assert!(
                    (found - wanted).abs() <= tolerance,
                    "{name} weight {at}: {found}, not {wanted}"
                );
            }
        }
    }
}

#[test]
fn the_ternary_view_agrees_with_the_weights() {
    let mut random = Random(13);
    for format in FORMATS {
        let Some(view) = &format.ternary else {
            continue;
        };
        let weights: Vec<f32> = (0..3 * LARGEST_BLOCK)
            .map(|_| 0.5 * f32::from(random.trit()))
            .collect();
        let bytes = encode::by_id(format.gguf_type, &weights);
        let (blocks, trailer) = bytes.split_at(bytes.len() - format.trailer_bytes);
        let mut trits = vec![9; weights.len()];
        (view.decode)(blocks, &mut trits);
        let scale = match view.scale {
            Scale::Tensor(scale) => scale(trailer),
            Scale::Block(scale) => scale(&blocks[..format.block_bytes]),
        };
        assert_eq!(scale, 0.5, "{}", format.name);
        for (trit, weight) in trits.iter().zip(&weights) {
            assert_eq!(f32::from(*trit) * scale, *weight, "{}", format.name);
        }
    }
}

/// `fixtures/formats.gguf`: random blocks of each format, and the numbers that the `gguf` package of PyPI makes of them. The
/// operations and their order are the same, so the numbers are.
#[test]
fn blocks_decode_to_the_numbers_of_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/formats.gguf");
    let gguf = Gguf::open(path).unwrap();
    let mut seen = 0;
    for format in FORMATS {
        let Some(tensor) = gguf.tensor(format.name) else {
            // F32 is what the numbers are written in; no other tool knows I2_S.
            assert!(["F32", "I2_S"].contains(&format.name), "{}", format.name);
            continue;
        };
        assert_eq!(tensor.format().name, format.name);
        let found = decode(format, tensor.data());
        let expected = gguf.tensor(&format!("{}.expected", format.name)).unwrap();
        let expected = decode_as(0, expected.data());
        assert_eq!(found.len(), expected.len(), "{}", format.name);
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(
                found == expected,
                "{} weight {at}: {found}, not {expected}",
                format.name
            );
        }
        assert!(expected.iter().any(|weight| *weight != 0.0));
        seen += 1;
    }
    assert_eq!(seen, FORMATS.len() - 2);
}

/// A tensor may hold anything: no byte pattern may panic.
#[test]
fn any_bytes_decode() {
    let mut random = Random(17);
    for format in FORMATS {
        let mut bytes = vec![0u8; 4 * format.block_bytes + format.trailer_bytes];
        for _ in 0..64 {
            bytes.fill_with(|| u8::try_from(random.below(256)).unwrap());
            bytes[..2].copy_from_slice(&ONE);
            assert_eq!(decode(format, &bytes).len(), 4 * format.block_elements);
            if let Some(view) = &format.ternary {
                let mut trits = vec![9; 4 * format.block_elements];
                (view.decode)(&bytes[..4 * format.block_bytes], &mut trits);
                assert!(trits.iter().all(|trit| (-1..=1).contains(trit)));
            }
        }
    }
}
