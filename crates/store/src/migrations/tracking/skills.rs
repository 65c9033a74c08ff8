//! MLflow 3.18: skills, and more about issues. Every step only adds: the server of the revision before works on.

use super::{
    Data::IssueCategories,
    Revision,
    Step::{AddColumns, Data, Sql},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "e7d1f4b2a9c6",
        title: "skills",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS skills (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL,
    description TEXT,
    icons JSON,
    search_text TEXT,
    created_by VARCHAR(256),
    last_updated_by VARCHAR(256),
    created_at BIGINT NOT NULL,
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT skills_pk PRIMARY KEY (workspace, organization, name)
)"),
            Sql("CREATE TABLE IF NOT EXISTS skill_versions (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL,
    version INTEGER NOT NULL,
    source_type VARCHAR(20),
    source VARCHAR(2048),
    ref VARCHAR(2048),
    subpath VARCHAR(2048),
    digest VARCHAR(64),
    status VARCHAR(20) DEFAULT 'active' NOT NULL,
    created_by VARCHAR(256),
    last_updated_by VARCHAR(256),
    created_at BIGINT NOT NULL,
    last_updated_at BIGINT NOT NULL,
    CONSTRAINT skill_versions_pk PRIMARY KEY (workspace, organization, name, version),
    CONSTRAINT skill_versions_skill_fkey FOREIGN KEY (workspace, organization, name) \
        REFERENCES skills (workspace, organization, name) ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS skill_tags (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL,
    \"key\" VARCHAR(250) NOT NULL,
    value TEXT,
    CONSTRAINT skill_tags_pk PRIMARY KEY (workspace, organization, name, \"key\"),
    CONSTRAINT skill_tags_skill_fkey FOREIGN KEY (workspace, organization, name) \
        REFERENCES skills (workspace, organization, name) ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS skill_version_tags (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL,
    version INTEGER NOT NULL,
    \"key\" VARCHAR(250) NOT NULL,
    value TEXT,
    CONSTRAINT skill_version_tags_pk PRIMARY KEY (workspace, organization, name, version, \"key\"),
    CONSTRAINT skill_version_tags_version_fkey FOREIGN KEY (workspace, organization, name, version) \
        REFERENCES skill_versions (workspace, organization, name, version) \
        ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE TABLE IF NOT EXISTS skill_aliases (
    workspace VARCHAR(63) DEFAULT 'default' NOT NULL,
    organization VARCHAR(64) DEFAULT '' NOT NULL,
    name VARCHAR(128) NOT NULL,
    alias VARCHAR(256) NOT NULL,
    version INTEGER NOT NULL,
    CONSTRAINT skill_aliases_pk PRIMARY KEY (workspace, organization, name, alias),
    CONSTRAINT skill_aliases_skill_fkey FOREIGN KEY (workspace, organization, name) \
        REFERENCES skills (workspace, organization, name) ON DELETE CASCADE ON UPDATE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS ix_skill_versions_latest_lookup \
    ON skill_versions (workspace, organization, name, status, version)"),
            Sql("CREATE INDEX IF NOT EXISTS ix_skill_versions_digest \
    ON skill_versions (workspace, organization, name, digest)"),
        ],
    },
    Revision {
        id: "8b6ad64cb8f5",
        title: "categories, metadata and times of issues",
        rolling: true,
        steps: &[
            AddColumns("issues", &["last_seen_timestamp BIGINT", "last_updated_by VARCHAR(255)", "metadata TEXT"]),
            Sql("CREATE INDEX IF NOT EXISTS index_issues_experiment_last_seen \
    ON issues (experiment_id, last_seen_timestamp)"),
            Sql("CREATE INDEX IF NOT EXISTS index_issues_experiment_updated \
    ON issues (experiment_id, last_updated_timestamp)"),
            Sql("CREATE TABLE IF NOT EXISTS issue_categories (
    issue_id VARCHAR(36) NOT NULL,
    category_hash VARCHAR(64) NOT NULL,
    category TEXT NOT NULL,
    CONSTRAINT issue_categories_pk PRIMARY KEY (issue_id, category_hash),
    CONSTRAINT fk_issue_categories_issue_id FOREIGN KEY (issue_id) \
        REFERENCES issues (issue_id) ON DELETE CASCADE
)"),
            Sql("CREATE INDEX IF NOT EXISTS index_issue_categories_hash ON issue_categories (category_hash)"),
            Sql("UPDATE issues SET last_seen_timestamp = created_timestamp"),
            Data(IssueCategories),
        ],
    },
    Revision {
        id: "f4a9b2c7d1e6",
        title: "versions of MCP servers compare by case: MySQL and SQL Server only",
        rolling: true,
        // PostgreSQL and SQLite compare so already.
        steps: &[],
    },
];
