//! The statements that ask the index of a condition.

use crate::{
    db::Child,
    schema::own_indexes::{METADATA, TAGS},
    statements::statements,
};

// Each reads the index of its condition, row by row: the settings of `Plan::IndexScan` leave PostgreSQL no other way. One
// of a range is in the order of its index, which tells it from others that begin with the same columns. The last parameter
// is the maximum number of rows.
statements! {
    pub(super) static TAGGED: Child = "SELECT request_id, 0 FROM trace_tags WHERE key = $1 LIMIT $2";

    pub(super) static WITH_METADATA: Child = "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 LIMIT $2";

    /// `$2` is the part of `$3` that is in the index, as in the next statements. With `value = $3`, SQLite would replace
    /// the column in the expression of the index by `$3`.
    pub(super) static WITH_TAG: Child =
        "SELECT request_id, 0 FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) = $2 AND value {in $3} AND ",
        TAGS, " LIMIT $4";

    pub(super) static WITH_METADATA_VALUE: Child =
        "SELECT request_id, 0 FROM trace_request_metadata WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND value {in $3} AND ", METADATA, " LIMIT $4";

    /// With one of several values, or another one that begins so.
    pub(super) static WITH_TAGS: Child =
        "SELECT request_id, 0 FROM ", EACH_VALUE, "trace_tags", OF_VALUE, TAGS, " LIMIT $3";

    pub(super) static WITH_METADATA_VALUES: Child =
        "SELECT request_id, 0 FROM ", EACH_VALUE, "trace_request_metadata", OF_VALUE, METADATA, " LIMIT $3";

    /// The values of a key that may match a pattern, one look at the index for each different value. A row with a number
    /// over `$2` says that there are more. A value that is not whole in the index may match.
    pub(super) static TAGS_LIKE: Child = FIRST, TAGS_OF, TAGS, NEXT, TAGS_OF, TAGS, LAST, LIKE;
    pub(super) static TAGS_ILIKE: Child = FIRST, TAGS_OF, TAGS, NEXT, TAGS_OF, TAGS, LAST, ILIKE;
    pub(super) static METADATA_LIKE: Child = FIRST, METADATA_OF, METADATA, NEXT, METADATA_OF, METADATA, LAST, LIKE;
    pub(super) static METADATA_ILIKE: Child = FIRST, METADATA_OF, METADATA, NEXT, METADATA_OF, METADATA, LAST, ILIKE;

    /// Two ranges, because an index does not serve `<>`.
    pub(super) static WITH_OTHER_TAG: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) < $2 \
         AND ", TAGS,
        " UNION ALL SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) > $2 AND ", TAGS,
        " UNION ALL SELECT request_id FROM trace_tags WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND NOT (value {in $3}) AND ", TAGS, ") x LIMIT $4";

    pub(super) static WITH_OTHER_METADATA_VALUE: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM trace_request_metadata \
         WHERE key = $1 AND substr(value, 1, 200) < $2 AND ", METADATA,
        " UNION ALL SELECT request_id FROM trace_request_metadata \
         WHERE key = $1 AND substr(value, 1, 200) > $2 AND ", METADATA,
        " UNION ALL SELECT request_id FROM trace_request_metadata WHERE key = $1 AND substr(value, 1, 200) = $2 \
         AND NOT (value {in $3}) AND ", METADATA, ") x LIMIT $4";

    pub(super) static IN_STATES: Child =
        "SELECT request_id, 0 FROM ", EACH, "trace_info", IN_IT, "status {in $2} LIMIT $3";

    pub(super) static IN_OTHER_STATE: Child =
        "SELECT request_id, 0 FROM (SELECT request_id FROM ", EACH, "trace_info", IN_IT, "status < $2 \
         UNION ALL SELECT request_id FROM ", EACH, "trace_info", IN_IT, "status > $2) x LIMIT $3";

    pub(super) static WITH_CLIENT_ID: Child =
        "SELECT request_id, 0 FROM trace_info WHERE client_request_id {in $1} AND client_request_id IS NOT NULL \
         LIMIT $2";

    pub(super) static LASTING: Child =
        "SELECT request_id, 0 FROM trace_info WHERE experiment_id = $1 AND execution_time_ms BETWEEN $2 AND $3 \
         ORDER BY execution_time_ms LIMIT $4";

    pub(super) static WITH_TYPE: Child =
        "SELECT trace_id, 0 FROM ", EACH, "spans", IN_IT, "type {in $2} LIMIT $3";

    pub(super) static WITH_STATUS: Child =
        "SELECT trace_id, 0 FROM ", EACH, "spans", IN_IT, "status {in $2} LIMIT $3";

    pub(super) static WITH_SPAN: Child =
        "SELECT trace_id, 0 FROM ", EACH, "spans", IN_IT, "substr(name, 1, 200) {in $2} AND name {in $3} LIMIT $4";

    /// An assessment about a session is one of all its traces.
    pub(super) static ASSESSED: Child = "SELECT ", ASSESSMENT, EACH, "assessments", IN_IT, "name = $2 AND valid LIMIT $3";

    pub(super) static ASSESSED_AS: Child =
        "SELECT ", ASSESSMENT, EACH, "assessments", IN_IT, "name = $2 AND valid AND substr(value, 1, 200) {in $3} \
         AND value {in $4} LIMIT $5";

    pub(super) static ASSESSED_WITHIN: Child =
        "SELECT ", ASSESSMENT, "assessments WHERE experiment_id = $1 AND name = $2 AND valid AND is_numeric_value \
         AND aggregate_value BETWEEN $3 AND $4 ORDER BY aggregate_value LIMIT $5";

    pub(super) static SESSIONS: Child =
        "SELECT DISTINCT session_id FROM trace_info WHERE request_id {in $1} AND session_id IS NOT NULL";

    pub(super) static IN_SESSIONS: Child =
        "SELECT request_id, 0 FROM ", EACH, "trace_info", IN_IT, "session_id {in $2} LIMIT $3";
}

const ASSESSMENT: &str = "trace_id, CASE WHEN assessment_metadata LIKE '%\"mlflow.trace.session\":%' THEN 1 ELSE 0 END \
                          FROM ";

/// A table with the experiments in `$1`: SQLite, without statistics, scans a table rather than to combine two lists.
const EACH: &str = "{sqlite:(SELECT value AS one FROM json_each($1)) e CROSS JOIN }";
const IN_IT: &str = " WHERE experiment_id = {postgres:ANY($1)}{sqlite:e.one} AND ";

/// A table with the key `$1` and the values in `$2`, for the same reason.
const EACH_VALUE: &str = "{sqlite:(SELECT value AS one FROM json_each($2)) v CROSS JOIN }";
const OF_VALUE: &str = " WHERE key = $1 AND substr(value, 1, 200) = {postgres:ANY($2)}{sqlite:v.one} AND ";

/// The least value of a key, then the next one each time.
const FIRST: &str = "WITH RECURSIVE v(value, number) AS (SELECT (SELECT substr(value, 1, 200) FROM ";
const NEXT: &str = " AND substr(value, 1, 200) >= '' ORDER BY substr(value, 1, 200) LIMIT 1), CAST(1 AS BIGINT) \
                    UNION ALL SELECT (SELECT substr(value, 1, 200) FROM ";
const LAST: &str = " AND substr(value, 1, 200) > v.value ORDER BY substr(value, 1, 200) LIMIT 1), v.number + 1 \
                    FROM v WHERE v.value IS NOT NULL AND v.number <= $2) \
                    SELECT v.value, v.number FROM v WHERE v.value IS NOT NULL ";
const TAGS_OF: &str = "trace_tags WHERE key = $1 AND ";
const METADATA_OF: &str = "trace_request_metadata WHERE key = $1 AND ";
const LIKE: &str = "AND (v.value LIKE $3 OR length(v.value) >= 200 OR v.number > $2)";
const ILIKE: &str = "AND ({postgres:v.value ILIKE $3}{sqlite:lower(v.value) LIKE lower($3)} \
                     OR length(v.value) >= 200 OR v.number > $2)";
