//! Loads, stores and prefetches of x86-64 vector registers from arrays, so that kernels need no pointers.
#![expect(unsafe_code, reason = "the load and store intrinsics take pointers")]

use std::arch::asm;
use std::arch::x86_64::*;

/// Loads 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_u8x32(from: &[u8; 32]) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Loads 32 signed bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_i8x32(from: &[i8; 32]) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Loads 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_u8x16(from: &[u8; 16]) -> __m128i {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

/// Loads eight bytes into the lower half of a register; the upper half is zero.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_u8x8(from: &[u8; 8]) -> __m128i {
    _mm_cvtsi64_si128(i64::from_le_bytes(*from))
}

/// Stores 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_u8x32(to: &mut [u8; 32], value: __m256i) {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Loads eight 32-bit integers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_i32x8(from: &[i32; 8]) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Stores eight 32-bit integers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_i32x8(to: &mut [i32; 8], value: __m256i) {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
}

/// Loads 16 bytes into both halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn broadcast_u8x16(from: &[u8; 16]) -> __m256i {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
}

/// Loads sixteen 16-bit integers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_i16x16(from: &[i16; 16]) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Four signed bytes in every 32-bit lane.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn broadcast_i8x4(from: &[i8; 4]) -> __m256i {
    // SAFETY: the array is four bytes long, and the read needs no alignment.
    _mm256_set1_epi32(unsafe { from.as_ptr().cast::<i32>().read_unaligned() })
}

/// Loads eight half-precision numbers, as bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_u16x8(from: &[u16; 8]) -> __m128i {
    // SAFETY: the array is 16 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

/// Loads eight single-precision numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_f32x8(from: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

/// Stores eight single-precision numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn store_f32x8(to: &mut [f32; 8], value: __m256) {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
}

/// Loads 16 half-precision numbers, as bits.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_u16x16(from: &[u16; 16]) -> __m256i {
    // SAFETY: the array is 32 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

/// Loads 16 single-precision numbers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_f32x16(from: &[f32; 16]) -> __m512 {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

/// Stores 16 single-precision numbers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_f32x16(to: &mut [f32; 16], value: __m512) {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
}

/// Loads 16 pairs of bfloat16 numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn load_bf16x32(from: &[[u16; 2]; 16]) -> __m512bh {
    // SAFETY: the array is 64 bytes long, every bit pattern is a vector, and the read needs no alignment.
    unsafe { from.as_ptr().cast::<__m512bh>().read_unaligned() }
}

/// A pair of bfloat16 numbers in every 32-bit lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn broadcast_bf16x2(pair: i32) -> __m512bh {
    let pairs = _mm512_set1_epi32(pair);
    // SAFETY: both are plain vectors of 64 bytes, and every bit pattern is a vector.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(pairs) }
}

/// Three times each byte, modulo 256, by two additions. In intrinsics the compiler takes several in a row for multiplications
/// by 9, 27 and 81, which bytes do not have and which it then puts together from many more instructions.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn triple_u8x32(value: __m256i) -> __m256i {
    let triple;
    // SAFETY: the instructions need AVX2, which this function enables, and touch registers alone.
    unsafe {
        asm!(
            "vpaddb {triple}, {value}, {value}",
            "vpaddb {triple}, {triple}, {value}",
            value = in(ymm_reg) value,
            triple = out(ymm_reg) triple,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    triple
}

/// Asks for the cache line that lies `ahead` bytes after `from`; a place outside the slice is only a useless hint.
#[inline(always)]
pub(crate) fn prefetch(from: &[u8], ahead: usize) {
    // SAFETY: a prefetch reads nothing that the program could see and cannot fault, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().wrapping_add(ahead).cast()) }
}
