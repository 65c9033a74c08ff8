//! MLflow 3.11 and later: budgets, issues, guardrails, review queues, MCP servers.

use super::{
    Change::{Constrain, Drop, Widen},
    Revision,
    Step::{AddColumns, Alter, Sql},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "e1f2a3b4c5d6",
        title: "budget policies",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS budget_policies (
    budget_policy_id VARCHAR(36) NOT NULL,
    budget_unit VARCHAR(32) NOT NULL,
    budget_amount FLOAT NOT NULL,
    duration_unit VARCHAR(32) NOT NULL,
    duration_value INTEGER NOT NULL,
    target_scope VARCHAR(32) NOT NULL,
    budget_action VARCHAR(32) NOT NULL,
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT budget_policies_pk PRIMARY KEY (budget_policy_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_budget_policies_workspace ON budget_policies (workspace)"),
        ],
    },
    Revision {
        id: "76601a5f987d",
        title: "issues",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS issues (
    issue_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(250) NOT NULL,
    description TEXT NOT NULL,
    status VARCHAR(50) NOT NULL,
    severity VARCHAR(50),
    root_causes TEXT,
    source_run_id VARCHAR(32),
    categories TEXT,
    created_timestamp BIGINT NOT NULL,
    last_updated_timestamp BIGINT NOT NULL,
    created_by VARCHAR(255),
    CONSTRAINT issues_pk PRIMARY KEY (issue_id),
    CONSTRAINT fk_issues_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id) ON DELETE CASCADE,
    CONSTRAINT fk_issues_source_run_id FOREIGN KEY (source_run_id) \
        REFERENCES runs (run_uuid) ON DELETE SET NULL
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_issues_experiment_id ON issues (experiment_id)"),
            Sql("CREATE INDEX IF NOT EXISTS index_issues_source_run_id ON issues (source_run_id)"),
            Sql("CREATE INDEX IF NOT EXISTS index_issues_status ON issues (status)"),
        ],
    },
    Revision {
        id: "c3d6457b6d8a",
        title: "status details of jobs",
        rolling: true,
        steps: &[AddColumns("jobs", &["status_details JSON"])],
    },
    Revision {
        id: "a5b4c3d2e1f0",
        title: "index on metrics by run, key and step",
        rolling: true,
        steps: &[Sql(
            r#"CREATE INDEX IF NOT EXISTS index_metrics_run_uuid_key_step ON metrics (run_uuid, "key", step)"#,
        )],
    },
    Revision {
        id: "ae8bbe7743c9",
        title: "guardrails",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS guardrails (
    guardrail_id VARCHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    scorer_id VARCHAR(36) NOT NULL,
    scorer_version INTEGER NOT NULL,
    stage VARCHAR(32) NOT NULL,
    action VARCHAR(32) NOT NULL,
    action_endpoint_id VARCHAR(36),
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT guardrails_pk PRIMARY KEY (guardrail_id),
    CONSTRAINT fk_guardrails_scorer_version \
        FOREIGN KEY (scorer_id, scorer_version) \
        REFERENCES scorer_versions (scorer_id, scorer_version),
    CONSTRAINT fk_guardrails_action_endpoint_id \
        FOREIGN KEY (action_endpoint_id) REFERENCES endpoints (endpoint_id) \
        ON DELETE SET NULL
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_guardrails_workspace ON guardrails (workspace)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_guardrails_scorer ON guardrails (scorer_id, scorer_version)"),
            Sql("CREATE TABLE IF NOT EXISTS guardrail_configs (
    endpoint_id VARCHAR(36) NOT NULL,
    guardrail_id VARCHAR(36) NOT NULL,
    execution_order INTEGER,
    created_by VARCHAR(255),
    created_at BIGINT NOT NULL,
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT guardrail_configs_pk PRIMARY KEY (endpoint_id, guardrail_id),
    CONSTRAINT fk_guardrail_configs_endpoint_id FOREIGN KEY (endpoint_id) \
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE,
    CONSTRAINT fk_guardrail_configs_guardrail_id FOREIGN KEY (guardrail_id) \
        REFERENCES guardrails (guardrail_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_guardrail_configs_endpoint_id ON guardrail_configs (endpoint_id)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_guardrail_configs_guardrail_id \
    ON guardrail_configs (guardrail_id)"),
        ],
    },
    Revision {
        id: "7d34483879f0",
        title: "indexes on tags of the registry",
        rolling: true,
        steps: &[
            Sql("CREATE INDEX IF NOT EXISTS idx_model_version_tags_workspace_name_version \
    ON model_version_tags (workspace, name, version)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_registered_model_tags_workspace_name \
    ON registered_model_tags (workspace, name)"),
        ],
    },
    Revision {
        id: "da6fb0208061",
        title: "archival of traces",
        rolling: true,
        steps: &[
            AddColumns("trace_info", &["db_payload_generation INTEGER DEFAULT '0' NOT NULL"]),
            AddColumns("workspaces", &["trace_archival_location TEXT", "trace_archival_retention VARCHAR(32)"]),
        ],
    },
    Revision {
        id: "89d3d66ed43f",
        title: "label schemas",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS label_schemas (
    schema_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(250) NOT NULL,
    type VARCHAR(16) NOT NULL,
    instruction TEXT,
    enable_comment BOOLEAN DEFAULT '0' NOT NULL,
    input_type VARCHAR(32) NOT NULL,
    input_config TEXT NOT NULL,
    created_by VARCHAR(255),
    created_time BIGINT NOT NULL,
    last_update_time BIGINT NOT NULL,
    is_default BOOLEAN DEFAULT {FALSE} NOT NULL,
    CONSTRAINT label_schemas_pk PRIMARY KEY (schema_id),
    CONSTRAINT fk_label_schemas_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id) ON DELETE CASCADE,
    CONSTRAINT uq_label_schemas_exp_name UNIQUE (experiment_id, name)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_label_schemas_experiment_id ON label_schemas (experiment_id)"),
        ],
    },
    Revision {
        id: "b7e4c1a90f23",
        title: "review queues",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS review_queues (
    queue_id VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(250) NOT NULL,
    queue_type VARCHAR(16) NOT NULL,
    created_by VARCHAR(255),
    creation_time_ms BIGINT NOT NULL,
    last_update_time_ms BIGINT NOT NULL,
    name_key VARCHAR(250) NOT NULL,
    CONSTRAINT review_queues_pk PRIMARY KEY (queue_id),
    CONSTRAINT fk_review_queues_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id) ON DELETE CASCADE,
    CONSTRAINT uq_review_queues_experiment_name_key UNIQUE (experiment_id, name_key)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_review_queues_experiment_id ON review_queues (experiment_id)"),
            Sql("CREATE TABLE IF NOT EXISTS review_queue_users (
    queue_id VARCHAR(36) NOT NULL,
    user_id VARCHAR(250) NOT NULL,
    CONSTRAINT review_queue_users_pk PRIMARY KEY (queue_id, user_id),
    CONSTRAINT fk_review_queue_users_queue_id FOREIGN KEY (queue_id) \
        REFERENCES review_queues (queue_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_review_queue_users_user_id ON review_queue_users (user_id)"),
            Sql("CREATE TABLE IF NOT EXISTS review_queue_items (
    queue_id VARCHAR(36) NOT NULL,
    item_type VARCHAR(16) NOT NULL,
    item_id VARCHAR(50) NOT NULL,
    status VARCHAR(16) NOT NULL,
    completed_by VARCHAR(250),
    completed_time_ms BIGINT,
    creation_time_ms BIGINT NOT NULL,
    last_update_time_ms BIGINT NOT NULL,
    CONSTRAINT review_queue_items_pk PRIMARY KEY (queue_id, item_id),
    CONSTRAINT fk_review_queue_items_queue_id FOREIGN KEY (queue_id) \
        REFERENCES review_queues (queue_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_review_queue_items_queue_id_status \
    ON review_queue_items (queue_id, status)"),
            Sql("CREATE INDEX IF NOT EXISTS index_review_queue_items_item_id ON review_queue_items (item_id)"),
            Sql("CREATE TABLE IF NOT EXISTS review_queue_label_schemas (
    queue_id VARCHAR(36) NOT NULL,
    schema_id VARCHAR(36) NOT NULL,
    CONSTRAINT review_queue_label_schemas_pk PRIMARY KEY (queue_id, schema_id),
    CONSTRAINT fk_review_queue_label_schemas_queue_id FOREIGN KEY (queue_id) \
        REFERENCES review_queues (queue_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_review_queue_label_schemas_schema_id \
    ON review_queue_label_schemas (schema_id)"),
        ],
    },
    Revision {
        id: "a8b9c0d1e2f3",
        title: "MCP servers",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS mcp_servers (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    name VARCHAR(256) NOT NULL,
    display_name VARCHAR(256),
    description TEXT,
    icons JSON,
    created_by VARCHAR(256),
    last_updated_by VARCHAR(256),
    created_at BIGINT NOT NULL,
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT mcp_servers_pk PRIMARY KEY (workspace, name)
)"),
            Sql("CREATE TABLE IF NOT EXISTS mcp_server_versions (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    name VARCHAR(256) NOT NULL,
    version VARCHAR(128) NOT NULL,
    version_major INTEGER NOT NULL,
    version_minor INTEGER NOT NULL,
    version_patch INTEGER NOT NULL,
    version_prerelease_sort_key VARCHAR(512) NOT NULL,
    server_json JSON NOT NULL,
    status VARCHAR(20) DEFAULT 'draft' NOT NULL,
    tools JSON,
    source VARCHAR(512),
    connect_options JSON,
    created_by VARCHAR(256),
    last_updated_by VARCHAR(256),
    created_at BIGINT NOT NULL,
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT mcp_server_versions_pk PRIMARY KEY (workspace, name, version),
    CONSTRAINT mcp_server_versions_server_fkey FOREIGN KEY (workspace, name) \
        REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS mcp_server_tags (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    name VARCHAR(256) NOT NULL,
    \"key\" VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    CONSTRAINT mcp_server_tags_pk PRIMARY KEY (workspace, name, \"key\"),
    CONSTRAINT mcp_server_tags_server_fkey FOREIGN KEY (workspace, name) \
        REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS mcp_server_version_tags (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    name VARCHAR(256) NOT NULL,
    version VARCHAR(128) NOT NULL,
    \"key\" VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    CONSTRAINT mcp_server_version_tags_pk PRIMARY KEY (workspace, name, version, \"key\"),
    CONSTRAINT mcp_server_version_tags_version_fkey \
        FOREIGN KEY (workspace, name, version) \
        REFERENCES mcp_server_versions (workspace, name, version) ON DELETE CASCADE \
        ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS mcp_server_aliases (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    name VARCHAR(256) NOT NULL,
    alias VARCHAR(256) NOT NULL,
    version VARCHAR(128) NOT NULL,
    CONSTRAINT mcp_server_aliases_pk PRIMARY KEY (workspace, name, alias),
    CONSTRAINT mcp_server_aliases_server_fkey FOREIGN KEY (workspace, name) \
        REFERENCES mcp_servers (workspace, name) ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS mcp_access_endpoints (
    id VARCHAR(36) NOT NULL,
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    server_name VARCHAR(256) NOT NULL,
    server_version VARCHAR(128),
    server_alias VARCHAR(256),
    url VARCHAR(2048) NOT NULL,
    transport_type VARCHAR(32) DEFAULT 'streamable-http' NOT NULL,
    created_by VARCHAR(256),
    last_updated_by VARCHAR(256),
    created_at BIGINT NOT NULL,
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT mcp_access_endpoints_pk PRIMARY KEY (id),
    CONSTRAINT mcp_access_endpoints_server_fkey \
        FOREIGN KEY (workspace, server_name) REFERENCES mcp_servers (workspace, name) \
        ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_mcp_server_versions_latest \
    ON mcp_server_versions (workspace, name, status, version_major DESC, version_minor \
    DESC, version_patch DESC)"),
            Sql("CREATE INDEX IF NOT EXISTS ix_mcp_access_endpoints_server_name \
    ON mcp_access_endpoints (workspace, server_name)"),
            Sql("CREATE INDEX IF NOT EXISTS ix_mcp_access_endpoints_version \
    ON mcp_access_endpoints (workspace, server_name, server_version)"),
            Sql("CREATE INDEX IF NOT EXISTS ix_mcp_access_endpoints_alias \
    ON mcp_access_endpoints (workspace, server_name, server_alias)"),
        ],
    },
    Revision {
        id: "c1d2e3f4a5b6",
        title: "index on spans by experiment and time",
        rolling: true,
        steps: &[
            Sql("DROP INDEX IF EXISTS index_spans_experiment_id"),
            Sql("CREATE INDEX IF NOT EXISTS index_spans_experiment_id_start_time \
    ON spans (experiment_id, start_time_unix_nano)"),
        ],
    },
    Revision {
        id: "c3d9e7f1a2b4",
        title: "target of budget policies",
        rolling: true,
        steps: &[
            AddColumns("budget_policies", &["target_value VARCHAR(255)"]),
            Sql("CREATE INDEX IF NOT EXISTS idx_budget_policies_target_value ON budget_policies (target_value)"),
        ],
    },
    Revision {
        id: "6f8d9c3b2a1e",
        title: "deleting experiments deletes their traces",
        rolling: true,
        steps: &[Alter(
            "trace_info",
            &[
                Drop("fk_trace_info_experiment_id"),
                Constrain(
                    "CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY (experiment_id) \
    REFERENCES experiments (experiment_id) ON DELETE CASCADE",
                ),
            ],
        )],
    },
    Revision {
        id: "1971f2d9a75b",
        title: "index on traces by time",
        rolling: true,
        steps: &[Sql("CREATE INDEX IF NOT EXISTS index_trace_info_timestamp_ms_request_id \
    ON trace_info (timestamp_ms, request_id)")],
    },
    Revision {
        id: "17e22815139b",
        title: "tags of experiments up to 20000 characters",
        rolling: true,
        steps: &[Alter("experiment_tags", &[Widen("value", "TEXT")])],
    },
    Revision {
        id: "b7e2c1a4d9f3",
        title: "creator of jobs",
        rolling: true,
        steps: &[AddColumns("jobs", &["creator VARCHAR(255)"])],
    },
];
