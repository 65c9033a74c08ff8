//! Review queues and their items.

use ferroflow_model::{
    Error, Result,
    evaluation::review_queues::{NewQueue, type_name},
    messages::review_queues::{
        AddItemsToReviewQueue, AddItemsToReviewQueueResponse, CreateReviewQueue, CreateReviewQueueResponse,
        DeleteReviewQueue, DeleteReviewQueueResponse, GetOrCreateUserQueue, GetOrCreateUserQueueResponse,
        GetReviewQueue, GetReviewQueueByName, GetReviewQueueByNameResponse, GetReviewQueueResponse,
        ListReviewQueueItems, ListReviewQueueItemsResponse, ListReviewQueues, ListReviewQueuesResponse,
        RemoveItemsFromReviewQueue, RemoveItemsFromReviewQueueResponse, ReviewQueueType, ReviewStatus,
        SetReviewQueueItemStatus, SetReviewQueueItemStatusResponse, UpdateReviewQueue, UpdateReviewQueueResponse,
    },
};
use ferroflow_store::{ReviewQueueChange, ReviewQueueList};

use crate::{access::VisibleQueues, app::Cx, rpc::empty};

/// Queues or items per page if a request does not say how many.
const PAGE: i64 = 1000;

pub(crate) async fn create(cx: Cx, req: CreateReviewQueue) -> Result<CreateReviewQueueResponse> {
    if req.queue_type == Some(ReviewQueueType::Custom)
        && let Some(user) = cx.user_named(req.name()).await?
    {
        return Err(Error::invalid(format!(
            "'{user}' is a registered user. A custom review queue cannot use a username as its name; assign that user \
             to a queue instead."
        )));
    }
    type_name(req.queue_type)?;
    let new = NewQueue::of(req.queue_type, req.name(), &req.users, &req.schema_ids)?;
    // Without users, a queue has no owner.
    let owner = cx.caller.as_ref().map(|caller| caller.username.as_str());
    let queue = cx.store().create_review_queue(req.experiment_id(), &new, owner).await?;
    Ok(CreateReviewQueueResponse { review_queue: Some(queue) })
}

pub(crate) async fn get_or_create_user(cx: Cx, req: GetOrCreateUserQueue) -> Result<GetOrCreateUserQueueResponse> {
    let queue = cx.store().get_or_create_user_queue(req.experiment_id(), req.user()).await?;
    Ok(GetOrCreateUserQueueResponse { review_queue: Some(queue) })
}

pub(crate) async fn get(cx: Cx, req: GetReviewQueue) -> Result<GetReviewQueueResponse> {
    Ok(GetReviewQueueResponse { review_queue: Some(cx.store().get_review_queue(req.queue_id()).await?) })
}

pub(crate) async fn get_by_name(cx: Cx, req: GetReviewQueueByName) -> Result<GetReviewQueueByNameResponse> {
    let queue = cx.store().get_review_queue_by_name(req.experiment_id(), req.name()).await?;
    Ok(GetReviewQueueByNameResponse { review_queue: Some(queue) })
}

pub(crate) async fn list(cx: Cx, req: ListReviewQueues) -> Result<ListReviewQueuesResponse> {
    let visible_to = match cx.visible_queues(req.experiment_id()).await? {
        VisibleQueues::All => None,
        VisibleQueues::AssignedTo(user) => Some(user),
        VisibleQueues::None => {
            return Ok(ListReviewQueuesResponse { next_page_token: Some(String::new()), ..Default::default() });
        }
    };
    let list = ReviewQueueList {
        experiment_id: req.experiment_id().to_owned(),
        user: req.user,
        item_id: req.item_id,
        max_results: req.max_results.map_or(PAGE, i64::from),
        page_token: req.page_token,
        visible_to,
    };
    let (review_queues, next) = cx.store().list_review_queues(&list).await?;
    Ok(ListReviewQueuesResponse { review_queues, next_page_token: Some(next.unwrap_or_default()) })
}

pub(crate) async fn update(cx: Cx, req: UpdateReviewQueue) -> Result<UpdateReviewQueueResponse> {
    if let Some(name) = &req.name
        && let Some(user) = cx.user_named(name).await?
    {
        let queue = cx.store().get_review_queue(req.queue_id()).await?;
        if queue.queue_type == Some(ReviewQueueType::Custom) {
            return Err(Error::invalid(format!(
                "'{user}' is a registered user. A custom review queue cannot be renamed to a username; assign that \
                 user to a queue instead."
            )));
        }
    }
    let change = ReviewQueueChange {
        name: req.name.clone(),
        owner: req.new_owner.clone(),
        users: (req.update_users == Some(true)).then(|| req.users.clone()),
        schema_ids: (req.update_schema_ids == Some(true)).then(|| req.schema_ids.clone()),
    };
    let queue = cx.store().update_review_queue(req.queue_id(), &change).await?;
    Ok(UpdateReviewQueueResponse { review_queue: Some(queue) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteReviewQueue) -> Result<DeleteReviewQueueResponse> {
    cx.store().delete_review_queue(req.queue_id()).await.map(|()| empty())
}

pub(crate) async fn add_items(cx: Cx, req: AddItemsToReviewQueue) -> Result<AddItemsToReviewQueueResponse> {
    let items = cx.store().add_review_queue_items(req.queue_id(), &req.item_ids).await?;
    Ok(AddItemsToReviewQueueResponse { items })
}

pub(crate) async fn remove_items(
    cx: Cx,
    req: RemoveItemsFromReviewQueue,
) -> Result<RemoveItemsFromReviewQueueResponse> {
    cx.store().remove_review_queue_items(req.queue_id(), &req.item_ids).await.map(|()| empty())
}

pub(crate) async fn list_items(cx: Cx, req: ListReviewQueueItems) -> Result<ListReviewQueueItemsResponse> {
    let status = req.status.filter(|status| *status != ReviewStatus::ReviewStatusUnspecified);
    let max_results = req.max_results.map_or(PAGE, i64::from);
    let store = cx.store();
    let (items, next) =
        store.list_review_queue_items(req.queue_id(), status, max_results, req.page_token.as_deref()).await?;
    Ok(ListReviewQueueItemsResponse { items, next_page_token: Some(next.unwrap_or_default()) })
}

pub(crate) async fn set_status(cx: Cx, req: SetReviewQueueItemStatus) -> Result<SetReviewQueueItemStatusResponse> {
    let user = match &cx.caller {
        // The caller, whatever the request says. A reopened item is no one's.
        Some(caller) => Some(caller.username.as_str()).filter(|_| req.status != Some(ReviewStatus::Pending)),
        None => req.completed_by.as_deref(),
    };
    let store = cx.store();
    let item = store.set_review_queue_item_status(req.queue_id(), req.item_id(), req.status, user).await?;
    Ok(SetReviewQueueItemStatusResponse { item: Some(item) })
}
