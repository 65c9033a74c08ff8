//! Gives freed memory back to the system. The C library's allocator keeps it in the heap of each thread that has used
//! it: after a few large responses, more than a hundred MiB that nobody uses.

use std::{sync::Arc, time::Duration};

use crate::App;

/// Large results and bodies of this time are freed together: walking over the heaps takes milliseconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Trims the heaps soon after the memory of large results and bodies was freed, for as long as the server runs. While
/// there are none it sleeps.
pub(crate) async fn trim_when_freed(app: Arc<App>) {
    loop {
        tokio::select! {
            () = app.results.freed() => {}
            () = app.bodies.freed() => {}
        }
        tokio::time::sleep(INTERVAL).await;
        // A panic of it is impossible, and would cost memory only.
        let _ = tokio::task::spawn_blocking(trim).await;
    }
}

/// Returns the free pages of all heaps to the system. Other C libraries than GNU's return them by themselves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other interface to its heaps")]
fn trim() {
    // SAFETY: malloc_trim may be called at any time from any thread; it takes no pointers, and moves no memory that is
    // in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}
