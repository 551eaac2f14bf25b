//! The intervals that logits lie in.
//!
//! # Why the intervals are right
//!
//! `h` is the hidden state, `q = scale * a` its fixed point with integers `a`, `x_b` the part of a vector in block `b` of 32
//! columns, `|x|` the Euclidean norm, `u = 2^-24`, and `g(n) = n u / (1 - n u)`: a sum of products with at most `n` roundings
//! for each term is off by at most `g(n)` times the sum of the absolute products, in any order of the additions, fused or not
//! (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
//!
//! 1. The half-precision kernels widen weights without rounding, multiply and add in single precision, and multiply the sum by
//!    1. So a logit `L` of `K` columns has `|L - w.h| <= g(K) |w| |h|`, for the sum of `|w_i h_i|` is at most `|w| |h|`.
//! 2. `w.h = w1.q + (w - w1).q + w.(h - q)`, and by Cauchy-Schwarz `|(w - w1).q| <= sum over b of |(w - w1)_b| |q_b|` and
//!    `|w.(h - q)| <= |w| |h - q|`.
//! 3. The screen computes `S = D scale/2 sum over b of s_b p_b`, `p_b = (2 u_b - 15).a_b`, where `w1_b = D s_b (u_b - 7.5)`. `p_b`
//!    is an integer below 2^24, exact in single precision, and so is `s_b`. Each term is rounded when it is multiplied, at each
//!    addition and at the two last multiplications: `|S - w1.q| <= g(B + 3) sum over b of |w1_b| |q_b| <= g(B + 3) |w1| |q|`.
//!
//! So `|L - S| <= E sum over b of t_b |q_b| + N (|h - q| + g(K) |h| + g(B + 8) |q|)`, where `E t_b >= |(w - w1)_b|` and `N` is at least
//! `|w|`, `|w1|` and `|w2|`. The five roundings more in `g(B + 8)` cover those of the ends of the interval, `S` plus and minus the
//! bound, since `|S|` is at most `N |q|` and a little. The bound itself is computed in single precision from terms that are not
//! negative, and raised by `1 + (B + 16) 2^-22`, four times what rounding could have taken. What underflow can do is far below
//! 2^-126 a row, which is added. Overflow cannot happen, because a token with `N |h|` above 10^30 for any row is left to the
//! half-precision head as a whole, and so is one that is not finite.
//!
//! With the second plane `v`, `w2_b = D s_b (u_b - 7.5 + (v_b - 7.5) / 16)` and the norm of a whole row: `S2 = S + D scale/32 sum over b of s_b
//! ((2 v_b - 15).a_b)`, of which each product of eight lanes is exact again. `|w2 - w1| <= 2 N`, so the two sums and their addition are
//! off by at most `3 g(2 B + 32) N |q|`, and `|L - S2| <= E2 |q| + N (|h - q| + g(K) |h| + 4 g(2 B + 32) |q|)`.

use super::super::fixed_point::{FixedPoint, up};

/// What a norm computed in double precision is raised by; see [`super::super::fixed_point`].
pub(super) const OUTWARDS: f64 = 1.0 + 1e-9;

/// What is known of a row beside its codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// `D`, what the 8-bit scales are multiplied by.
    pub(super) scale: f32,
    /// `E`, what the 8-bit norms of the errors of the first plane are multiplied by.
    pub(super) error: f32,
    /// `E2`, the norm of the error of both planes.
    pub(super) refined_error: f32,
    /// `N`, the largest norm of the row and its two copies.
    pub(super) norm: f32,
}

/// How a [`Row`] lies in memory: scale, error, refined error, norm.
pub(super) type StoredRow = [f32; 4];

impl From<StoredRow> for Row {
    #[inline(always)]
    fn from([scale, error, refined_error, norm]: StoredRow) -> Row {
        Row {
            scale,
            error,
            refined_error,
            norm,
        }
    }
}

impl From<Row> for StoredRow {
    fn from(row: Row) -> StoredRow {
        [row.scale, row.error, row.refined_error, row.norm]
    }
}

/// `g(n)`, rounded upwards.
pub(super) fn gamma(roundings: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "columns of a matrix")]
    let share = roundings as f64 * 2f64.powi(-24);
    // A row of 2^23 columns would have no bound; the token would go to the half-precision head.
    if share < 0.5 {
        share / (1.0 - share) * OUTWARDS
    } else {
        f64::INFINITY
    }
}

/// What the bounds of one token are made of; see the text above.
pub(super) struct Bounds {
    /// Half the scale of the hidden state.
    half_scale: f32,
    /// What `N` is multiplied by in the bound of the first plane.
    pub(super) first: f32,
    /// The same with both planes.
    pub(super) both: f32,
    /// What `E2` is multiplied by.
    fixed_norm: f32,
    /// What raises a bound above its rounding.
    guard: f32,
}

impl Bounds {
    pub(super) fn of(hidden: &FixedPoint) -> Bounds {
        let (cols, blocks) = (hidden.cols(), hidden.blocks());
        let always = hidden.rounding_norm + gamma(cols) * hidden.norm;
        #[expect(clippy::cast_precision_loss, reason = "blocks of a row")]
        let guard = 1.0 + (blocks + 16) as f64 * 2f64.powi(-22);
        Bounds {
            half_scale: hidden.scale / 2.0,
            first: up((always + gamma(blocks + 8) * hidden.fixed_norm) * OUTWARDS),
            both: up((always + 4.0 * gamma(2 * blocks + 32) * hidden.fixed_norm) * OUTWARDS),
            fixed_norm: up(hidden.fixed_norm),
            guard: up(guard),
        }
    }

    /// The value of the first plane and its bound, from their sums.
    #[inline(always)]
    pub(super) fn of_first(&self, row: Row, value: f32, error: f32) -> (f32, f32) {
        let bound = (error * row.error + row.norm * self.first) * self.guard + f32::MIN_POSITIVE;
        (value * self.half_scale * row.scale, bound)
    }

    /// The value of both planes and its bound.
    #[inline(always)]
    pub(super) fn of_both(&self, row: Row, first: f32, value: f32) -> (f32, f32) {
        let bound = (row.refined_error * self.fixed_norm + row.norm * self.both) * self.guard
            + f32::MIN_POSITIVE;
        (first + value * (self.half_scale / 16.0) * row.scale, bound)
    }
}
