//! MLflow 3.17: trace analytics in columns, and persistent jobs.

use super::{
    Change::{DropColumn, NotNull},
    Revision,
    Step::{AddColumns, Alter, Data, Postgres, Refuse, Sql, Sqlite},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "75868b020152",
        title: "trace analytics in columns",
        rolling: false,
        steps: &[
            Refuse(
                "SELECT 'spans row references missing trace_info row ' || spans.trace_id FROM spans
LEFT JOIN trace_info ON trace_info.request_id = spans.trace_id \
    WHERE trace_info.request_id IS NULL LIMIT 1",
            ),
            Refuse(
                "SELECT 'assessments row references missing trace_info row ' || assessments.trace_id FROM \
    assessments
LEFT JOIN trace_info ON trace_info.request_id = assessments.trace_id \
    WHERE trace_info.request_id IS NULL LIMIT 1",
            ),
            AddColumns(
                "trace_info",
                &[
                    "trace_name VARCHAR(4096)",
                    "session_id VARCHAR(250)",
                    "input_tokens BIGINT",
                    "output_tokens BIGINT",
                    "total_tokens BIGINT",
                    "cache_read_input_tokens BIGINT",
                    "cache_creation_input_tokens BIGINT",
                    "cache_creation_input_tokens_above_1hr BIGINT",
                    "input_cost FLOAT",
                    "output_cost FLOAT",
                    "total_cost FLOAT",
                ],
            ),
            AddColumns(
                "assessments",
                &[
                    "experiment_id INTEGER",
                    "trace_timestamp_ms BIGINT",
                    "aggregate_value FLOAT",
                    "is_numeric_value BOOLEAN DEFAULT {FALSE}",
                ],
            ),
            AddColumns(
                "spans",
                &[
                    "input_cost FLOAT",
                    "output_cost FLOAT",
                    "total_cost FLOAT",
                    "model_name VARCHAR(500)",
                    "model_provider VARCHAR(500)",
                ],
            ),
            Data(super::Data::TraceAnalytics),
            // A gateway stores the cost of a call only in its spans.
            Sql("UPDATE trace_info
SET total_cost = (SELECT SUM(spans.total_cost) FROM spans \
    WHERE spans.trace_id = trace_info.request_id)
WHERE total_cost IS NULL
    AND EXISTS (
        SELECT 1 FROM trace_request_metadata
        WHERE trace_request_metadata.request_id = trace_info.request_id
            AND trace_request_metadata.\"key\" = 'mlflow.gateway.endpointId'
    )
    AND (SELECT SUM(spans.total_cost) FROM spans \
        WHERE spans.trace_id = trace_info.request_id) IS NOT NULL"),
            Alter("assessments", &[NotNull("is_numeric_value")]),
            Sql("CREATE TABLE IF NOT EXISTS sql_trace_metric_daily_rollups (
    id {IDENTITY},
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    metric_name VARCHAR(250) NOT NULL,
    grouping_set VARCHAR(50) NOT NULL,
    trace_status VARCHAR(50),
    sample_count BIGINT NOT NULL,
    sum_value FLOAT,
    min_value FLOAT,
    max_value FLOAT,
    p50_value FLOAT,
    p90_value FLOAT,
    p99_value FLOAT,
    CONSTRAINT sql_trace_metric_daily_rollups_pk PRIMARY KEY (id)
)"),
            Sql("CREATE TABLE IF NOT EXISTS sql_span_cost_daily_rollups (
    id {IDENTITY},
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    metric_name VARCHAR(250) NOT NULL,
    grouping_set VARCHAR(50) NOT NULL,
    model_name VARCHAR(500),
    model_provider VARCHAR(500),
    sample_count BIGINT NOT NULL,
    sum_value FLOAT,
    min_value FLOAT,
    max_value FLOAT,
    CONSTRAINT sql_span_cost_daily_rollups_pk PRIMARY KEY (id)
)"),
            Sql("CREATE TABLE IF NOT EXISTS sql_assessment_daily_rollups (
    id {IDENTITY},
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    metric_name VARCHAR(250) NOT NULL,
    grouping_set VARCHAR(50) NOT NULL,
    sample_count BIGINT NOT NULL,
    sum_value FLOAT,
    min_value FLOAT,
    max_value FLOAT,
    CONSTRAINT sql_assessment_daily_rollups_pk PRIMARY KEY (id)
)"),
            Sql("CREATE TABLE IF NOT EXISTS sql_trace_rollup_rebuild_queue (
    experiment_id INTEGER NOT NULL,
    rollup_day DATE NOT NULL,
    rollup_family VARCHAR(50) NOT NULL,
    CONSTRAINT sql_trace_rollup_rebuild_queue_pk PRIMARY KEY (experiment_id, rollup_day, \
        rollup_family)
)"),
            Sql(r#"DELETE FROM trace_tags WHERE "key" = 'mlflow.traceName'"#),
            Sql(r#"DELETE FROM trace_request_metadata
WHERE "key" IN ('mlflow.trace.session', 'mlflow.trace.tokenUsage', 'mlflow.trace.cost')"#),
            Sql(r#"DELETE FROM trace_metrics
WHERE "key" IN ('input_tokens', 'output_tokens', 'total_tokens', 'cache_read_input_tokens',
    'cache_creation_input_tokens', 'cache_creation_input_tokens_above_1hr')"#),
            Sql(r#"DELETE FROM span_metrics WHERE "key" IN ('input_cost', 'output_cost', 'total_cost')"#),
            Alter("spans", &[DropColumn("dimension_attributes")]),
            Sql("CREATE INDEX IF NOT EXISTS index_trace_info_experiment_id_session_id \
    ON trace_info (experiment_id, session_id)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_trace_rollups_lookup \
    ON sql_trace_metric_daily_rollups (experiment_id, rollup_day, metric_name, \
    grouping_set, trace_status)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_span_cost_rollups_lookup \
    ON sql_span_cost_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set, \
    model_name, model_provider)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_assessment_rollups_lookup \
    ON sql_assessment_daily_rollups (experiment_id, rollup_day, metric_name, grouping_set)"),
            Sqlite(
                "CREATE INDEX IF NOT EXISTS idx_spans_cost_trace_time_cover \
    ON spans (trace_id, start_time_unix_nano)",
            ),
            Postgres(
                "CREATE INDEX IF NOT EXISTS idx_spans_cost_trace_time_cover \
    ON spans (trace_id, start_time_unix_nano)
INCLUDE (input_cost, output_cost, total_cost, model_name, model_provider)
WHERE input_cost IS NOT NULL OR output_cost IS NOT NULL OR total_cost IS NOT NULL",
            ),
            Sqlite(
                "CREATE INDEX IF NOT EXISTS idx_spans_cost_exp_time_cover \
    ON spans (experiment_id, start_time_unix_nano)",
            ),
            Postgres(
                "CREATE INDEX IF NOT EXISTS idx_spans_cost_exp_time_cover \
    ON spans (experiment_id, start_time_unix_nano)
INCLUDE (input_cost, output_cost, total_cost, model_name, model_provider)
WHERE input_cost IS NOT NULL OR output_cost IS NOT NULL OR total_cost IS NOT NULL",
            ),
            Sql("CREATE INDEX IF NOT EXISTS idx_assessments_exp_trace_ts \
    ON assessments (experiment_id, trace_timestamp_ms)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_assessments_exp_trace_ts_name \
    ON assessments (experiment_id, trace_timestamp_ms, name)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_assessments_exp_name_valid \
    ON assessments (experiment_id, name, valid)"),
        ],
    },
    Revision {
        id: "dc11669786a5",
        title: "leases of jobs",
        rolling: false,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS scheduler_leases (
    lease_key VARCHAR(255) NOT NULL,
    acquired_at BIGINT NOT NULL,
    ttl_seconds INTEGER NOT NULL,
    CONSTRAINT scheduler_leases_pk PRIMARY KEY (lease_key)
)"),
            Sql("CREATE TABLE IF NOT EXISTS job_locks (
    lock_key VARCHAR(255) NOT NULL,
    job_id VARCHAR(36) NOT NULL,
    acquired_at BIGINT NOT NULL,
    CONSTRAINT job_locks_pk PRIMARY KEY (lock_key),
    CONSTRAINT fk_job_locks_job_id FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_job_locks_job_id ON job_locks (job_id)"),
            AddColumns(
                "jobs",
                &[
                    "executor_backend VARCHAR(255)",
                    "lease_expires_at BIGINT",
                    "status_message TEXT",
                    "progress JSON",
                    "progress_updated_at BIGINT",
                    "token_hash VARCHAR(64)",
                    "scoped_permissions JSON",
                    "next_attempt_at BIGINT",
                ],
            ),
            Sql("CREATE INDEX IF NOT EXISTS index_jobs_status_lease_expires_at ON jobs (status, lease_expires_at)"),
            // 0 is pending, 1 running, 5 cancelled: no process is left that would finish them.
            Sql("UPDATE jobs SET status = 5, last_update_time = {NOW_MS} WHERE status IN (0, 1)"),
        ],
    },
];
