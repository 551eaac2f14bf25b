//! Plain reads of memory and caches.

use super::READERS;
use crate::buffer::PackedBytes;
use crate::cpu::{Cpu, Feature, Unsupported};
use crate::kernels::PackError;
use crate::pieces::Turns;
use crate::threads::Pool;
use std::sync::atomic::{AtomicU64, Ordering};

/// One way to read memory: as fast as a read can be made, since decode is held against it.
#[derive(Debug)]
pub struct Reader {
    /// What it loads with.
    pub name: &'static str,
    /// Features without which it cannot run.
    pub requires: &'static [Feature],
    /// Reads the bytes so many times, a rest of less than 512 left out, and gives the bits that are set in any word; lines are
    /// asked for that many bytes ahead.
    pub(super) run: Read,
}

/// CPU, bytes, passes, and how far ahead lines are asked for.
type Read = fn(&Cpu, &[u8], u64, Option<usize>) -> Result<u64, Unsupported>;

/// How far ahead lines of memory are asked for, in bytes: about the latency of memory at its bandwidth.
const AHEAD: usize = 8 << 10;
/// Bytes that a thread of [`Reader::read_once`] takes at a time.
const PIECE: usize = 1 << 20;
/// A thread reads whole pages, so that no two threads share a line.
const PAGE: usize = 4096;
/// What memory is filled with, eight times in a word.
const FILL: u8 = 0x5a;

impl Reader {
    /// The widest that this CPU has.
    pub fn best(cpu: &Cpu) -> &'static Reader {
        READERS
            .iter()
            .copied()
            .find(|r| cpu.require(r.requires).is_ok())
            .expect("the last reader requires nothing")
    }

    /// Reads every stream once from memory and gives the number of bytes. Each thread of `pool` takes its share in order, then
    /// what slower ones have left.
    ///
    /// # Panics
    /// If `cpu` lacks what this reader requires.
    pub fn read_once(&self, streams: &[&[u8]], cpu: &Cpu, pool: &Pool) -> u64 {
        std::hint::black_box(self.bits(streams, cpu, pool));
        streams.iter().map(|s| s.len() as u64).sum()
    }

    /// The bits that are set in any word of the streams, rests of less than 512 bytes left out.
    fn bits(&self, streams: &[&[u8]], cpu: &Cpu, pool: &Pool) -> u64 {
        let pieces: Vec<&[u8]> = streams.iter().flat_map(|s| s.chunks(PIECE)).collect();
        let turns = Turns::new(pieces.len(), pool.threads());
        let bits = AtomicU64::new(0);
        pool.run(&|thread| {
            let mut seen = 0;
            while let Some(piece) = turns.next(thread) {
                seen |= (self.run)(cpu, pieces[piece], 1, Some(AHEAD)).expect(self.name);
            }
            bits.fetch_or(seen, Ordering::Relaxed);
        });
        bits.into_inner()
    }
}

/// Bytes to be read, in the kind of pages that packed weights have.
#[derive(Debug)]
pub struct ReadSet {
    bytes: PackedBytes,
}

impl ReadSet {
    /// A set of so many bytes.
    ///
    /// # Errors
    /// [`PackError::NoMemory`].
    pub fn new(bytes: usize) -> Result<ReadSet, PackError> {
        let bytes = PackedBytes::fill(bytes, 1 << 20, |_, bytes| {
            bytes.fill(FILL);
            Ok(())
        })?;
        Ok(ReadSet { bytes })
    }

    /// Bytes of the set.
    pub fn len(&self) -> usize {
        self.bytes.bytes().len()
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the set `passes` times, each thread of `pool` an equal share of at most `share` bytes, and gives the bytes that
    /// were read. `from_memory` says that the set is too large for the caches, so that lines are asked for ahead.
    ///
    /// # Errors
    /// [`Unsupported`] names the first feature that this CPU lacks.
    ///
    /// # Panics
    /// If the set is smaller than a page for each thread.
    pub fn read(
        &self,
        reader: &Reader,
        cpu: &Cpu,
        pool: &Pool,
        share: usize,
        passes: u64,
        from_memory: bool,
    ) -> Result<u64, Unsupported> {
        cpu.require(reader.requires)?;
        let share = share.min(self.len() / pool.threads()) / PAGE * PAGE;
        assert!(share > 0, "a page for each of {} threads", pool.threads());
        let ahead = from_memory.then_some(AHEAD);
        let threads_done = AtomicU64::new(0);
        pool.run(&|thread| {
            let bytes = &self.bytes.bytes()[thread * share..][..share];
            // Every word is the same, so a read that was skipped shows only as a pass that never was.
            if (reader.run)(cpu, bytes, passes, ahead) == Ok(u64::from_ne_bytes([FILL; 8])) {
                threads_done.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert_eq!(
            threads_done.into_inner(),
            pool.threads() as u64,
            "{} read something that was never written",
            reader.name
        );
        Ok(share as u64 * passes * pool.threads() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_sees_every_bit() {
        let cpu = Cpu::detect();
        for reader in READERS {
            if let Err(missing) = cpu.require(reader.requires) {
                assert!(
                    std::env::var_os("BITBENCH_TEST_EVERY_VARIANT").is_none(),
                    "skipped: {}: {missing}",
                    reader.name
                );
                println!("skipped: {}: {missing}", reader.name);
                continue;
            }
            for ahead in [None, Some(AHEAD)] {
                let mut bytes = vec![0u8; 2048];
                assert_eq!((reader.run)(&cpu, &bytes, 2, ahead), Ok(0));
                let mut expected = 0u64;
                for bit in 0..64 {
                    // One bit in each of 64 places all over the bytes.
                    let at = bit * 32 + bit % 4 * 8;
                    bytes[at..at + 8].copy_from_slice(&(1u64 << bit).to_ne_bytes());
                    expected |= 1 << bit;
                    let seen = (reader.run)(&cpu, &bytes, 1, ahead);
                    assert_eq!(seen, Ok(expected), "{} at {at}", reader.name);
                }
            }
        }
    }

    #[test]
    fn threads_together_read_every_stream_to_its_end() {
        let cpu = Cpu::detect();
        let reader = Reader::best(&cpu);
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads).expect("threads");
            for last in [0, PIECE - 8, PIECE, 3 * PIECE - 8] {
                let mut long = vec![0u8; 3 * PIECE];
                long[last] = 1;
                let short = [2u8; 1024];
                assert_eq!(reader.bits(&[&long], &cpu, &pool), 1, "byte {last}");
                let both = reader.bits(&[&short, &long], &cpu, &pool);
                assert_eq!(both, 1 | u64::from_ne_bytes([2; 8]));
                assert_eq!(
                    reader.read_once(&[&short, &long], &cpu, &pool),
                    1024 + 3 * PIECE as u64
                );
            }
        }
    }

    #[test]
    fn threads_read_equal_shares() {
        let cpu = Cpu::detect();
        let set = ReadSet::new(10 * PAGE).expect("memory");
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads).expect("threads");
            let read = |share, passes| {
                let read = set.read(Reader::best(&cpu), &cpu, &pool, share, passes, false);
                read.expect("the best reader runs")
            };
            let threads = threads as u64;
            assert_eq!(read(usize::MAX, 1), 10 / threads * threads * PAGE as u64);
            assert_eq!(read(PAGE, 3), threads * 3 * PAGE as u64);
        }
    }
}
