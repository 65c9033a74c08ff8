//! Review queues: a grant on them, or else on their experiment, allows what a queue's users, its owner and the
//! experiment's managers may do. To be one of them is no permission by itself.

use ferroflow_auth::{Key, Requirement};
use ferroflow_model::{
    Result,
    evaluation::review_queues::user,
    messages::review_queues::{GetReviewQueueByName, ReviewQueue, ReviewQueueType, UpdateReviewQueue},
    permission::{Action, ResourceType},
    wire::RefKind,
};

use super::{Rules, canonical_id, missing};

impl Rules<'_> {
    pub(super) async fn review_queue(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some(queue) = self.named_queue().await? else {
            // Its handler reports that there is no such queue, to callers who may read queues.
            let experiment = self.refs.one(RefKind::Experiment)?.ok_or_else(|| missing("experiment_id"))?;
            return Ok(Some(on_queues(experiment, Action::Read)));
        };
        let reassigns = self.refs.message::<UpdateReviewQueue>().is_some_and(|message| message.new_owner.is_some());
        let needed = match action {
            Action::Read if self.is_assigned(&queue) => Action::Read,
            Action::Read if self.is_owner(&queue) => Action::Update,
            Action::Update if self.is_owner(&queue) && !reassigns => Action::Update,
            // The queue of a user is no business of that user's.
            Action::Delete if self.is_owner(&queue) && queue.queue_type == Some(ReviewQueueType::Custom) => {
                Action::Update
            }
            _ => Action::Manage,
        };
        Ok(Some(on_queues(queue.experiment_id(), needed)))
    }

    /// Everyone who may edit may ask for a review.
    pub(super) async fn new_review_queue_items(&self) -> Result<Option<Vec<Requirement>>> {
        let Some(queue) = self.named_queue().await? else { return Ok(None) };
        Ok(Some(on_queues(queue.experiment_id(), Action::Update)))
    }

    /// Managers review by a queue only if it is assigned to them, too.
    pub(super) async fn review_queue_item(&self, action: Action) -> Result<Option<Vec<Requirement>>> {
        let Some(queue) = self.named_queue().await? else { return Ok(None) };
        Ok(self.is_assigned(&queue).then(|| on_queues(queue.experiment_id(), action)))
    }

    /// The queue that a request names by its id, or by its name in an experiment.
    async fn named_queue(&self) -> Result<Option<ReviewQueue>> {
        if let Some(named) = self.refs.message::<GetReviewQueueByName>() {
            return self.cx.store().find_review_queue(named.experiment_id(), named.name()).await;
        }
        let id = self.refs.one(RefKind::ReviewQueue)?.ok_or_else(|| missing("queue_id"))?;
        self.cx.store().get_review_queue(id).await.map(Some)
    }

    fn is_assigned(&self, queue: &ReviewQueue) -> bool {
        let caller = self.cx.caller.as_ref().map(|caller| user(&caller.username));
        caller.is_some_and(|caller| queue.users.contains(&caller))
    }

    fn is_owner(&self, queue: &ReviewQueue) -> bool {
        let caller = self.cx.caller.as_ref().map(|caller| user(&caller.username));
        caller.is_some_and(|caller| !caller.is_empty() && user(queue.created_by()) == caller)
    }
}

/// An action on the review queues of an experiment, which must itself be readable.
pub(in crate::access) fn on_queues(experiment_id: &str, action: Action) -> Vec<Requirement> {
    let experiment = Key::new(ResourceType::Experiment, canonical_id(experiment_id));
    let queues = Requirement::new(Key::any(ResourceType::ReviewQueue), action).or(&experiment);
    vec![Requirement::new(experiment, Action::Read), queues]
}
