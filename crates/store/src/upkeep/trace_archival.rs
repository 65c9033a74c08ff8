//! Trace archival: selects the traces that are due, and removes the spans of an archived one from the database.
//!
//! The payload is written to the archive before anything of its trace is changed. In PostgreSQL the trace's row is
//! locked meanwhile, so that no other replica archives it and no spans are added. In SQLite, where a lock would block
//! all writers, the payload generation of the trace detects concurrent changes. A payload that no trace refers to is
//! overwritten next time.

use ferroflow_model::{Result, archived_trace::MAX_PAYLOAD};

use crate::{
    Unscoped,
    db::{Conn, Row, Statement, Tx, Value, dialect::Dialect, upkeep::Archival},
    statements::statements,
};

/// The tags of an experiment that control archival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivalTags {
    /// The experiment's id.
    pub experiment_id: i64,
    /// The experiment's workspace.
    pub workspace: String,
    /// `mlflow.trace.archivalRetention`
    pub retention: Option<String>,
    /// `mlflow.trace.archiveNow`
    pub archive_now: Option<String>,
}

/// The traces of an experiment that are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The experiment's id.
    pub experiment_id: i64,
    /// Traces that began later are not due, in milliseconds since 1970.
    pub until: i64,
}

/// A trace that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub trace_id: String,
    /// The id of its experiment.
    pub experiment_id: i64,
    /// When it began, in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// A request to archive at once; it is deleted when nothing is left to archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRequest {
    /// The traces to archive.
    pub due: Due,
    /// The value of the tag; a changed value is a new request.
    pub value: String,
}

/// The spans of a trace that is being archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivableSpans {
    /// The id of its experiment.
    pub experiment_id: i64,
    /// The workspace of its experiment.
    pub workspace: String,
    /// The spans, in the JSON form in which they are stored.
    pub contents: Vec<String>,
}

/// The outcome of archiving a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveOutcome {
    /// Its spans are in the archive and no longer in the database.
    Archived,
    /// It is missing, already archived, locked by another replica, or was changed.
    Skipped,
    /// Its spans cannot be archived. It is marked and skipped until the mark is deleted.
    Malformed,
}

/// Condition on a trace `t`: its spans are stored in the database, and it is not marked as failed.
const IN_DATABASE: &str = "NOT EXISTS (SELECT 1 FROM trace_tags g WHERE g.request_id = t.request_id \
                           AND ((g.key = 'mlflow.trace.spansLocation' AND g.value <> 'TRACKING_STORE') \
                           OR g.key = 'mlflow.trace.archivalFailure'))";

/// Condition on a trace `t`: it has a span with content.
const HAS_CONTENT: &str = "EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = t.request_id AND s.content <> '')";

/// Condition on a trace: it is finished.
const FINISHED: &str = "status IN ('OK', 'ERROR', 'STATE_UNSPECIFIED')";

statements! {
    static TAGS: Archival =
        "SELECT e.experiment_id, r.value, n.value, e.workspace FROM experiments e \
         LEFT JOIN experiment_tags r ON r.experiment_id = e.experiment_id AND r.key = 'mlflow.trace.archivalRetention' \
         LEFT JOIN experiment_tags n ON n.experiment_id = e.experiment_id AND n.key = 'mlflow.trace.archiveNow' \
         WHERE e.lifecycle_stage = 'active' ORDER BY e.experiment_id";

    static CANDIDATES: Archival =
        "SELECT t.request_id, t.experiment_id, t.timestamp_ms FROM \
         {postgres:unnest($1::bigint[], $2::bigint[]) AS p(id, until)}\
         {sqlite:(SELECT i.value AS id, u.value AS until FROM json_each($1) i \
         JOIN json_each($2) u ON u.key = i.key) p} CROSS JOIN trace_info t WHERE t.experiment_id = p.id AND t.timestamp_ms <= p.until \
         AND t.status <> 'IN_PROGRESS' AND (t.timestamp_ms > $3 OR (t.timestamp_ms = $3 AND t.request_id > $4)) AND ",
        IN_DATABASE, " AND ", HAS_CONTENT, " ORDER BY t.timestamp_ms, t.request_id LIMIT $5";

    /// A finished trace, locked in PostgreSQL. Its tags and spans are checked again later.
    static READ_TRACE: Archival =
        "SELECT experiment_id, db_payload_generation, \
         (SELECT COALESCE(SUM(LENGTH(s.content)), 0) FROM spans s WHERE s.trace_id = t.request_id), \
         (SELECT e.workspace FROM experiments e WHERE e.experiment_id = t.experiment_id) \
         FROM trace_info t WHERE request_id = $1 AND ", FINISHED, " {FOR UPDATE SKIP LOCKED}";

    static CONTENTS: Archival =
        "SELECT s.content FROM trace_info t JOIN spans s ON s.trace_id = t.request_id WHERE t.request_id = $1 AND ",
        IN_DATABASE, " ORDER BY s.span_id";

    static UNCHANGED: Archival =
        "SELECT 1 FROM trace_info t WHERE t.request_id = $1 AND t.db_payload_generation = $2 AND t.", FINISHED, " AND ",
        IN_DATABASE, " AND ", HAS_CONTENT;

    static CLEAR: Archival = "UPDATE spans SET content = '' WHERE trace_id = $1";

    static SET_TAG: Archival =
        "INSERT INTO trace_tags (key, value, request_id) VALUES ($1, $2, $3) \
         ON CONFLICT (key, request_id) DO UPDATE SET value = excluded.value";

    static END_REQUESTS: Archival =
        "DELETE FROM experiment_tags WHERE key = 'mlflow.trace.archiveNow' AND EXISTS (SELECT 1 FROM \
         {postgres:unnest($1::bigint[], $2::bigint[], $3::text[]) AS p(id, until, value)}\
         {sqlite:(SELECT i.value AS id, u.value AS until, v.value AS value FROM json_each($1) i \
         JOIN json_each($2) u ON u.key = i.key JOIN json_each($3) v ON v.key = i.key) p} \
         WHERE p.id = experiment_tags.experiment_id AND p.value = experiment_tags.value AND NOT EXISTS \
         (SELECT 1 FROM trace_info t WHERE t.experiment_id = p.id AND t.timestamp_ms <= p.until AND ", IN_DATABASE,
        " AND (t.status = 'IN_PROGRESS' OR ", HAS_CONTENT, ")))";
}

impl Unscoped<'_> {
    /// The active experiments with the tags that control archival.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn archival_tags(&self) -> Result<Vec<ArchivalTags>> {
        let read = |row: &Row<'_>| {
            let (experiment_id, workspace) = (row.get(0)?, row.get(3)?);
            Ok(ArchivalTags { experiment_id, workspace, retention: row.get(1)?, archive_now: row.get(2)? })
        };
        Ok(self.store.db.query(Statement::new(&TAGS, Vec::new()), read).await?)
    }

    /// The oldest traces that are due and can be archived, after the cursor `after`.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn archivable_traces(
        &self,
        due: &[Due],
        after: Option<&Candidate>,
        limit: usize,
    ) -> Result<Vec<Candidate>> {
        let (time, id) = after.map_or((i64::MIN, ""), |last| (last.timestamp_ms, last.trace_id.as_str()));
        let values = vec![
            Value::Ints(due.iter().map(|due| due.experiment_id).collect()),
            Value::Ints(due.iter().map(|due| due.until).collect()),
            time.into(),
            id.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ];
        let read = |row: &Row<'_>| {
            Ok(Candidate { trace_id: row.get(0)?, experiment_id: row.get(1)?, timestamp_ms: row.get(2)? })
        };
        Ok(self.store.db.query(Statement::new(&CANDIDATES, values), read).await?)
    }

    /// Archives a trace. `write` writes its spans to the archive and returns their location, or `None` if they cannot
    /// be archived.
    ///
    /// # Errors
    /// The archive or the database failed; the trace is unchanged.
    pub async fn archive_trace<F>(
        &self,
        trace_id: &str,
        write: impl FnOnce(ArchivableSpans) -> F,
    ) -> Result<ArchiveOutcome>
    where
        F: Future<Output = Result<Option<String>>>,
    {
        match self.store.db.dialect() {
            // The transaction locks the trace's row while the archive is written.
            Dialect::Postgres => {
                self.store
                    .db
                    .transaction_once(|tx| async move {
                        let Some(loaded) = find(tx.conn()?, trace_id).await? else {
                            return Ok(ArchiveOutcome::Skipped);
                        };
                        let Some(written) = loaded.write(write).await? else { return Ok(ArchiveOutcome::Skipped) };
                        finish(&tx, trace_id, &written).await
                    })
                    .await
            }
            // A transaction would block all writers while the archive is written. `finish` checks the payload
            // generation instead.
            Dialect::Sqlite => {
                let conn = self.store.db.reader().await?;
                let Some(loaded) = find(&conn, trace_id).await? else { return Ok(ArchiveOutcome::Skipped) };
                drop(conn);
                let Some(written) = loaded.write(write).await? else { return Ok(ArchiveOutcome::Skipped) };
                let written = &written;
                self.store.db.transaction(|tx| async move { finish(&tx, trace_id, written).await }).await
            }
        }
    }

    /// Deletes requests to archive at once that are complete: no trace can be archived, and none is still running. A
    /// request that was changed meanwhile is kept.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn end_archive_requests(&self, requests: &[ArchiveRequest]) -> Result<()> {
        let values = vec![
            Value::Ints(requests.iter().map(|request| request.due.experiment_id).collect()),
            Value::Ints(requests.iter().map(|request| request.due.until).collect()),
            Value::Texts(requests.iter().map(|request| request.value.clone()).collect()),
        ];
        let end = &Statement::new(&END_REQUESTS, values);
        self.store.db.transaction(|tx| async move { Ok(tx.execute(end.clone()).await.map(|_| ())?) }).await
    }
}

/// A trace that may be archived, as it was read.
struct LoadedTrace {
    generation: i64,
    /// `None` if they are too large to be read back.
    spans: Option<ArchivableSpans>,
}

/// A trace whose spans were written to the archive, or cannot be archived.
struct WrittenTrace {
    generation: i64,
    /// `None` if the spans cannot be archived.
    location: Option<String>,
}

async fn find(conn: &Conn, trace_id: &str) -> Result<Option<LoadedTrace>> {
    let read_head = |row: &Row<'_>| {
        let workspace = row.get::<Option<String>>(3)?.unwrap_or_default();
        Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<i64>(2)?, workspace))
    };
    let loaded = conn.query_opt(Statement::new(&READ_TRACE, vec![trace_id.into()]), read_head).await?;
    let Some((experiment_id, generation, size, workspace)) = loaded else { return Ok(None) };
    if !usize::try_from(size).is_ok_and(|size| size <= MAX_PAYLOAD) {
        return Ok(Some(LoadedTrace { generation, spans: None }));
    }
    let contents = conn.query(Statement::new(&CONTENTS, vec![trace_id.into()]), |row| row.get(0)).await?;
    Ok(Some(LoadedTrace { generation, spans: Some(ArchivableSpans { experiment_id, workspace, contents }) }))
}

impl LoadedTrace {
    /// Writes the spans to the archive; `None` if the trace has none in the database.
    async fn write<F>(self, write: impl FnOnce(ArchivableSpans) -> F) -> Result<Option<WrittenTrace>>
    where
        F: Future<Output = Result<Option<String>>>,
    {
        let location = match self.spans {
            Some(spans) if spans.contents.iter().all(String::is_empty) => return Ok(None),
            Some(spans) => write(spans).await?,
            None => None,
        };
        Ok(Some(WrittenTrace { generation: self.generation, location }))
    }
}

/// Records the outcome for a trace, unless the trace was changed since it was read.
async fn finish(tx: &Tx, trace_id: &str, written: &WrittenTrace) -> Result<ArchiveOutcome> {
    let unchanged = Statement::new(&UNCHANGED, vec![trace_id.into(), written.generation.into()]);
    if tx.query_opt(unchanged, |_| Ok(())).await?.is_none() {
        return Ok(ArchiveOutcome::Skipped);
    }
    let Some(location) = &written.location else {
        set_tag(tx, "mlflow.trace.archivalFailure", "MALFORMED_TRACE", trace_id).await?;
        return Ok(ArchiveOutcome::Malformed);
    };
    tx.execute(Statement::new(&CLEAR, vec![trace_id.into()])).await?;
    set_tag(tx, "mlflow.trace.spansLocation", "ARCHIVE_REPO", trace_id).await?;
    set_tag(tx, "mlflow.trace.archiveLocation", location, trace_id).await?;
    Ok(ArchiveOutcome::Archived)
}

async fn set_tag(tx: &Tx, key: &'static str, value: &str, trace_id: &str) -> Result<()> {
    tx.execute(Statement::new(&SET_TAG, vec![key.into(), value.into(), trace_id.into()])).await?;
    Ok(())
}
