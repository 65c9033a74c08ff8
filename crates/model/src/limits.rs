//! The limits of the protocol. Lengths are in characters (Unicode scalar values), not bytes.

/// Metrics in one `log-batch`.
pub const METRICS_PER_BATCH: usize = 1000;
/// Params, and tags, in one `log-batch`.
pub const PARAMS_TAGS_PER_BATCH: usize = 100;
/// Metrics, params and tags together in one `log-batch`.
pub const ENTITIES_PER_BATCH: usize = 1000;

/// The key of a metric, param or run tag.
pub const ENTITY_KEY: usize = 250;
/// The value of a param; longer ones are truncated unless that is turned off.
pub const PARAM_VALUE: usize = 6000;
/// The value of a run tag; longer ones are truncated unless that is turned off.
pub const TAG_VALUE: usize = 8000;

/// The name of an experiment.
pub const EXPERIMENT_NAME: usize = 500;
/// The key of an experiment tag.
pub const EXPERIMENT_TAG_KEY: usize = 250;
/// The value of an experiment tag.
pub const EXPERIMENT_TAG_VALUE: usize = 20_000;
/// Saved views of an experiment, each of which is a tag.
pub const CUSTOM_VIEWS_PER_EXPERIMENT: usize = 50;
/// The artifact location of an experiment, unless `MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH` says otherwise.
pub const ARTIFACT_LOCATION: usize = 2048;

/// The name of a dataset.
pub const DATASET_NAME: usize = 500;
/// The digest of a dataset.
pub const DATASET_DIGEST: usize = 36;
/// The schema of a dataset.
pub const DATASET_SCHEMA: usize = 1_048_575;
/// The source of a dataset.
pub const DATASET_SOURCE: usize = 65_535;
/// The profile of a dataset.
pub const DATASET_PROFILE: usize = 16_777_215;
/// The key of an input tag.
pub const INPUT_TAG_KEY: usize = 255;
/// The value of an input tag.
pub const INPUT_TAG_VALUE: usize = 500;

/// The key of a registered model or model version tag.
pub const REGISTRY_TAG_KEY: usize = 250;
/// The value of a registered model or model version tag.
pub const REGISTRY_TAG_VALUE: usize = 100_000;
/// The alias of a registered model.
pub const REGISTERED_MODEL_ALIAS: usize = 255;

/// The key of a trace tag.
pub const TRACE_TAG_KEY: usize = 250;
/// The value of a trace tag; longer ones are truncated unless that is turned off.
pub const TRACE_TAG_VALUE: usize = 8000;
/// How long traces are kept before they are archived, as text such as `30d`.
pub const TRACE_ARCHIVAL_RETENTION: usize = 32;

/// Results of one page of a search.
pub const SEARCH_RESULTS: i64 = 50_000;
/// Registered models of one page.
pub const REGISTERED_MODELS: i64 = 1000;
/// Model versions of one page.
pub const MODEL_VERSIONS: i64 = 200_000;
/// Traces of one page.
pub const TRACES: i64 = 500;
/// Points of one page of a metric history, and the most that one answer holds.
pub const METRIC_HISTORY: i64 = 25_000;
/// Runs of one question for sampled metric histories.
pub const RUNS_PER_BULK_INTERVAL: usize = 100;
/// Points per run in an answer of sampled metric histories.
pub const POINTS_PER_RUN: i64 = 2500;
/// Runs of one question for metric histories.
pub const RUNS_PER_BULK_HISTORY: usize = 100;
/// Experiments of one question for datasets.
pub const EXPERIMENTS_PER_DATASET_SEARCH: usize = 20;
/// Datasets that an answer of a search for datasets holds.
pub const DATASET_SUMMARIES: usize = 1000;
