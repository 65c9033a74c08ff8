//! Review queues.

use super::{
    Check::{Integer, Required, Text, Within},
    Rule, Validate,
};
use crate::{
    limits,
    messages::review_queues::{
        AddItemsToReviewQueue, CreateReviewQueue, DeleteReviewQueue, GetOrCreateUserQueue, GetReviewQueue,
        GetReviewQueueByName, ListReviewQueueItems, ListReviewQueues, RemoveItemsFromReviewQueue,
        SetReviewQueueItemStatus, UpdateReviewQueue,
    },
};

impl Validate for CreateReviewQueue {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validate for GetOrCreateUserQueue {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("user", &[Required, Text])];
}

impl Validate for GetReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validate for GetReviewQueueByName {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validate for ListReviewQueues {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("max_results", &[Integer, Within(1, limits::SEARCH_RESULTS)])];
}

impl Validate for UpdateReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validate for DeleteReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validate for AddItemsToReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validate for RemoveItemsFromReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validate for ListReviewQueueItems {
    const RULES: &'static [Rule] =
        &[("queue_id", &[Required, Text]), ("max_results", &[Integer, Within(1, limits::SEARCH_RESULTS)])];
}

impl Validate for SetReviewQueueItemStatus {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text]), ("item_id", &[Required, Text])];
}
