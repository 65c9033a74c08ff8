//! The SQL of the outbox, for PostgreSQL and for SQLite where they differ. Times are the database's, in milliseconds
//! since 1970, so that clocks of replicas need not agree.

/// The current time, in milliseconds since 1970.
macro_rules! now {
    (postgres) => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
    (sqlite) => {
        "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
    };
}

/// Webhooks `w` that receive events.
macro_rules! active {
    () => {
        "w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL AND w.workspace = 'default'"
    };
}

/// The first pending row of each webhook that receives events.
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
    ($uuid:expr, $body:expr, $now:literal, $is_told:expr) => {
        concat!(
            "INSERT INTO ff_webhook_deliveries (delivery_id, webhook_id, entity, action, body, created_at) SELECT ",
            $uuid,
            ", w.webhook_id, e.entity, e.action, ",
            $body,
            ", CAST(",
            $now,
            " AS BIGINT) FROM webhook_events e JOIN webhooks w ON w.webhook_id = e.webhook_id WHERE ",
            $is_told,
            " AND ",
            active!()
        )
    };
}

/// The delivery id of a row, by which the receiver can detect duplicates.
macro_rules! uuid {
    (postgres) => {
        "CAST(gen_random_uuid() AS TEXT)"
    };
    (sqlite) => {
        "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || \
         substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))"
    };
}

macro_rules! enqueue_one {
    ($uuid:expr) => {
        enqueue!($uuid, "$3", "$4", "e.entity = $1 AND e.action = $2")
    };
}

pub(super) const ENQUEUE: (&str, &str) = (enqueue_one!(uuid!(postgres)), enqueue_one!(uuid!(sqlite)));

/// One event if the registered model is a prompt, the other one otherwise.
macro_rules! enqueue_either {
    ($uuid:expr) => {
        enqueue!(
            $uuid,
            "CASE WHEN e.entity = $4 THEN $5 ELSE $3 END",
            "$7",
            "e.action = $6 AND e.entity = CASE WHEN EXISTS (SELECT 1 FROM registered_model_tags t \
             WHERE t.workspace = 'default' AND t.name = $1 AND t.key = 'mlflow.prompt.is_prompt' \
             AND lower(t.value) = 'true') THEN $4 ELSE $2 END"
        )
    };
}

pub(super) const ENQUEUE_EITHER: (&str, &str) = (enqueue_either!(uuid!(postgres)), enqueue_either!(uuid!(sqlite)));

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

/// `SKIP LOCKED` skips a head that another replica is claiming, and its webhook with it: the row behind the head is
/// never claimed. The array is evaluated once, whatever the plan of the UPDATE.
pub(super) const CLAIM: (&str, &str) = (
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

pub(super) const NEXT_DUE: (&str, &str) = (next_due!(now!(postgres)), next_due!(now!(sqlite)));

pub(super) const WAITING: &str =
    "SELECT count(*) FROM (SELECT 1 FROM ff_webhook_deliveries WHERE failed_at IS NULL LIMIT 10000) AS waiting";

/// Applies even if the lease has expired: the event was delivered.
pub(super) const DELIVERED: &str = "DELETE FROM ff_webhook_deliveries WHERE id = $1 AND delivery_id = $2";

macro_rules! update_claimed {
    ($set:expr) => {
        concat!("UPDATE ff_webhook_deliveries SET ", $set, " WHERE id = $1 AND delivery_id = $2 AND attempts = $3")
    };
}

macro_rules! retry {
    ($now:expr) => {
        update_claimed!(concat!("due_at = ", $now, " + CAST($4 AS BIGINT), last_error = $5"))
    };
}

pub(super) const RETRY: (&str, &str) = (retry!(now!(postgres)), retry!(now!(sqlite)));

macro_rules! postpone {
    ($now:expr) => {
        update_claimed!(concat!("attempts = attempts - 1, due_at = ", $now, " + CAST($4 AS BIGINT), last_error = $5"))
    };
}

pub(super) const POSTPONE: (&str, &str) = (postpone!(now!(postgres)), postpone!(now!(sqlite)));

macro_rules! give_up {
    ($now:expr) => {
        update_claimed!(concat!("failed_at = ", $now, ", last_error = $4"))
    };
}

pub(super) const GIVE_UP: (&str, &str) = (give_up!(now!(postgres)), give_up!(now!(sqlite)));

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

/// Rows under a lease are not affected.
pub(super) const EXPIRE: (&str, &str) = (expire!(now!(postgres)), expire!(now!(sqlite)));

macro_rules! delete_failed {
    ($now:expr) => {
        concat!("DELETE FROM ff_webhook_deliveries WHERE failed_at < ", $now, " - CAST($1 AS BIGINT)")
    };
}

pub(super) const DELETE_FAILED: (&str, &str) = (delete_failed!(now!(postgres)), delete_failed!(now!(sqlite)));

/// Another replica may have disabled or deleted a webhook and missed its rows.
pub(super) const DISCARD: &str = concat!(
    "DELETE FROM ff_webhook_deliveries WHERE failed_at IS NULL AND NOT EXISTS \
     (SELECT 1 FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id AND ",
    active!(),
    ")"
);

pub(super) const DISCARD_OF: &str = "DELETE FROM ff_webhook_deliveries WHERE webhook_id = $1 AND failed_at IS NULL";
