//! The order of a run, derived from its seed and its jobs alone.
//!
//! Jobs that are held against each other (the same model, head, threads and sizes) run in blocks of two rounds, one process
//! after the other: the contenders in a row of a Latin square, then the same row backwards. Of two contenders that is `A B B A`
//! or `B A A B` by the toss of a coin. A drift that is a straight line falls on all contenders of a block alike.
//!
//! The squares are those of Williams, "Experimental designs balanced for the estimation of residual effects of treatments"
//! (1949): over a whole square, each contender stands in every position, and comes after every other one, equally often. Who
//! is who in a square, which of its rows comes next and which way round are drawn from the seed.

use crate::record::Job;
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

/// Rounds of a block: a row and the same row backwards.
pub const ROUNDS_OF_BLOCK: u32 = 2;

/// One process of a run: a round of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Place of the job in the plan, from 0.
    pub job: usize,
    /// Round, from 0.
    pub round: u32,
}

/// The order of the processes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    seed: u64,
    groups: Vec<Vec<usize>>,
}

impl Schedule {
    /// The order of these jobs by this seed. Jobs that will be skipped have their turns too: whether they are skipped can be
    /// otherwise when a run is resumed.
    pub fn of<'a>(seed: u64, jobs: impl IntoIterator<Item = &'a Job>) -> Schedule {
        let mut groups: Vec<(&Job, Vec<usize>)> = Vec::new();
        for (index, job) in jobs.into_iter().enumerate() {
            match groups.iter_mut().find(|(first, _)| compete(first, job)) {
                Some((_, members)) => members.push(index),
                None => groups.push((job, vec![index])),
            }
        }
        Schedule {
            seed,
            groups: groups.into_iter().map(|(_, members)| members).collect(),
        }
    }

    /// The processes of a block: group after group, in an order of their own.
    pub fn block(&self, block: u32) -> Vec<Turn> {
        self.rows(block).concat()
    }

    /// The same, the contenders of a round together.
    pub fn rows(&self, block: u32) -> Vec<Vec<Turn>> {
        let mut random = random(self.seed, [u32::MAX, block, 0]);
        let mut rows = Vec::new();
        for group in shuffled(self.groups.len(), &mut random) {
            let members = &self.groups[group];
            for round in (0..ROUNDS_OF_BLOCK).map(|half| block * ROUNDS_OF_BLOCK + half) {
                let group = u32::try_from(group).unwrap_or(u32::MAX);
                let row = row(self.seed, group, round, members.len());
                let turn = |contender: usize| Turn {
                    job: members[contender],
                    round,
                };
                rows.push(row.into_iter().map(turn).collect());
            }
        }
        rows
    }
}

/// Whether two jobs are held against each other. Where a gate has two builds, each kernel is held against itself alone: the fewer
/// contenders, the closer in time are those of a pair.
pub fn compete(a: &Job, b: &Job) -> bool {
    let same_kernel = a.kernel == b.kernel || (a.build.is_none() && b.build.is_none());
    same_kernel
        && a.model.name == b.model.name
        && a.head == b.head
        && a.threads == b.threads
        && a.prefill_tokens == b.prefill_tokens
        && a.decode_tokens == b.decode_tokens
        && a.batch == b.batch
}

/// The contenders of a group, by number, in the order of a round.
pub fn row(seed: u64, group: u32, round: u32, contenders: usize) -> Vec<usize> {
    // Backwards, a row of an even square is another of its rows; an odd one needs its mirror image to be balanced.
    let pairs = match contenders {
        0 => return Vec::new(),
        even if even % 2 == 0 => even / 2,
        odd => odd,
    };
    let block = round / ROUNDS_OF_BLOCK;
    let length = u32::try_from(pairs).unwrap_or(u32::MAX);
    let mut of_square = random(seed, [group, block / length, 1]);
    let names = shuffled(contenders, &mut of_square);
    let rows = shuffled(pairs, &mut of_square);
    let first = rows[(block % length) as usize];
    let mut row: Vec<usize> = (0..contenders)
        .map(|position| names[(zigzag(position, contenders) + first) % contenders])
        .collect();
    let turned = random(seed, [group, block, 2]).next_u64() & 1 == 1;
    if turned != (round % ROUNDS_OF_BLOCK == 1) {
        row.reverse();
    }
    row
}

/// The first row of a Williams square: 0, 1, n - 1, 2, n - 2 and so on, so that no distance between neighbours comes twice.
fn zigzag(position: usize, contenders: usize) -> usize {
    if position % 2 == 1 {
        position.div_ceil(2)
    } else {
        (contenders - position / 2) % contenders
    }
}

/// Numbers below `length` in an order drawn from `random`: the shuffle of Fisher and Yates.
fn shuffled(length: usize, random: &mut Pcg64Mcg) -> Vec<usize> {
    let mut order: Vec<usize> = (0..length).collect();
    for last in (1..length).rev() {
        let pick = random.next_u64() % (last as u64 + 1);
        order.swap(last, usize::try_from(pick).unwrap_or(last));
    }
    order
}

/// A portable generator for one purpose: other numbers for another seed or key, and no likeness between them.
fn random(seed: u64, key: [u32; 3]) -> Pcg64Mcg {
    let state = key
        .into_iter()
        .fold(mixed(seed), |state, part| mixed(state ^ u64::from(part)));
    Pcg64Mcg::new(u128::from(mixed(state)) << 64 | u128::from(state) | 1)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): every bit of the result depends on every bit of the number.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
