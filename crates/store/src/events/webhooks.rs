//! Webhooks: subscriptions to events in the registry.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    messages::webhooks::{Webhook, WebhookStatus},
    validation,
    webhook::EventType,
    wire::Enum as _,
};
use ferroflow_search::PageToken;

use crate::{
    Scoped, Store,
    db::{Child, Conn, DbError, Insert, Row, Statement, Tx, Value, clock::now_ms, text},
    events::fernet::FernetKey,
    query::select::{KeyKind, Select},
    statements::statements,
    workspace::Workspace,
};

/// The environment variable with the key that secrets are encrypted with; the reference's name for it.
pub const KEY_VARIABLE: &str = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY";

const COLUMNS: &str = "w.webhook_id, w.name, w.description, w.url, w.status, w.creation_timestamp, \
                       w.last_updated_timestamp";
const COLUMN_COUNT: usize = 7;

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, ", w.secret FROM webhooks w \
         WHERE w.webhook_id = $1 AND {ws:w} AND w.deleted_timestamp IS NULL";
    static EVENTS: Child =
        "SELECT webhook_id, entity, action FROM webhook_events WHERE webhook_id {in $1} ORDER BY entity, action";
    static INSERT: Workspace =
        "INSERT INTO webhooks (webhook_id, name, description, url, status, secret, creation_timestamp, \
         last_updated_timestamp, workspace) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, {ws})";
    /// NULL keeps the value.
    static UPDATE: Workspace =
        "UPDATE webhooks AS w SET name = COALESCE($2, name), description = COALESCE($3, description), \
         url = COALESCE($4, url), status = COALESCE($5, status), last_updated_timestamp = $6 \
         WHERE w.webhook_id = $1 AND {ws:w} AND w.deleted_timestamp IS NULL";
    static SET_SECRET: Workspace = "UPDATE webhooks AS w SET secret = $2 WHERE w.webhook_id = $1 AND {ws:w}";
    static DELETE_EVENTS: Child = "DELETE FROM webhook_events WHERE webhook_id = $1";
    static DELETE: Workspace =
        "UPDATE webhooks AS w SET deleted_timestamp = $2, last_updated_timestamp = $2 \
         WHERE w.webhook_id = $1 AND {ws:w} AND w.deleted_timestamp IS NULL";
}

/// A new webhook. Its name and URL are already validated.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its name; need not be unique.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// The events it is subscribed to.
    pub events: Vec<EventType>,
    /// The description.
    pub description: Option<String>,
    /// The secret that its messages are signed with.
    pub secret: Option<String>,
    /// The status; active by default.
    pub status: Option<WebhookStatus>,
}

/// Changes to a webhook; `None` keeps the value.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// The new name, already validated.
    pub name: Option<String>,
    /// The new URL, already validated.
    pub url: Option<String>,
    /// The new events, replacing all others.
    pub events: Option<Vec<EventType>>,
    /// The new description.
    pub description: Option<String>,
    /// The new secret; empty removes it.
    pub secret: Option<String>,
    /// The new status.
    pub status: Option<WebhookStatus>,
}

impl Store {
    /// Sets the key that secrets are encrypted with.
    #[must_use]
    pub fn with_webhook_key(self, key: Option<FernetKey>) -> Self {
        Self { webhook_key: key, ..self }
    }

    /// Encrypts a secret. Without a configured key it could not be decrypted after a restart or by another replica.
    fn encrypt(&self, secret: &str) -> Result<String> {
        let key = self.webhook_key.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "A webhook can only have a secret when the server is started with the environment variable \
                 {KEY_VARIABLE}, which holds the key that secrets are encrypted with in the database: 32 random bytes \
                 in URL-safe base64, the same for all servers of this database."
            ))
        })?;
        Ok(key.encrypt(secret))
    }

    pub(crate) fn decrypt(&self, token: Option<&str>) -> Result<Option<String>> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        let Some(key) = &self.webhook_key else {
            return Err(Error::invalid_state(format!(
                "the webhook's secret is encrypted, and {KEY_VARIABLE} is not set on the server"
            )));
        };
        let secret = key.decrypt(token).ok_or_else(|| {
            Error::invalid_state(format!("the webhook's secret was encrypted with another {KEY_VARIABLE}"))
        })?;
        Ok(Some(secret).filter(|secret| !secret.is_empty()))
    }
}

impl Scoped<'_> {
    /// Creates a webhook.
    ///
    /// # Errors
    /// `events` is empty, the outbox's table is missing, or there is no key to encrypt the secret with.
    pub async fn create_webhook(&self, new: NewWebhook) -> Result<Webhook> {
        check_events(&new.events)?;
        if !self.store.outbox.is_ready() {
            return Err(Error::unavailable(
                "Webhooks are not available: the server's database user may not create the table of the outbox.",
            ));
        }
        let secret = new.secret.as_deref().map(|secret| self.store.encrypt(secret)).transpose()?;
        let id = uuid::Uuid::new_v4().to_string();
        let status = new.status.unwrap_or(WebhookStatus::Active);
        let values: Vec<Value> = vec![
            id.as_str().into(),
            new.name.into(),
            new.description.into(),
            new.url.into(),
            status.name().into(),
            secret.into(),
            now_ms().into(),
        ];
        let (values, id, events) = (&values, id.as_str(), &new.events);
        self.creating(|tx, _| async move {
            tx.execute(Statement::within(self.workspace, &INSERT, values.clone())).await?;
            insert_events(&tx, id, events).await?;
            self.webhook(&tx, id).await
        })
        .await
    }

    /// One webhook.
    ///
    /// # Errors
    /// No webhook has the id.
    pub async fn get_webhook(&self, webhook_id: &str) -> Result<Webhook> {
        let conn = self.store.db.reader().await?;
        let found =
            conn.query_opt(Statement::within(self.workspace, &BY_ID, vec![webhook_id.into()]), from_row).await?;
        let mut webhook = found.ok_or_else(|| no_webhook(webhook_id))?;
        load_events(&conn, std::slice::from_mut(&mut webhook)).await?;
        Ok(webhook)
    }

    /// The secret that the messages of a webhook are signed with, if it has one.
    ///
    /// # Errors
    /// No webhook has the id, or the secret cannot be decrypted.
    pub async fn webhook_secret(&self, webhook_id: &str) -> Result<Option<String>> {
        let statement = Statement::within(self.workspace, &BY_ID, vec![webhook_id.into()]);
        let found = self.store.db.query(statement, |row| row.get::<Option<String>>(7)).await?;
        self.store.decrypt(found.into_iter().next().ok_or_else(|| no_webhook(webhook_id))?.as_deref())
    }

    /// A page of webhooks, newest first, and the token of the next page.
    ///
    /// # Errors
    /// The page size or the token is not valid.
    pub async fn list_webhooks(
        &self,
        max_results: i32,
        page_token: Option<&str>,
    ) -> Result<(Vec<Webhook>, Option<String>)> {
        let max = validation::webhook_page_size(max_results)?;
        let query = self.workspace.list();
        let token = PageToken::decode_of(page_token.unwrap_or_default(), query)?;
        let mut select = Select::new(self.workspace, "webhooks", "w");
        select.of_query(query);
        select.filter("w.deleted_timestamp IS NULL".to_owned());
        select.order_by("COALESCE(w.creation_timestamp, 0)", true, KeyKind::Int);
        select.order_by("w.webhook_id", false, KeyKind::Text);
        let page = select.page(COLUMNS, max.into(), token)?;
        let conn = self.store.db.reader().await?;
        let (mut webhooks, next) = page.read(&conn, COLUMN_COUNT, from_row).await?.finish();
        load_events(&conn, &mut webhooks).await?;
        Ok((webhooks, next))
    }

    /// Changes a webhook. Disabling it deletes its pending events.
    ///
    /// # Errors
    /// No webhook has the id, `events` is empty, or there is no key to encrypt the secret with.
    pub async fn update_webhook(&self, webhook_id: &str, change: WebhookChange) -> Result<Webhook> {
        if let Some(events) = &change.events {
            check_events(events)?;
        }
        let values: Vec<Value> = vec![
            webhook_id.into(),
            change.name.clone().into(),
            change.description.clone().into(),
            change.url.clone().into(),
            change.status.map(WebhookStatus::name).into(),
            now_ms().into(),
        ];
        let (values, change) = (&values, &change);
        self.store
            .db
            .transaction(|tx| async move {
                if tx.execute(Statement::within(self.workspace, &UPDATE, values.clone())).await? == 0 {
                    return Err(no_webhook(webhook_id));
                }
                if let Some(secret) = &change.secret {
                    let token = if secret.is_empty() { None } else { Some(self.store.encrypt(secret)?) };
                    tx.execute(Statement::within(self.workspace, &SET_SECRET, vec![webhook_id.into(), token.into()]))
                        .await?;
                }
                if let Some(events) = &change.events {
                    tx.execute(Statement::new(&DELETE_EVENTS, vec![webhook_id.into()])).await?;
                    insert_events(&tx, webhook_id, events).await?;
                }
                if change.status == Some(WebhookStatus::Disabled) {
                    self.discard_deliveries(&tx, webhook_id).await?;
                }
                self.webhook(&tx, webhook_id).await
            })
            .await
    }

    /// Soft-deletes a webhook, as the reference does, and deletes its pending events.
    ///
    /// # Errors
    /// No webhook has the id.
    pub async fn delete_webhook(&self, webhook_id: &str) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                if tx
                    .execute(Statement::within(self.workspace, &DELETE, vec![webhook_id.into(), now_ms().into()]))
                    .await?
                    == 0
                {
                    return Err(no_webhook(webhook_id));
                }
                Ok(self.discard_deliveries(&tx, webhook_id).await?)
            })
            .await
    }

    /// Reads a webhook within a transaction.
    async fn webhook(&self, tx: &Tx, webhook_id: &str) -> Result<Webhook> {
        let found = tx.query_opt(Statement::within(self.workspace, &BY_ID, vec![webhook_id.into()]), from_row).await?;
        let mut webhook = found.ok_or_else(|| no_webhook(webhook_id))?;
        let events = tx.query(events_of(vec![webhook_id.to_owned()]), event_from_row).await?;
        webhook.events = events.into_iter().filter_map(|(_, event)| Some(event?.to_message())).collect();
        Ok(webhook)
    }
}

fn events_of(ids: Vec<String>) -> Statement {
    Statement::new(&EVENTS, vec![ids.into()])
}

async fn load_events(conn: &Conn, webhooks: &mut [Webhook]) -> Result<(), DbError> {
    if webhooks.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = webhooks.iter().map(|webhook| webhook.webhook_id().to_owned()).collect();
    let mut events: HashMap<String, Vec<_>> = HashMap::new();
    for (id, event) in conn.query(events_of(ids), event_from_row).await? {
        events.entry(id).or_default().extend(event.map(EventType::to_message));
    }
    for webhook in webhooks {
        webhook.events = events.remove(webhook.webhook_id()).unwrap_or_default();
    }
    Ok(())
}

fn check_events(events: &[EventType]) -> Result<()> {
    if events.is_empty() {
        return Err(Error::invalid("Webhook events must be a non-empty list of WebhookEvent objects: []."));
    }
    Ok(())
}

async fn insert_events(tx: &Tx, webhook_id: &str, events: &[EventType]) -> Result<(), DbError> {
    let mut rows: Vec<(String, String)> = events.iter().map(|event| (event.entity(), event.action())).collect();
    rows.sort();
    rows.dedup();
    let rows = rows.into_iter().map(|(entity, action)| vec![webhook_id.into(), entity.into(), action.into()]).collect();
    let columns = &const { [text("webhook_id"), text("entity"), text("action")] };
    tx.insert(Insert { table: "webhook_events", columns, only_if: None, on_conflict: "", rows }).await?;
    Ok(())
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<Webhook, DbError> {
    Ok(Webhook {
        webhook_id: row.get(0)?,
        name: row.get(1)?,
        description: row.get::<Option<String>>(2)?.filter(|description| !description.is_empty()),
        url: row.get(3)?,
        status: row.opt_str(4)?.and_then(WebhookStatus::from_name),
        creation_timestamp: row.get(5)?,
        last_updated_timestamp: row.get(6)?,
        ..Webhook::default()
    })
}

/// Events that this server does not know are omitted.
fn event_from_row(row: &Row<'_>) -> Result<(String, Option<EventType>), DbError> {
    Ok((row.get(0)?, EventType::from_stored(&row.get::<String>(1)?, &row.get::<String>(2)?)))
}

fn no_webhook(webhook_id: &str) -> Error {
    Error::not_found(format!("Webhook with ID {webhook_id} not found."))
}
