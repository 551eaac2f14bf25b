//! A pool of threads for the short parallel regions of decode.
//!
//! A token takes some two hundred regions of a few microseconds. A pool that sleeps in between (futex, condition variable)
//! costs about 22 us a region, one that spins about 50 ns; so threads spin for a bounded time and then park. Parked threads
//! leave the CPU idle, which the idle bracket of energy measurements relies on.
#![expect(
    unsafe_code,
    reason = "lends a closure of the caller to threads that outlive the borrow"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Looks at a flag before a waiting thread offers its CPU to others, some microseconds: longer than a barrier takes when
/// every thread has a CPU, and short enough that threads which share one (a busy machine) do not wait out a time slice.
const LOOKS_BEFORE_YIELD: u32 = 128;

/// How long a thread spins for the next region before it parks. Longer than any gap inside a token, far shorter than what a
/// measuring window would notice.
const SPIN: Duration = Duration::from_micros(500);

type Region<'a> = &'a (dyn Fn(usize) + Sync);

/// Threads that run the same closure together.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Number of the current region; a change is the signal to run it.
    region: AtomicUsize,
    /// Points to the caller's `Region` while a region runs.
    closure: AtomicPtr<()>,
    /// Workers that have not finished the current region.
    running: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    parked: Vec<AtomicBool>,
}

impl Pool {
    /// A pool of `threads`, the caller among them.
    ///
    /// # Errors
    /// If the system gives no more threads.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        Pool::starting_with(threads, |_| {})
    }

    /// A pool whose threads each run `start` with their index before anything else, the caller among them: to bind them to
    /// CPUs, for instance. All of them have done so when it returns.
    ///
    /// # Errors
    /// If the system gives no more threads.
    ///
    /// # Panics
    /// If `threads` is 0, or if `start` panics on the caller.
    pub fn starting_with(
        threads: usize,
        start: impl Fn(usize) + Send + Sync + 'static,
    ) -> std::io::Result<Pool> {
        assert!(threads > 0, "a pool has at least the calling thread");
        let shared = Arc::new(Shared {
            region: AtomicUsize::new(0),
            closure: AtomicPtr::new(std::ptr::null_mut()),
            running: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            parked: (1..threads).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = Pool {
            shared,
            workers: Vec::new(),
        };
        let start = Arc::new(start);
        for index in 1..threads {
            let (shared, start) = (Arc::clone(&pool.shared), Arc::clone(&start));
            let worker = std::thread::Builder::new()
                .name(format!("bitbench-{index}"))
                .spawn(move || {
                    start(index);
                    work(&shared, index);
                })?;
            pool.workers.push(worker);
        }
        start(0);
        // A region ends only when every thread has run it, and each starts before its first.
        pool.run(&|_| {});
        Ok(pool)
    }

    /// Number of threads, the caller among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `region(index)` once on each thread, index 0 on the caller, and waits for all of them. Regions are not nested
    /// (`&mut` of the session that owns the pool sees to it; a nested call panics).
    ///
    /// # Panics
    /// If the closure panics on any thread.
    pub fn run(&self, region: Region<'_>) {
        if self.workers.is_empty() {
            region(0);
            return;
        }
        let shared = &*self.shared;
        let region_slot = region;
        let pointer = std::ptr::from_ref(&region_slot).cast_mut().cast::<()>();
        // An exchange, not a swap: the pointer of a region that runs must stay as it is when a second one is refused.
        let free = shared.closure.compare_exchange(
            std::ptr::null_mut(),
            pointer,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        assert!(free.is_ok(), "regions of a pool are not nested");
        shared.running.store(self.workers.len(), Ordering::Relaxed);
        // SeqCst: the parked flag is read after the signal is out; a worker sets its flag before it looks at the signal.
        shared.region.fetch_add(1, Ordering::SeqCst);
        for (parked, worker) in shared.parked.iter().zip(&self.workers) {
            if parked.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        // The workers borrow `region_slot`, so nothing may unwind past this frame before they are done.
        let result = catch_unwind(AssertUnwindSafe(|| region(0)));
        let mut looks = 0;
        while shared.running.load(Ordering::Acquire) != 0 {
            pause(&mut looks);
        }
        shared
            .closure
            .store(std::ptr::null_mut(), Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        assert!(
            !shared.panicked.swap(false, Ordering::Relaxed),
            "a worker thread panicked in a parallel region"
        );
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.region.fetch_add(1, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of its regions, so there is nothing to hear from it.
            let _ = worker.join();
        }
    }
}

fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        seen = wait_for_region(shared, index, seen);
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let pointer = shared.closure.load(Ordering::Relaxed).cast::<Region<'_>>();
        // SAFETY: `run` stored a pointer to a live `Region` before it changed `region`, which this thread saw with acquire
        // ordering, and `run` does not return before this thread has lowered `running`.
        let region: Region<'_> = unsafe { *pointer };
        if catch_unwind(AssertUnwindSafe(|| region(index))).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.running.fetch_sub(1, Ordering::Release);
    }
}

/// Passes a moment between two looks at a flag; true once the wait has become a long one.
fn pause(looks: &mut u32) -> bool {
    let long = *looks >= LOOKS_BEFORE_YIELD;
    if long {
        std::thread::yield_now();
    } else {
        *looks += 1;
        std::hint::spin_loop();
    }
    long
}

/// Waits until the region is another one than `seen`: spins for [`SPIN`], then parks.
fn wait_for_region(shared: &Shared, index: usize, seen: usize) -> usize {
    let mut looks = 0;
    let mut since = None;
    loop {
        let now = shared.region.load(Ordering::Acquire);
        if now != seen {
            return now;
        }
        if pause(&mut looks) && since.get_or_insert_with(Instant::now).elapsed() > SPIN {
            break;
        }
    }
    let parked = &shared.parked[index - 1];
    // An exchange and not a store: the flag must be out before the signal is looked at once more, and some emulators let a
    // load pass a plain store, sequentially consistent or not. A wake-up would be lost.
    parked.swap(true, Ordering::SeqCst);
    loop {
        let now = shared.region.load(Ordering::SeqCst);
        if now != seen {
            parked.store(false, Ordering::SeqCst);
            return now;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    const REGIONS: u64 = 500;

    #[test]
    fn every_thread_runs_every_region_once() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).expect("threads");
            let count: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
            for round in 0..REGIONS {
                pool.run(&|index| {
                    count[index].fetch_add(1, Ordering::Relaxed);
                });
                if round % 100 == 0 {
                    std::thread::sleep(SPIN * 3); // long enough for the workers to park
                }
            }
            assert!(count.iter().all(|c| c.load(Ordering::Relaxed) == REGIONS));
        }
    }

    #[test]
    fn every_thread_has_started_when_there_is_a_pool() {
        for threads in [1, 2, 5] {
            let started: Arc<Vec<AtomicU64>> =
                Arc::new((0..threads).map(|_| AtomicU64::new(0)).collect());
            let count = Arc::clone(&started);
            let pool = Pool::starting_with(threads, move |index| {
                count[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(pool.is_ok());
            assert!(started.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_panic_on_any_thread_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3).expect("threads");
        for guilty in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|index| assert_ne!(index, guilty))
            }));
            assert!(result.is_err(), "thread {guilty}");
        }
        pool.run(&|_| {});
    }
}
