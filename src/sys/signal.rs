//! Signals that interrupt system calls, for tests: a waiting call fails with `EINTR`, signal(7).

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

/// Runs `work` while signals continuously interrupt its thread; `work` receives a function that
/// counts them.
pub(crate) fn interrupted<T>(work: impl FnOnce(&(dyn Fn() -> usize + Sync)) -> T) -> T {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| handle().expect("a handler is set"));
    // SAFETY: takes nothing and never fails.
    let thread = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    let begun = CAUGHT.load(Ordering::Relaxed);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: the target thread waits for this one before it ends.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                thread::sleep(Duration::from_micros(50));
            }
        });
        // Also when `work` panics.
        let _done = Done(&done);
        work(&|| CAUGHT.load(Ordering::Relaxed) - begun)
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

static CAUGHT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: libc::c_int) {
    CAUGHT.fetch_add(1, Ordering::Relaxed);
}

/// Installs the handler without `SA_RESTART`, so that the kernel does not resume calls.
fn handle() -> io::Result<()> {
    // SAFETY: all zeros is a valid action: no flags, no blocked signals.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: `action` is live, and the handler only adds to an atomic.
    super::check(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }).map(drop)
}
