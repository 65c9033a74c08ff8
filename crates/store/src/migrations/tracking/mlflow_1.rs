//! MLflow 1: from the first Alembic revision to indexes on runs.

use super::{
    Change::{Add, Constrain, Drop, Narrow, Nullable, Widen},
    Revision,
    Step::{self, AddColumns, Alter, AlterSqlite, Sql},
};

/// The tables of MLflow before it had revisions (0.9.1).
pub(super) const INITIAL: &[Step] = &[
    Sql("CREATE TABLE IF NOT EXISTS experiments (
    experiment_id {SERIAL},
    name VARCHAR(256) NOT NULL,
    artifact_location VARCHAR(256),
    lifecycle_stage VARCHAR(32),
    CONSTRAINT experiment_pk PRIMARY KEY (experiment_id),
    CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
    UNIQUE (name)
)"),
    Sql("CREATE TABLE IF NOT EXISTS runs (
    run_uuid VARCHAR(32) NOT NULL,
    name VARCHAR(250),
    source_type VARCHAR(20),
    source_name VARCHAR(500),
    entry_point_name VARCHAR(50),
    user_id VARCHAR(256),
    status VARCHAR(20),
    start_time BIGINT,
    end_time BIGINT,
    source_version VARCHAR(50),
    lifecycle_stage VARCHAR(20),
    artifact_uri VARCHAR(200),
    experiment_id INTEGER,
    CONSTRAINT run_pk PRIMARY KEY (run_uuid),
    CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', \
        'PROJECT')),
    CONSTRAINT status CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING')),
    CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')),
    FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id)
)"),
    Sql(r#"CREATE TABLE IF NOT EXISTS tags (
    "key" VARCHAR(250) NOT NULL,
    value VARCHAR(250),
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
)"#),
    Sql(r#"CREATE TABLE IF NOT EXISTS metrics (
    "key" VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
)"#),
    Sql(r#"CREATE TABLE IF NOT EXISTS params (
    "key" VARCHAR(250) NOT NULL,
    value VARCHAR(250) NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
)"#),
];

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "451aebb31d03",
        title: "step of metrics",
        rolling: true,
        steps: &[
            AddColumns("metrics", &["step BIGINT DEFAULT '0' NOT NULL"]),
            Alter(
                "metrics",
                &[
                    Drop("metric_pk"),
                    Constrain(r#"CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value)"#),
                ],
            ),
        ],
    },
    Revision {
        id: "90e64c465722",
        title: "user of runs as a tag",
        rolling: false,
        steps: &[Sql("INSERT INTO tags (\"key\", value, run_uuid)
SELECT 'mlflow.user', user_id, run_uuid FROM runs
WHERE user_id <> ''
    AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND \
        tags.\"key\" = 'mlflow.user')")],
    },
    Revision {
        id: "181f10493468",
        title: "metrics that are not numbers",
        rolling: true,
        steps: &[Alter(
            "metrics",
            &[
                Add("is_nan BOOLEAN DEFAULT '0' NOT NULL"),
                Drop("metric_pk"),
                Constrain(r#"CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan)"#),
            ],
        )],
    },
    Revision {
        id: "df50e92ffc5e",
        title: "tags of experiments",
        rolling: true,
        steps: &[Sql(r#"CREATE TABLE IF NOT EXISTS experiment_tags (
    "key" VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    experiment_id INTEGER NOT NULL,
    CONSTRAINT experiment_tag_pk PRIMARY KEY ("key", experiment_id),
    FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id)
)"#)],
    },
    Revision {
        id: "7ac759974ad8",
        title: "longer tags of runs",
        rolling: true,
        steps: &[Alter("tags", &[Widen("value", "VARCHAR(5000)")])],
    },
    Revision {
        id: "89d4b8295536",
        title: "latest metrics in a table",
        rolling: false,
        steps: &[
            Sql(r#"CREATE TABLE IF NOT EXISTS latest_metrics (
    "key" VARCHAR(250) NOT NULL,
    value FLOAT NOT NULL,
    timestamp BIGINT,
    step BIGINT NOT NULL,
    is_nan BOOLEAN NOT NULL,
    run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT latest_metric_pk PRIMARY KEY ("key", run_uuid),
    FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)
)"#),
            // The latest point of each metric by (step, timestamp, value), as the server maintains it.
            Sql(r#"INSERT INTO latest_metrics ("key", value, timestamp, step, is_nan, run_uuid)
SELECT "key", value, timestamp, step, is_nan, run_uuid FROM (
    SELECT "key", value, timestamp, step, is_nan, run_uuid, row_number() OVER (
        PARTITION BY run_uuid, "key" ORDER BY step DESC, timestamp DESC, value DESC, is_nan
    ) AS place
    FROM metrics
) AS ranked
WHERE place = 1
ON CONFLICT DO NOTHING"#),
        ],
    },
    Revision {
        id: "2b4d017a5e9b",
        title: "model registry",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS registered_models (
    name VARCHAR(256) NOT NULL,
    creation_time BIGINT,
    last_updated_time BIGINT,
    description VARCHAR(5000),
    CONSTRAINT registered_model_pk PRIMARY KEY (name),
    UNIQUE (name)
)"),
            Sql("CREATE TABLE IF NOT EXISTS model_versions (
    name VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    creation_time BIGINT,
    last_updated_time BIGINT,
    description VARCHAR(5000),
    user_id VARCHAR(256),
    current_stage VARCHAR(20),
    source VARCHAR(500),
    run_id VARCHAR(32) NOT NULL,
    status VARCHAR(20),
    status_message VARCHAR(500),
    CONSTRAINT model_version_pk PRIMARY KEY (name, version),
    FOREIGN KEY (name) REFERENCES registered_models (name) ON UPDATE cascade
)"),
        ],
    },
    Revision {
        id: "cfd24bdc0731",
        title: "killed runs",
        rolling: true,
        steps: &[Alter(
            "runs",
            &[
                Drop("status"),
                Narrow("status", "VARCHAR(9)"),
                Constrain("CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))"),
            ],
        )],
    },
    Revision { id: "0a8213491aaa", title: "nothing (MySQL only)", rolling: true, steps: &[] },
    Revision {
        id: "728d730b5ebd",
        title: "tags of registered models",
        rolling: true,
        steps: &[Sql(r#"CREATE TABLE IF NOT EXISTS registered_model_tags (
    "key" VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    name VARCHAR(256) NOT NULL,
    CONSTRAINT registered_model_tag_pk PRIMARY KEY ("key", name),
    FOREIGN KEY (name) REFERENCES registered_models (name) ON UPDATE cascade
)"#)],
    },
    Revision {
        id: "27a6a02d2cf1",
        title: "tags of model versions",
        rolling: true,
        steps: &[Sql(r#"CREATE TABLE IF NOT EXISTS model_version_tags (
    "key" VARCHAR(250) NOT NULL,
    value VARCHAR(5000),
    name VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    CONSTRAINT model_version_tag_pk PRIMARY KEY ("key", name, version),
    FOREIGN KEY (name, version) REFERENCES model_versions (name, version) ON UPDATE cascade
)"#)],
    },
    Revision {
        id: "84291f40a231",
        title: "run link of model versions",
        rolling: true,
        steps: &[AddColumns("model_versions", &["run_link VARCHAR(500)"])],
    },
    Revision {
        id: "a8c4a736bde6",
        title: "model versions without a run",
        rolling: true,
        steps: &[Alter("model_versions", &[Nullable("run_id")])],
    },
    Revision {
        id: "39d1c3be5f05",
        title: "check of is_nan",
        rolling: true,
        steps: &[
            AlterSqlite("latest_metrics", &[Constrain("CHECK (is_nan IN (0, 1))")]),
            AlterSqlite("metrics", &[Constrain("CHECK (is_nan IN (0, 1))")]),
        ],
    },
    Revision { id: "c48cb773bb87", title: "nothing (MySQL only)", rolling: true, steps: &[] },
    Revision {
        id: "bd07f7e963c5",
        title: "indexes on run_uuid",
        rolling: true,
        steps: &[
            Sql("CREATE INDEX IF NOT EXISTS index_params_run_uuid ON params (run_uuid)"),
            Sql("CREATE INDEX IF NOT EXISTS index_metrics_run_uuid ON metrics (run_uuid)"),
            Sql("CREATE INDEX IF NOT EXISTS index_latest_metrics_run_uuid ON latest_metrics (run_uuid)"),
            Sql("CREATE INDEX IF NOT EXISTS index_tags_run_uuid ON tags (run_uuid)"),
        ],
    },
    Revision {
        id: "0c779009ac13",
        title: "time of deletion of runs",
        rolling: true,
        steps: &[AddColumns("runs", &["deleted_time BIGINT"])],
    },
];
