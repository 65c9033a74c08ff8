//! The location of a trace's spans: the database, an archive, or the artifacts of the trace.

use ferroflow_model::{Error, Result};

use crate::{
    Scoped,
    db::{DbError, Row, Statement, upkeep::Gc},
    statements::statements,
    workspace::Workspace,
};

/// Locations of a trace's spans other than its artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpansLocation {
    /// In the database.
    TrackingStore,
    /// In an archive.
    Archive,
}

impl SpansLocation {
    fn from_tag(value: &str) -> Option<Self> {
        match value {
            "TRACKING_STORE" => Some(Self::TrackingStore),
            "ARCHIVE_REPO" => Some(Self::Archive),
            _ => None,
        }
    }
}

/// The locations of a trace's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLocations {
    /// The location of its spans; `None` if they are among its artifacts.
    pub spans: Option<SpansLocation>,
    /// The URI of its archived spans.
    pub archive: Option<String>,
    /// The URI of its artifacts: attachments, and its spans if an older client wrote them.
    pub artifacts: Option<String>,
}

/// The locations of a trace `t`, for [`locations_from_row`].
const LOCATIONS: &str = "SELECT (SELECT g.value FROM trace_tags g WHERE g.request_id = t.request_id \
                         AND g.key = 'mlflow.trace.spansLocation'), \
                         (SELECT g.value FROM trace_tags g WHERE g.request_id = t.request_id \
                         AND g.key = 'mlflow.trace.archiveLocation'), \
                         (SELECT g.value FROM trace_tags g WHERE g.request_id = t.request_id \
                         AND g.key = 'mlflow.artifactLocation') FROM trace_info t WHERE t.request_id = $1";

statements! {
    static LOCATIONS_OF: Workspace = LOCATIONS, " AND {ws of t}";
    /// For the purge of a trace.
    pub(crate) static LOCATIONS_OF_ANY: Gc = LOCATIONS;
    /// The root span first. Archived spans have no content.
    static SPANS: Workspace =
        "SELECT content FROM spans s WHERE s.trace_id = $1 AND s.content <> '' AND {ws of s} \
         ORDER BY CASE WHEN parent_span_id IS NULL THEN 0 ELSE 1 END, start_time_unix_nano, span_id";
}

pub(crate) fn locations_from_row(row: &Row<'_>) -> Result<TraceLocations, DbError> {
    let spans: Option<String> = row.get(0)?;
    let spans = spans.as_deref().and_then(SpansLocation::from_tag);
    Ok(TraceLocations { spans, archive: row.get(1)?, artifacts: row.get(2)? })
}

impl Scoped<'_> {
    /// The locations of a trace's data.
    ///
    /// # Errors
    /// No trace has the id.
    pub async fn trace_locations(&self, trace_id: &str) -> Result<TraceLocations> {
        let statement = Statement::within(self.workspace, &LOCATIONS_OF, vec![trace_id.into()]);
        let found = self.store.db.query(statement, locations_from_row).await?;
        found.into_iter().next().ok_or_else(|| Error::not_found(format!("Trace with ID '{trace_id}' not found.")))
    }

    /// The spans of a trace in the database, in the JSON form in which they are stored.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn span_texts(&self, trace_id: &str) -> Result<Vec<String>> {
        Ok(self
            .store
            .db
            .query(Statement::within(self.workspace, &SPANS, vec![trace_id.into()]), |row| row.get(0))
            .await?)
    }
}
