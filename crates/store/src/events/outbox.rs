//! The outbox: webhook events from the change that caused them until they are delivered (transactional outbox).
//!
//! An event is one row per active webhook that is subscribed to it, written in the transaction of its change. Any
//! replica may deliver it: [`Unscoped::claim_deliveries`] leases a row to one replica, and only the oldest row of a
//! webhook, so that each webhook gets its events in the order of the changes. A delivered row is deleted; one that
//! cannot be delivered is kept for a while with the last error.
//!
//! `due_at` is when a row may be claimed: after a claim, when the lease expires; after a failed attempt, the time of
//! the next one. Times are the database's, so that clocks of replicas need not agree.

pub(crate) mod statements;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferroflow_model::{
    Error, Result, clock,
    webhook::{Event, Registry},
};
use tokio::sync::Notify;

use crate::{
    Scoped, Unscoped,
    db::{Db, DbError, Op, Sql, Statement, Tx, Value, clock::now_ms},
    schema::own,
    workspace::Workspace,
};

/// The state of the outbox in this process.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whether the table has existed.
    ready: AtomicBool,
    /// Notified when this process has added an event.
    filled: Arc<Notify>,
}

impl Outbox {
    /// Creates the table. If that is not permitted, the server works without webhooks.
    pub(crate) async fn open(db: &Db) -> Result<Self, DbError> {
        let outbox = Self::default();
        match outbox.prepare(db).await {
            Ok(()) => {}
            // The table may exist: going on without it would lose events.
            Err(error @ (DbError::Unavailable(_) | DbError::NotBegun(_) | DbError::Conflict(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "webhooks receive no events: the table {} cannot be created", own::OUTBOX);
            }
        }
        Ok(outbox)
    }

    /// Creates the table if it is missing. Once it has existed, changes fail without it.
    async fn prepare(&self, db: &Db) -> Result<(), DbError> {
        own::prepare(db).await?;
        self.ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// An event leased to this replica for delivery to one webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    id: i64,
    /// The same for all attempts.
    pub delivery_id: String,
    /// The webhook.
    pub webhook_id: String,
    /// The JSON body to send.
    pub body: String,
    /// Number of this attempt, starting at 1.
    pub attempt: i64,
    /// The webhook's URL; `None` if the webhook is deleted.
    pub url: Option<String>,
    secret: Option<String>,
}

impl Scoped<'_> {
    /// Enqueues an event in the transaction of the change that caused it, in the round trip of its commit. Nothing is
    /// written unless an active webhook is subscribed to such events; otherwise the commit wakes the delivery task.
    pub(crate) fn enqueue(&self, tx: &Tx, event: &Event) {
        let values = vec![
            event.kind().entity().into(),
            event.kind().action().into(),
            event.body(clock::unix_micros(), self.workspace.parameter().map(AsRef::as_ref)).into(),
            now_ms().into(),
        ];
        self.put(tx, &statements::ENQUEUE, values);
    }

    /// Enqueues one of two events with the same action: `event(Registry::Prompt)` if the registered model is a prompt
    /// after the change, else `event(Registry::Model)`. `None` if that registry has no such event.
    pub(crate) fn enqueue_of(&self, tx: &Tx, name: &str, event: impl Fn(Registry) -> Option<Event>) {
        let (model, prompt) = (event(Registry::Model), event(Registry::Prompt));
        let Some(action) = prompt.as_ref().or(model.as_ref()).map(|event| event.kind().action()) else { return };
        let (micros, workspace) = (clock::unix_micros(), self.workspace.parameter().map(AsRef::as_ref));
        let mut values = vec![name.into()];
        for event in [model, prompt] {
            values.push(event.as_ref().map_or_else(String::new, |event| event.kind().entity()).into());
            values.push(event.map_or_else(String::new, |event| event.body(micros, workspace)).into());
        }
        values.extend([action.into(), now_ms().into()]);
        self.put(tx, &statements::ENQUEUE_EITHER, values);
    }

    fn put(&self, tx: &Tx, sql: &'static Sql<Workspace>, values: Vec<Value>) {
        if self.store.outbox.is_ready() {
            let statement = Statement::within(self.workspace, sql, values);
            tx.before_commit(Op::Execute(statement), &self.store.outbox.filled);
        }
    }

    /// Deletes the pending events of a webhook, in the transaction that disables or deletes it.
    pub(crate) async fn discard_deliveries(&self, tx: &Tx, webhook_id: &str) -> Result<(), DbError> {
        if self.store.outbox.is_ready() {
            tx.execute(Statement::new(&statements::DISCARD_OF, vec![webhook_id.into()])).await?;
        }
        Ok(())
    }
}

impl Unscoped<'_> {
    /// Completes when this process has enqueued an event since the last call.
    pub async fn outbox_filled(&self) {
        self.store.outbox.filled.notified().await;
    }

    /// Number of pending events, at most 10,000. Creates the table if it is missing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn waiting_deliveries(&self) -> Result<u64> {
        if !self.store.outbox.is_ready() {
            self.store.outbox.prepare(&self.store.db).await?;
        }
        match self.store.db.query(Statement::new(&statements::WAITING, Vec::new()), |row| row.get::<i64>(0)).await {
            Ok(count) => Ok(count.first().and_then(|count| u64::try_from(*count).ok()).unwrap_or(0)),
            Err(error) => {
                // The table may have been dropped.
                self.store.outbox.prepare(&self.store.db).await?;
                Err(error.into())
            }
        }
    }

    /// Leases up to `limit` due events for the duration of `lease`, each the oldest of its webhook. No other replica
    /// gets them meanwhile.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_deliveries(&self, limit: usize, lease: Duration) -> Result<Vec<Delivery>> {
        let values = vec![ms(lease), i64::try_from(limit).unwrap_or(i64::MAX).into()];
        let claim = Statement::new(&statements::CLAIM, values);
        let answer = self.store.db.unit(vec![Op::Query(claim)]).await?.into_iter().next().unwrap_or_default();
        answer
            .into_iter()
            .map(|row| delivery(row).ok_or_else(|| Error::internal("A delivery cannot be read.")))
            .collect()
    }

    /// Time until the next event is due; `None` if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_delivery(&self) -> Result<Option<Duration>> {
        let wait = self
            .store
            .db
            .query(Statement::new(&statements::NEXT_DUE, Vec::new()), |row| row.get::<Option<i64>>(0))
            .await?;
        Ok(wait.into_iter().next().flatten().map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0))))
    }

    /// The secret that a delivery is signed with, if its webhook has one.
    ///
    /// # Errors
    /// It cannot be decrypted: there is no key, or it was encrypted with another one.
    pub fn secret_of(&self, delivery: &Delivery) -> Result<Option<String>> {
        self.store.decrypt(delivery.secret.as_deref())
    }

    /// Records that the event was delivered and deletes it.
    ///
    /// # Errors
    /// The database failed; the event will be delivered again.
    pub async fn delivered(&self, delivery: &Delivery) -> Result<()> {
        let values = vec![delivery.id.into(), delivery.delivery_id.as_str().into()];
        self.record_outcome(Statement::new(&statements::DELIVERED, values)).await
    }

    /// Records that the attempt failed; the next one is due after `wait`.
    ///
    /// # Errors
    /// The database failed; the lease expires.
    pub async fn retry_delivery(&self, delivery: &Delivery, wait: Duration, error: &str) -> Result<()> {
        let mut values = delivery.claim();
        values.extend([ms(wait), error.into()]);
        self.record_outcome(Statement::new(&statements::RETRY, values)).await
    }

    /// Releases the event without counting the attempt; it is due again after `wait`.
    ///
    /// # Errors
    /// The database failed; the lease expires.
    pub async fn postpone_delivery(&self, delivery: &Delivery, wait: Duration, reason: Option<&str>) -> Result<()> {
        let mut values = delivery.claim();
        values.extend([ms(wait), reason.into()]);
        self.record_outcome(Statement::new(&statements::POSTPONE, values)).await
    }

    /// Records that delivery is abandoned. The row is kept for inspection.
    ///
    /// # Errors
    /// The database failed; the lease expires.
    pub async fn give_up_delivery(&self, delivery: &Delivery, error: &str) -> Result<()> {
        let mut values = delivery.claim();
        values.push(error.into());
        self.record_outcome(Statement::new(&statements::GIVE_UP, values)).await
    }

    /// Abandons events older than `max_age`, deletes abandoned ones after `retention`, and deletes those of disabled or
    /// deleted webhooks. Returns the number of each.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sweep_outbox(&self, max_age: Duration, retention: Duration) -> Result<[u64; 3]> {
        let ops = vec![
            Op::Execute(Statement::new(&statements::EXPIRE, vec![ms(max_age)])),
            Op::Execute(Statement::new(&statements::DELETE_FAILED, vec![ms(retention)])),
            Op::Execute(Statement::new(&statements::DISCARD, Vec::new())),
        ];
        let answers = self.store.db.unit(ops).await?;
        let mut counts = [0; 3];
        for (count, answer) in counts.iter_mut().zip(&answers) {
            if let [[Value::Int(changed)]] = answer.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
                *count = u64::try_from(*changed).unwrap_or(0);
            }
        }
        Ok(counts)
    }

    async fn record_outcome(&self, statement: Statement) -> Result<()> {
        self.store.db.unit(vec![Op::Execute(statement)]).await?;
        Ok(())
    }
}

impl Delivery {
    /// Identifies the claim: a later claim of the same row has another attempt number, until it is postponed.
    fn claim(&self) -> Vec<Value> {
        vec![self.id.into(), self.delivery_id.as_str().into(), self.attempt.into()]
    }
}

fn ms(duration: Duration) -> Value {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4).into()
}

fn delivery(row: Vec<Value>) -> Option<Delivery> {
    let text = |value: Value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let [id, delivery_id, webhook_id, body, attempt, url, secret] = <[Value; 7]>::try_from(row).ok()?;
    let (Value::Int(id), Value::Int(attempt)) = (id, attempt) else { return None };
    Some(Delivery {
        id,
        delivery_id: text(delivery_id)?,
        webhook_id: text(webhook_id)?,
        body: text(body)?,
        attempt,
        url: text(url),
        secret: text(secret),
    })
}
