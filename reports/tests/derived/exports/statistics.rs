//! The statistics of ratios, written a second time from their definitions.

/// The middle of values.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

/// All means of two values, each with itself too.
fn means_of_two(values: &[f64]) -> Vec<f64> {
    let mut means = Vec::new();
    for i in 0..values.len() {
        for j in 0..=i {
            means.push((values[i] + values[j]) / 2.0);
        }
    }
    means.sort_by(f64::total_cmp);
    means
}

/// Hodges and Lehmann's estimate.
pub(super) fn centre(values: &[f64]) -> f64 {
    median(means_of_two(values))
}

/// The signed-rank interval of at least 95 %, with its level: ways to choose ranks are counted, which must be few.
pub(super) fn interval(values: &[f64]) -> Option<(f64, f64, f64)> {
    let n = values.len();
    assert!(n < 20, "2^{n} ways are too many");
    let ways = 1_u32 << n;
    let mut with_sum = vec![0_u32; n * (n + 1) / 2 + 1];
    for way in 0..ways {
        let chosen = (1..=n).filter(|rank| way >> (rank - 1) & 1 == 1);
        with_sum[chosen.sum::<usize>()] += 1;
    }
    let mut at_most = 0;
    let mut found = None;
    for (sum, count) in with_sum.iter().enumerate() {
        at_most += count;
        // Both tails together leave out at most one in twenty.
        if at_most * 2 * 20 > ways {
            break;
        }
        found = Some((sum, at_most));
    }
    let (sum, at_most) = found?;
    let means = means_of_two(values);
    let level = 1.0 - f64::from(at_most) * 2.0 / f64::from(ways);
    Some((means[sum], means[means.len() - 1 - sum], level))
}

/// PCG XSL RR 128/64 (MCG), as its paper has it.
struct Pcg(u128);

impl Pcg {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645);
        let folded = (self.0 >> 64) ^ self.0;
        let low = u64::try_from(folded & u128::from(u64::MAX)).unwrap();
        low.rotate_right(u32::try_from(self.0 >> 122).unwrap())
    }
}

/// The ratio of the medians of pairs, and between what 95 % of 2000 resamples of blocks of two neighbours lie.
pub(super) fn ratio_of_medians(pairs: &[(f64, f64)], seed: u64) -> (f64, f64, f64) {
    let ratio = |pairs: &[(f64, f64)]| {
        median(pairs.iter().map(|p| p.0).collect()) / median(pairs.iter().map(|p| p.1).collect())
    };
    let n = pairs.len();
    let mut random = Pcg(u128::from(seed) * 2 + 1);
    let mut ratios: Vec<f64> = (0..2000)
        .map(|_| {
            let mut drawn = Vec::new();
            while drawn.len() < n {
                let start = usize::try_from(random.next() % n as u64).unwrap();
                drawn.push(pairs[start]);
                drawn.push(pairs[(start + 1) % n]);
            }
            drawn.truncate(n);
            ratio(&drawn)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    // Between the neighbours of place 1999 times 0.025, and of the same from the other end.
    let between = |place: f64| {
        let share = place.fract();
        let below = (0..)
            .zip(&ratios)
            .take_while(|(index, _)| f64::from(*index) <= place);
        let (index, low) = below.last().map(|(index, low)| (index, *low)).unwrap();
        let high = ratios[usize::try_from(index + 1).unwrap().min(ratios.len() - 1)];
        low + (high - low) * share
    };
    (
        ratio(pairs),
        between(1999.0 * 0.025),
        between(1999.0 * 0.975),
    )
}
