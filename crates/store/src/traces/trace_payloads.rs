//! The location of a trace's spans: the database, an archive, or the artifacts of the trace.

use std::collections::HashMap;

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
    /// When it began, in milliseconds since 1970, and how often spans have been written. Other spans have another version.
    pub version: (i64, i64),
}

/// A span in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanPlace {
    /// Its id.
    pub id: String,
    /// The size of its JSON, in bytes.
    pub size: usize,
}

/// The locations of a trace `t`, for [`locations_from_row`].
const LOCATIONS: &str = "SELECT (SELECT g.value FROM trace_tags g WHERE g.request_id = t.request_id \
                         AND g.key = 'mlflow.trace.spansLocation'), \
                         (SELECT g.value FROM trace_tags g WHERE g.request_id = t.request_id \
                         AND g.key = 'mlflow.trace.archiveLocation'), \
                         (SELECT g.value FROM trace_tags g WHERE g.request_id = t.request_id \
                         AND g.key = 'mlflow.artifactLocation'), t.timestamp_ms, t.db_payload_generation FROM trace_info t WHERE t.request_id = $1";

statements! {
    static LOCATIONS_OF: Workspace = LOCATIONS, " AND {ws of t}";
    /// For the purge of a trace.
    pub(crate) static LOCATIONS_OF_ANY: Gc = LOCATIONS;
    /// The root span first. Archived spans have no content. Only the sizes of the contents are read.
    static SPAN_PLACES: Workspace =
        "SELECT s.trace_id, s.span_id, octet_length(s.content) FROM spans s \
         WHERE s.trace_id {in $1} AND s.content <> '' AND {ws of s} \
         ORDER BY CASE WHEN s.parent_span_id IS NULL THEN 0 ELSE 1 END, s.start_time_unix_nano, s.span_id";
    static SPAN_CONTENTS: Workspace =
        "SELECT s.span_id, s.content FROM spans s \
         WHERE s.trace_id = $1 AND s.span_id {in $2} AND s.content <> '' AND {ws of s}";
}

pub(crate) fn locations_from_row(row: &Row<'_>) -> Result<TraceLocations, DbError> {
    let spans: Option<String> = row.get(0)?;
    let spans = spans.as_deref().and_then(SpansLocation::from_tag);
    let version = (row.get(3)?, row.get(4)?);
    Ok(TraceLocations { spans, archive: row.get(1)?, artifacts: row.get(2)?, version })
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

    /// The spans of traces in the database, in their order. A large trace is read in parts by
    /// [`Scoped::span_contents`], so that it is never in memory as a whole.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn span_places(&self, trace_ids: &[String]) -> Result<HashMap<String, Vec<SpanPlace>>> {
        self.store.db.replicated(|| self.read_span_places(trace_ids)).await
    }

    async fn read_span_places(&self, trace_ids: &[String]) -> Result<HashMap<String, Vec<SpanPlace>>> {
        let read = |row: &Row<'_>| {
            let size = usize::try_from(row.get::<i64>(2)?).unwrap_or_default();
            Ok((row.get::<String>(0)?, SpanPlace { id: row.get(1)?, size }))
        };
        let statement = Statement::within(self.workspace, &SPAN_PLACES, vec![trace_ids.into()]);
        let mut places: HashMap<String, Vec<SpanPlace>> = HashMap::new();
        for (trace_id, place) in self.store.db.query(statement, read).await? {
            places.entry(trace_id).or_default().push(place);
        }
        Ok(places)
    }

    /// Spans of a trace, in the JSON form in which they are stored, in the order of `ids`. Those that have been archived
    /// or deleted since are missing.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn span_contents(&self, trace_id: &str, ids: &[String]) -> Result<Vec<String>> {
        self.store.db.replicated(|| self.read_span_contents(trace_id, ids)).await
    }

    async fn read_span_contents(&self, trace_id: &str, ids: &[String]) -> Result<Vec<String>> {
        let statement = Statement::within(self.workspace, &SPAN_CONTENTS, vec![trace_id.into(), ids.into()]);
        let read = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<String>(1)?));
        let mut found: HashMap<String, String> = self.store.db.query(statement, read).await?.into_iter().collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}
