//! The definitions of the indexes.

use crate::db::dialect::Dialect;

/// Number of characters of a text that are in an index: PostgreSQL refuses entries of more than 2,704 bytes.
const TEXT: usize = 200;

/// The condition on the tags in [`OwnIndex::TagValue`]: not those that the server writes and no search compares.
pub(crate) const TAGS: &str = "key NOT IN ('mlflow.artifactLocation', 'mlflow.trace.spansLocation', \
                               'mlflow.traceName', 'mlflow.linkedPrompts')";

/// The condition on the metadata in [`OwnIndex::MetadataValue`]: not those with long texts or a value for each trace.
pub(crate) const METADATA: &str = "key NOT IN ('mlflow.traceInputs', 'mlflow.traceOutputs', 'mlflow.trace.session', \
                                   'mlflow.trace.tokenUsage', 'mlflow.trace.cost', 'mlflow.trace.sizeStats', \
                                   'mlflow.trace.sizeBytes', 'mlflow.trace.infoFinalized', 'mlflow.trace_schema.version')";

/// The key of runs by which the newest come first, and those without a start time last.
pub(crate) const NEWEST: &str = "COALESCE(start_time, -9223372036854775807)";

/// The same key in the indexes of [`Extra::Orders`], written so that no other index serves it: without statistics,
/// PostgreSQL would look for the runs with a value among all runs of [`OwnIndex::RunsPage`].
pub(crate) const NEWEST_OF_VALUE: &str = "(COALESCE(start_time, -9223372036854775807) + 0)";

/// The condition on the params and tags that are longer than what the indexes of values have of them.
pub(crate) const LONG: &str = "length(value) > 200";

/// The key of a param or tag, written so that only the indexes of long ones serve it.
pub(crate) const LONG_KEY: &str = "(key || '')";

/// The condition on the runs that ended before they began, and their experiment, written so that only
/// [`OwnIndex::RunsEndedBeforeStart`] serves it.
pub(crate) const ENDED_BEFORE_START: &str = "end_time < start_time";
pub(crate) const HIDDEN_EXPERIMENT: &str = "(experiment_id + 0)";

/// The condition on the tags in [`OwnIndex::RunTagValue`]: not those with long texts that no search compares.
pub(crate) const RUN_TAGS: &str = "key NOT IN ('mlflow.log-model.history', 'mlflow.loggedArtifacts', \
                                   'mlflow.note.content')";

/// The condition on the tags in [`OwnIndex::RunNameTrigrams`], written so that no other index serves it: PostgreSQL would
/// choose between them by statistics.
pub(crate) const RUN_NAMES: &str = "key || '' = 'mlflow.runName'";

/// The key of registered models and versions by which the last updated come first, and those without a time last.
pub(crate) const LAST_UPDATED: &str = "COALESCE(last_updated_time, -9223372036854775807)";

/// The key of experiments by which the newest come first, and those without a time last.
pub(crate) const CREATED: &str = "COALESCE(creation_time, -9223372036854775807)";

/// The key of the versions of a model in a stage. One expression, so that no planner prefers the primary key for the name
/// alone. No stage has an `@`, so that it is another one for each name and stage.
const STAGE: &str = "(name || '@' || current_stage)";

/// The workspace as an expression: without statistics, PostgreSQL would look up a model by its name in an index that begins
/// with the workspace and has the name somewhere.
pub(crate) const HIDDEN_WORKSPACE: &str = "(workspace || '')";

/// What an index is on.
pub(crate) struct Definition {
    /// The table.
    pub(crate) table: &'static str,
    /// The columns and expressions, as in SQL.
    pub(crate) columns: Vec<String>,
    /// The condition on its rows.
    pub(crate) only: Option<&'static str>,
    /// Whether it is an index of the trigrams of its column.
    pub(crate) is_of_trigrams: bool,
}

/// A kind of index that is created only when an operator asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// The values of metrics.
    Metrics,
    /// The names of runs, for patterns. Only for PostgreSQL, with the extension `pg_trgm`.
    Names,
    /// The runs of an experiment in other orders than that of their start.
    Orders,
}

impl Extra {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Names, Self::Orders];
}

/// An index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnIndex {
    /// The runs of an experiment from the newest to the oldest, which the reference has no index in, nor by experiment.
    RunsPage,
    /// The records of a dataset in the order of pages, which the reference has no index in.
    RecordsPage,
    /// Traces by state, in the order of time.
    TraceStatus,
    /// Traces by name, in the order of time.
    TraceName,
    /// Traces by the id that the client chose.
    ClientRequestId,
    /// Traces by duration.
    ExecutionTime,
    /// Tags of traces by value.
    TagValue,
    /// Metadata of traces by value.
    MetadataValue,
    /// Spans by name.
    SpanName,
    /// Valid assessments by value.
    AssessmentValue,
    /// Valid assessments by number.
    AssessmentNumber,
    /// Params of runs by value.
    ParamValue,
    /// Tags of runs by value, and with them the names of runs.
    RunTagValue,
    /// Latest metrics of runs by value, NaN apart. Only where an operator wants it: it ends PostgreSQL's updates in place
    /// (HOT) of the rows that every logged metric updates, so that logging a batch takes a third longer.
    MetricValue,
    /// The logged models of an experiment from the newest to the oldest, which the reference has no index in.
    LoggedModelsPage,
    /// The logged models of an experiment by name, and those of a name from the newest to the oldest.
    LoggedModelName,
    /// Params of logged models by value.
    LoggedModelParamValue,
    /// Tags of logged models by value.
    LoggedModelTagValue,
    /// Metrics of logged models by value.
    LoggedModelMetricValue,
    /// All registered models and prompts, from the last updated to the first.
    RegisteredModelsPage,
    /// The versions of all models, from the last updated to the first.
    VersionsPage,
    /// The versions of one model, from the last updated to the first.
    VersionsOfModel,
    /// The versions of one model by stage, which give the latest of each.
    VersionsOfStage,
    /// Versions by the run that produced them.
    VersionsOfRun,
    /// Tags of registered models by value, in the order of names.
    ModelTagValue,
    /// The experiments of a workspace from the newest to the oldest.
    ExperimentsPage,
    /// The tags of an experiment, which the reference has an index of by key only.
    ExperimentTags,
    /// Names of runs by the trigrams in them. Only where an operator wants it: it needs an extension, and each name is a
    /// dozen entries.
    RunNameTrigrams,
    /// The runs of an experiment by the time of their end, and newest first where it is the same. As the other orders,
    /// only where an operator wants it: a run that ends is an entry more in each of these indexes, because it ends
    /// PostgreSQL's updates in place.
    RunsEndTime,
    /// The runs of an experiment by name.
    RunsName,
    /// The runs of an experiment by status.
    RunsStatus,
    /// The runs of an experiment by user.
    RunsUser,
    /// The params of runs whose order [`Self::ParamValue`] does not know, because they are longer than what it has of them.
    LongParams,
    /// The same of tags.
    LongTags,
    /// The runs that ended before they began: where there are none, a run that ended before a time began before it too.
    RunsEndedBeforeStart,
}

impl OwnIndex {
    /// All of them.
    pub(crate) const ALL: [Self; 35] = [
        Self::RunsPage,
        Self::RecordsPage,
        Self::TraceStatus,
        Self::TraceName,
        Self::ClientRequestId,
        Self::ExecutionTime,
        Self::TagValue,
        Self::MetadataValue,
        Self::SpanName,
        Self::AssessmentValue,
        Self::AssessmentNumber,
        Self::ParamValue,
        Self::RunTagValue,
        Self::MetricValue,
        Self::LoggedModelsPage,
        Self::LoggedModelName,
        Self::LoggedModelParamValue,
        Self::LoggedModelTagValue,
        Self::LoggedModelMetricValue,
        Self::RegisteredModelsPage,
        Self::VersionsPage,
        Self::VersionsOfModel,
        Self::VersionsOfStage,
        Self::VersionsOfRun,
        Self::ModelTagValue,
        Self::ExperimentsPage,
        Self::ExperimentTags,
        Self::RunNameTrigrams,
        Self::RunsEndTime,
        Self::RunsName,
        Self::RunsStatus,
        Self::RunsUser,
        Self::LongParams,
        Self::LongTags,
        Self::RunsEndedBeforeStart,
    ];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RunsPage => "ff_runs_page",
            Self::RecordsPage => "ff_evaluation_dataset_records_page",
            Self::TraceStatus => "ff_trace_info_status",
            Self::TraceName => "ff_trace_info_name",
            Self::ClientRequestId => "ff_trace_info_client_request_id",
            Self::ExecutionTime => "ff_trace_info_execution_time",
            Self::TagValue => "ff_trace_tags_value",
            Self::MetadataValue => "ff_trace_request_metadata_value",
            Self::SpanName => "ff_spans_name",
            Self::AssessmentValue => "ff_assessments_value",
            Self::AssessmentNumber => "ff_assessments_number",
            Self::ParamValue => "ff_params_value",
            Self::RunTagValue => "ff_tags_value",
            Self::MetricValue => "ff_latest_metrics_value",
            Self::LoggedModelsPage => "ff_logged_models_page",
            Self::LoggedModelName => "ff_logged_models_name",
            Self::LoggedModelParamValue => "ff_logged_model_params_value",
            Self::LoggedModelTagValue => "ff_logged_model_tags_value",
            Self::LoggedModelMetricValue => "ff_logged_model_metrics_value",
            Self::RegisteredModelsPage => "ff_registered_models_page",
            Self::VersionsPage => "ff_model_versions_page",
            Self::VersionsOfModel => "ff_model_versions_of_model",
            Self::VersionsOfStage => "ff_model_versions_stage",
            Self::VersionsOfRun => "ff_model_versions_run",
            Self::ModelTagValue => "ff_registered_model_tags_value",
            Self::ExperimentsPage => "ff_experiments_page",
            Self::ExperimentTags => "ff_experiment_tags_experiment",
            Self::RunNameTrigrams => "ff_tags_run_name_trigrams",
            Self::RunsEndTime => "ff_runs_end_time",
            Self::RunsName => "ff_runs_name",
            Self::RunsStatus => "ff_runs_status",
            Self::RunsUser => "ff_runs_user",
            Self::LongParams => "ff_params_long",
            Self::LongTags => "ff_tags_long",
            Self::RunsEndedBeforeStart => "ff_runs_ended_before_start",
        }
    }

    /// What an operator asks for to have it created; `None` if it is created by itself.
    pub(crate) const fn extra(self) -> Option<Extra> {
        match self {
            Self::MetricValue => Some(Extra::Metrics),
            Self::RunNameTrigrams => Some(Extra::Names),
            Self::RunsEndTime
            | Self::RunsName
            | Self::RunsStatus
            | Self::RunsUser
            | Self::LongParams
            | Self::LongTags
            | Self::RunsEndedBeforeStart => Some(Extra::Orders),
            _ => None,
        }
    }

    /// Whether a kind of database can have it, and searches of it use it: an order by params or tags is walked in
    /// PostgreSQL only, because in SQLite a text may differ behind a NUL.
    pub(in crate::schema) fn is_for(self, dialect: Dialect) -> bool {
        let is_for_all = self.extension().is_none() && !matches!(self, Self::LongParams | Self::LongTags);
        dialect == Dialect::Postgres || is_for_all
    }

    /// The extension of PostgreSQL that it needs.
    pub(in crate::schema) const fn extension(self) -> Option<&'static str> {
        match self {
            Self::RunNameTrigrams => Some("pg_trgm"),
            _ => None,
        }
    }

    /// What it is on.
    pub(crate) fn definition(self) -> Definition {
        let on = |table, columns: &[&str]| Definition {
            table,
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            only: None,
            is_of_trigrams: false,
        };
        let some = |table, columns: &[&str], only| Definition { only: Some(only), ..on(table, columns) };
        let beginning = |column: &str| format!("substr({column}, 1, {TEXT})");
        let (name, value, trace_name) = (&*beginning("name"), &*beginning("value"), &*beginning("trace_name"));
        let newest = &*format!("{NEWEST} DESC");
        let newest_of_value = &*format!("{NEWEST_OF_VALUE} DESC");
        let runs_by = |column| on("runs", &["experiment_id", "lifecycle_stage", column, newest_of_value, "run_uuid"]);
        let last_updated = &*format!("{LAST_UPDATED} DESC");
        let created = &*format!("{CREATED} DESC");
        match self {
            Self::RunsPage => on("runs", &["experiment_id", "lifecycle_stage", newest, "run_uuid"]),
            Self::RecordsPage => on("evaluation_dataset_records", &["dataset_id", "created_time", "dataset_record_id"]),
            Self::TraceStatus => on("trace_info", &["experiment_id", "status", "timestamp_ms"]),
            Self::TraceName => on("trace_info", &["experiment_id", trace_name, "timestamp_ms"]),
            Self::ClientRequestId => some("trace_info", &["client_request_id"], "client_request_id IS NOT NULL"),
            Self::ExecutionTime => on("trace_info", &["experiment_id", "execution_time_ms"]),
            Self::TagValue => some("trace_tags", &["key", value], TAGS),
            Self::MetadataValue => some("trace_request_metadata", &["key", value], METADATA),
            Self::SpanName => on("spans", &["experiment_id", name]),
            Self::AssessmentValue => some("assessments", &["experiment_id", "name", value], "valid"),
            Self::AssessmentNumber => {
                some("assessments", &["experiment_id", "name", "aggregate_value"], "valid AND is_numeric_value")
            }
            Self::ParamValue => on("params", &["key", value]),
            Self::RunTagValue => some("tags", &["key", value], RUN_TAGS),
            Self::MetricValue => on("latest_metrics", &["key", "is_nan", "value"]),
            Self::LoggedModelsPage => on("logged_models", &["experiment_id", "creation_timestamp_ms DESC", "model_id"]),
            Self::LoggedModelName => {
                on("logged_models", &["experiment_id", "name", "creation_timestamp_ms DESC", "model_id"])
            }
            Self::LoggedModelParamValue => on("logged_model_params", &["param_key", &beginning("param_value")]),
            Self::LoggedModelTagValue => on("logged_model_tags", &["tag_key", &beginning("tag_value")]),
            Self::LoggedModelMetricValue => on("logged_model_metrics", &["metric_name", "metric_value"]),
            Self::RegisteredModelsPage => on("registered_models", &[HIDDEN_WORKSPACE, last_updated, "name"]),
            Self::VersionsPage => on("model_versions", &["workspace", last_updated, "name", "version DESC"]),
            Self::VersionsOfModel => on("model_versions", &["workspace", "name", last_updated, "version DESC"]),
            Self::VersionsOfStage => on("model_versions", &[STAGE, "workspace", "version"]),
            Self::VersionsOfRun => some("model_versions", &["run_id"], "run_id IS NOT NULL"),
            Self::ModelTagValue => on("registered_model_tags", &["workspace", "key", value, "name"]),
            Self::ExperimentsPage => on("experiments", &["workspace", "lifecycle_stage", created, "experiment_id"]),
            Self::ExperimentTags => on("experiment_tags", &["experiment_id"]),
            Self::RunNameTrigrams => Definition { is_of_trigrams: true, ..some("tags", &["value"], RUN_NAMES) },
            Self::RunsEndTime => runs_by("end_time"),
            Self::RunsName => runs_by("name"),
            Self::RunsStatus => runs_by("status"),
            Self::RunsUser => runs_by("user_id"),
            Self::LongParams => some("params", &[LONG_KEY], LONG),
            Self::LongTags => some("tags", &[LONG_KEY], LONG),
            Self::RunsEndedBeforeStart => some("runs", &[HIDDEN_EXPERIMENT], ENDED_BEFORE_START),
        }
    }

    /// The statement that creates it, of which `how` is empty or `CONCURRENTLY `.
    pub(in crate::schema) fn create(self, how: &str) -> String {
        let Definition { table, columns, only, is_of_trigrams } = self.definition();
        let (name, columns) = (self.name(), columns.join(", "));
        let only = only.map_or_else(String::new, |only| format!(" WHERE {only}"));
        // Without a list of pending entries, a search takes as long after many writes as after few.
        let of = if is_of_trigrams {
            format!("USING gin ({columns} gin_trgm_ops) WITH (fastupdate = off)")
        } else {
            format!("({columns})")
        };
        format!("CREATE INDEX {how}IF NOT EXISTS {name} ON {table} {of}{only};")
    }

    pub(in crate::schema) const fn bit(self) -> u64 {
        1 << self as u64
    }
}

/// Whether a tag may be in [`OwnIndex::TagValue`].
pub(crate) fn is_tag(key: &str) -> bool {
    !is_named(TAGS, key)
}

/// Whether a tag of a run may be in [`OwnIndex::RunTagValue`].
pub(crate) fn is_run_tag(key: &str) -> bool {
    !is_named(RUN_TAGS, key)
}

/// Whether metadata may be in [`OwnIndex::MetadataValue`].
pub(crate) fn is_metadata(key: &str) -> bool {
    !is_named(METADATA, key)
}

/// Whether a condition of this file names a key.
fn is_named(condition: &str, key: &str) -> bool {
    condition.split('\'').skip(1).step_by(2).any(|named| named == key)
}

/// The part of a text that is in an index. SQLite's `substr` ends at a NUL.
pub(crate) fn indexed(text: &str) -> String {
    text.chars().take_while(|c| *c != '\0').take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_has_the_beginning_of_a_text() {
        assert_eq!(indexed("short"), "short");
        assert_eq!(indexed(&"ä".repeat(300)), "ä".repeat(200));
        assert_eq!(indexed("a\0b"), "a");
    }

    #[test]
    fn names_are_those_of_the_tag() {
        assert!(RUN_NAMES.ends_with(&format!("'{}'", crate::tracking::runs::RUN_NAME_TAG)));
    }

    #[test]
    fn long_values_are_those_that_an_index_has_the_beginning_of() {
        assert_eq!(LONG, format!("length(value) > {TEXT}"));
        assert_eq!(NEWEST_OF_VALUE, format!("({NEWEST} + 0)"));
    }

    #[test]
    fn keys_without_a_value_to_search_for_are_not_in_an_index() {
        assert!(is_tag("env") && is_tag(", ") && !is_tag("mlflow.traceName") && !is_tag("mlflow.artifactLocation"));
        assert!(is_metadata("mlflow.sourceRun") && !is_metadata("mlflow.traceInputs"));
        assert!(!is_metadata("mlflow.trace_schema.version"));
        assert!(is_run_tag("mlflow.runName") && !is_run_tag("mlflow.note.content"));
    }
}
