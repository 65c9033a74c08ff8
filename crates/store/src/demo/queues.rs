//! The review queues of the sample data: one with the questions for all reviewers, and one for each reviewer.

use ferroflow_model::{
    Result,
    evaluation::review_queues::NewQueue,
    messages::review_queues::{ReviewQueueType, ReviewStatus},
};

use super::{CREATOR, data::Data, traces::MOST};
use crate::Scoped;

/// The queue of the reference, which is deleted too.
const QUEUE_OF_REFERENCE: &str = "Demo Response Review";

/// The user of a server without users.
const DEFAULT_USER: &str = "default";

/// The numbers of traces in the queue of all reviewers, and in that of each of them.
const SHARED: usize = 12;
const OWN: usize = 5;

impl Scoped<'_> {
    /// Creates the queues, with the questions that have these ids.
    pub(super) async fn create_demo_queues(&self, data: &Data, experiment_id: &str, schemas: &[String]) -> Result<()> {
        let traces = self.demo_traces(experiment_id, MOST).await?;
        let ids: Vec<String> = traces.into_iter().rev().filter_map(|trace| trace.trace_id).collect();
        let reviewers = &data.queue.reviewers;
        let new = NewQueue::of(Some(ReviewQueueType::Custom), &data.queue.name, reviewers, schemas)?;
        let shared = self.create_review_queue(experiment_id, &new, Some(CREATOR)).await?;
        let items: Vec<String> = ids.iter().take(SHARED).cloned().collect();
        self.add_review_queue_items(shared.queue_id(), &items).await?;
        for (index, (item, reviewer)) in items.iter().zip(reviewers.iter().cycle()).enumerate() {
            let status = match index % 5 {
                0 | 2 => ReviewStatus::Complete,
                4 => ReviewStatus::Declined,
                _ => continue,
            };
            self.set_review_queue_item_status(shared.queue_id(), item, Some(status), Some(reviewer)).await?;
        }
        let users = reviewers.iter().map(String::as_str).chain([DEFAULT_USER]);
        for (user, items) in users.zip(ids.chunks(OWN)) {
            let queue = self.get_or_create_user_queue(experiment_id, user).await?;
            self.add_review_queue_items(queue.queue_id(), items).await?;
        }
        Ok(())
    }

    /// Whether there is the queue of all reviewers.
    pub(super) async fn has_demo_queue(&self, data: &Data, experiment_id: &str) -> Result<bool> {
        for name in [data.queue.name.as_str(), QUEUE_OF_REFERENCE] {
            if self.find_review_queue(experiment_id, name).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn delete_demo_queues(&self, data: &Data, experiment_id: &str) -> Result<()> {
        let reviewers = data.queue.reviewers.iter().map(String::as_str);
        let names = [data.queue.name.as_str(), QUEUE_OF_REFERENCE, DEFAULT_USER];
        for name in names.into_iter().chain(reviewers) {
            if let Some(queue) = self.find_review_queue(experiment_id, name).await? {
                self.delete_review_queue(queue.queue_id()).await?;
            }
        }
        Ok(())
    }
}
