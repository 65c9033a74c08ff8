//! Tracks whether a request has written anything. A client may safely repeat a request that got no connection only if
//! it has not.

use std::cell::Cell;

use ferroflow_model::{Error, ErrorCode};

tokio::task_local! {
    static WRITTEN: Cell<bool>;
}

/// Runs a request and tracks whether it writes.
pub async fn track_writes<F: Future>(request: F) -> F::Output {
    WRITTEN.scope(Cell::new(false), request).await
}

/// Records that the request has written something, or may have.
pub(crate) fn mark_written() {
    // Outside of a request there is nothing to track.
    let _ = WRITTEN.try_with(|written| written.set(true));
}

/// Turns the error "nothing was done, repeat the request" into "unknown what was done" if the request has written
/// something.
pub(crate) fn downgrade_if_written(error: Error) -> Error {
    let has_written = WRITTEN.try_with(Cell::get).unwrap_or(false);
    let says_nothing_was_done = matches!(error.code, ErrorCode::ResourceExhausted | ErrorCode::RequestLimitExceeded);
    if says_nothing_was_done && has_written {
        return Error::unavailable(
            "The database is temporarily unavailable, and a part of the request was done. Try again later.",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_has_written_gets_no_error_that_nothing_was_done() {
        let code = |written: bool| {
            track_writes(async move {
                if written {
                    mark_written();
                }
                downgrade_if_written(Error::busy("x")).code
            })
        };
        assert_eq!(code(false).await, ErrorCode::ResourceExhausted);
        assert_eq!(code(true).await, ErrorCode::TemporarilyUnavailable);
        assert_eq!(downgrade_if_written(Error::invalid("x")).code, ErrorCode::InvalidParameterValue);
    }
}
