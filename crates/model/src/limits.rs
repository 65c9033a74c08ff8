//! Limits of the protocol. Lengths of texts are in characters (Unicode scalar values), sizes in bytes where that is
//! stated.

/// Maximum number of metrics in one `log-batch`.
pub const METRICS_PER_BATCH: usize = 1000;
/// Maximum number of params, and of tags, in one `log-batch`.
pub const PARAMS_TAGS_PER_BATCH: usize = 100;
/// Maximum number of metrics, params and tags together in one `log-batch`.
pub const ENTITIES_PER_BATCH: usize = 1000;

/// Maximum length of the key of a metric, param or run tag.
pub const ENTITY_KEY: usize = 250;
/// Maximum length of the value of a param; longer ones are truncated unless that is disabled.
pub const PARAM_VALUE: usize = 6000;
/// Maximum length of the value of a run tag; longer ones are truncated unless that is disabled.
pub const TAG_VALUE: usize = 8000;

/// Maximum length of the name of an experiment.
pub const EXPERIMENT_NAME: usize = 500;
/// Maximum length of the key of an experiment tag.
pub const EXPERIMENT_TAG_KEY: usize = 250;
/// Maximum length of the value of an experiment tag.
pub const EXPERIMENT_TAG_VALUE: usize = 20_000;
/// Maximum number of saved views per experiment; each is a tag.
pub const CUSTOM_VIEWS_PER_EXPERIMENT: usize = 50;
/// Default maximum length of an artifact location ([`crate::validation::Limits`]).
pub const ARTIFACT_LOCATION: usize = 2048;

/// Maximum length of the name of a dataset.
pub const DATASET_NAME: usize = 500;
/// Maximum length of the digest of a dataset.
pub const DATASET_DIGEST: usize = 36;
/// Maximum length of the schema of a dataset.
pub const DATASET_SCHEMA: usize = 1_048_575;
/// Maximum length of the source of a dataset.
pub const DATASET_SOURCE: usize = 65_535;
/// Maximum length of the profile of a dataset.
pub const DATASET_PROFILE: usize = 16_777_215;
/// Maximum length of the key of an input tag.
pub const INPUT_TAG_KEY: usize = 255;
/// Maximum length of the value of an input tag.
pub const INPUT_TAG_VALUE: usize = 500;

/// Maximum length of the key of a registered model or model version tag.
pub const REGISTRY_TAG_KEY: usize = 250;
/// Maximum length of the value of a registered model or model version tag.
pub const REGISTRY_TAG_VALUE: usize = 100_000;
/// Maximum length of the alias of a registered model.
pub const REGISTERED_MODEL_ALIAS: usize = 255;

/// Maximum length of the id of a trace, a span or an assessment, and of a client's request id.
pub const TRACE_ID: usize = 50;
/// Maximum length of the request and response of a trace in its preview; longer ones are truncated.
pub const TRACE_PREVIEW: usize = 1000;
/// Maximum length of the name of a trace.
pub const TRACE_NAME: usize = 4096;
/// Maximum length of the session of a trace.
pub const TRACE_SESSION: usize = 250;
/// Maximum number of traces that a request may link to a run.
pub const TRACES_PER_LINK: usize = 100;
/// Maximum length of the name or the source of an assessment.
pub const ASSESSMENT_NAME: usize = 250;
/// Maximum length of the key of a trace tag.
pub const TRACE_TAG_KEY: usize = 250;
/// Maximum length of the value of a trace tag; longer ones are truncated unless that is disabled.
pub const TRACE_TAG_VALUE: usize = 8000;
/// Maximum length of the text of an archival retention, such as `30d`.
pub const TRACE_ARCHIVAL_RETENTION: usize = 32;

/// Maximum page size of a search.
pub const SEARCH_RESULTS: i64 = 50_000;
/// Maximum page size for registered models.
pub const REGISTERED_MODELS: i64 = 1000;
/// Maximum page size for model versions.
pub const MODEL_VERSIONS: i64 = 200_000;
/// Maximum page size for traces.
pub const TRACES: i64 = 500;
/// Maximum page size of a metric history, and maximum number of points in a response.
pub const METRIC_HISTORY: i64 = 25_000;
/// Maximum number of runs in a request for sampled metric histories.
pub const RUNS_PER_BULK_INTERVAL: usize = 100;
/// Maximum number of points per run in a response with sampled metric histories.
pub const POINTS_PER_RUN: i64 = 2500;
/// Maximum number of runs in a request for metric histories.
pub const RUNS_PER_BULK_HISTORY: usize = 100;
/// Maximum number of experiments in a search for datasets.
pub const EXPERIMENTS_PER_DATASET_SEARCH: usize = 20;
/// Maximum number of datasets in a response of a search for datasets.
pub const DATASET_SUMMARIES: usize = 1000;

/// The size limits of one request, which bound the memory for parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestSize {
    /// Maximum size of the body, in bytes.
    pub bytes: usize,
    /// Maximum number of values: objects, lists, texts, numbers and literals, each counted once.
    pub values: usize,
}

impl RequestSize {
    /// Calls with names and ids only, GraphQL, forms, users and roles.
    pub const SMALL: Self = Self { bytes: 128 * 1024, values: REQUEST_VALUES };
    /// Most calls.
    pub const MEDIUM: Self = Self { bytes: 1024 * 1024, values: REQUEST_VALUES };
    /// Calls with several long texts, or with one that is truncated to the stored length.
    pub const LARGE: Self = Self { bytes: 8 * 1024 * 1024, values: REQUEST_VALUES };
    /// Batches and datasets: a profile alone may have 16 MiB. Parsing a text takes three times its length.
    pub const LARGEST: Self = Self { bytes: 18 * 1024 * 1024, values: REQUEST_VALUES };
    /// The parts of a multipart upload: 10,000 in S3, with three values each.
    pub const PARTS: Self = Self { bytes: 8 * 1024 * 1024, values: 50_000 };
}

/// Maximum number of values of one request. The largest batch with all fields of each metric has 9,000.
const REQUEST_VALUES: usize = 20_000;

/// Maximum length of a value that is quoted in an error message.
pub const VALUE_IN_ERROR: usize = 10_000;
/// Maximum size of an error message, in bytes.
pub const ERROR_MESSAGE: usize = 20_000;

/// Memory budgets for all requests of a server together, in bytes. A request waits for memory for at most
/// [`memory::REQUEST_WAIT`], then it is rejected with a retryable error.
pub mod memory {
    use std::time::Duration;

    const MIB: usize = 1024 * 1024;

    /// Maximum size of a short body, which never waits for a long one and is parsed inline.
    pub const SHORT_BODY: usize = 64 * 1024;
    /// Budget for short bodies while they are received.
    pub const SHORT_BODIES: usize = 16 * MIB;
    /// Budget for long bodies while they are received: two of the largest.
    pub const LONG_BODIES: usize = 36 * MIB;
    /// Budget for parsed messages of short bodies, until their response.
    pub const SHORT_MESSAGES: usize = 32 * MIB;
    /// Budget for parsed messages of long bodies: one of the largest takes 44 MiB.
    pub const LONG_MESSAGES: usize = 48 * MIB;
    /// Maximum memory of one value of a message without its text: a small object in a JSON tree.
    pub const PER_VALUE: usize = 384;
    /// Size of the rows of a request up to which it never waits for others.
    pub const SMALL_RESULT: usize = 2 * MIB;
    /// Size of a page of a search after which no more rows are loaded for it: it ends, with the token of the next page.
    pub const PAGE: usize = 24 * MIB;
    /// Maximum size of the rows of a request. In memory, as messages and as JSON, they take about four times as much.
    pub const LARGEST_RESULT: usize = 48 * MIB;
    /// Number of requests with more than [`SMALL_RESULT`] whose rows or responses are in memory at once.
    pub const LARGE_RESULTS: usize = 2;
    /// How long a request with a large result waits for its turn. It keeps its connection to the database meanwhile.
    pub const RESULT_WAIT: Duration = Duration::from_secs(5);
    /// Number of copies of a body's text after parsing: in the message, and in the statements for the database.
    pub const COPIES: usize = 2;
    /// Memory per byte of a parsed GraphQL query.
    pub const PER_GRAPHQL_BYTE: usize = 64;
    /// Maximum number of long bodies that are parsed concurrently, each on its own thread.
    pub const PARSERS: usize = 1;
    /// How long a request waits for memory.
    pub const REQUEST_WAIT: Duration = Duration::from_secs(10);
    /// Interval at which the progress of a body is checked while others wait for memory.
    pub const GRACE: Duration = Duration::from_secs(1);
    /// Minimum progress per interval, in bytes.
    pub const PACE: usize = 64 * 1024;
    /// Minimum progress of a response whose caller has more than its share of the large results, while another caller
    /// waits.
    pub const PACE_OVER_SHARE: usize = MIB;
    /// Maximum number of bytes of a rejected body that are discarded, so that its client gets to read the response.
    pub const MAX_DISCARDED: usize = 128 * MIB;
    /// Timeout for discarding them.
    pub const DISCARD_TIME: Duration = Duration::from_secs(30);
}

/// Maximum number of requests that run at once; of one caller, half of them.
pub const REQUESTS: usize = 8192;
/// Maximum number of query parameters.
pub const QUERY_PARAMETERS: usize = 1000;
/// Maximum number of tokens in a GraphQL query.
pub const GRAPHQL_TOKENS: usize = 10_000;
/// Maximum size of the variables of a GraphQL query after substitution, in bytes.
pub const GRAPHQL_EXPANDED: usize = 1024 * 1024;
/// Maximum number of errors in the response to a GraphQL query.
pub const GRAPHQL_ERRORS: usize = 100;
