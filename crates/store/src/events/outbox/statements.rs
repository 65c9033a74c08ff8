//! The SQL of the outbox. Times are the database's, so that clocks of replicas need not agree.

use crate::{
    db::{Anywhere, upkeep::Delivery},
    statements::statements,
    workspace::Workspace,
};

/// Enqueues an event, once for each webhook that [`RECEIVERS`] selects.
const INSERT: &str = "INSERT INTO ff_webhook_deliveries (delivery_id, webhook_id, entity, action, body, created_at) \
                      SELECT {uuid}, w.webhook_id, e.entity, e.action, ";

/// The webhooks `w` in the workspace that receive an event, with their subscriptions `e`.
const RECEIVERS: &str = " FROM webhook_events e JOIN webhooks w ON w.webhook_id = e.webhook_id \
                         WHERE {ws:w} AND w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL AND ";

/// The first pending row of each webhook that receives events.
const HEADS: &str = "(SELECT (SELECT h.id FROM ff_webhook_deliveries h WHERE h.webhook_id = w.webhook_id \
                     AND h.failed_at IS NULL ORDER BY h.id LIMIT 1) AS id FROM webhooks w \
                     WHERE w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL) AS head";

/// The row of a claim, if it is still this claim's.
const CLAIMED: &str = " WHERE id = $1 AND delivery_id = $2 AND attempts = $3";

statements! {
    pub(super) static ENQUEUE: Workspace = INSERT, "$3, CAST($4 AS BIGINT)", RECEIVERS,
        "e.entity = $1 AND e.action = $2";

    /// One event if the registered model is a prompt, the other one otherwise.
    pub(super) static ENQUEUE_EITHER: Workspace = INSERT,
        "CASE WHEN e.entity = $4 THEN $5 ELSE $3 END, CAST($7 AS BIGINT)", RECEIVERS,
        "e.action = $6 AND e.entity = CASE WHEN EXISTS (SELECT 1 FROM registered_model_tags t \
         WHERE {ws:t} AND t.name = $1 AND t.key = 'mlflow.prompt.is_prompt' \
         AND lower(t.value) = 'true') THEN $4 ELSE $2 END";

    /// `SKIP LOCKED` skips a head that another replica is claiming, and its webhook with it: the row behind the head is
    /// never claimed. The array is evaluated once, whatever the plan of the UPDATE.
    pub(super) static CLAIM: Delivery =
        "UPDATE ff_webhook_deliveries SET attempts = attempts + 1, due_at = {now} + CAST($1 AS BIGINT) \
         WHERE id {postgres:= ANY(ARRAY(}{sqlite:IN (}SELECT o.id FROM ", HEADS,
        " JOIN ff_webhook_deliveries o ON o.id = head.id WHERE o.failed_at IS NULL AND o.due_at <= {now} \
         ORDER BY o.id LIMIT $2 {FOR UPDATE OF o SKIP LOCKED}){postgres:)} \
         RETURNING id, delivery_id, webhook_id, body, attempts, \
         (SELECT w.url FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id), \
         (SELECT w.secret FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id)";

    pub(super) static NEXT_DUE: Delivery = "SELECT min(o.due_at) - {now} FROM ", HEADS,
        " JOIN ff_webhook_deliveries o ON o.id = head.id";

    pub(super) static WAITING: Anywhere =
        "SELECT count(*) FROM (SELECT 1 FROM ff_webhook_deliveries WHERE failed_at IS NULL LIMIT 10000) AS waiting";

    /// Applies even if the lease has expired: the event was delivered.
    pub(super) static DELIVERED: Anywhere = "DELETE FROM ff_webhook_deliveries WHERE id = $1 AND delivery_id = $2";

    pub(super) static RETRY: Anywhere =
        "UPDATE ff_webhook_deliveries SET due_at = {now} + CAST($4 AS BIGINT), last_error = $5", CLAIMED;

    pub(super) static POSTPONE: Anywhere =
        "UPDATE ff_webhook_deliveries SET attempts = attempts - 1, due_at = {now} + CAST($4 AS BIGINT), \
         last_error = $5", CLAIMED;

    pub(super) static GIVE_UP: Anywhere =
        "UPDATE ff_webhook_deliveries SET failed_at = {now}, last_error = $4", CLAIMED;

    /// Rows under a lease are not affected.
    pub(super) static EXPIRE: Anywhere =
        "UPDATE ff_webhook_deliveries SET failed_at = {now}, \
         last_error = COALESCE('gave up after too long: ' || last_error, 'gave up after too long') \
         WHERE failed_at IS NULL AND due_at <= {now} AND created_at < {now} - CAST($1 AS BIGINT)";

    pub(super) static DELETE_FAILED: Anywhere =
        "DELETE FROM ff_webhook_deliveries WHERE failed_at < {now} - CAST($1 AS BIGINT)";

    /// Another replica may have disabled or deleted a webhook and missed its rows.
    pub(super) static DISCARD: Delivery =
        "DELETE FROM ff_webhook_deliveries WHERE failed_at IS NULL AND NOT EXISTS \
         (SELECT 1 FROM webhooks w WHERE w.webhook_id = ff_webhook_deliveries.webhook_id \
         AND w.status = 'ACTIVE' AND w.deleted_timestamp IS NULL)";

    pub(super) static DISCARD_OF: Anywhere =
        "DELETE FROM ff_webhook_deliveries WHERE webhook_id = $1 AND failed_at IS NULL";
}
