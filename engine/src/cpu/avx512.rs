//! Loads, stores and broadcasts of 512-bit registers from arrays, so that kernels need no pointers.
#![expect(unsafe_code, reason = "the load and store intrinsics take pointers")]

use std::arch::asm;
use std::arch::x86_64::*;

/// Loads 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_u8x64(from: &[u8; 64]) -> __m512i {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Loads 64 signed bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_i8x64(from: &[i8; 64]) -> __m512i {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Stores 64 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_u8x64(to: &mut [u8; 64], value: __m512i) {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

/// Loads 32 16-bit integers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_i16x32(from: &[i16; 32]) -> __m512i {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Stores 32 16-bit integers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_i16x32(to: &mut [i16; 32], value: __m512i) {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

/// Loads 16 32-bit integers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load_i32x16(from: &[i32; 16]) -> __m512i {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

/// Stores 16 32-bit integers.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store_i32x16(to: &mut [i32; 16], value: __m512i) {
    // SAFETY: the array is 64 bytes long, and the intrinsic needs no alignment.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
}

/// Four signed bytes in every 32-bit lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn broadcast_i8x4_512(from: &[i8; 4]) -> __m512i {
    // SAFETY: the array is four bytes long, and the read needs no alignment.
    _mm512_set1_epi32(unsafe { from.as_ptr().cast::<i32>().read_unaligned() })
}

/// Two signed bytes in every 16-bit lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn broadcast_i8x2_512(from: &[i8; 2]) -> __m512i {
    _mm512_set1_epi16(i16::from_le_bytes(from.map(i8::cast_unsigned)))
}

/// `sum + addend` in 16-bit lanes. In intrinsics the compiler adds some addends to each other first, to shorten the chain of
/// additions, and keeps so many of them that sums must wait in memory.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn add_i16x32(mut sum: __m512i, addend: __m512i) -> __m512i {
    // SAFETY: the instruction needs AVX-512 BW, which this function enables, and touches registers alone.
    unsafe {
        asm!(
            "vpaddw {sum}, {sum}, {addend}",
            sum = inout(zmm_reg) sum,
            addend = in(zmm_reg) addend,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sum
}
