//! MLflow 3.6 to 3.9: the gateway, and metrics of traces and spans.

use super::{
    Change::{Add, Constrain},
    Revision,
    Step::{AddColumns, Alter, Postgres, Sql, Sqlite},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "1bd49d398cd23",
        title: "secrets and endpoints of the gateway",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS secrets (
    secret_id VARCHAR(36) NOT NULL,
    secret_name VARCHAR(255) NOT NULL,
    encrypted_value {BYTES} NOT NULL,
    wrapped_dek {BYTES} NOT NULL,
    kek_version INTEGER NOT NULL,
    masked_value VARCHAR(500) NOT NULL,
    provider VARCHAR(64),
    auth_config TEXT,
    description TEXT,
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT secrets_pk PRIMARY KEY (secret_id)
)"),
            Sql("CREATE UNIQUE INDEX IF NOT EXISTS unique_secret_name ON secrets (secret_name)"),
            Sql("CREATE TABLE IF NOT EXISTS endpoints (
    endpoint_id VARCHAR(36) NOT NULL,
    name VARCHAR(255),
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT endpoints_pk PRIMARY KEY (endpoint_id)
)"),
            Sql("CREATE UNIQUE INDEX IF NOT EXISTS unique_endpoint_name ON endpoints (name)"),
            Sql("CREATE TABLE IF NOT EXISTS model_definitions (
    model_definition_id VARCHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    secret_id VARCHAR(36),
    provider VARCHAR(64) NOT NULL,
    model_name VARCHAR(256) NOT NULL,
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT model_definitions_pk PRIMARY KEY (model_definition_id),
    CONSTRAINT fk_model_definitions_secret_id FOREIGN KEY (secret_id) \
        REFERENCES secrets (secret_id) ON DELETE SET NULL
)"),
            Sql("CREATE UNIQUE INDEX IF NOT EXISTS unique_model_definition_name ON model_definitions (name)"),
            Sql("CREATE INDEX IF NOT EXISTS index_model_definitions_secret_id ON model_definitions (secret_id)"),
            Sql("CREATE INDEX IF NOT EXISTS index_model_definitions_provider ON model_definitions (provider)"),
            Sql("CREATE TABLE IF NOT EXISTS endpoint_model_mappings (
    mapping_id VARCHAR(36) NOT NULL,
    endpoint_id VARCHAR(36) NOT NULL,
    model_definition_id VARCHAR(36) NOT NULL,
    weight FLOAT NOT NULL,
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    CONSTRAINT endpoint_model_mappings_pk PRIMARY KEY (mapping_id),
    CONSTRAINT fk_endpoint_model_mappings_endpoint_id \
        FOREIGN KEY (endpoint_id) REFERENCES endpoints (endpoint_id) ON DELETE CASCADE,
    CONSTRAINT fk_endpoint_model_mappings_model_definition_id \
        FOREIGN KEY (model_definition_id) \
        REFERENCES model_definitions (model_definition_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_endpoint_model_mappings_endpoint_id \
    ON endpoint_model_mappings (endpoint_id)"),
            Sql("CREATE INDEX IF NOT EXISTS index_endpoint_model_mappings_model_definition_id \
    ON endpoint_model_mappings (model_definition_id)"),
            Sql("CREATE UNIQUE INDEX IF NOT EXISTS unique_endpoint_model_mapping \
    ON endpoint_model_mappings (endpoint_id, model_definition_id)"),
            Sql("CREATE TABLE IF NOT EXISTS endpoint_bindings (
    endpoint_id VARCHAR(36) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id VARCHAR(255) NOT NULL,
    created_at BIGINT NOT NULL,
    created_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    CONSTRAINT endpoint_bindings_pk PRIMARY KEY (endpoint_id, resource_type, resource_id),
    CONSTRAINT fk_endpoint_bindings_endpoint_id FOREIGN KEY (endpoint_id) \
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS endpoint_tags (
    \"key\" VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    endpoint_id VARCHAR(36) NOT NULL,
    CONSTRAINT endpoint_tag_pk PRIMARY KEY (\"key\", endpoint_id),
    CONSTRAINT fk_endpoint_tags_endpoint_id FOREIGN KEY (endpoint_id) \
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_endpoint_tags_endpoint_id ON endpoint_tags (endpoint_id)"),
            Sqlite(
                "CREATE TRIGGER IF NOT EXISTS prevent_secrets_aad_mutation
BEFORE UPDATE ON secrets
FOR EACH ROW
WHEN OLD.secret_id != NEW.secret_id OR OLD.secret_name != NEW.secret_name
BEGIN
    SELECT RAISE(ABORT, 'secret_id and secret_name are immutable (used as AAD in encryption)');
END",
            ),
            Postgres(
                "CREATE OR REPLACE FUNCTION prevent_secrets_aad_mutation() RETURNS trigger AS $$
BEGIN
    IF OLD.secret_id != NEW.secret_id OR OLD.secret_name != NEW.secret_name THEN
        RAISE EXCEPTION 'secret_id and secret_name are immutable (used as AAD in encryption)';
    END IF;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql",
            ),
            Postgres(
                "CREATE TRIGGER prevent_secrets_aad_mutation
BEFORE UPDATE ON secrets
FOR EACH ROW EXECUTE FUNCTION prevent_secrets_aad_mutation()",
            ),
        ],
    },
    Revision {
        id: "b7c8d9e0f1a2",
        title: "metrics of traces",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS trace_metrics (
    request_id VARCHAR(50) NOT NULL,
    \"key\" VARCHAR(250) NOT NULL,
    value FLOAT,
    CONSTRAINT trace_metrics_pk PRIMARY KEY (request_id, \"key\"),
    CONSTRAINT fk_trace_metrics_request_id FOREIGN KEY (request_id) \
        REFERENCES trace_info (request_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_trace_metrics_request_id ON trace_metrics (request_id)"),
        ],
    },
    Revision {
        id: "5d2d30f0abce",
        title: "names of jobs",
        rolling: false,
        steps: &[
            Sql("DROP INDEX IF EXISTS index_jobs_function_status_creation_time"),
            Sql("ALTER TABLE jobs RENAME COLUMN function_fullname TO job_name"),
            Sql("CREATE INDEX IF NOT EXISTS index_jobs_name_status_creation_time \
    ON jobs (job_name, status, creation_time)"),
        ],
    },
    Revision {
        id: "c9d4e5f6a7b8",
        title: "routing strategy of endpoints",
        rolling: true,
        steps: &[
            AddColumns("endpoints", &["routing_strategy VARCHAR(64)", "fallback_config_json TEXT"]),
            AddColumns(
                "endpoint_model_mappings",
                &["linkage_type VARCHAR(64) DEFAULT 'PRIMARY' NOT NULL", "fallback_order INTEGER"],
            ),
            Sql("DROP INDEX IF EXISTS unique_endpoint_model_mapping"),
            Sql("CREATE UNIQUE INDEX IF NOT EXISTS unique_endpoint_model_linkage_mapping \
    ON endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type)"),
        ],
    },
    Revision {
        id: "2c33131f4dae",
        title: "online scoring",
        rolling: true,
        steps: &[Sql("CREATE TABLE IF NOT EXISTS online_scoring_configs (
    online_scoring_config_id VARCHAR(36) NOT NULL,
    scorer_id VARCHAR(36) NOT NULL,
    sample_rate FLOAT NOT NULL,
    experiment_id INTEGER NOT NULL,
    filter_string TEXT,
    CONSTRAINT online_scoring_config_pk PRIMARY KEY (online_scoring_config_id),
    CONSTRAINT fk_online_scoring_configs_scorer_id FOREIGN KEY (scorer_id) \
        REFERENCES scorers (scorer_id) ON DELETE CASCADE,
    CONSTRAINT fk_online_scoring_configs_experiment_id \
        FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id)
)")],
    },
    Revision {
        id: "d3e4f5a6b7c8",
        title: "display names of endpoint bindings",
        rolling: true,
        steps: &[AddColumns("endpoint_bindings", &["display_name VARCHAR(255)"])],
    },
    Revision {
        id: "d0e1f2a3b4c5",
        title: "experiments and usage tracking of endpoints",
        rolling: true,
        steps: &[Alter(
            "endpoints",
            &[
                Add("experiment_id INTEGER"),
                Add("usage_tracking BOOLEAN DEFAULT '0' NOT NULL"),
                Constrain(
                    "CONSTRAINT fk_endpoints_experiment_id FOREIGN KEY (experiment_id) \
    REFERENCES experiments (experiment_id) ON DELETE SET NULL",
                ),
            ],
        )],
    },
    Revision {
        id: "c8d9e0f1a2b3",
        title: "metrics and dimensions of spans",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS span_metrics (
    trace_id VARCHAR(50) NOT NULL,
    span_id VARCHAR(50) NOT NULL,
    \"key\" VARCHAR(250) NOT NULL,
    value FLOAT,
    CONSTRAINT span_metrics_pk PRIMARY KEY (trace_id, span_id, \"key\"),
    CONSTRAINT fk_span_metrics_span FOREIGN KEY (trace_id, span_id) \
        REFERENCES spans (trace_id, span_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_span_metrics_trace_id_span_id \
    ON span_metrics (trace_id, span_id)"),
            AddColumns("spans", &["dimension_attributes JSON"]),
        ],
    },
];
