//! Review queues and their items.

use ferroflow_model::{
    ErrorCode, Result,
    evaluation::review_queues::NewQueue,
    messages::{
        label_schemas::{InputText, LabelSchemaType},
        review_queues::{ReviewQueue, ReviewQueueItem, ReviewQueueType, ReviewStatus},
    },
};
use ferroflow_store::{DoomedTraces, NewLabelSchema, ReviewQueueChange, ReviewQueueList, Store};

use crate::{
    support::{Here as _, on_each},
    traces::info,
};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn custom(store: &Store, name: &str, users: &[&str], schemas: &[String]) -> Result<ReviewQueue> {
    let new = NewQueue::of(Some(ReviewQueueType::Custom), name, &texts(users), schemas)?;
    store.here().create_review_queue("0", &new, Some("Ann")).await
}

async fn schema(store: &Store, name: &str) -> String {
    let new = NewLabelSchema {
        experiment_id: "0".into(),
        name: name.into(),
        kind: Some(LabelSchemaType::Feedback),
        input: ferroflow_model::evaluation::label_schemas::Input::Text(InputText::default()),
        instruction: None,
        enable_comment: false,
    };
    store.here().create_label_schema(new).await.unwrap().schema_id().to_owned()
}

async fn trace(store: &Store, id: &str) {
    store.here().start_trace(info(id, "0")).await.unwrap();
}

fn ids(items: &[ReviewQueueItem]) -> Vec<&str> {
    items.iter().map(ReviewQueueItem::item_id).collect()
}

async fn listed(store: &Store, list: ReviewQueueList) -> Vec<String> {
    let mut list = ReviewQueueList { experiment_id: "0".into(), max_results: 2, ..list };
    let mut names = Vec::new();
    loop {
        let (queues, next) = store.here().list_review_queues(&list).await.unwrap();
        names.extend(queues.iter().map(|queue| queue.name().to_owned()));
        list.page_token = next;
        if list.page_token.is_none() {
            names.sort();
            return names;
        }
    }
}

on_each!(a_queue_is_created_changed_and_deleted);
async fn a_queue_is_created_changed_and_deleted(store: &Store) {
    let here = store.here();
    let (one, two) = (schema(store, "one").await, schema(store, "two").await);
    let made = custom(store, " Night ", &["Bob ", "ann", "bob"], std::slice::from_ref(&one)).await.unwrap();
    let id = made.queue_id().to_owned();
    assert_eq!((made.name(), made.created_by(), made.users.as_slice()), ("Night", "Ann", &texts(&["ann", "bob"])[..]));
    assert_eq!(made.schema_ids, std::slice::from_ref(&one));
    assert_eq!(here.get_review_queue(&id).await.unwrap(), made);
    assert_eq!(here.get_review_queue_by_name("0", "nIGHT").await.unwrap(), made);
    assert_eq!(custom(store, "NIGHT", &[], &[]).await.unwrap_err().code, ErrorCode::ResourceAlreadyExists);
    let error = custom(store, "Day", &[], &texts(&["ls-x"])).await.unwrap_err();
    assert_eq!(error.message, "Label schema id(s) ['ls-x'] not found for experiment '0'.");

    let change = ReviewQueueChange {
        name: Some("NIGHT".into()),
        owner: Some(" Bob ".into()),
        users: Some(texts(&["carol"])),
        schema_ids: Some(vec![two.clone()]),
    };
    let changed = here.update_review_queue(&id, &change).await.unwrap();
    assert_eq!(
        (changed.name(), changed.created_by(), changed.users.as_slice()),
        ("NIGHT", "Bob", &texts(&["carol"])[..])
    );
    assert_eq!(changed.schema_ids, [two]);
    assert!(changed.last_update_time_ms >= made.last_update_time_ms);
    assert_eq!(here.update_review_queue(&id, &ReviewQueueChange::default()).await.unwrap(), changed);
    let none = ReviewQueueChange { users: Some(Vec::new()), schema_ids: Some(Vec::new()), ..Default::default() };
    let empty = here.update_review_queue(&id, &none).await.unwrap();
    assert!(empty.users.is_empty() && empty.schema_ids.is_empty());

    let other = custom(store, "Other", &[], &[]).await.unwrap();
    let taken = ReviewQueueChange { name: Some("night".into()), ..Default::default() };
    let error = here.update_review_queue(other.queue_id(), &taken).await.unwrap_err();
    assert_eq!(error.message, "Review queue with name 'night' already exists (names are case-insensitive).");
    trace(store, "tr-1").await;
    here.add_review_queue_items(&id, &texts(&["tr-1"])).await.unwrap();
    let questions = ReviewQueueChange { schema_ids: Some(vec![one]), ..Default::default() };
    let error = here.update_review_queue(&id, &questions).await.unwrap_err();
    assert!(error.message.starts_with("A review queue's questions are locked"), "{}", error.message);

    here.delete_review_queue(&id).await.unwrap();
    here.delete_review_queue(&id).await.unwrap();
    assert_eq!(here.get_review_queue(&id).await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    for table in ["items", "users", "label_schemas"] {
        let sql: &'static str = Box::leak(format!("SELECT queue_id FROM review_queue_{table}").into_boxed_str());
        assert!(crate::traces::rows(store, sql).await.is_empty(), "{table}");
    }
}

on_each!(a_user_has_one_queue_made_on_demand);
async fn a_user_has_one_queue_made_on_demand(store: &Store) {
    let here = store.here();
    let all = (0..8).map(|number| {
        let name = if number % 2 == 0 { "Ann" } else { " ann " };
        here.get_or_create_user_queue("0", name)
    });
    let all: Vec<ReviewQueue> = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
    assert!(all.iter().all(|queue| *queue == all[0]));
    let queue = &all[0];
    assert_eq!((queue.name(), queue.created_by(), queue.users.as_slice()), ("ann", "ann", &texts(&["ann"])[..]));
    let change = ReviewQueueChange { users: Some(texts(&["bob"])), ..Default::default() };
    let error = here.update_review_queue(queue.queue_id(), &change).await.unwrap_err();
    assert!(error.message.starts_with("A user queue's name,"), "{}", error.message);
    custom(store, "Bob", &[], &[]).await.unwrap();
    let error = here.get_or_create_user_queue("0", "bob").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
    assert!(error.message.starts_with("A non-user queue named 'bob'"), "{}", error.message);
    assert_eq!(here.get_or_create_user_queue("777", "ann").await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
    assert_eq!(here.get_or_create_user_queue("0", " ").await.unwrap_err().code, ErrorCode::InvalidParameterValue);
}

on_each!(queues_are_listed_by_user_and_item);
async fn queues_are_listed_by_user_and_item(store: &Store) {
    for (name, users) in [("a", &["ann"][..]), ("b", &["ann", "bob"]), ("c", &["bob"]), ("d", &[]), ("e", &["carol"])] {
        custom(store, name, users, &[]).await.unwrap();
    }
    trace(store, "tr-1").await;
    let b = store.here().get_review_queue_by_name("0", "b").await.unwrap();
    store.here().add_review_queue_items(b.queue_id(), &texts(&["tr-1"])).await.unwrap();
    let of = |user: &str| ReviewQueueList { user: Some(user.into()), ..Default::default() };
    let seen = |user: &str| Some(user.to_owned());
    for (list, expected) in [
        (ReviewQueueList::default(), &["a", "b", "c", "d", "e"][..]),
        (of(" ANN"), &["a", "b"]),
        (of(""), &[]),
        (ReviewQueueList { visible_to: seen("Bob"), ..Default::default() }, &["b", "c"]),
        (ReviewQueueList { visible_to: seen("bob"), ..of("ann") }, &["b"]),
        (ReviewQueueList { item_id: Some("tr-1".into()), ..Default::default() }, &["b"]),
        (ReviewQueueList { item_id: Some("tr-2".into()), ..of("ann") }, &[]),
    ] {
        assert_eq!(listed(store, list.clone()).await, expected, "{list:?}");
    }
    let list = ReviewQueueList { experiment_id: "0".into(), max_results: 1, ..Default::default() };
    let (_, token) = store.here().list_review_queues(&list).await.unwrap();
    let other = ReviewQueueList { user: Some("ann".into()), page_token: token, ..list };
    let error = store.here().list_review_queues(&other).await.unwrap_err();
    assert!(error.message.contains("another filter"), "{}", error.message);
}

on_each!(items_are_traces_of_the_experiment_with_a_status);
async fn items_are_traces_of_the_experiment_with_a_status(store: &Store) {
    let here = store.here();
    let queue = custom(store, "q", &["ann"], &[]).await.unwrap().queue_id().to_owned();
    let elsewhere = here.create_experiment("elsewhere", None, Vec::new()).await.unwrap();
    for id in ["tr-1", "tr-2", "tr-3", "tr-4"] {
        trace(store, id).await;
    }
    here.start_trace(info("tr-5", &elsewhere)).await.unwrap();
    let added = here.add_review_queue_items(&queue, &texts(&["tr-2", " tr-1 ", "tr-2"])).await.unwrap();
    assert_eq!(ids(&added), ["tr-2", "tr-1"]);
    assert!(added.iter().all(|item| item.status == Some(ReviewStatus::Pending) && item.completed_by.is_none()));
    let error = here.add_review_queue_items(&queue, &texts(&["tr-3", "tr-5", "tr-x"])).await.unwrap_err();
    let expected = format!(
        "Cannot attach trace(s) ['tr-5', 'tr-x'] to review queue '{queue}': they do not exist in experiment '0'."
    );
    assert_eq!((error.message, error.code), (expected, ErrorCode::ResourceDoesNotExist));

    let set = |item: &'static str, status, user: Option<&'static str>| {
        let queue = &queue;
        async move { store.here().set_review_queue_item_status(queue, item, Some(status), user).await }
    };
    let done = set("tr-1", ReviewStatus::Complete, Some("Bob")).await.unwrap();
    assert_eq!((done.status, done.completed_by()), (Some(ReviewStatus::Complete), "bob"));
    assert_eq!(done.completed_time_ms, done.last_update_time_ms);
    // The one who was first.
    assert_eq!(set("tr-1", ReviewStatus::Complete, Some("carol")).await.unwrap(), done);
    assert_eq!(set("tr-1", ReviewStatus::Declined, Some("carol")).await.unwrap().completed_by(), "carol");
    let added = here.add_review_queue_items(&queue, &texts(&["tr-1", "tr-3"])).await.unwrap();
    assert_eq!(added[0].status, Some(ReviewStatus::Declined));
    let open = set("tr-1", ReviewStatus::Pending, None).await.unwrap();
    assert_eq!((open.completed_by, open.completed_time_ms), (None, None));
    for (item, status, user, code) in [
        ("tr-4", ReviewStatus::Complete, Some("ann"), ErrorCode::ResourceDoesNotExist),
        ("tr-1", ReviewStatus::Complete, None, ErrorCode::InvalidParameterValue),
        ("tr-1", ReviewStatus::Pending, Some("ann"), ErrorCode::InvalidParameterValue),
        ("tr-1", ReviewStatus::ReviewStatusUnspecified, Some("ann"), ErrorCode::InvalidParameterValue),
    ] {
        assert_eq!(set(item, status, user).await.unwrap_err().code, code, "{item} {status:?}");
    }

    set("tr-2", ReviewStatus::Complete, Some("ann")).await.unwrap();
    let (pending, next) = here.list_review_queue_items(&queue, Some(ReviewStatus::Pending), 1, None).await.unwrap();
    assert_eq!(pending.len(), 1);
    let all = here.list_review_queue_items(&queue, None, 1, next.as_deref()).await.unwrap_err();
    assert_eq!(all.code, ErrorCode::InvalidParameterValue);
    let (rest, end) =
        here.list_review_queue_items(&queue, Some(ReviewStatus::Pending), 1, next.as_deref()).await.unwrap();
    assert_eq!((rest.len(), end), (1, None));
    here.remove_review_queue_items(&queue, &texts(&["tr-3", "tr-x"])).await.unwrap();
    let doomed = DoomedTraces::Ids(texts(&["tr-1"]));
    here.delete_traces("0", &doomed, None, 0).await.unwrap();
    let (left, _) = here.list_review_queue_items(&queue, None, 10, None).await.unwrap();
    assert_eq!(ids(&left), ["tr-2"]);
    for outcome in [
        here.add_review_queue_items("rq-x", &texts(&["tr-2"])).await.map(drop),
        here.remove_review_queue_items("rq-x", &texts(&["tr-2"])).await,
        here.list_review_queue_items("rq-x", None, 10, None).await.map(drop),
    ] {
        assert_eq!(outcome.unwrap_err().message, "Review queue with id 'rq-x' not found.");
    }
}

on_each!(a_trace_that_is_deleted_leaves_no_item);
async fn a_trace_that_is_deleted_leaves_no_item(store: &Store) {
    let here = store.here();
    let queue = custom(store, "q", &[], &[]).await.unwrap().queue_id().to_owned();
    for number in 0..10 {
        let id = format!("tr-{number}");
        trace(store, &id).await;
        let doomed = DoomedTraces::Ids(vec![id.clone()]);
        let id = [id];
        let (_, deleted) =
            tokio::join!(here.add_review_queue_items(&queue, &id), here.delete_traces("0", &doomed, None, 0));
        deleted.unwrap();
    }
    assert!(here.list_review_queue_items(&queue, None, 100, None).await.unwrap().0.is_empty());
}
