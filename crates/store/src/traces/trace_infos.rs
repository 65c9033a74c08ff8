//! Trace infos: the row of a trace, and its children (tags, metadata, assessments), one query per kind for any number
//! of traces, sent together.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use ferroflow_model::{
    Error, Result,
    messages::{
        assessments::Assessment,
        service::{
            TraceInfoV3, TraceInfoV3State, TraceLocation, TraceLocationMlflowExperimentLocation,
            TraceLocationTraceLocationType,
        },
    },
    number, validation,
    wire::{Duration, Enum as _, Timestamp},
};

use crate::{
    Scoped,
    db::{Child, Conn, DbError, Row, Statement},
    statements::statements,
    traces::assessment_rows,
    workspace::Workspace,
};

/// The columns of a trace `t`, in the order [`info_from_row`] reads them.
pub(crate) const COLUMNS: &str = "t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, \
                                  t.client_request_id, t.request_preview, t.response_preview, t.trace_name, \
                                  t.session_id, t.input_tokens, t.output_tokens, t.total_tokens, \
                                  t.cache_read_input_tokens, t.cache_creation_input_tokens, \
                                  t.cache_creation_input_tokens_above_1hr, t.input_cost, t.output_cost, t.total_cost";

/// The number of [`COLUMNS`]: what a statement selects behind them begins here.
pub(crate) const COLUMN_COUNT: usize = 19;

/// The tag that is the column `trace_name`.
pub(crate) const NAME_TAG: &str = "mlflow.traceName";

/// The metadata that is the column `session_id`.
pub(crate) const SESSION: &str = "mlflow.trace.session";

/// The metadata, a JSON object, whose entries are the columns of [`TOKENS`].
pub(crate) const TOKEN_USAGE: &str = "mlflow.trace.tokenUsage";

/// The metadata, a JSON object, whose entries are the columns of [`COSTS`].
pub(crate) const COST: &str = "mlflow.trace.cost";

/// The metadata of a trace that this server has closed because it was abandoned.
pub(crate) const ABANDONED: &str = "ferroflow.trace.abandoned";

/// The entries of [`TOKEN_USAGE`], which are the names of their columns.
pub(crate) const TOKENS: [&str; 6] = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];

/// The entries of [`COST`], which are the names of their columns.
pub(crate) const COSTS: [&str; 3] = ["input_cost", "output_cost", "total_cost"];

/// Maximum length of keys and values of metadata and of keys of tags in an answer, in characters.
const SHORT: usize = 250;

/// Maximum length of the value of a tag in an answer, in characters.
const TAG_VALUE: usize = 4096;

// As the children of runs, those of one trace are read after the other. Assessments have no stored order: they are returned in the order of their creation.
statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM trace_info t WHERE t.request_id = $1 AND {ws of t}";
    static BY_IDS: Workspace = "SELECT ", COLUMNS, " FROM trace_info t WHERE t.request_id {in $1} AND {ws of t}";
    static BY_IDS_IN_EXPERIMENTS: Workspace = "SELECT ", COLUMNS, " FROM trace_info t \
         WHERE t.request_id {in $1} AND t.experiment_id {in $2} AND {ws of t}";

    static TAGS: Child =
        "SELECT g.request_id, g.key, g.value {postgres:FROM unnest($1::text[]) AS w(request_id) \
         CROSS JOIN LATERAL (SELECT * FROM trace_tags WHERE request_id = w.request_id OFFSET 0) g}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN trace_tags g ON g.request_id = w.value}";
    static METADATA: Child =
        "SELECT m.request_id, m.key, m.value {postgres:FROM unnest($1::text[]) AS w(request_id) \
         CROSS JOIN LATERAL (SELECT * FROM trace_request_metadata WHERE request_id = w.request_id OFFSET 0) m}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN trace_request_metadata m ON m.request_id = w.value}";
    static ASSESSMENTS: Child =
        "SELECT ", assessment_rows::COLUMNS,
        " {postgres:FROM unnest($1::text[]) AS w(trace_id) \
         CROSS JOIN LATERAL (SELECT *, ctid AS place FROM assessments WHERE trace_id = w.trace_id OFFSET 0) a \
         ORDER BY a.trace_id, a.created_timestamp, a.place}\
         {sqlite:FROM json_each($1) AS w CROSS JOIN assessments a ON a.trace_id = w.value \
         ORDER BY a.trace_id, a.created_timestamp, a.rowid}";
}

impl Scoped<'_> {
    /// A trace with its tags, metadata and assessments.
    ///
    /// # Errors
    /// No trace has the id.
    pub async fn trace_info(&self, trace_id: &str) -> Result<TraceInfoV3> {
        let conn = self.store.db.reader().await?;
        let (info, children) = tokio::join!(
            conn.query_opt(Statement::within(self.workspace, &BY_ID, vec![trace_id.into()]), info_from_row),
            load_children(&conn, vec![trace_id.to_owned()]),
        );
        let found = attach(info?.into_iter().collect(), vec![children?]).pop();
        found.ok_or_else(|| Error::not_found(format!("Trace with ID '{trace_id}' not found.")))
    }

    /// Traces by their ids, in that order, without those that do not exist or are in none of the experiments, if there
    /// are some.
    ///
    /// # Errors
    /// The id of an experiment is not valid.
    pub async fn trace_infos(&self, trace_ids: &[String], experiment_ids: &[String]) -> Result<Vec<TraceInfoV3>> {
        self.store.db.replicated(|| self.read_trace_infos(trace_ids, experiment_ids)).await
    }

    async fn read_trace_infos(&self, trace_ids: &[String], experiment_ids: &[String]) -> Result<Vec<TraceInfoV3>> {
        let experiments = experiment_ids.iter().map(|id| validation::parse_experiment_id(id));
        let experiments = experiments.collect::<Result<Vec<i64>>>()?;
        let statement = if experiments.is_empty() {
            Statement::within(self.workspace, &BY_IDS, vec![trace_ids.into()])
        } else {
            Statement::within(self.workspace, &BY_IDS_IN_EXPERIMENTS, vec![trace_ids.into(), experiments.into()])
        };
        let conn = self.store.db.reader().await?;
        let mut infos = conn.query(statement, info_from_row).await?;
        let places: HashMap<&str, usize> = trace_ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        infos.sort_by_key(|info| places.get(info.trace_id()).copied());
        let ids = infos.iter().map(|info| info.trace_id().to_owned()).collect();
        let children = load_children(&conn, ids).await?;
        Ok(attach(infos, vec![children]))
    }
}

/// Whether metadata of this key is kept in columns of the trace.
pub(crate) fn is_column(key: &str) -> bool {
    matches!(key, SESSION | TOKEN_USAGE | COST)
}

/// Reads [`COLUMNS`]. The children are missing, except the tag and the metadata that are columns.
pub(crate) fn info_from_row(row: &Row<'_>) -> std::result::Result<TraceInfoV3, DbError> {
    let mut info = TraceInfoV3 {
        trace_id: row.get(0)?,
        trace_location: Some(TraceLocation {
            r#type: Some(TraceLocationTraceLocationType::MlflowExperiment),
            mlflow_experiment: Some(TraceLocationMlflowExperimentLocation {
                experiment_id: Some(row.get::<i64>(1)?.to_string()),
            }),
            ..TraceLocation::default()
        }),
        request_time: Some(Timestamp::from_millis(row.get(2)?)),
        execution_duration: row.get::<Option<i64>>(3)?.map(Duration::from_millis),
        // Version 2 of the API stores other names for a state that is not specified.
        state: Some(TraceInfoV3State::from_name(row.str(4)?).unwrap_or(TraceInfoV3State::StateUnspecified)),
        client_request_id: row.get(5)?,
        request_preview: row.get(6)?,
        response_preview: row.get(7)?,
        ..TraceInfoV3::default()
    };
    if let Some(name) = row.opt_str(8)? {
        info.tags.insert(NAME_TAG.to_owned(), shortened(name, TAG_VALUE).to_owned());
    }
    if let Some(session) = row.opt_str(9)? {
        info.trace_metadata.insert(SESSION.to_owned(), shortened(session, SHORT).to_owned());
    }
    let (tokens, costs) = (COLUMN_COUNT - COSTS.len() - TOKENS.len(), COLUMN_COUNT - COSTS.len());
    let tokens =
        object(row, tokens, &TOKENS, |row, at| Ok(row.get::<Option<i64>>(at)?.map(|count| count.to_string())))?;
    let costs = object(row, costs, &COSTS, |row, at| Ok(row.get::<Option<f64>>(at)?.map(number::float_repr)))?;
    for (key, text) in [(TOKEN_USAGE, tokens), (COST, costs)] {
        if let Some(text) = text {
            info.trace_metadata.insert(key.to_owned(), shortened(&text, SHORT).to_owned());
        }
    }
    Ok(info)
}

/// `json.dumps` of the columns that are not NULL; `None` if all are.
fn object(
    row: &Row<'_>,
    from: usize,
    names: &[&str],
    read: impl Fn(&Row<'_>, usize) -> std::result::Result<Option<String>, DbError>,
) -> std::result::Result<Option<String>, DbError> {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        if let Some(number) = read(row, from + at)? {
            let before = if text.is_empty() { "{" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{before}\"{name}\": {number}");
        }
    }
    text.push('}');
    Ok(Some(text).filter(|text| text.len() > 1))
}

/// The children of traces, in the order of the requested ids.
#[derive(Debug, Default)]
pub(crate) struct Children {
    traces: Vec<ChildrenOfOne>,
}

#[derive(Debug, Default)]
struct ChildrenOfOne {
    tags: BTreeMap<String, String>,
    metadata: BTreeMap<String, String>,
    assessments: Vec<Assessment>,
}

/// Loads the children of traces.
pub(crate) async fn load_children(conn: &Conn, ids: Vec<String>) -> std::result::Result<Children, DbError> {
    let mut children = Children::default();
    children.traces.resize_with(ids.len(), ChildrenOfOne::default);
    if ids.is_empty() {
        return Ok(children);
    }
    let statements =
        [&TAGS, &METADATA, &ASSESSMENTS].map(|sql| Statement::new(sql, vec![ids.as_slice().into()])).to_vec();
    let places: HashMap<String, usize> = ids.into_iter().enumerate().map(|(at, id)| (id, at)).collect();
    conn.fold_all(statements, children, move |children, which, row| {
        let place = places.get(row.str(0)?).copied();
        let at = place.ok_or_else(|| DbError::Other("a row of a trace that was not requested".into()))?;
        children.traces[at].add(which, row)
    })
    .await
}

impl ChildrenOfOne {
    /// Adds a row of a statement of [`load_children`].
    fn add(&mut self, which: usize, row: &Row<'_>) -> std::result::Result<(), DbError> {
        let key = row.str(1)?;
        let (entries, length, is_column) = match which {
            0 => (&mut self.tags, TAG_VALUE, key == NAME_TAG),
            1 => (&mut self.metadata, SHORT, is_column(key)),
            _ => {
                self.assessments.push(assessment_rows::from_row(row)?);
                return Ok(());
            }
        };
        if !is_column {
            // The reference writes a value that is NULL as Python does.
            let value = row.opt_str(2)?.unwrap_or("None");
            entries.insert(shortened(key, SHORT).to_owned(), shortened(value, length).to_owned());
        }
        Ok(())
    }
}

/// Attaches the loaded children. `infos` are in the order of the loaded ids.
pub(crate) fn attach(infos: Vec<TraceInfoV3>, children: Vec<Children>) -> Vec<TraceInfoV3> {
    infos
        .into_iter()
        .zip(children.into_iter().flat_map(|part| part.traces))
        .map(|(mut info, child)| {
            info.tags.extend(child.tags);
            info.trace_metadata.extend(child.metadata);
            info.assessments = child.assessments;
            info
        })
        .collect()
}

/// The first characters of a text.
fn shortened(text: &str, length: usize) -> &str {
    text.char_indices().nth(length).map_or(text, |(end, _)| &text[..end])
}
