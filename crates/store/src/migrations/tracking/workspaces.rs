//! MLflow 3.10: workspaces.

use super::{
    Change::{Add, Constrain, Drop, DropUnnamed},
    Revision,
    Step::{Alter, Postgres, Sql},
};

pub(super) const REVISIONS: &[Revision] = &[Revision {
    id: "1b5f0d9ad7c1",
    title: "workspaces",
    rolling: true,
    steps: &[
        Alter(
            "experiments",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                DropUnnamed("experiments_name_key", "UNIQUE (name)"),
                Constrain("CONSTRAINT uq_experiments_workspace_name UNIQUE (workspace, name)"),
            ],
        ),
        // The foreign keys that refer to the old primary keys, whatever their names.
        Postgres(
            "DO $$
DECLARE found RECORD;
BEGIN
    FOR found IN SELECT conrelid::regclass AS owner, conname FROM pg_constraint
        WHERE contype = 'f'
            AND conrelid IN ('model_versions'::regclass, 'registered_model_tags'::regclass,
                'registered_model_aliases'::regclass, 'model_version_tags'::regclass)
            AND confrelid IN ('registered_models'::regclass, 'model_versions'::regclass)
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.owner, found.conname);
    END LOOP;
END $$",
        ),
        Alter(
            "registered_models",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                DropUnnamed("registered_models_name_key", "UNIQUE (name)"),
                Drop("registered_model_pk"),
                Constrain("CONSTRAINT registered_model_pk PRIMARY KEY (workspace, name)"),
            ],
        ),
        Alter(
            "model_versions",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Drop("model_version_pk"),
                DropUnnamed("model_versions_name_fkey", "FOREIGN KEY (name)"),
                Constrain("CONSTRAINT model_version_pk PRIMARY KEY (workspace, name, version)"),
                Constrain(
                    "CONSTRAINT fk_model_versions_registered_models FOREIGN KEY (workspace, name) \
    REFERENCES registered_models (workspace, name) ON UPDATE CASCADE",
                ),
            ],
        ),
        Alter(
            "registered_model_tags",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Drop("registered_model_tag_pk"),
                DropUnnamed("registered_model_tags_name_fkey", "FOREIGN KEY (name)"),
                Constrain(r#"CONSTRAINT registered_model_tag_pk PRIMARY KEY (workspace, "key", name)"#),
                Constrain(
                    "CONSTRAINT fk_registered_model_tags_registered_models \
    FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) \
    ON UPDATE CASCADE",
                ),
            ],
        ),
        Alter(
            "model_version_tags",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Drop("model_version_tag_pk"),
                DropUnnamed("model_version_tags_name_version_fkey", "FOREIGN KEY (name, version)"),
                Constrain(r#"CONSTRAINT model_version_tag_pk PRIMARY KEY (workspace, "key", name, version)"#),
                Constrain(
                    "CONSTRAINT fk_model_version_tags_model_versions \
    FOREIGN KEY (workspace, name, version) \
    REFERENCES model_versions (workspace, name, version) ON UPDATE CASCADE",
                ),
            ],
        ),
        Alter(
            "registered_model_aliases",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Drop("registered_model_alias_pk"),
                Drop("registered_model_alias_name_fkey"),
                DropUnnamed("registered_model_aliases_name_fkey", "FOREIGN KEY (name)"),
                Constrain("CONSTRAINT registered_model_alias_pk PRIMARY KEY (workspace, name, alias)"),
                Constrain(
                    "CONSTRAINT fk_registered_model_aliases_registered_models \
    FOREIGN KEY (workspace, name) REFERENCES registered_models (workspace, name) \
    ON DELETE CASCADE ON UPDATE CASCADE",
                ),
            ],
        ),
        Alter("evaluation_datasets", &[Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL")]),
        Alter("webhooks", &[Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL")]),
        Sql("DROP INDEX IF EXISTS unique_secret_name"),
        Alter(
            "secrets",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Constrain("CONSTRAINT uq_secrets_workspace_secret_name UNIQUE (workspace, secret_name)"),
            ],
        ),
        Sql("DROP INDEX IF EXISTS unique_endpoint_name"),
        Alter(
            "endpoints",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Constrain("CONSTRAINT uq_endpoints_workspace_name UNIQUE (workspace, name)"),
            ],
        ),
        Sql("DROP INDEX IF EXISTS unique_model_definition_name"),
        Alter(
            "model_definitions",
            &[
                Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                Constrain("CONSTRAINT uq_model_definitions_workspace_name UNIQUE (workspace, name)"),
            ],
        ),
        Sql("DROP INDEX IF EXISTS index_jobs_name_status_creation_time"),
        Alter("jobs", &[Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL")]),
        Sql("CREATE INDEX IF NOT EXISTS index_jobs_name_status_creation_time \
    ON jobs (job_name, workspace, status, creation_time)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_experiments_workspace ON experiments (workspace)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_registered_models_workspace ON registered_models (workspace)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_experiments_workspace_creation_time \
    ON experiments (workspace, creation_time)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_evaluation_datasets_workspace ON evaluation_datasets (workspace)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_webhooks_workspace ON webhooks (workspace)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_secrets_workspace ON secrets (workspace)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_endpoints_workspace ON endpoints (workspace)"),
        Sql("CREATE INDEX IF NOT EXISTS idx_model_definitions_workspace ON model_definitions (workspace)"),
        Sql("CREATE TABLE IF NOT EXISTS workspaces (
    name VARCHAR(63) NOT NULL,
    description TEXT,
    default_artifact_root TEXT,
    CONSTRAINT workspaces_pk PRIMARY KEY (name)
)"),
        Sql("INSERT INTO workspaces (name, description)
VALUES ('default', 'Default workspace for legacy resources')
ON CONFLICT DO NOTHING"),
    ],
}];
