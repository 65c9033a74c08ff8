//! MLflow 3.0 to 3.5: logged models, spans, webhooks, evaluation.

use super::{
    Change::{Constrain, Widen},
    Revision,
    Step::{AddColumns, Alter, Sql},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "400f98739977",
        title: "logged models",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS logged_models (
    model_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(500) NOT NULL,
    artifact_location VARCHAR(1000) NOT NULL,
    creation_timestamp_ms BIGINT NOT NULL,
    last_updated_timestamp_ms BIGINT NOT NULL,
    status INTEGER NOT NULL,
    lifecycle_stage VARCHAR(32),
    model_type VARCHAR(500),
    source_run_id VARCHAR(32),
    status_message VARCHAR(1000),
    CONSTRAINT logged_models_pk PRIMARY KEY (model_id),
    CONSTRAINT logged_models_lifecycle_stage_check CHECK (lifecycle_stage IN ('active', \
        'deleted')),
    CONSTRAINT fk_logged_models_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS logged_model_metrics (
    model_id VARCHAR(36) NOT NULL,
    metric_name VARCHAR(500) NOT NULL,
    metric_timestamp_ms BIGINT NOT NULL,
    metric_step BIGINT NOT NULL,
    metric_value FLOAT,
    experiment_id INTEGER NOT NULL,
    run_id VARCHAR(32) NOT NULL,
    dataset_uuid VARCHAR(36),
    dataset_name VARCHAR(500),
    dataset_digest VARCHAR(36),
    CONSTRAINT logged_model_metrics_pk PRIMARY KEY (model_id, metric_name, \
        metric_timestamp_ms, metric_step, run_id),
    CONSTRAINT fk_logged_model_metrics_experiment_id \
        FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id),
    CONSTRAINT fk_logged_model_metrics_model_id FOREIGN KEY (model_id) \
        REFERENCES logged_models (model_id) ON DELETE CASCADE,
    CONSTRAINT fk_logged_model_metrics_run_id FOREIGN KEY (run_id) \
        REFERENCES runs (run_uuid) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_logged_model_metrics_model_id \
    ON logged_model_metrics (model_id)"),
            Sql("CREATE TABLE IF NOT EXISTS logged_model_params (
    model_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    param_key VARCHAR(255) NOT NULL,
    param_value TEXT NOT NULL,
    CONSTRAINT logged_model_params_pk PRIMARY KEY (model_id, param_key),
    CONSTRAINT fk_logged_model_params_experiment_id \
        FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id),
    CONSTRAINT fk_logged_model_params_model_id FOREIGN KEY (model_id) \
        REFERENCES logged_models (model_id) ON DELETE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS logged_model_tags (
    model_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    tag_key VARCHAR(255) NOT NULL,
    tag_value TEXT NOT NULL,
    CONSTRAINT logged_model_tags_pk PRIMARY KEY (model_id, tag_key),
    CONSTRAINT fk_logged_model_tags_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id),
    CONSTRAINT fk_logged_model_tags_model_id FOREIGN KEY (model_id) \
        REFERENCES logged_models (model_id) ON DELETE CASCADE
)"),
        ],
    },
    Revision {
        id: "6953534de441",
        title: "step of inputs",
        rolling: true,
        steps: &[AddColumns("inputs", &["step BIGINT DEFAULT '0' NOT NULL"])],
    },
    Revision {
        id: "bda7b8c39065",
        title: "tags of model versions without a limit",
        rolling: true,
        steps: &[Alter("model_version_tags", &[Widen("value", "TEXT")])],
    },
    Revision {
        id: "cbc13b556ace",
        title: "request and response previews of traces",
        rolling: true,
        steps: &[AddColumns(
            "trace_info",
            &["client_request_id VARCHAR(50)", "request_preview VARCHAR(1000)", "response_preview VARCHAR(1000)"],
        )],
    },
    Revision {
        id: "770bee3ae1dd",
        title: "assessments",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS assessments (
    assessment_id VARCHAR(50) NOT NULL,
    trace_id VARCHAR(50) NOT NULL,
    name VARCHAR(250) NOT NULL,
    assessment_type VARCHAR(20) NOT NULL,
    value TEXT NOT NULL,
    error TEXT,
    created_timestamp BIGINT NOT NULL,
    last_updated_timestamp BIGINT NOT NULL,
    source_type VARCHAR(50) NOT NULL,
    source_id VARCHAR(250),
    run_id VARCHAR(32),
    span_id VARCHAR(50),
    rationale TEXT,
    overrides VARCHAR(50),
    valid BOOLEAN NOT NULL,
    assessment_metadata TEXT,
    CONSTRAINT assessments_pk PRIMARY KEY (assessment_id),
    CONSTRAINT fk_assessments_trace_id FOREIGN KEY (trace_id) \
        REFERENCES trace_info (request_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_assessments_trace_id_created_timestamp \
    ON assessments (trace_id, created_timestamp)"),
            Sql("CREATE INDEX IF NOT EXISTS index_assessments_run_id_created_timestamp \
    ON assessments (run_id, created_timestamp)"),
            Sql("CREATE INDEX IF NOT EXISTS index_assessments_last_updated_timestamp \
    ON assessments (last_updated_timestamp)"),
            Sql("CREATE INDEX IF NOT EXISTS index_assessments_assessment_type ON assessments (assessment_type)"),
        ],
    },
    Revision {
        id: "a1b2c3d4e5f6",
        title: "spans",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS spans (
    trace_id VARCHAR(50) NOT NULL,
    experiment_id INTEGER NOT NULL,
    span_id VARCHAR(50) NOT NULL,
    parent_span_id VARCHAR(50),
    name TEXT,
    type VARCHAR(500),
    status VARCHAR(50) NOT NULL,
    start_time_unix_nano BIGINT NOT NULL,
    end_time_unix_nano BIGINT,
    duration_ns BIGINT GENERATED ALWAYS AS (end_time_unix_nano - start_time_unix_nano) \
        STORED,
    content TEXT NOT NULL,
    CONSTRAINT spans_pk PRIMARY KEY (trace_id, span_id),
    CONSTRAINT fk_spans_trace_id FOREIGN KEY (trace_id) \
        REFERENCES trace_info (request_id) ON DELETE CASCADE,
    CONSTRAINT fk_spans_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_spans_experiment_id ON spans (experiment_id)"),
            Sql("CREATE INDEX IF NOT EXISTS index_spans_experiment_id_status_type \
    ON spans (experiment_id, status, type)"),
            Sql("CREATE INDEX IF NOT EXISTS index_spans_experiment_id_type_status \
    ON spans (experiment_id, type, status)"),
            Sql("CREATE INDEX IF NOT EXISTS index_spans_experiment_id_duration \
    ON spans (experiment_id, duration_ns)"),
        ],
    },
    Revision {
        id: "de4033877273",
        title: "associations of entities",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS entity_associations (
    association_id VARCHAR(36) NOT NULL,
    source_type VARCHAR(36) NOT NULL,
    source_id VARCHAR(36) NOT NULL,
    destination_type VARCHAR(36) NOT NULL,
    destination_id VARCHAR(36) NOT NULL,
    created_time BIGINT,
    CONSTRAINT entity_associations_pk PRIMARY KEY (source_type, source_id, \
        destination_type, destination_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_entity_associations_association_id \
    ON entity_associations (association_id)"),
            Sql("CREATE INDEX IF NOT EXISTS index_entity_associations_reverse_lookup \
    ON entity_associations (destination_type, destination_id, source_type, source_id)"),
        ],
    },
    Revision {
        id: "1a0cddfcaa16",
        title: "webhooks",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS webhooks (
    webhook_id VARCHAR(256) NOT NULL,
    name VARCHAR(256) NOT NULL,
    description VARCHAR(1000),
    url VARCHAR(500) NOT NULL,
    status VARCHAR(20) DEFAULT 'ACTIVE' NOT NULL,
    secret VARCHAR(1000),
    creation_timestamp BIGINT,
    last_updated_timestamp BIGINT,
    deleted_timestamp BIGINT,
    CONSTRAINT webhook_pk PRIMARY KEY (webhook_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_webhooks_status ON webhooks (status)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_webhooks_name ON webhooks (name)"),
            Sql("CREATE TABLE IF NOT EXISTS webhook_events (
    webhook_id VARCHAR(256) NOT NULL,
    entity VARCHAR(50) NOT NULL,
    action VARCHAR(50) NOT NULL,
    CONSTRAINT webhook_event_pk PRIMARY KEY (webhook_id, entity, action),
    FOREIGN KEY (webhook_id) REFERENCES webhooks (webhook_id) ON DELETE cascade
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_webhook_events_entity ON webhook_events (entity)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_webhook_events_action ON webhook_events (action)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_webhook_events_entity_action ON webhook_events (entity, action)"),
        ],
    },
    Revision {
        id: "534353b11cbc",
        title: "scorers",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS scorers (
    experiment_id INTEGER NOT NULL,
    scorer_name VARCHAR(256) NOT NULL,
    scorer_id VARCHAR(36) NOT NULL,
    CONSTRAINT scorer_pk PRIMARY KEY (scorer_id),
    CONSTRAINT fk_scorers_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS scorer_versions (
    scorer_id VARCHAR(36) NOT NULL,
    scorer_version INTEGER NOT NULL,
    serialized_scorer TEXT NOT NULL,
    creation_time BIGINT,
    CONSTRAINT scorer_version_pk PRIMARY KEY (scorer_id, scorer_version),
    CONSTRAINT fk_scorer_versions_scorer_id FOREIGN KEY (scorer_id) \
        REFERENCES scorers (scorer_id) ON DELETE CASCADE
)"),
            Sql("CREATE UNIQUE INDEX IF NOT EXISTS index_scorers_experiment_id_scorer_name \
    ON scorers (experiment_id, scorer_name)"),
            Sql("CREATE INDEX IF NOT EXISTS index_scorer_versions_scorer_id ON scorer_versions (scorer_id)"),
        ],
    },
    Revision {
        id: "71994744cf8e",
        title: "evaluation datasets",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS evaluation_datasets (
    dataset_id VARCHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    schema TEXT,
    profile TEXT,
    digest VARCHAR(64),
    created_time BIGINT,
    last_update_time BIGINT,
    created_by VARCHAR(255),
    last_updated_by VARCHAR(255),
    CONSTRAINT evaluation_datasets_pk PRIMARY KEY (dataset_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_evaluation_datasets_name ON evaluation_datasets (name)"),
            Sql("CREATE INDEX IF NOT EXISTS index_evaluation_datasets_created_time \
    ON evaluation_datasets (created_time)"),
            Sql("CREATE TABLE IF NOT EXISTS evaluation_dataset_tags (
    dataset_id VARCHAR(36) NOT NULL,
    \"key\" VARCHAR(255) NOT NULL,
    value VARCHAR(5000),
    CONSTRAINT evaluation_dataset_tags_pk PRIMARY KEY (dataset_id, \"key\"),
    CONSTRAINT fk_evaluation_dataset_tags_dataset_id FOREIGN KEY (dataset_id) \
        REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_evaluation_dataset_tags_dataset_id \
    ON evaluation_dataset_tags (dataset_id)"),
            Sql("CREATE TABLE IF NOT EXISTS evaluation_dataset_records (
    dataset_record_id VARCHAR(36) NOT NULL,
    dataset_id VARCHAR(36) NOT NULL,
    inputs JSON NOT NULL,
    expectations JSON,
    tags JSON,
    source JSON,
    source_id VARCHAR(36),
    source_type VARCHAR(255),
    created_time BIGINT,
    last_update_time BIGINT,
    created_by VARCHAR(255),
    last_updated_by VARCHAR(255),
    input_hash VARCHAR(64) NOT NULL,
    CONSTRAINT evaluation_dataset_records_pk PRIMARY KEY (dataset_record_id),
    CONSTRAINT fk_evaluation_dataset_records_dataset_id \
        FOREIGN KEY (dataset_id) REFERENCES evaluation_datasets (dataset_id) \
        ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_evaluation_dataset_records_dataset_id \
    ON evaluation_dataset_records (dataset_id)"),
            Alter(
                "evaluation_dataset_records",
                &[Constrain("CONSTRAINT unique_dataset_input UNIQUE (dataset_id, input_hash)")],
            ),
        ],
    },
    Revision {
        id: "3da73c924c2f",
        title: "outputs of dataset records",
        rolling: true,
        steps: &[AddColumns("evaluation_dataset_records", &["outputs JSON"])],
    },
    Revision {
        id: "bf29a5ff90ea",
        title: "jobs",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS jobs (
    id VARCHAR(36) NOT NULL,
    creation_time BIGINT NOT NULL,
    function_fullname VARCHAR(500) NOT NULL,
    params TEXT NOT NULL,
    timeout FLOAT,
    status INTEGER NOT NULL,
    result TEXT,
    retry_count INTEGER NOT NULL,
    last_update_time BIGINT NOT NULL,
    CONSTRAINT jobs_pk PRIMARY KEY (id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_jobs_function_status_creation_time \
    ON jobs (function_fullname, status, creation_time)"),
        ],
    },
];
