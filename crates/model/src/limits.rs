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

/// What one request may be, so that reading it takes little of the memory, whatever it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSize {
    /// Bytes of the body.
    pub bytes: usize,
    /// Values in it: objects, lists, texts, numbers and words, each counted once.
    pub values: usize,
}

impl RequestSize {
    /// Calls that name what they are about, GraphQL, forms, users and roles.
    pub const SMALL: Self = Self { bytes: 128 * 1024, values: REQUEST_VALUES };
    /// Most calls.
    pub const MEDIUM: Self = Self { bytes: 1024 * 1024, values: REQUEST_VALUES };
    /// Calls with several long texts, or with one that is cut to what may be stored.
    pub const LARGE: Self = Self { bytes: 8 * 1024 * 1024, values: REQUEST_VALUES };
    /// Batches and datasets: a profile alone may have 16 MiB. Reading a text takes three times its length.
    pub const LARGEST: Self = Self { bytes: 18 * 1024 * 1024, values: REQUEST_VALUES };
    /// The parts of an upload: 10,000 in S3, with three values each.
    pub const PARTS: Self = Self { bytes: 8 * 1024 * 1024, values: 50_000 };
}

/// Values of one request. The full batch with every field of each metric has 9,000.
const REQUEST_VALUES: usize = 20_000;

/// Characters of a value that an error repeats.
pub const SHOWN_VALUE: usize = 10_000;
/// Bytes of the message of an error.
pub const ERROR_MESSAGE: usize = 20_000;

/// What the requests of a server may take of its memory together, in bytes. A request waits for its share, and is told
/// to come again when it has waited for [`memory::REQUEST_WAIT`].
pub mod memory {
    use std::time::Duration;

    const MIB: usize = 1024 * 1024;

    /// A body up to this is short: nothing of it ever waits for a long one, and it is parsed at once.
    pub const SHORT_BODY: usize = 64 * 1024;
    /// Short bodies that are being read.
    pub const SHORT_BODIES: usize = 16 * MIB;
    /// Long bodies that are being read: two of the largest.
    pub const LONG_BODIES: usize = 36 * MIB;
    /// Messages of short bodies that have been read, until they are answered.
    pub const SHORT_MESSAGES: usize = 32 * MIB;
    /// Those of long bodies: one of the largest takes 44 MiB.
    pub const LONG_MESSAGES: usize = 48 * MIB;
    /// What one value of a message takes at the most, its text aside: a small object in a JSON tree.
    pub const VALUE: usize = 384;
    /// How often the text of a body is held when it has been read: in its message and on the way to the database.
    pub const COPIES: usize = 2;
    /// What a byte of a GraphQL query takes when it is parsed.
    pub const GRAPHQL_BYTE: usize = 64;
    /// Long bodies that are parsed at once, each on a thread.
    pub const PARSERS: usize = 1;
    /// How long a request waits for memory.
    pub const REQUEST_WAIT: Duration = Duration::from_secs(10);
    /// How often is looked at what has come of a body while others wait for memory.
    pub const GRACE: Duration = Duration::from_secs(1);
    /// Bytes that have to come in that time.
    pub const PACE: usize = 64 * 1024;
    /// Bytes of a refused body that are read and dropped, so that its client comes to read the answer.
    pub const DISCARDED: usize = 128 * MIB;
    /// How long that may take.
    pub const DISCARD_TIME: Duration = Duration::from_secs(30);
}

/// Parameters of a query.
pub const QUERY_PARAMETERS: usize = 1000;
/// Names, numbers and signs of a GraphQL query.
pub const GRAPHQL_TOKENS: usize = 10_000;
/// Bytes that the variables of a GraphQL query may become where they are put in.
pub const GRAPHQL_EXPANDED: usize = 1024 * 1024;
/// Faults of a GraphQL query that an answer lists.
pub const GRAPHQL_ERRORS: usize = 100;
