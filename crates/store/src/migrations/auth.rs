//! The chain of the users database: `mlflow server --app-name basic-auth`.

use super::{
    Change::{Add, Constrain, Drop},
    Revision,
    Step::{Alter, IfTable, Postgres, Refuse, Sql, Sqlite},
};

pub(super) const REVISIONS: &[Revision] = &[
    Revision {
        id: "8606fa83a998",
        title: "users, permissions on experiments and registered models",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS users (
    id {SERIAL},
    username VARCHAR(255),
    password_hash VARCHAR(255),
    is_admin BOOLEAN,
    PRIMARY KEY (id),
    UNIQUE (username)
)"),
            Sql("CREATE TABLE IF NOT EXISTS experiment_permissions (
    id {SERIAL},
    experiment_id VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(255),
    PRIMARY KEY (id),
    CONSTRAINT fk_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_experiment_user UNIQUE (experiment_id, user_id)
)"),
            Sql("CREATE TABLE IF NOT EXISTS registered_model_permissions (
    id {SERIAL},
    name VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(255),
    PRIMARY KEY (id),
    CONSTRAINT fk_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_name_user UNIQUE (name, user_id)
)"),
        ],
    },
    Revision {
        id: "0965eb92f5f0",
        title: "permissions on scorers",
        rolling: true,
        steps: &[Sql("CREATE TABLE IF NOT EXISTS scorer_permissions (
    id {SERIAL},
    experiment_id VARCHAR(255) NOT NULL,
    scorer_name VARCHAR(256) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(255),
    PRIMARY KEY (id),
    CONSTRAINT fk_scorer_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_scorer_user UNIQUE (experiment_id, scorer_name, user_id)
)")],
    },
    Revision {
        id: "a1b2c3d4e5f6",
        title: "permissions on the gateway",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS gateway_secret_permissions (
    id {SERIAL},
    secret_id VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(255),
    PRIMARY KEY (id),
    CONSTRAINT fk_gateway_secret_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_secret_user UNIQUE (secret_id, user_id)
)"),
            Sql("CREATE TABLE IF NOT EXISTS gateway_endpoint_permissions (
    id {SERIAL},
    endpoint_id VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(255),
    PRIMARY KEY (id),
    CONSTRAINT fk_gateway_endpoint_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_endpoint_user UNIQUE (endpoint_id, user_id)
)"),
            Sql("CREATE TABLE IF NOT EXISTS gateway_model_definition_permissions (
    id {SERIAL},
    model_definition_id VARCHAR(255) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(255),
    PRIMARY KEY (id),
    CONSTRAINT fk_gateway_model_def_perm_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT unique_model_def_user UNIQUE (model_definition_id, user_id)
)"),
        ],
    },
    Revision {
        id: "2ed73881770d",
        title: "permissions on workspaces",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS workspace_permissions (
    workspace VARCHAR(63) NOT NULL,
    user_id INTEGER NOT NULL,
    permission VARCHAR(32) NOT NULL,
    CONSTRAINT workspace_permissions_pk PRIMARY KEY (workspace, user_id),
    FOREIGN KEY (user_id) REFERENCES users (id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_workspace_permissions_user_id ON workspace_permissions (user_id)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_workspace_permissions_workspace \
    ON workspace_permissions (workspace)"),
            Alter(
                "registered_model_permissions",
                &[
                    Add("workspace VARCHAR(63) DEFAULT 'default' NOT NULL"),
                    Drop("unique_name_user"),
                    Constrain("CONSTRAINT unique_workspace_name_user UNIQUE (workspace, name, user_id)"),
                ],
            ),
        ],
    },
    Revision {
        id: "c3d4e5f6a7b8",
        title: "roles",
        rolling: true,
        steps: &[
            Sql("CREATE TABLE IF NOT EXISTS roles (
    id {SERIAL},
    name VARCHAR(255) NOT NULL,
    workspace VARCHAR(63) NOT NULL,
    description VARCHAR(1024),
    PRIMARY KEY (id),
    CONSTRAINT unique_workspace_role_name UNIQUE (workspace, name)
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_roles_workspace ON roles (workspace)"),
            Sql("CREATE TABLE IF NOT EXISTS role_permissions (
    id {SERIAL},
    role_id INTEGER NOT NULL,
    resource_type VARCHAR(64) NOT NULL,
    resource_pattern VARCHAR(255) NOT NULL,
    permission VARCHAR(255) NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT unique_role_resource_perm UNIQUE (role_id, resource_type, resource_pattern),
    FOREIGN KEY (role_id) REFERENCES roles (id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_role_permissions_role_id ON role_permissions (role_id)"),
            Sql("CREATE TABLE IF NOT EXISTS user_role_assignments (
    id {SERIAL},
    user_id INTEGER NOT NULL,
    role_id INTEGER NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT unique_user_role UNIQUE (user_id, role_id),
    FOREIGN KEY (user_id) REFERENCES users (id),
    FOREIGN KEY (role_id) REFERENCES roles (id)
)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_user_role_assignments_user_id ON user_role_assignments (user_id)"),
            Sql("CREATE INDEX IF NOT EXISTS idx_user_role_assignments_role_id ON user_role_assignments (role_id)"),
        ],
    },
    Revision {
        id: "e5f6a7b8c9d0",
        title: "permissions as roles",
        rolling: false,
        steps: &[
            // Grants in the order of the reference, which determines the ids of the new rows.
            Sql("CREATE TEMPORARY TABLE ff_grants (
    place {SERIAL} PRIMARY KEY,
    user_id INTEGER NOT NULL,
    workspace TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_pattern TEXT NOT NULL,
    permission TEXT NOT NULL
)"),
            // Workspace permissions are now USE or MANAGE. READ becomes USE; EDIT becomes USE and EDIT on everything in
            // the workspace; NO_PERMISSIONS is dropped.
            Sql("INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT held.user_id, held.workspace, given.resource_type, '*', given.permission
FROM workspace_permissions AS held
JOIN (
    SELECT 'READ' AS held, 0 AS place, 'workspace' AS resource_type, 'USE' AS permission
    UNION ALL SELECT 'USE', 0, 'workspace', 'USE'
    UNION ALL SELECT 'MANAGE', 0, 'workspace', 'MANAGE'
    UNION ALL SELECT 'EDIT', 0, 'workspace', 'USE'
    UNION ALL SELECT 'EDIT', 1, 'experiment', 'EDIT'
    UNION ALL SELECT 'EDIT', 2, 'registered_model', 'EDIT'
    UNION ALL SELECT 'EDIT', 3, 'scorer', 'EDIT'
    UNION ALL SELECT 'EDIT', 4, 'gateway_secret', 'EDIT'
    UNION ALL SELECT 'EDIT', 5, 'gateway_endpoint', 'EDIT'
    UNION ALL SELECT 'EDIT', 6, 'gateway_model_definition', 'EDIT'
) AS given ON given.held = held.permission
ORDER BY held.{HEAP}, given.place"),
            Sql("INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, 'default', 'experiment', experiment_id, permission FROM experiment_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}"),
            Sql("INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, workspace, 'registered_model', name, permission FROM \
    registered_model_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}"),
            // The scorer's name, percent-encoded as in a URL.
            Postgres(
                "INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, 'default', 'scorer', experiment_id || '/' || COALESCE((
    SELECT string_agg(
        CASE WHEN chr(code) ~ '^[A-Za-z0-9_.~-]$' THEN chr(code) ELSE '%' || \
            upper(lpad(to_hex(code), 2, '0')) END,
        '' ORDER BY place
    )
    FROM (
        SELECT place, get_byte(convert_to(scorer_name, 'UTF8'), place) AS code
        FROM generate_series(0, octet_length(convert_to(scorer_name, 'UTF8')) - 1) AS \
            place
    ) AS bytes
), ''), permission FROM scorer_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}",
            ),
            Sqlite(
                "INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, 'default', 'scorer', experiment_id || '/' || COALESCE((
    WITH RECURSIVE bytes(place, digits) AS (
        SELECT 1, substr(hex(scorer_name), 1, 2)
        UNION ALL
        SELECT place + 2, substr(hex(scorer_name), place + 2, 2) FROM bytes
        WHERE place + 2 < length(hex(scorer_name))
    ),
    codes(place, digits, code) AS (
        SELECT place, digits,
            16 * instr('123456789ABCDEF', substr(digits, 1, 1)) + \
                instr('123456789ABCDEF', substr(digits, 2, 1))
        FROM bytes ORDER BY place
    )
    SELECT group_concat(
        CASE WHEN code < 128 AND char(code) GLOB '[A-Za-z0-9_.~-]' THEN char(code) ELSE \
            '%' || digits END, ''
    )
    FROM codes
), ''), permission FROM scorer_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}",
            ),
            Sql("INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, 'default', 'gateway_secret', secret_id, permission FROM \
    gateway_secret_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}"),
            Sql("INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, 'default', 'gateway_endpoint', endpoint_id, permission FROM \
    gateway_endpoint_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}"),
            Sql("INSERT INTO ff_grants (user_id, workspace, resource_type, resource_pattern, permission)
SELECT user_id, 'default', 'gateway_model_definition', model_definition_id, permission \
    FROM gateway_model_definition_permissions
WHERE permission IN ('READ', 'USE', 'EDIT', 'MANAGE') ORDER BY {HEAP}"),
            Refuse(
                "SELECT 'the role ' || roles.name || ' of the workspace ' || roles.workspace ||
    ' is assigned to other users, and its name is reserved for the permissions of one \
        user: rename the role first'
FROM ff_grants
JOIN roles ON roles.workspace = ff_grants.workspace AND roles.name = '__user_' || \
    CAST(ff_grants.user_id AS TEXT) || '__'
JOIN user_role_assignments AS other ON other.role_id = roles.id AND other.user_id <> \
    ff_grants.user_id
LIMIT 1",
            ),
            Sql("INSERT INTO roles (name, workspace)
SELECT '__user_' || CAST(ff_grants.user_id AS TEXT) || '__', workspace FROM ff_grants
WHERE NOT EXISTS (
    SELECT 1 FROM roles WHERE roles.workspace = ff_grants.workspace AND roles.name = \
        '__user_' || CAST(ff_grants.user_id AS TEXT) || '__'
)
GROUP BY user_id, workspace ORDER BY MIN(place)"),
            Sql("INSERT INTO user_role_assignments (user_id, role_id)
SELECT ff_grants.user_id, roles.id FROM ff_grants
JOIN roles ON roles.workspace = ff_grants.workspace AND roles.name = '__user_' || \
    CAST(ff_grants.user_id AS TEXT) || '__'
WHERE NOT EXISTS (
    SELECT 1 FROM user_role_assignments AS held \
        WHERE held.user_id = ff_grants.user_id AND held.role_id = roles.id
)
GROUP BY ff_grants.user_id, roles.id ORDER BY MIN(place)"),
            Sql("INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)
SELECT role_id, resource_type, resource_pattern, permission FROM (
    SELECT roles.id AS role_id, resource_type, resource_pattern, permission, place, \
        row_number() OVER (
        PARTITION BY roles.id, resource_type, resource_pattern ORDER BY place
    ) AS turn
    FROM ff_grants
    JOIN roles ON roles.workspace = ff_grants.workspace AND roles.name = '__user_' || \
        CAST(ff_grants.user_id AS TEXT) || '__'
) AS granted
WHERE turn = 1 AND NOT EXISTS (
    SELECT 1 FROM role_permissions AS held
    WHERE held.role_id = granted.role_id AND held.resource_type = granted.resource_type
        AND held.resource_pattern = granted.resource_pattern
)
ORDER BY place"),
            Sql("DROP TABLE ff_grants"),
        ],
    },
    Revision {
        id: "f1a2b3c4d5e6",
        title: "prompts as a resource type of their own",
        rolling: false,
        steps: &[IfTable(
            "registered_model_tags",
            &[Sql(r#"UPDATE role_permissions SET resource_type = 'prompt'
WHERE resource_type = 'registered_model' AND resource_pattern <> '*'
    AND EXISTS (
        SELECT 1 FROM roles
        JOIN registered_model_tags AS tag
            ON tag.workspace = roles.workspace AND tag.name = role_permissions.resource_pattern
        WHERE roles.id = role_permissions.role_id
            AND tag."key" = 'mlflow.prompt.is_prompt' AND LOWER(tag.value) = 'true'
    )"#)],
        )],
    },
];
