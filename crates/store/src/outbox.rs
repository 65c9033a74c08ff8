//! The outbox: events that webhooks are to be told of, from the change that caused them until they are
//! delivered.
//!
//! An event is a row that is written in the transaction of its change, one for each active webhook that
//! asked for it. Any server may deliver it: [`Store::claim_deliveries`] gives a row to one server for a
//! limited time, and only the oldest row of a webhook, so that each webhook is told in the order of the
//! changes. A row that was delivered is deleted; one that can not be delivered is kept for a while with
//! what went wrong.
//!
//! `due_at` is when a row may be claimed: after a claim, the moment at which the claim ends; after a
//! failed attempt, the moment of the next one. Times are the database's, so that servers need not agree.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ferroflow_model::{Error, Result, webhook::Event};
use tokio::sync::Notify;

use crate::{
    Store,
    clock::now_ms,
    db::{Db, DbError, Op, Statement, Tx, Value},
    schema::own,
};

/// The present, in milliseconds since 1970.
macro_rules! now {
    (postgres) => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
    (sqlite) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

/// Webhooks `w` that are told of what happens.
macro_rules! active {
    () => {
        "w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL AND w.workspace = 'default'"
    };
}

/// The first waiting row of each webhook that is told of what happens.
macro_rules! heads {
    () => {
        concat!(
            "SELECT (SELECT h.id FROM ff_webhook_deliveries h WHERE h.webhook_id = w.webhook_id \
             AND h.failed_at IS NULL ORDER BY h.id LIMIT 1) AS id FROM webhooks w WHERE ",
            active!()
        )
    };
}

macro_rules! enqueue {
    ($uuid:literal) => {
        concat!(
            "INSERT INTO ff_webhook_deliveries (delivery_id, webhook_id, entity, action, body, created_at) SELECT ",
            $uuid,
            ", w.webhook_id, e.entity, e.action, $3, CAST($4 AS BIGINT) FROM webhook_events e \
             JOIN webhooks w ON w.webhook_id = e.webhook_id WHERE e.entity = $1 AND e.action = $2 AND ",
            active!()
        )
    };
}

/// Each row has an id of its own, which the receiver may use to recognise what it has seen.
const ENQUEUE: (&str, &str) = (
    enqueue!("CAST(gen_random_uuid() AS TEXT)"),
    enqueue!(
        "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || \
         substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
    ),
);

macro_rules! claim {
    ($now:expr, $open:literal, $lock:literal, $close:literal) => {
        concat!(
            "UPDATE ff_webhook_deliveries SET attempts = attempts + 1, due_at = ",
            $now,
            " + CAST($1 AS BIGINT) WHERE id ",
            $open,
            "SELECT o.id FROM (",
            heads!(),
            ") AS head JOIN ff_webhook_deliveries o ON o.id = head.id WHERE o.failed_at IS NULL AND o.due_at <= ",
            $now,
            " ORDER BY o.id LIMIT $2",
            $lock,
            $close,
            " RETURNING id, delivery_id, webhook_id, body, attempts, \
             (SELECT w.url FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id), \
             (SELECT w.secret FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id)"
        )
    };
}

/// A head that another server has locked is passed over, and with it its webhook: nobody else takes the
/// row behind it. The array is made once, however the update is planned.
const CLAIM: (&str, &str) = (
    claim!(now!(postgres), "= ANY(ARRAY(", " FOR UPDATE OF o SKIP LOCKED", "))"),
    claim!(now!(sqlite), "IN (", "", ")"),
);

macro_rules! next_due {
    ($now:expr) => {
        concat!(
            "SELECT min(o.due_at) - ",
            $now,
            " FROM (",
            heads!(),
            ") AS head JOIN ff_webhook_deliveries o ON o.id = head.id"
        )
    };
}

const NEXT_DUE: (&str, &str) = (next_due!(now!(postgres)), next_due!(now!(sqlite)));

const WAITING: &str =
    "SELECT count(*) FROM (SELECT 1 FROM ff_webhook_deliveries WHERE failed_at IS NULL LIMIT 10000) AS waiting";

/// Also when the claim has ended meanwhile: what was delivered was delivered.
const DELIVERED: &str = "DELETE FROM ff_webhook_deliveries WHERE id = $1 AND delivery_id = $2";

macro_rules! held {
    ($set:expr) => {
        concat!("UPDATE ff_webhook_deliveries SET ", $set, " WHERE id = $1 AND delivery_id = $2 AND attempts = $3")
    };
}

macro_rules! retry {
    ($now:expr) => {
        held!(concat!("due_at = ", $now, " + CAST($4 AS BIGINT), last_error = $5"))
    };
}

const RETRY: (&str, &str) = (retry!(now!(postgres)), retry!(now!(sqlite)));

macro_rules! postpone {
    ($now:expr) => {
        held!(concat!("attempts = attempts - 1, due_at = ", $now, " + CAST($4 AS BIGINT), last_error = $5"))
    };
}

const POSTPONE: (&str, &str) = (postpone!(now!(postgres)), postpone!(now!(sqlite)));

macro_rules! give_up {
    ($now:expr) => {
        held!(concat!("failed_at = ", $now, ", last_error = $4"))
    };
}

const GIVE_UP: (&str, &str) = (give_up!(now!(postgres)), give_up!(now!(sqlite)));

macro_rules! expire {
    ($now:expr) => {
        concat!(
            "UPDATE ff_webhook_deliveries SET failed_at = ",
            $now,
            ", last_error = COALESCE('gave up after too long: ' || last_error, 'gave up after too long') \
             WHERE failed_at IS NULL AND due_at <= ",
            $now,
            " AND created_at < ",
            $now,
            " - CAST($1 AS BIGINT)"
        )
    };
}

/// A row that is being delivered is left alone.
const EXPIRE: (&str, &str) = (expire!(now!(postgres)), expire!(now!(sqlite)));

macro_rules! forget {
    ($now:expr) => {
        concat!("DELETE FROM ff_webhook_deliveries WHERE failed_at < ", $now, " - CAST($1 AS BIGINT)")
    };
}

const FORGET: (&str, &str) = (forget!(now!(postgres)), forget!(now!(sqlite)));

/// Another server may have disabled or deleted a webhook and left its rows.
const DISCARD: &str = concat!(
    "DELETE FROM ff_webhook_deliveries WHERE failed_at IS NULL AND NOT EXISTS \
     (SELECT 1 FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id AND ",
    active!(),
    ")"
);

const DISCARD_OF: &str = "DELETE FROM ff_webhook_deliveries WHERE webhook_id = $1 AND failed_at IS NULL";

/// What this process knows of the outbox.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whether its table is there.
    ready: AtomicBool,
    /// Something was put in by this process.
    filled: Notify,
}

/// How many webhooks will be told of an event, once the transaction is committed.
#[must_use = "after the commit, `Store::deliver` sends it without delay"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enqueued(u64);

impl Enqueued {
    /// From the answer of [`Outbox::enqueueing`].
    pub(crate) fn from_answer(answer: &[Vec<Value>]) -> Self {
        match answer {
            [row] => match row.as_slice() {
                [Value::Int(count)] => Self(u64::try_from(*count).unwrap_or(0)),
                _ => Self(0),
            },
            _ => Self(0),
        }
    }
}

impl Outbox {
    /// Makes the table. Where that is not allowed the server serves everything but webhooks.
    pub(crate) async fn open(db: &Db) -> Arc<Self> {
        let outbox = Arc::new(Self::default());
        outbox.prepare(db).await;
        outbox
    }

    async fn prepare(&self, db: &Db) {
        match own::prepare(db).await {
            Ok(()) => self.ready.store(true, Ordering::Relaxed),
            Err(error) => {
                self.ready.store(false, Ordering::Relaxed);
                tracing::warn!(%error, "webhooks are not told of anything: the table {} is not there", own::OUTBOX);
            }
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// The statement that puts an event in, for a transaction that also makes the change; `None` where there
    /// is no outbox. Nothing is written unless an active webhook asked for such events.
    pub(crate) fn enqueueing(&self, db: &Db, event: &Event) -> Option<Op> {
        if !self.is_ready() {
            return None;
        }
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        let values = vec![
            event.kind().entity().into(),
            event.kind().action().into(),
            event.body(micros).into(),
            now_ms().into(),
        ];
        Some(Op::Execute(Statement::new(db.dialect().pick(ENQUEUE.0, ENQUEUE.1), values)))
    }
}

/// An event that this server has to deliver to one webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    id: i64,
    /// The same for every attempt.
    pub delivery_id: String,
    /// To whom.
    pub webhook_id: String,
    /// The JSON to send.
    pub body: String,
    /// Which attempt this is, counted from 1.
    pub attempt: i64,
    /// Where to. None when the webhook is gone.
    pub url: Option<String>,
    secret: Option<String>,
}

impl Store {
    /// Puts an event into the outbox, in the transaction of the change that it tells of. When that is
    /// committed, [`Store::deliver`] sends it.
    pub(crate) async fn enqueue(&self, tx: &Tx, event: &Event) -> Result<Enqueued, DbError> {
        match self.outbox.enqueueing(&self.db, event) {
            Some(Op::Execute(statement)) => tx.execute(statement).await.map(Enqueued),
            _ => Ok(Enqueued(0)),
        }
    }

    /// Puts an event into the outbox that belongs to no change of the database.
    ///
    /// # Errors
    /// The database failed.
    pub async fn announce(&self, event: &Event) -> Result<()> {
        let tx = self.db.begin().await?;
        let enqueued = self.enqueue(&tx, event).await?;
        tx.commit().await?;
        self.deliver(enqueued);
        Ok(())
    }

    /// Wakes whoever delivers, after the commit.
    pub(crate) fn deliver(&self, enqueued: Enqueued) {
        if enqueued.0 > 0 {
            self.outbox.filled.notify_one();
        }
    }

    /// Completes when this process has put something into the outbox since it was last asked.
    pub async fn outbox_filled(&self) {
        self.outbox.filled.notified().await;
    }

    /// How many events wait, 10,000 at the most. Makes the table where it is missing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn waiting_deliveries(&self) -> Result<u64> {
        if !self.outbox.is_ready() {
            self.outbox.prepare(&self.db).await;
            return Ok(0);
        }
        match self.db.query(Statement::new(WAITING, Vec::new()), |row| row.get::<i64>(0)).await {
            Ok(count) => Ok(count.first().and_then(|count| u64::try_from(*count).ok()).unwrap_or(0)),
            Err(error) => {
                // It may have been dropped.
                self.outbox.prepare(&self.db).await;
                Err(error.into())
            }
        }
    }

    /// Takes up to `limit` events that are due, each the oldest of its webhook, for the time of `lease`:
    /// until then nobody else gets them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn claim_deliveries(&self, limit: usize, lease: Duration) -> Result<Vec<Delivery>> {
        let values = vec![ms(lease), i64::try_from(limit).unwrap_or(i64::MAX).into()];
        let claim = Statement::new(self.db.dialect().pick(CLAIM.0, CLAIM.1), values);
        let answer = self.db.unit(vec![Op::Query(claim)]).await?.into_iter().next().unwrap_or_default();
        answer
            .into_iter()
            .map(|row| delivery(row).ok_or_else(|| Error::internal("A delivery can not be read.")))
            .collect()
    }

    /// How long until the next event is due; `None` when nothing waits.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_delivery(&self) -> Result<Option<Duration>> {
        let sql = self.db.dialect().pick(NEXT_DUE.0, NEXT_DUE.1);
        let wait = self.db.query(Statement::new(sql, Vec::new()), |row| row.get::<Option<i64>>(0)).await?;
        Ok(wait.into_iter().next().flatten().map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0))))
    }

    /// The secret that a delivery is signed with, if its webhook has one.
    ///
    /// # Errors
    /// It can not be decrypted: there is no key, or another one than it was encrypted with.
    pub fn secret_of(&self, delivery: &Delivery) -> Result<Option<String>> {
        self.decrypt(delivery.secret.as_deref())
    }

    /// The event was delivered: it leaves the outbox.
    ///
    /// # Errors
    /// The database failed; the event will be delivered again.
    pub async fn delivered(&self, delivery: &Delivery) -> Result<()> {
        let values = vec![delivery.id.into(), delivery.delivery_id.as_str().into()];
        self.settle(Statement::new(DELIVERED, values)).await
    }

    /// The attempt failed; the next one is due after `wait`.
    ///
    /// # Errors
    /// The database failed; the claim ends by itself.
    pub async fn retry_delivery(&self, delivery: &Delivery, wait: Duration, error: &str) -> Result<()> {
        let mut values = delivery.held();
        values.extend([ms(wait), error.into()]);
        self.settle(Statement::new(self.db.dialect().pick(RETRY.0, RETRY.1), values)).await
    }

    /// There was no attempt, or it does not count; the event is due again after `wait`.
    ///
    /// # Errors
    /// The database failed; the claim ends by itself.
    pub async fn postpone_delivery(&self, delivery: &Delivery, wait: Duration, reason: Option<&str>) -> Result<()> {
        let mut values = delivery.held();
        values.extend([ms(wait), reason.into()]);
        self.settle(Statement::new(self.db.dialect().pick(POSTPONE.0, POSTPONE.1), values)).await
    }

    /// There will be no other attempt. The row is kept to be looked at.
    ///
    /// # Errors
    /// The database failed; the claim ends by itself.
    pub async fn give_up_delivery(&self, delivery: &Delivery, error: &str) -> Result<()> {
        let mut values = delivery.held();
        values.push(error.into());
        self.settle(Statement::new(self.db.dialect().pick(GIVE_UP.0, GIVE_UP.1), values)).await
    }

    /// Tidies up: gives up events that have waited longer than `patience`, forgets failed ones after
    /// `memory`, and discards those of webhooks that were disabled or deleted. Gives the number of each.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tidy_outbox(&self, patience: Duration, memory: Duration) -> Result<[u64; 3]> {
        let dialect = self.db.dialect();
        let ops = vec![
            Op::Execute(Statement::new(dialect.pick(EXPIRE.0, EXPIRE.1), vec![ms(patience)])),
            Op::Execute(Statement::new(dialect.pick(FORGET.0, FORGET.1), vec![ms(memory)])),
            Op::Execute(Statement::new(DISCARD, Vec::new())),
        ];
        let answers = self.db.unit(ops).await?;
        let mut counts = [0; 3];
        for (count, answer) in counts.iter_mut().zip(&answers) {
            *count = Enqueued::from_answer(answer).0;
        }
        Ok(counts)
    }

    async fn settle(&self, statement: Statement) -> Result<()> {
        self.db.unit(vec![Op::Execute(statement)]).await?;
        Ok(())
    }

    /// Takes back what a webhook has not been told yet, in the transaction that disables or deletes it.
    pub(crate) async fn discard_deliveries(&self, tx: &Tx, webhook_id: &str) -> Result<(), DbError> {
        if self.outbox.is_ready() {
            tx.execute(Statement::new(DISCARD_OF, vec![webhook_id.into()])).await?;
        }
        Ok(())
    }
}

impl Delivery {
    /// What tells the claim from a later one of the same row.
    fn held(&self) -> Vec<Value> {
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
