//! Tracks whether a request has written anything. A client may safely repeat a request that got no connection only if
//! it has not.

use std::cell::Cell;

use ferroflow_model::{Error, ErrorCode};

tokio::task_local! {
    static WROTE: Cell<bool>;
}

/// Runs a request and tracks whether it writes.
pub async fn watch_writes<F: Future>(request: F) -> F::Output {
    WROTE.scope(Cell::new(false), request).await
}

/// Records that the request has written something, or may have.
pub(crate) fn wrote() {
    // Outside of a request there is nothing to track.
    let _ = WROTE.try_with(|wrote| wrote.set(true));
}

/// Turns the error "nothing was done, repeat the request" into "unknown what was done" if the request has written
/// something.
pub(crate) fn honest(error: Error) -> Error {
    let has_written = WROTE.try_with(Cell::get).unwrap_or(false);
    if error.code == ErrorCode::ResourceExhausted && has_written {
        return Error::unavailable(
            "The database is temporarily unavailable, and a part was done. Try again in a moment.",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_written_something_is_not_told_that_nothing_was_done() {
        let code = |written: bool| {
            watch_writes(async move {
                if written {
                    wrote();
                }
                honest(Error::busy("x")).code
            })
        };
        assert_eq!(code(false).await, ErrorCode::ResourceExhausted);
        assert_eq!(code(true).await, ErrorCode::TemporarilyUnavailable);
        assert_eq!(honest(Error::invalid("x")).code, ErrorCode::InvalidParameterValue);
    }
}
