//! Loading what was made to break the loader: the memory it takes is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The system's allocator, with a count of what the loading threads hold and the most that it was.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    /// Whether this thread loads models: other tests run meanwhile.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: isize) {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        let held = HELD.fetch_add(bytes, Relaxed) + bytes;
        PEAK.fetch_max(held, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator as it came; only numbers are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `pointer` came from `System.alloc` with this `layout`, since `alloc` takes all from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The threads that load models, one model at a time.
static LOADERS: LazyLock<Mutex<ThreadPool>> = LazyLock::new(|| {
    let pool = ThreadPoolBuilder::new().num_threads(2);
    let pool = pool.start_handler(|_| COUNTED.set(true)).build();
    Mutex::new(pool.unwrap())
});

/// Runs on the loading threads, and gives the most bytes that were held meanwhile.
pub(crate) fn measured<T: Send>(run: impl FnOnce() -> T + Send) -> (T, usize) {
    let pool = LOADERS.lock().unwrap_or_else(PoisonError::into_inner);
    let result = pool.install(|| {
        HELD.store(0, Relaxed);
        PEAK.store(0, Relaxed);
        run()
    });
    let peak = PEAK.load(Relaxed).unsigned_abs();
    drop(pool);
    (result, peak)
}
