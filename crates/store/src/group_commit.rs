//! Commits requests that wait together in one transaction (group commit), each with its own outcome.

use std::sync::{Arc, atomic::Ordering};

use ferroflow_model::{Error, Result};
use tokio::sync::oneshot;

use crate::{db::DbError, tracking::batch::BatchStats};

/// A request that waits to be written.
pub(crate) struct Job<W, A, H = ()> {
    /// What it writes.
    pub(crate) write: Arc<W>,
    /// Where it is answered. Its client may have disconnected; it is written nevertheless.
    pub(crate) reply: oneshot::Sender<Result<A>>,
    /// What it holds until it is answered, such as a share of a queue's memory.
    pub(crate) held: H,
}

/// Commits the jobs together. If that fails, commits each on its own, so that a request that the database refuses does
/// not fail the others. `apply` is a transaction that returns an outcome for each write, in order.
pub(crate) async fn commit<W, A, H, F, Fut>(jobs: Vec<Job<W, A, H>>, stats: &BatchStats, apply: F)
where
    F: Fn(Vec<Arc<W>>) -> Fut,
    Fut: Future<Output = Result<Vec<Result<A>>, DbError>>,
{
    let together = || {
        stats.transactions.fetch_add(1, Ordering::Relaxed);
        apply(jobs.iter().map(|job| Arc::clone(&job.write)).collect())
    };
    match together().await {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                let _ = job.reply.send(outcome);
            }
        }
        Err(error) if jobs.len() == 1 || is_down(&error) => {
            let error = Error::from(error);
            for job in jobs {
                let _ = job.reply.send(Err(error.clone()));
            }
        }
        Err(error) => {
            tracing::debug!(%error, requests = jobs.len(), "a shared transaction failed, writing one by one");
            for job in jobs {
                stats.transactions.fetch_add(1, Ordering::Relaxed);
                let outcome = match apply(vec![job.write]).await {
                    Ok(mut outcomes) => {
                        outcomes.pop().unwrap_or_else(|| Err(Error::internal("a write has no outcome")))
                    }
                    Err(error) => Err(error.into()),
                };
                let _ = job.reply.send(outcome);
                drop(job.held);
            }
        }
    }
}

/// Whether the other requests of the batch would fail in the same way.
fn is_down(error: &DbError) -> bool {
    matches!(error, DbError::Unavailable(_) | DbError::Locked(_) | DbError::NotBegun(_))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Answers = Vec<oneshot::Receiver<Result<u32>>>;

    fn jobs(writes: &[u32]) -> (Vec<Job<u32, u32>>, Answers) {
        writes
            .iter()
            .map(|write| {
                let (reply, answer) = oneshot::channel();
                (Job { write: Arc::new(*write), reply, held: () }, answer)
            })
            .unzip()
    }

    /// Commits writes, and returns their answers and the transactions. `error` is what a transaction fails with.
    async fn committed(
        writes: &[u32],
        error: impl Fn(&[u32]) -> Option<DbError>,
    ) -> (Vec<std::result::Result<u32, String>>, Vec<Vec<u32>>) {
        let ((jobs, answers), seen) = (jobs(writes), Mutex::new(Vec::new()));
        let stats = BatchStats::default();
        commit(jobs, &stats, |writes: Vec<Arc<u32>>| {
            let writes: Vec<u32> = writes.iter().map(|write| **write).collect();
            seen.lock().unwrap().push(writes.clone());
            let failed = error(&writes);
            async move { failed.map_or_else(|| Ok(writes.into_iter().map(|write| Ok(write * 10)).collect()), Err) }
        })
        .await;
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(answer.await.unwrap().map_err(|error| error.message));
        }
        let seen = seen.into_inner().unwrap();
        assert_eq!(stats.transactions.load(Ordering::Relaxed), seen.len() as u64);
        (outcomes, seen)
    }

    #[tokio::test]
    async fn a_write_that_the_database_refuses_fails_alone() {
        let refuse = |writes: &[u32]| writes.contains(&2).then(|| DbError::Other("refused".into()));
        let (answers, transactions) = committed(&[1, 2, 3], refuse).await;
        assert_eq!((&answers[0], &answers[2]), (&Ok(10), &Ok(30)));
        assert!(answers[1].is_err());
        assert_eq!(transactions, [vec![1, 2, 3], vec![1], vec![2], vec![3]]);
        assert_eq!(committed(&[1, 3], refuse).await, (vec![Ok(10), Ok(30)], vec![vec![1, 3]]));
    }

    #[tokio::test]
    async fn a_database_that_is_down_is_asked_once() {
        let (answers, transactions) = committed(&[1, 2], |_| Some(DbError::Unavailable("gone".into()))).await;
        assert!(answers.iter().all(std::result::Result::is_err));
        assert_eq!(transactions.len(), 1);
    }
}
