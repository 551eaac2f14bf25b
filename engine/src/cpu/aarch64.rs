//! Loads, stores and prefetches of AArch64 vector registers from arrays, so that kernels need no pointers, and the
//! instructions that stable Rust has no intrinsic for (`sdot`, `smmla`) or makes other ones of (`smlal`).
//!
//! Such an instruction is one `asm!` that touches registers alone: the compiler still chooses the registers and the order.
#![expect(
    unsafe_code,
    reason = "the load and store intrinsics take pointers, and some instructions have no intrinsic"
)]

use std::arch::aarch64::*;
use std::arch::asm;

/// Loads 16 bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_u8x16(from: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vld1q_u8(from.as_ptr()) }
}

/// Stores 16 bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_u8x16(to: &mut [u8; 16], value: uint8x16_t) {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vst1q_u8(to.as_mut_ptr(), value) }
}

/// Loads 16 signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_i8x16(from: &[i8; 16]) -> int8x16_t {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vld1q_s8(from.as_ptr()) }
}

/// Loads eight 16-bit integers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_i16x8(from: &[i16; 8]) -> int16x8_t {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vld1q_s16(from.as_ptr()) }
}

/// Loads two 32-bit integers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_i32x2(from: &[i32; 2]) -> int32x2_t {
    // SAFETY: the array is 8 bytes long, and the intrinsic needs no alignment.
    unsafe { vld1_s32(from.as_ptr()) }
}

/// Loads four 32-bit integers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_i32x4(from: &[i32; 4]) -> int32x4_t {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vld1q_s32(from.as_ptr()) }
}

/// Four signed bytes in every 32-bit lane.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn broadcast_i8x4(from: [i8; 4]) -> int8x16_t {
    let word = i32::from_le_bytes(from.map(i8::cast_unsigned));
    vreinterpretq_s8_s32(vdupq_n_s32(word))
}

/// Two 16-bit integers in every 32-bit lane.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn broadcast_i16x2([first, second]: [i16; 2]) -> int16x8_t {
    let word = i32::from(second) << 16 | i32::from(first.cast_unsigned());
    vreinterpretq_s16_s32(vdupq_n_s32(word))
}

/// Stores four 32-bit integers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_i32x4(to: &mut [i32; 4], value: int32x4_t) {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vst1q_s32(to.as_mut_ptr(), value) }
}

/// Loads eight half-precision numbers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_f16x8(from: &[u16; 8]) -> float16x8_t {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    vreinterpretq_f16_u16(unsafe { vld1q_u16(from.as_ptr()) })
}

/// Loads four single-precision numbers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn load_f32x4(from: &[f32; 4]) -> float32x4_t {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vld1q_f32(from.as_ptr()) }
}

/// Stores four single-precision numbers.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn store_f32x4(to: &mut [f32; 4], value: float32x4_t) {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { vst1q_f32(to.as_mut_ptr(), value) }
}

/// Three times each byte, modulo 256.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn triple_i8x16(value: int8x16_t) -> int8x16_t {
    vmulq_s8(value, vdupq_n_s8(3))
}

/// Asks for the cache line that lies `ahead` bytes after `from`; a place outside the slice is only a useless hint.
#[inline(always)]
pub(crate) fn prefetch(from: &[u8], ahead: usize) {
    let address = from.as_ptr().wrapping_add(ahead).addr();
    // SAFETY: a prefetch reads nothing that the program could see and cannot fault, whatever the address.
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
    }
}

/// `smlal`: the products of the first eight bytes of `a` and `b`, added to `sum`. As an intrinsic the compiler would widen an
/// operand of its own accord and multiply words.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn smlal_low(mut sum: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "smlal {sum:v}.8h, {a:v}.8b, {b:v}.8b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `smlal2`: [`smlal_low`] of the last eight bytes.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn smlal_high(mut sum: int16x8_t, a: int8x16_t, b: int8x16_t) -> int16x8_t {
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "smlal2 {sum:v}.8h, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `cmtst`: -1 in the bytes that have a bit in common, else 0. As an intrinsic it would become two instructions.
#[inline]
#[target_feature(enable = "neon")]
pub(crate) fn cmtst(a: uint8x16_t, b: uint8x16_t) -> int8x16_t {
    let mask;
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "cmtst {mask:v}.16b, {a:v}.16b, {b:v}.16b",
            mask = out(vreg) mask,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    mask
}

/// `sdot` by element: to each 32-bit lane of `sum`, the products of its four bytes of `a` with the four bytes `LANE` of `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn sdot_lane<const LANE: usize>(
    mut sum: int32x4_t,
    a: int8x16_t,
    b: int8x16_t,
) -> int32x4_t {
    const { assert!(LANE < 4) };
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `sdot`: to each 32-bit lane of `sum`, the products of its four bytes of `a` and of `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// [`sdot_lane`] with two lanes to choose from.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(crate) fn sdot_lane_of_half<const LANE: usize>(
    mut sum: int32x4_t,
    a: int8x16_t,
    b: int8x8_t,
) -> int32x4_t {
    const { assert!(LANE < 2) };
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// `smmla`: the 2 x 2 products of the two rows of eight bytes of `a` and the two of `b`, added to `sum`, `[row of a][row of
/// b]`.
#[inline]
#[target_feature(enable = "neon,i8mm")]
pub(crate) fn smmla(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: reads and writes the named registers alone; the target feature of this function is that of the instruction.
    unsafe {
        asm!(
            "smmla {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
