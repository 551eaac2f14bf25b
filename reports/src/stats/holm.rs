//! Holm's correction for many tests.

/// The p-values adjusted by Holm (1979), in their order: those at most `alpha` are the ones that may be called significant
/// together, with a probability of at most `alpha` that even one of them is so by chance.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut rising: Vec<usize> = (0..p_values.len()).collect();
    rising.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut so_far: f64 = 0.0;
    for (place, index) in rising.iter().enumerate() {
        let left = (p_values.len() - place) as f64;
        so_far = so_far.max((left * p_values[*index]).min(1.0));
        adjusted[*index] = so_far;
    }
    adjusted
}
