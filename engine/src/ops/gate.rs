//! Activations of the feed-forward part, and the exponential they and attention share.

/// e^x within 2 ulp for x in [-87, 88]; below it gives 0, above infinity. Range reduction by log2(e) and the polynomial of
/// Cephes `expf` (S. Moshier); only multiplications, additions and bit operations, so the bits are the same everywhere.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "the constants as published")]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > 88.4 { 88.4 } else { x };
    let clamped = if clamped < -87.3 { -87.3 } else { clamped };
    // The lower bits of `rounded` are the nearest integer.
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    // ln 2 in two parts, so that n * ln 2 is subtracted without loss.
    let r = clamped - n * 0.693_359_375 - n * -2.121_944_40e-4;
    let mut p = 1.987_569_15e-4f32;
    p = p * r + 1.398_199_95e-3;
    p = p * r + 8.333_451_9e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_55e-1;
    p = p * r + 5.000_000_1e-1;
    p = p * (r * r) + r + 1.0;
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    let result = p * power;
    if x < -87.3 { 0.0 } else { result }
}

#[inline(always)]
pub(super) fn silu(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

#[inline(always)]
pub(super) fn squared_relu(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        let positive = if *gate > 0.0 { *gate } else { 0.0 };
        *out = positive * positive * up;
    }
}

/// x * Phi(x) in its form with tanh: x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3)).
#[inline(always)]
pub(super) fn gelu(x: &[f32], out: &mut [f32]) {
    /// 2 * sqrt(2 / pi)
    const SCALE: f32 = std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    for (out, x) in out.iter_mut().zip(x) {
        let inner = x + 0.044_715 * (x * x * x);
        *out = x / (1.0 + exp(-SCALE * inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp() {
        let mut worst = 0.0f64;
        for i in -87_000..88_000 {
            #[expect(clippy::cast_precision_loss, reason = "small integers")]
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst:e}");
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn gelu_is_the_published_function() {
        let x = [-30.0, -3.0, -1.0, 0.0, 0.5, 1.0, 3.0, 30.0];
        let mut out = [9.0; 8];
        gelu(&x, &mut out);
        for (x, out) in x.into_iter().zip(out) {
            let (x, out) = (f64::from(x), f64::from(out));
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let exact = 0.5 * x * (1.0 + inner.tanh());
            assert!(
                (out - exact).abs() < 1e-6 * x.abs().max(0.1),
                "{x}: {out}, not {exact}"
            );
        }
    }

    #[test]
    fn silu_keeps_its_limits() {
        let mut gate = [0.0; 4];
        silu(&[0.0, 50.0, -50.0, 1.0], &[2.0; 4], &mut gate);
        assert_eq!(gate[0], 0.0);
        assert_eq!(gate[1], 100.0);
        assert!(gate[2].abs() < 1e-18);
        assert!((gate[3] - 2.0 * 0.731_058_6).abs() < 1e-6);
    }
}
