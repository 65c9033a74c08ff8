//! Gives freed memory back to the system. The C library's allocator keeps it in the heap of each thread that has used
//! it: after a few large responses, more than a hundred MiB that are not in use.

use std::{sync::Arc, time::Duration};

use crate::App;

/// Large results and bodies of this time are freed together: walking over the heaps takes milliseconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Trims the heaps soon after the memory of large results and bodies was freed, for as long as the server runs. While
/// there are none it sleeps.
pub(crate) async fn trim_when_freed(app: Arc<App>) {
    libc::set_thresholds();
    loop {
        tokio::select! {
            () = app.results.freed() => {}
            () = app.bodies.freed() => {}
        }
        tokio::time::sleep(INTERVAL).await;
        // A panic of it is impossible, and would cost memory only.
        let _ = tokio::task::spawn_blocking(libc::trim).await;
    }
}

/// GNU's C library.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other interface to its heaps")]
mod libc {
    /// Allocations of this size or more, in bytes, are mappings of their own, which go back to the system when they are
    /// freed. Unless it is set, the allocator raises it to the size of what is freed, up to 32 MiB.
    const MAPPED: i32 = 512 * 1024;

    /// Free bytes at the end of a heap that go back to the system at once. Unless it is set, it is twice the other
    /// threshold; [`trim`] does not touch the end of a thread's heap.
    const FREE_AT_END: i32 = 2 * 1024 * 1024;

    pub(super) fn set_thresholds() {
        // SAFETY: these options take any number of bytes, at any time. An allocator that refuses them works without.
        unsafe {
            ::libc::mallopt(::libc::M_MMAP_THRESHOLD, MAPPED);
            ::libc::mallopt(::libc::M_TRIM_THRESHOLD, FREE_AT_END);
        }
    }

    /// Returns the free pages of all heaps to the system.
    pub(super) fn trim() {
        // SAFETY: it may be called at any time from any thread, takes no pointers, and moves no memory that is in use.
        unsafe {
            ::libc::malloc_trim(0);
        }
    }
}

/// Other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod libc {
    pub(super) fn set_thresholds() {}

    pub(super) fn trim() {}
}
