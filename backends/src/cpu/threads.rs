//! A thread pool whose fork and join cost about a microsecond.
//!
//! A decode step runs some two hundred short jobs one after the other, so workers spin
//! for a while between jobs before they sleep, and chunks are taken from one atomic
//! word: (epoch, chunks, next). A worker that comes late finds nothing left and harms
//! nothing; the caller waits for chunks, never for workers.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker spins for the next job before it sleeps: longer than what the host
/// does between two steps of a decode loop.
const SPIN: Duration = Duration::from_micros(200);

/// Bits of the state word for each of `chunks` and `next`; the rest counts epochs.
const BITS: u32 = 20;
const MASK: u64 = (1 << BITS) - 1;

type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    state: AtomicU64,
    job: UnsafeCell<Option<Job>>,
    done: AtomicUsize,
    sleepers: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
}

// SAFETY: `job` is written only while no chunk is outstanding and read only by a thread
// that holds a chunk, which the caller of `run` waits for.
unsafe impl Sync for Shared {}
unsafe impl Send for Shared {}

impl Shared {
    /// Takes the next chunk of the current job.
    fn take(&self) -> Option<usize> {
        let mut state = self.state.load(Ordering::Acquire);
        while (state & MASK) < (state >> BITS & MASK) {
            let next = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match next {
                Ok(_) => return Some((state & MASK) as usize),
                Err(found) => state = found,
            }
        }
        None
    }

    /// Runs chunks until none is left.
    fn work(&self) {
        while let Some(chunk) = self.take() {
            // SAFETY: see `Sync`: this thread holds a chunk.
            let job = unsafe { (*self.job.get()).map(|job| &*job) };
            if let Some(job) = job
                && catch_unwind(AssertUnwindSafe(|| job(chunk))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
    }

    fn worker(&self) {
        let mut seen = self.state.load(Ordering::Acquire) >> (2 * BITS);
        let mut idle = Instant::now();
        let mut spins = 0u32;
        while !self.stop.load(Ordering::Relaxed) {
            let epoch = self.state.load(Ordering::Acquire) >> (2 * BITS);
            if epoch != seen {
                self.work();
                (seen, idle, spins) = (epoch, Instant::now(), 0);
                continue;
            }
            spins += 1;
            std::hint::spin_loop();
            // The clock is read now and then only: it costs as much as many spins.
            if spins.is_multiple_of(256) && idle.elapsed() > SPIN {
                self.sleepers.fetch_add(1, Ordering::SeqCst);
                if self.state.load(Ordering::SeqCst) >> (2 * BITS) == seen
                    && !self.stop.load(Ordering::SeqCst)
                {
                    thread::park();
                }
                self.sleepers.fetch_sub(1, Ordering::SeqCst);
                idle = Instant::now();
            }
        }
    }
}

/// Threads that share the chunks of one job at a time.
pub struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

impl Threads {
    /// A pool of `count` threads, the caller of [`Threads::run`] included.
    pub fn new(count: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            done: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let spawn = |i| {
            let shared = shared.clone();
            let name = format!("eaglet-cpu-{i}");
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.worker())
        };
        // A system that refuses a thread gets a smaller pool: slower, still right.
        let workers = (1..count).map_while(|i| spawn(i).ok()).collect();
        Self {
            shared,
            workers,
            turn: Mutex::new(()),
        }
    }

    /// The number of threads, the caller included.
    pub fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job` once for each chunk in `0..chunks`, from all threads, and returns
    /// when all are done. Calls from several threads take turns.
    ///
    /// # Panics
    /// When a chunk panicked.
    pub fn run(&self, chunks: usize, job: &(dyn Fn(usize) + Sync)) {
        debug_assert!(chunks as u64 <= MASK);
        if chunks <= 1 || self.workers.is_empty() {
            return (0..chunks).for_each(job);
        }
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: no chunk is outstanding, and this function returns, which ends the
        // borrow that the transmute hides, only after the last chunk is done.
        unsafe {
            *shared.job.get() = Some(std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(job));
        }
        shared.done.store(0, Ordering::Relaxed);
        let epoch = (shared.state.load(Ordering::Relaxed) >> (2 * BITS)).wrapping_add(1);
        let state = epoch << (2 * BITS) | (chunks as u64) << BITS;
        shared.state.store(state, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            self.workers
                .iter()
                .for_each(|worker| worker.thread().unpark());
        }
        shared.work();
        let mut spins = 0u32;
        while shared.done.load(Ordering::Acquire) < chunks {
            spins += 1;
            if spins < 4096 {
                std::hint::spin_loop();
            } else {
                thread::yield_now(); // The worker has lost its core: give it ours.
            }
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        drop(turn);
        assert!(!panicked, "a kernel panicked on a worker thread");
    }

    /// Splits `0..items` into ranges of even size, a few for each thread so that one
    /// which loses its core is not waited for, and runs them.
    pub fn ranges(&self, items: usize, job: impl Fn(std::ops::Range<usize>) + Sync) {
        self.ranges_of(items, 1, job);
    }

    /// The same, where `together` items in one range take less time than apart: ranges are
    /// no smaller, as long as there is one for each thread.
    pub fn ranges_of(
        &self,
        items: usize,
        together: usize,
        job: impl Fn(std::ops::Range<usize>) + Sync,
    ) {
        let chunks = match self.count() {
            1 => 1,
            threads => (items / together).clamp(threads, threads * 4).min(items),
        };
        self.run(chunks, &|chunk| {
            job(items * chunk / chunks..items * (chunk + 1) / chunks)
        });
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches its panics, so joining cannot fail.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_runs_once_in_every_job() {
        let threads = Threads::new(4);
        for jobs in 0..2000 {
            let chunks = jobs % 37;
            let hits: Vec<_> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
            threads.run(chunks, &|chunk| {
                hits[chunk].fetch_add(1, Ordering::Relaxed);
            });
            assert!(hits.iter().all(|hit| hit.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn sleeping_workers_wake_up() {
        let threads = Threads::new(2);
        for _ in 0..20 {
            thread::sleep(SPIN * 2);
            let sum = AtomicUsize::new(0);
            threads.ranges(100, |range| {
                sum.fetch_add(range.sum(), Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_in_a_chunk_reaches_the_caller_and_the_pool_survives() {
        let threads = Threads::new(2);
        let panics = catch_unwind(AssertUnwindSafe(|| {
            threads.run(8, &|chunk| assert!(chunk != 3, "on purpose"));
        }));
        assert!(panics.is_err());
        threads.run(8, &|_| {});
    }
}
