//! Work split over threads that end with the call: nothing lingers that a fork could lose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder as Thread;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `work(0), work(1), ...` in order of their numbers, computed on `threads` threads.
pub fn map<T: Send>(threads: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut out = Vec::with_capacity(count);
    ordered(threads, count, work, |result| {
        out.push(result);
        true
    });
    out
}

/// Hands `work(0), work(1), ...` to `sink` in that order, computed on `threads` threads that stay a bounded way ahead of it.
/// Ends early once `sink` returns false.
pub fn ordered<T: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> T + Sync,
    mut sink: impl FnMut(T) -> bool,
) {
    if threads <= 1 || count <= 1 {
        (0..count).all(|i| sink(work(i)));
        return;
    }
    struct State<T> {
        done: BTreeMap<usize, T>,
        written: usize,
        workers: usize,
    }
    let ahead = 4 * threads;
    let next = AtomicUsize::new(0);
    let state = Mutex::new(State { done: BTreeMap::new(), written: 0, workers: threads });
    let changed = Condvar::new();
    /// Tells the others that a worker is gone, and to stop where it panicked, so that nobody waits for ever.
    struct Leave<'a, T>(&'a Mutex<State<T>>, &'a Condvar);
    impl<T> Drop for Leave<'_, T> {
        fn drop(&mut self) {
            let mut state = lock(self.0);
            state.workers -= 1;
            if std::thread::panicking() {
                state.written = usize::MAX;
            }
            drop(state);
            self.1.notify_all();
        }
    }
    /// Ends the waiting of all workers, however the sink's side ends.
    struct Stop<'a, T>(&'a Mutex<State<T>>, &'a Condvar);
    impl<T> Drop for Stop<'_, T> {
        fn drop(&mut self) {
            lock(self.0).written = usize::MAX;
            self.1.notify_all();
        }
    }
    std::thread::scope(|scope| {
        let _stop = Stop(&state, &changed);
        for started in 0..threads {
            let worker = || {
                let _leave = Leave(&state, &changed);
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        return;
                    }
                    let mut now = lock(&state);
                    while i >= now.written.saturating_add(ahead) {
                        now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                    }
                    if now.written == usize::MAX {
                        return;
                    }
                    drop(now);
                    let result = work(i);
                    lock(&state).done.insert(i, result);
                    changed.notify_all();
                }
            };
            if Thread::new().spawn_scoped(scope, worker).is_err() {
                // The system has no more threads to give: those there are do the work.
                lock(&state).workers -= threads - started;
                if started == 0 {
                    (0..count).all(|i| sink(work(i)));
                    return;
                }
                break;
            }
        }
        for i in 0..count {
            let mut now = lock(&state);
            let result = loop {
                if let Some(result) = now.done.remove(&i) {
                    break result;
                }
                if now.workers == 0 {
                    return;
                }
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
            };
            now.written = now.written.max(i + 1);
            drop(now);
            changed.notify_all();
            if !sink(result) {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_threads() {
        for threads in [1, 2, 7] {
            assert_eq!(map(threads, 1000, |i| i * i), (0..1000).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_sink_that_has_enough_ends_it() {
        let mut seen = 0;
        ordered(
            3,
            1_000_000,
            |i| i,
            |i| {
                seen = i;
                i < 10
            },
        );
        assert_eq!(seen, 10);
    }

    #[test]
    fn a_panic_on_either_side_ends_it() {
        let worker = std::panic::catch_unwind(|| map(2, 1000, |i| assert!(i != 500)));
        assert!(worker.is_err());
        let sink = std::panic::catch_unwind(|| ordered(2, 1000, |i| i, |i| i < 500 || panic!("enough")));
        assert!(sink.is_err());
    }
}
