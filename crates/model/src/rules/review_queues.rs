//! Review queues.

use super::{
    Check::{Integer, Required, Text, Within},
    Rule, Validated,
};
use crate::{
    limits,
    messages::review_queues::{
        AddItemsToReviewQueue, CreateReviewQueue, DeleteReviewQueue, GetOrCreateUserQueue, GetReviewQueue,
        GetReviewQueueByName, ListReviewQueueItems, ListReviewQueues, RemoveItemsFromReviewQueue,
        SetReviewQueueItemStatus, UpdateReviewQueue,
    },
};

impl Validated for CreateReviewQueue {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validated for GetOrCreateUserQueue {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("user", &[Required, Text])];
}

impl Validated for GetReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validated for GetReviewQueueByName {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validated for ListReviewQueues {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("max_results", &[Integer, Within(1, limits::SEARCH_RESULTS)])];
}

impl Validated for UpdateReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validated for DeleteReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validated for AddItemsToReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validated for RemoveItemsFromReviewQueue {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text])];
}

impl Validated for ListReviewQueueItems {
    const RULES: &'static [Rule] =
        &[("queue_id", &[Required, Text]), ("max_results", &[Integer, Within(1, limits::SEARCH_RESULTS)])];
}

impl Validated for SetReviewQueueItemStatus {
    const RULES: &'static [Rule] = &[("queue_id", &[Required, Text]), ("item_id", &[Required, Text])];
}
