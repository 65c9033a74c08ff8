//! MLflow 2: longer params, datasets, traces.

use super::{
    Change::{Constrain, Drop, DropUnnamed, Widen},
    Revision,
    Step::{AddColumns, Alter, Sql},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "cc1f77228345",
        title: "params up to 500 characters",
        rolling: true,
        steps: &[Alter("params", &[Widen("value", "VARCHAR(500)")])],
    },
    Revision {
        id: "97727af70f4d",
        title: "creation and update time of experiments",
        rolling: true,
        steps: &[AddColumns("experiments", &["creation_time BIGINT", "last_update_time BIGINT"])],
    },
    Revision {
        id: "3500859a5d39",
        title: "aliases of registered models",
        rolling: true,
        steps: &[Sql("CREATE TABLE IF NOT EXISTS registered_model_aliases (
    alias VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    name VARCHAR(256) NOT NULL,
    CONSTRAINT registered_model_alias_pk PRIMARY KEY (name, alias),
    CONSTRAINT registered_model_alias_name_fkey FOREIGN KEY (name) \
        REFERENCES registered_models (name) ON DELETE cascade ON UPDATE cascade
)")],
    },
    Revision {
        id: "7f2a7d5fae7d",
        title: "datasets and inputs",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS datasets (
    dataset_uuid VARCHAR(36) NOT NULL,
    experiment_id INTEGER NOT NULL,
    name VARCHAR(500) NOT NULL,
    digest VARCHAR(36) NOT NULL,
    dataset_source_type VARCHAR(36) NOT NULL,
    dataset_source TEXT NOT NULL,
    dataset_schema TEXT,
    dataset_profile TEXT,
    CONSTRAINT dataset_pk PRIMARY KEY (experiment_id, name, digest),
    FOREIGN KEY (experiment_id) REFERENCES experiments (experiment_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_datasets_dataset_uuid ON datasets (dataset_uuid)"),
            Sql("CREATE INDEX IF NOT EXISTS index_datasets_experiment_id_dataset_source_type \
    ON datasets (experiment_id, dataset_source_type)"),
            Sql("CREATE TABLE IF NOT EXISTS inputs (
    input_uuid VARCHAR(36) NOT NULL,
    source_type VARCHAR(36) NOT NULL,
    source_id VARCHAR(36) NOT NULL,
    destination_type VARCHAR(36) NOT NULL,
    destination_id VARCHAR(36) NOT NULL,
    CONSTRAINT inputs_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_inputs_input_uuid ON inputs (input_uuid)"),
            Sql("CREATE INDEX IF NOT EXISTS index_inputs_destination_type_destination_id_source_type \
    ON inputs (destination_type, destination_id, source_type)"),
            Sql("CREATE TABLE IF NOT EXISTS input_tags (
    input_uuid VARCHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    value VARCHAR(500) NOT NULL,
    CONSTRAINT input_tags_pk PRIMARY KEY (input_uuid, name)
)"),
        ],
    },
    Revision {
        id: "2d6e25af4d3e",
        title: "params up to 8000 characters",
        rolling: true,
        steps: &[Alter("params", &[Widen("value", "VARCHAR(8000)")])],
    },
    Revision {
        id: "acf3f17fdcc7",
        title: "storage location of model versions",
        rolling: true,
        steps: &[AddColumns("model_versions", &["storage_location VARCHAR(500)"])],
    },
    Revision {
        id: "867495a8f9d4",
        title: "traces",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS trace_info (
    request_id VARCHAR(50) NOT NULL,
    experiment_id INTEGER NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    execution_time_ms BIGINT,
    status VARCHAR(50) NOT NULL,
    CONSTRAINT trace_info_pk PRIMARY KEY (request_id),
    CONSTRAINT fk_trace_info_experiment_id FOREIGN KEY (experiment_id) \
        REFERENCES experiments (experiment_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_trace_info_experiment_id_timestamp_ms \
    ON trace_info (experiment_id, timestamp_ms)"),
            Sql("CREATE TABLE IF NOT EXISTS trace_tags (
    \"key\" VARCHAR(250) NOT NULL,
    value VARCHAR(8000),
    request_id VARCHAR(50) NOT NULL,
    CONSTRAINT trace_tag_pk PRIMARY KEY (\"key\", request_id),
    CONSTRAINT fk_trace_tags_request_id FOREIGN KEY (request_id) \
        REFERENCES trace_info (request_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_trace_tags_request_id ON trace_tags (request_id)"),
            Sql("CREATE TABLE IF NOT EXISTS trace_request_metadata (
    \"key\" VARCHAR(250) NOT NULL,
    value VARCHAR(8000),
    request_id VARCHAR(50) NOT NULL,
    CONSTRAINT trace_request_metadata_pk PRIMARY KEY (\"key\", request_id),
    CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY (request_id) \
        REFERENCES trace_info (request_id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_trace_request_metadata_request_id \
    ON trace_request_metadata (request_id)"),
        ],
    },
    Revision {
        id: "5b0e9adcef9c",
        title: "deleting traces deletes their tags",
        rolling: true,
        steps: &[
            Alter(
                "trace_tags",
                &[
                    Drop("fk_trace_tags_request_id"),
                    Constrain(
                        "CONSTRAINT fk_trace_tags_request_id FOREIGN KEY (request_id) \
    REFERENCES trace_info (request_id) ON DELETE CASCADE",
                    ),
                ],
            ),
            Alter(
                "trace_request_metadata",
                &[
                    Drop("fk_trace_request_metadata_request_id"),
                    Constrain(
                        "CONSTRAINT fk_trace_request_metadata_request_id FOREIGN KEY (request_id) \
    REFERENCES trace_info (request_id) ON DELETE CASCADE",
                    ),
                ],
            ),
        ],
    },
    Revision { id: "4465047574b1", title: "nothing (MySQL only)", rolling: true, steps: &[] },
    Revision {
        id: "f5a4f2784254",
        title: "tags of runs up to 8000 characters",
        rolling: true,
        steps: &[Alter("tags", &[Widen("value", "VARCHAR(8000)")])],
    },
    Revision {
        id: "0584bdc529eb",
        title: "deleting experiments deletes their datasets",
        rolling: true,
        steps: &[Alter(
            "datasets",
            &[
                DropUnnamed("datasets_experiment_id_fkey", "FOREIGN KEY (experiment_id)"),
                Constrain(
                    "CONSTRAINT fk_datasets_experiment_id_experiments FOREIGN KEY (experiment_id) \
    REFERENCES experiments (experiment_id) ON DELETE CASCADE",
                ),
            ],
        )],
    },
];
