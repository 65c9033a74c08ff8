//! Webhooks and the delivery of events.

use std::{collections::BTreeMap, time::Duration};

use ferroflow_model::{
    ErrorCode,
    messages::model_registry::{ModelVersionTag, RegisteredModelTag},
    messages::webhooks::{WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus},
    webhook::EventType,
    wire::Enum as _,
};
use ferroflow_store::{
    Delivery, NewModelVersion, NewWebhook, Store, WebhookChange,
    db::{BackendUri, Statement, Upkeep, Value},
    events::fernet::FernetKey,
    schema::own,
};

use crate::support::{self, Here as _, on_each};

const LEASE: Duration = Duration::from_secs(60);
const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";

fn event(entity: WebhookEntity, action: WebhookAction) -> EventType {
    EventType::from_message(&WebhookEvent { entity: Some(entity), action: Some(action) }).unwrap()
}

fn version_created() -> EventType {
    event(WebhookEntity::ModelVersion, WebhookAction::Created)
}

fn new(name: &str) -> NewWebhook {
    NewWebhook {
        name: name.into(),
        url: format!("https://example.org/{name}"),
        events: vec![version_created()],
        description: None,
        secret: None,
        status: None,
    }
}

/// Creates a webhook that is subscribed to versions of the model.
async fn create(store: &Store, name: &str) -> String {
    if store.here().get_registered_model("m").await.is_err() {
        store.here().create_registered_model("m", "", &[]).await.unwrap();
    }
    store.here().create_webhook(new(name)).await.unwrap().webhook_id.unwrap()
}

/// Creates the next version of the model.
async fn happen(store: &Store) {
    let new = NewModelVersion { name: "m".into(), source: "s3://b/m".into(), ..NewModelVersion::default() };
    store.here().create_model_version(new).await.unwrap();
}

/// The version in the body of a delivery.
fn version(delivery: &Delivery) -> String {
    let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
    body["data"]["version"].as_str().unwrap().to_owned()
}

async fn claim(store: &Store) -> Vec<Delivery> {
    store.upkeep().claim_deliveries(100, LEASE).await.unwrap()
}

async fn rows(store: &Store, sql: &'static str) -> Vec<Value> {
    store.db().query(Statement::unscoped(Upkeep::Test, sql, Vec::new()), |row| row.get(0)).await.unwrap()
}

on_each!(a_webhook_is_created_changed_and_deleted);
async fn a_webhook_is_created_changed_and_deleted(store: &Store) {
    let events = vec![version_created(), event(WebhookEntity::Prompt, WebhookAction::Created), version_created()];
    let created = store.here().create_webhook(NewWebhook { events, ..new("first") }).await.unwrap();
    assert_eq!(created.status, Some(WebhookStatus::Active));
    assert_eq!(created.events.len(), 2, "an event that is given twice counts once");
    assert_eq!(created.creation_timestamp, created.last_updated_timestamp);
    assert_eq!(store.here().get_webhook(created.webhook_id()).await.unwrap(), created);

    let change = WebhookChange {
        name: Some("renamed".into()),
        url: Some("https://example.org/other".into()),
        description: Some("why".into()),
        events: Some(vec![event(WebhookEntity::PromptAlias, WebhookAction::Deleted)]),
        status: Some(WebhookStatus::Disabled),
        secret: None,
    };
    let changed = store.here().update_webhook(created.webhook_id(), change).await.unwrap();
    assert_eq!((changed.name(), changed.description()), ("renamed", "why"));
    assert_eq!((changed.url(), changed.status), ("https://example.org/other", Some(WebhookStatus::Disabled)));
    assert_eq!(changed.events, [event(WebhookEntity::PromptAlias, WebhookAction::Deleted).to_message()]);
    let same = store.here().update_webhook(created.webhook_id(), WebhookChange::default()).await.unwrap();
    assert_eq!((same.name(), &same.events), ("renamed", &changed.events));

    store.here().delete_webhook(created.webhook_id()).await.unwrap();
    for outcome in [
        store.here().get_webhook(created.webhook_id()).await.map(drop),
        store.here().update_webhook(created.webhook_id(), WebhookChange::default()).await.map(drop),
        store.here().delete_webhook(created.webhook_id()).await,
    ] {
        let error = outcome.unwrap_err();
        assert_eq!(error.code, ErrorCode::ResourceDoesNotExist);
        assert_eq!(error.message, format!("Webhook with ID {} not found.", created.webhook_id()));
    }
    assert_eq!(rows(store, "SELECT count(*) FROM webhooks").await, [Value::Int(1)], "the row stays, marked");
}

on_each!(webhooks_are_paged_the_newest_first);
async fn webhooks_are_paged_the_newest_first(store: &Store) {
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(create(store, &format!("w{number}")).await);
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), None::<String>, 0);
    while pages == 0 || token.is_some() {
        let (page, next) = store.here().list_webhooks(2, token.as_deref()).await.unwrap();
        assert!(page.iter().all(|webhook| webhook.events == [version_created().to_message()]));
        seen.extend(page.into_iter().map(|webhook| (webhook.creation_timestamp, webhook.webhook_id.unwrap())));
        (token, pages) = (next, pages + 1);
    }
    assert_eq!(pages, 3);
    assert!(seen.is_sorted_by(|a, b| a.0 >= b.0));
    let mut ids: Vec<String> = seen.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    made.sort();
    assert_eq!(ids, made);
    for (size, token) in [(-1, None), (1001, None), (1, Some("nonsense"))] {
        assert_eq!(store.here().list_webhooks(size, token).await.unwrap_err().code, ErrorCode::InvalidParameterValue);
    }
}

on_each!(a_secret_is_encrypted_and_never_breaks_a_list);
async fn a_secret_is_encrypted_and_never_breaks_a_list(uri: &BackendUri) {
    let secretive = NewWebhook { secret: Some("hush 雪".into()), ..new("secretive") };
    let store = support::open(uri).await;
    let error = store.here().create_webhook(secretive.clone()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);
    assert!(error.message.contains(ferroflow_store::KEY_VARIABLE), "{}", error.message);
    assert!(store.here().list_webhooks(0, None).await.unwrap().0.is_empty(), "nothing half-made is left");

    let store = store.with_webhook_key(FernetKey::parse(KEY));
    let id = store.here().create_webhook(secretive).await.unwrap().webhook_id.unwrap();
    assert_eq!(store.here().webhook_secret(&id).await.unwrap().as_deref(), Some("hush 雪"));
    let [Value::Text(stored)] = &rows(&store, "SELECT secret FROM webhooks").await[..] else { panic!("a token") };
    assert!(!stored.contains("hush"));
    store.here().create_registered_model("m", "", &[]).await.unwrap();
    happen(&store).await;

    let other = FernetKey::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for key in [None, other] {
        let store = support::open(uri).await.with_webhook_key(key);
        assert_eq!(store.here().list_webhooks(0, None).await.unwrap().0.len(), 1);
        assert_eq!(store.here().get_webhook(&id).await.unwrap().name(), "secretive");
        assert!(store.here().webhook_secret(&id).await.is_err());
        let delivery = store.upkeep().claim_deliveries(1, Duration::ZERO).await.unwrap().remove(0);
        assert!(store.upkeep().secret_of(&delivery).is_err(), "it is never sent unsigned");
    }
    let change = WebhookChange { secret: Some(String::new()), ..WebhookChange::default() };
    support::open(uri).await.here().update_webhook(&id, change).await.unwrap();
    assert_eq!(store.here().webhook_secret(&id).await.unwrap(), None, "the empty secret takes it away");
}

on_each!(only_active_webhooks_that_asked_are_told);
async fn only_active_webhooks_that_asked_are_told(store: &Store) {
    let subscribed = create(store, "subscribed").await;
    let disabled = NewWebhook { status: Some(WebhookStatus::Disabled), ..new("disabled") };
    store.here().create_webhook(disabled).await.unwrap();
    let elsewhere = vec![event(WebhookEntity::Prompt, WebhookAction::Created)];
    store.here().create_webhook(NewWebhook { events: elsewhere, ..new("elsewhere") }).await.unwrap();
    let deleted = create(store, "deleted").await;
    store.here().delete_webhook(&deleted).await.unwrap();

    happen(store).await;
    store.here().set_registered_model_alias("m", "a", "1").await.unwrap();
    let claimed = claim(store).await;
    let to: Vec<&str> = claimed.iter().map(|delivery| delivery.webhook_id.as_str()).collect();
    assert_eq!(to, [subscribed.as_str()]);
    assert_eq!(claimed[0].url.as_deref(), Some("https://example.org/subscribed"));
    assert_eq!(claimed[0].delivery_id.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    assert_eq!(store.upkeep().waiting_deliveries().await.unwrap(), 1);
    store.upkeep().delivered(&claimed[0]).await.unwrap();
    assert_eq!(store.upkeep().waiting_deliveries().await.unwrap(), 0);
}

/// All events.
fn all_events() -> Vec<EventType> {
    let of = |entity: &WebhookEntity| {
        let event = |action: &WebhookAction| WebhookEvent { entity: Some(*entity), action: Some(*action) };
        WebhookAction::ALL.iter().filter_map(|action| EventType::from_message(&event(action)).ok()).collect::<Vec<_>>()
    };
    WebhookEntity::ALL.iter().flat_map(of).collect()
}

on_each!(every_change_of_the_registry_is_told);
async fn every_change_of_the_registry_is_told(store: &Store) {
    let events = all_events();
    assert_eq!(events.len(), 15);
    store.here().create_webhook(NewWebhook { events, ..new("all") }).await.unwrap();
    let tag = |key: &str, value: &str| RegisteredModelTag { key: Some(key.into()), value: Some(value.into()) };
    let version_tag = |key: &str, value: &str| ModelVersionTag { key: Some(key.into()), value: Some(value.into()) };

    store.here().create_registered_model("m", "words", &[tag("a", "1")]).await.unwrap();
    store.here().set_registered_model_tag("m", "b", "2").await.unwrap();
    store.here().delete_registered_model_tag("m", "b").await.unwrap();
    let version = NewModelVersion {
        name: "m".into(),
        source: "s3://b/m".into(),
        run_id: Some("r".into()),
        tags: vec![version_tag("a", "ü")],
        ..NewModelVersion::default()
    };
    store.here().create_model_version(version).await.unwrap();
    store.here().set_model_version_tag("m", "1", "k", "v").await.unwrap();
    store.here().delete_model_version_tag("m", "1", "k").await.unwrap();
    store.here().set_registered_model_alias("m", "best", "1").await.unwrap();
    store.here().delete_registered_model_alias("m", "best").await.unwrap();
    store.here().transition_model_version_stage("m", "1", "Staging", false).await.unwrap();

    let is_prompt = tag("mlflow.prompt.is_prompt", "true");
    store.here().create_registered_model("p", "", &[is_prompt, tag("a", "1")]).await.unwrap();
    store.here().set_registered_model_tag("p", "b", "2").await.unwrap();
    store.here().delete_registered_model_tag("p", "b").await.unwrap();
    let version = NewModelVersion {
        name: "p".into(),
        source: "dummy-source".into(),
        tags: vec![
            version_tag("mlflow.prompt.is_prompt", "true"),
            version_tag("mlflow.prompt.text", "Hi {{name}}"),
            version_tag("c", "3"),
        ],
        description: "first".into(),
        ..NewModelVersion::default()
    };
    store.here().create_model_version(version).await.unwrap();
    store.here().set_model_version_tag("p", "1", "k", "v").await.unwrap();
    store.here().delete_model_version_tag("p", "1", "k").await.unwrap();
    store.here().set_registered_model_alias("p", "best", "1").await.unwrap();
    store.here().delete_registered_model_alias("p", "best").await.unwrap();

    let mut delivered = Vec::new();
    while let Some(delivery) = claim(store).await.pop() {
        let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        delivered.push((format!("{}.{}", text("entity"), text("action")), body["data"].to_string()));
        store.upkeep().delivered(&delivery).await.unwrap();
    }
    let expected = [
        ("registered_model.created", r#"{"description":"words","name":"m","tags":{"a":"1"}}"#),
        (
            "model_version.created",
            r#"{"description":null,"name":"m","run_id":"r","source":"s3://b/m","tags":{"a":"ü"},"version":"1"}"#,
        ),
        ("model_version_tag.set", r#"{"key":"k","name":"m","value":"v","version":"1"}"#),
        ("model_version_tag.deleted", r#"{"key":"k","name":"m","version":"1"}"#),
        ("model_version_alias.created", r#"{"alias":"best","name":"m","version":"1"}"#),
        ("model_version_alias.deleted", r#"{"alias":"best","name":"m"}"#),
        ("prompt.created", r#"{"description":"","name":"p","tags":{"a":"1"}}"#),
        ("prompt_tag.set", r#"{"key":"b","name":"p","value":"2"}"#),
        ("prompt_tag.deleted", r#"{"key":"b","name":"p"}"#),
        (
            "prompt_version.created",
            r#"{"description":"first","name":"p","tags":{"c":"3"},"template":"Hi {{name}}","version":"1"}"#,
        ),
        ("prompt_version_tag.set", r#"{"key":"k","name":"p","value":"v","version":"1"}"#),
        ("prompt_version_tag.deleted", r#"{"key":"k","name":"p","version":"1"}"#),
        ("prompt_alias.created", r#"{"alias":"best","name":"p","version":"1"}"#),
        ("prompt_alias.deleted", r#"{"alias":"best","name":"p"}"#),
    ];
    assert_eq!(delivered, expected.map(|(event, data)| (event.to_owned(), data.to_owned())));
}

on_each!(a_change_that_is_refused_is_not_told);
async fn a_change_that_is_refused_is_not_told(store: &Store) {
    store.here().create_webhook(NewWebhook { events: all_events(), ..new("all") }).await.unwrap();
    assert!(store.here().set_registered_model_alias("m", "best", "1").await.is_err());
    store.here().create_registered_model("m", "", &[]).await.unwrap();
    assert!(store.here().create_registered_model("m", "", &[]).await.is_err());
    assert!(store.here().set_model_version_tag("m", "7", "k", "v").await.is_err());
    let claimed = claim(store).await;
    assert_eq!(claimed.len(), 1);
    store.upkeep().delivered(&claimed[0]).await.unwrap();
    assert!(claim(store).await.is_empty());
}

on_each!(each_webhook_is_told_in_order_one_event_at_a_time);
async fn each_webhook_is_told_in_order_one_event_at_a_time(store: &Store) {
    let (a, b) = (create(store, "a").await, create(store, "b").await);
    for _ in 0..3 {
        happen(store).await;
    }
    let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..3 {
        let claimed = claim(store).await;
        assert_eq!(claimed.len(), 2, "the oldest of each");
        assert!(claim(store).await.is_empty(), "nothing behind it while it is on its way");
        for delivery in claimed {
            heard.entry(delivery.webhook_id.clone()).or_default().push(version(&delivery));
            store.upkeep().delivered(&delivery).await.unwrap();
        }
    }
    let in_order: Vec<String> = ["1", "2", "3"].map(str::to_owned).into();
    assert_eq!(heard, BTreeMap::from([(a, in_order.clone()), (b, in_order)]));
    assert!(claim(store).await.is_empty());
}

on_each!(two_servers_never_send_one_event_at_once_and_keep_the_order);
async fn two_servers_never_send_one_event_at_once_and_keep_the_order(uri: &BackendUri) {
    const EVENTS: usize = 20;
    let (one, other) = (support::open(uri).await, support::open(uri).await);
    for name in ["a", "b", "c"] {
        create(&one, name).await;
    }
    for _ in 0..EVENTS {
        happen(&one).await;
    }
    let heard = std::sync::Mutex::new(BTreeMap::<String, Vec<String>>::new());
    let sending = std::sync::Mutex::new(BTreeMap::<String, String>::new());
    let server = async |store: &Store| {
        while store.upkeep().waiting_deliveries().await.unwrap() > 0 {
            for delivery in store.upkeep().claim_deliveries(2, LEASE).await.unwrap() {
                let taken = sending.lock().unwrap().insert(delivery.webhook_id.clone(), version(&delivery));
                assert_eq!(taken, None, "another server is telling this webhook something");
                heard.lock().unwrap().entry(delivery.webhook_id.clone()).or_default().push(version(&delivery));
                tokio::task::yield_now().await;
                sending.lock().unwrap().remove(&delivery.webhook_id);
                store.upkeep().delivered(&delivery).await.unwrap();
            }
        }
    };
    tokio::join!(server(&one), server(&other), server(&one), server(&other));
    let in_order: Vec<String> = (1..=EVENTS).map(|number| number.to_string()).collect();
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard.len(), 3);
    assert!(heard.values().all(|versions| *versions == in_order), "{heard:?}");
}

on_each!(a_claim_ends_by_itself_and_the_late_server_changes_nothing);
async fn a_claim_ends_by_itself_and_the_late_server_changes_nothing(uri: &BackendUri) {
    let (dead, alive) = (support::open(uri).await, support::open(uri).await);
    create(&dead, "w").await;
    happen(&dead).await;
    let first = dead.upkeep().claim_deliveries(1, Duration::ZERO).await.unwrap().remove(0);
    let second = claim(&alive).await.remove(0);
    assert_eq!((second.delivery_id.as_str(), second.attempt), (first.delivery_id.as_str(), 2));
    dead.upkeep().give_up_delivery(&first, "late").await.unwrap();
    dead.upkeep().retry_delivery(&first, Duration::ZERO, "late").await.unwrap();
    dead.upkeep().postpone_delivery(&first, Duration::ZERO, None).await.unwrap();
    assert!(claim(&dead).await.is_empty(), "it is still on its way");
    alive.upkeep().delivered(&second).await.unwrap();
    assert_eq!(rows(&alive, "SELECT count(*) FROM ff_webhook_deliveries").await, [Value::Int(0)]);

    // A new event may get the id of the old one; a late acknowledgement must not delete it.
    happen(&alive).await;
    dead.upkeep().delivered(&first).await.unwrap();
    assert_eq!(version(&claim(&alive).await[0]), "2");
}

on_each!(a_failed_attempt_is_made_again_before_what_follows);
async fn a_failed_attempt_is_made_again_before_what_follows(store: &Store) {
    create(store, "w").await;
    happen(store).await;
    happen(store).await;
    let delivery = claim(store).await.remove(0);
    store.upkeep().retry_delivery(&delivery, LEASE, "refused").await.unwrap();
    assert!(claim(store).await.is_empty(), "neither the first, which waits, nor the second, which is behind it");
    let wait = store.upkeep().next_delivery().await.unwrap().unwrap();
    assert!(wait > LEASE / 2 && wait <= LEASE, "{wait:?}");

    assert_eq!(
        rows(store, "SELECT last_error FROM ff_webhook_deliveries WHERE attempts > 0").await,
        [Value::Text("refused".into())]
    );
    store.upkeep().postpone_delivery(&delivery, Duration::ZERO, None).await.unwrap();
    let again = claim(store).await.remove(0);
    assert_eq!((version(&again).as_str(), again.attempt), ("1", 1), "what is put off does not count");
    store.upkeep().give_up_delivery(&again, "gone").await.unwrap();
    assert_eq!(version(&claim(store).await[0]), "2");
    assert_eq!(
        rows(store, "SELECT last_error FROM ff_webhook_deliveries WHERE failed_at IS NOT NULL").await,
        [Value::Text("gone".into())]
    );
}

on_each!(what_waits_too_long_or_for_nobody_is_tidied_up);
async fn what_waits_too_long_or_for_nobody_is_tidied_up(store: &Store) {
    const AGES: Duration = Duration::from_secs(3600);
    let id = create(store, "w").await;
    happen(store).await;
    assert_eq!(store.upkeep().sweep_outbox(AGES, AGES).await.unwrap(), [0, 0, 0]);
    // The database's clock has to advance for rows to be older than now.
    while store.upkeep().sweep_outbox(Duration::ZERO, AGES).await.unwrap()[0] == 0 {}
    assert!(claim(store).await.is_empty());
    while store.upkeep().sweep_outbox(AGES, Duration::ZERO).await.unwrap()[1] == 0 {}
    assert_eq!(rows(store, "SELECT count(*) FROM ff_webhook_deliveries").await, [Value::Int(0)]);

    happen(store).await;
    let disabled = WebhookChange { status: Some(WebhookStatus::Disabled), ..WebhookChange::default() };
    store.here().update_webhook(&id, disabled).await.unwrap();
    assert_eq!(store.upkeep().waiting_deliveries().await.unwrap(), 0, "a disabled webhook has no pending deliveries");

    let active = WebhookChange { status: Some(WebhookStatus::Active), ..WebhookChange::default() };
    store.here().update_webhook(&id, active).await.unwrap();
    happen(store).await;
    let by_another_server = Statement::unscoped(Upkeep::Test, "UPDATE webhooks SET deleted_timestamp = 1", Vec::new());
    store.db().unit(vec![ferroflow_store::db::Op::Execute(by_another_server)]).await.unwrap();
    assert!(claim(store).await.is_empty());
    assert_eq!(store.upkeep().sweep_outbox(AGES, AGES).await.unwrap(), [0, 0, 1]);
}

on_each!(our_own_tables_go_with_one_call_and_come_back);
async fn our_own_tables_go_with_one_call_and_come_back(store: &Store) {
    create(store, "w").await;
    happen(store).await;
    assert_eq!(
        own::drop_all(store.db()).await.unwrap(),
        [
            "ff_webhook_deliveries",
            "ff_assessments_number",
            "ff_assessments_value",
            "ff_evaluation_dataset_records_page",
            "ff_experiment_tags_experiment",
            "ff_experiments_page",
            "ff_logged_model_metrics_value",
            "ff_logged_model_params_value",
            "ff_logged_model_tags_value",
            "ff_logged_models_name",
            "ff_logged_models_page",
            "ff_model_versions_of_model",
            "ff_model_versions_page",
            "ff_model_versions_run",
            "ff_model_versions_stage",
            "ff_params_value",
            "ff_registered_model_tags_value",
            "ff_registered_models_page",
            "ff_runs_page",
            "ff_spans_name",
            "ff_tags_value",
            "ff_trace_info_client_request_id",
            "ff_trace_info_execution_time",
            "ff_trace_info_name",
            "ff_trace_info_status",
            "ff_trace_request_metadata_value",
            "ff_trace_tags_value",
            "ff_webhook_deliveries_failed",
            "ff_webhook_deliveries_waiting"
        ]
    );
    assert_eq!(own::drop_all(store.db()).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.here().list_webhooks(0, None).await.unwrap().0.len(), 1, "the reference's tables stay");
    assert!(store.upkeep().waiting_deliveries().await.is_err());
    happen(store).await;
    assert_eq!(version(&claim(store).await[0]), "2");
}
