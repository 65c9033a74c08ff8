//! The users database of basic-auth: users and their grants.

use std::collections::BTreeMap;

use ferroflow_model::{
    Error, Result,
    permission::{self, DEFAULT_WORKSPACE},
    python::strip,
    validation,
};

use crate::{
    accounts::{
        roles::{Role, roles_of},
        user_db::UserDb,
    },
    db::Anywhere,
    db::Sql,
    db::{BackendUri, Db, DbError, DbOptions, Op, Row, Statement, Tx, Value},
    migrations::{self, AUTH, MigrationError, Options, State},
    statements::statements,
};

statements! {
    static BY_NAME: Anywhere =
        "SELECT id, username, password_hash, is_admin FROM users WHERE username = $1";
    static ALL: Anywhere =
        "SELECT id, username, password_hash, is_admin FROM users ORDER BY id";
    static NAMES: Anywhere = "SELECT username FROM users ORDER BY id";
    static INSERT: Anywhere =
        "INSERT INTO users (username, password_hash, is_admin) VALUES ($1, $2, $3) RETURNING id";
    static SET_PASSWORD: Anywhere =
        "UPDATE users SET password_hash = $2 WHERE username = $1";
    static SET_ADMIN: Anywhere =
        "UPDATE users SET is_admin = $2 WHERE username = $1";
    /// A user with the grants of all its roles in a workspace; one row even without grants.
    static ACCOUNT: Anywhere =
        "SELECT u.id, u.username, u.password_hash, u.is_admin, p.resource_type, p.resource_pattern, \
         p.permission FROM users u \
         LEFT JOIN user_role_assignments a ON a.user_id = u.id \
         LEFT JOIN roles r ON r.id = a.role_id AND r.workspace = $2 \
         LEFT JOIN role_permissions p ON p.role_id = r.id \
         WHERE u.username = $1";
    /// A user with its roles in all workspaces, and their grants.
    static MEMBER: Anywhere =
        "SELECT u.id, u.username, u.password_hash, u.is_admin, p.resource_type, p.resource_pattern, \
         p.permission, r.workspace, r.name FROM users u \
         LEFT JOIN user_role_assignments a ON a.user_id = u.id \
         LEFT JOIN roles r ON r.id = a.role_id \
         LEFT JOIN role_permissions p ON p.role_id = r.id \
         WHERE u.username = $1";
    static DELETE_ROLE_GRANTS: Anywhere =
        "DELETE FROM role_permissions WHERE role_id IN (SELECT id FROM roles WHERE name = $1)";
    static DELETE_ROLE_ASSIGNMENTS: Anywhere =
        "DELETE FROM user_role_assignments WHERE role_id IN (SELECT id FROM roles WHERE name = $1)";
    static DELETE_ROLE: Anywhere =
        "DELETE FROM roles WHERE name = $1";
    static DELETE_ASSIGNMENTS: Anywhere =
        "DELETE FROM user_role_assignments WHERE user_id = $1";
    static DELETE_EXPERIMENT_PERMISSIONS: Anywhere =
        "DELETE FROM experiment_permissions WHERE user_id = $1";
    static DELETE_REGISTERED_MODEL_PERMISSIONS: Anywhere =
        "DELETE FROM registered_model_permissions WHERE user_id = $1";
    static DELETE_SCORER_PERMISSIONS: Anywhere =
        "DELETE FROM scorer_permissions WHERE user_id = $1";
    static DELETE_GATEWAY_SECRET_PERMISSIONS: Anywhere =
        "DELETE FROM gateway_secret_permissions WHERE user_id = $1";
    static DELETE_GATEWAY_ENDPOINT_PERMISSIONS: Anywhere =
        "DELETE FROM gateway_endpoint_permissions WHERE user_id = $1";
    static DELETE_GATEWAY_MODEL_DEFINITION_PERMISSIONS: Anywhere =
        "DELETE FROM gateway_model_definition_permissions WHERE user_id = $1";
    static DELETE_WORKSPACE_PERMISSIONS: Anywhere =
        "DELETE FROM workspace_permissions WHERE user_id = $1";
    static DELETE: Anywhere =
        "DELETE FROM users WHERE id = $1";
}

/// Deletes the per-user role of a user, with its grants and assignments.
static DELETE_USER_ROLE: [&Sql<Anywhere>; 3] = [&DELETE_ROLE_GRANTS, &DELETE_ROLE_ASSIGNMENTS, &DELETE_ROLE];

/// Deletes a user with its assignments. Before there were roles, permissions had tables of their own; these and their
/// foreign keys still exist.
static DELETE_USER: [&Sql<Anywhere>; 9] = [
    &DELETE_ASSIGNMENTS,
    &DELETE_EXPERIMENT_PERMISSIONS,
    &DELETE_REGISTERED_MODEL_PERMISSIONS,
    &DELETE_SCORER_PERMISSIONS,
    &DELETE_GATEWAY_SECRET_PERMISSIONS,
    &DELETE_GATEWAY_ENDPOINT_PERMISSIONS,
    &DELETE_GATEWAY_MODEL_DEFINITION_PERMISSIONS,
    &DELETE_WORKSPACE_PERMISSIONS,
    &DELETE,
];

/// The users database.
#[derive(Clone)]
pub struct UserStore {
    pub(crate) db: UserDb,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The key.
    pub id: i64,
    /// The name, which is unique.
    pub username: String,
    /// The password hash, in werkzeug's format.
    pub password_hash: String,
    /// Whether all permission checks are skipped.
    pub is_admin: bool,
}

/// A permission that a user has through a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The kind of resource.
    pub resource_type: String,
    /// The resources: an id, or `*` for all.
    pub resource_pattern: String,
    /// The name of the permission.
    pub permission: String,
}

/// A user with its grants.
#[derive(Debug, Clone)]
pub struct Account {
    /// The user.
    pub user: User,
    /// The grants of all roles in the workspace.
    pub grants: Vec<Grant>,
}

/// A user with what it has in workspaces.
#[derive(Debug, Clone)]
pub struct Member {
    /// The user.
    pub user: User,
    /// What it has in each workspace in which it has a role.
    pub workspaces: BTreeMap<String, Membership>,
}

/// What a user has in a workspace.
#[derive(Debug, Clone, Default)]
pub struct Membership {
    /// The grants of all roles in the workspace.
    pub grants: Vec<Grant>,
    /// Whether it has a role besides the per-user one.
    pub has_shared_role: bool,
}

/// Why the users database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The schema is that of an older MLflow.
    #[error(
        "Detected out-of-date schema of the users database (found version {found}, but expected {head}, which is \
         {release}). Take a backup of your database, then run `ferroflow db upgrade --auth <database_uri>` to migrate \
         it, or start the server with --auto-migrate"
    )]
    Old {
        /// The revision in the database.
        found: &'static str,
        /// The revision that is needed.
        head: &'static str,
        /// The release of the reference with that revision.
        release: &'static str,
    },
    /// The tables cannot be created, migrated or inspected.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl UserStore {
    /// Opens the users database, creating the tables if there are none. `shared` is an open database at the same URI.
    /// An old schema is an error, unless `migrate` is set.
    ///
    /// # Errors
    /// The database cannot be reached, or has another schema revision.
    pub async fn open(
        uri: &BackendUri,
        shared: Option<Db>,
        options: DbOptions,
        migrate: bool,
    ) -> Result<Self, UsersError> {
        let exists = match uri {
            BackendUri::Sqlite(path) => path.exists(),
            BackendUri::Postgres(_) => true,
        };
        let state = if exists { migrations::state(uri, &AUTH).await? } else { State::Empty };
        match state {
            State::At(found) if AUTH.serves(found) => {}
            State::At(found) if !migrate => {
                let found = found.unwrap_or("none");
                return Err(UsersError::Old { found, head: AUTH.head(), release: AUTH.release() });
            }
            State::Empty | State::At(_) => {
                let options = Options { backup: state != State::Empty, ..Options::default() };
                let done = migrations::upgrade(uri, &AUTH, &options, &mut |_| {}).await?;
                tracing::info!(revision = done.to, revisions = done.applied, "the users database is ready");
            }
        }
        let db = match shared {
            Some(db) => db,
            None => Db::open(uri, options)?,
        };
        Ok(Self { db: UserDb::new(db) })
    }

    /// The database, which also has ferroflow's own tables.
    #[must_use]
    pub fn db(&self) -> &Db {
        self.db.uncounted()
    }

    /// Number of changes of users, roles and grants by this process so far. What was read at another number is stale.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.db.changes()
    }

    /// A user with its grants in the default workspace, with one query; `None` if there is no such user.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn account(&self, username: &str) -> Result<Option<Account>> {
        let statement = Statement::new(&ACCOUNT, vec![username.into(), DEFAULT_WORKSPACE.into()]);
        let conn = self.db.reader().await?;
        let account = conn
            .fold(statement, None::<Account>, |account, row| {
                if account.is_none() {
                    *account = Some(Account { user: user_from_row(row)?, grants: Vec::new() });
                }
                if let (Some(account), Some(resource_type)) = (account, row.get::<Option<String>>(4)?) {
                    let grant = Grant { resource_type, resource_pattern: row.get(5)?, permission: row.get(6)? };
                    account.grants.push(grant);
                }
                Ok(())
            })
            .await?;
        Ok(account)
    }

    /// A user with its grants in all workspaces, with one query; `None` if there is no such user.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn member(&self, username: &str) -> Result<Option<Member>> {
        let conn = self.db.reader().await?;
        let member = conn
            .fold(Statement::new(&MEMBER, vec![username.into()]), None::<Member>, |member, row| {
                if member.is_none() {
                    *member = Some(Member { user: user_from_row(row)?, workspaces: BTreeMap::new() });
                }
                let (Some(member), Some(workspace)) = (member, row.get::<Option<String>>(7)?) else { return Ok(()) };
                let membership = member.workspaces.entry(workspace).or_default();
                membership.has_shared_role |= !permission::is_user_role(&row.get::<String>(8)?);
                if let Some(resource_type) = row.get::<Option<String>>(4)? {
                    let grant = Grant { resource_type, resource_pattern: row.get(5)?, permission: row.get(6)? };
                    membership.grants.push(grant);
                }
                Ok(())
            })
            .await?;
        Ok(member)
    }

    /// One user.
    ///
    /// # Errors
    /// No user has the name.
    pub async fn get_user(&self, username: &str) -> Result<User> {
        self.find_user(username).await?.ok_or_else(|| no_user(username))
    }

    /// One user; `None` if there is no such user.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn find_user(&self, username: &str) -> Result<Option<User>> {
        let found = self.db.query(Statement::new(&BY_NAME, vec![username.into()]), user_from_row).await?;
        Ok(found.into_iter().next())
    }

    /// The name of a user that equals `name` without regard to case and surrounding white space.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn user_named(&self, name: &str) -> Result<Option<String>> {
        let normal = |name: &str| strip(name).to_lowercase();
        let wanted = normal(name);
        // Compared here: SQLite knows the case of ASCII only.
        let names: Vec<String> = self.db.query(Statement::new(&NAMES, Vec::new()), |row| row.get(0)).await?;
        Ok(names.into_iter().find(|found| !wanted.is_empty() && normal(found) == wanted))
    }

    /// All users with their roles.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn list_users(&self) -> Result<Vec<(User, Vec<Role>)>> {
        let conn = self.db.reader().await?;
        let users = conn.query(Statement::new(&ALL, Vec::new()), user_from_row).await?;
        let mut roles = roles_of(&conn, None).await?;
        Ok(users
            .into_iter()
            .map(|user| {
                let roles = roles.remove(&user.id).unwrap_or_default();
                (user, roles)
            })
            .collect())
    }

    /// Creates a user. The password is already hashed.
    ///
    /// # Errors
    /// The name is empty or taken.
    pub async fn create_user(&self, username: &str, password_hash: &str, is_admin: bool) -> Result<User> {
        validation::username(username)?;
        let insert = || Statement::new(&INSERT, vec![username.into(), password_hash.into(), is_admin.into()]);
        let id = self
            .db
            .transaction(|tx| async move {
                match tx.query_opt(insert(), |row| row.get::<i64>(0)).await {
                    Err(DbError::Unique(_)) => {
                        Err(Error::already_exists(format!("User (username={username}) already exists.")))
                    }
                    id => id?.ok_or_else(|| Error::internal("The new user has no id.")),
                }
            })
            .await?;
        Ok(User { id, username: username.to_owned(), password_hash: password_hash.to_owned(), is_admin })
    }

    /// Replaces the password hash of a user.
    ///
    /// # Errors
    /// No user has the name.
    pub async fn set_password(&self, username: &str, password_hash: &str) -> Result<()> {
        self.update(&SET_PASSWORD, username, password_hash.into()).await
    }

    /// Makes a user an admin, or revokes that.
    ///
    /// # Errors
    /// No user has the name.
    pub async fn set_admin(&self, username: &str, is_admin: bool) -> Result<()> {
        self.update(&SET_ADMIN, username, is_admin.into()).await
    }

    async fn update(&self, sql: &'static Sql<Anywhere>, username: &str, value: Value) -> Result<()> {
        let value = &value;
        self.db
            .transaction(|tx| async move {
                let update = Statement::new(sql, vec![username.into(), value.clone()]);
                if tx.execute(update).await? == 0 { Err(no_user(username)) } else { Ok(()) }
            })
            .await
    }

    /// Deletes a user with its grants and assignments.
    ///
    /// # Errors
    /// No user has the name.
    pub async fn delete_user(&self, username: &str) -> Result<()> {
        self.db
            .transaction(|tx| async move {
                let id = id_of(&tx, username).await?;
                let role = permission::user_role(id);
                let of_role = DELETE_USER_ROLE.iter().map(|sql| Statement::new(sql, vec![role.as_str().into()]));
                let of_user = DELETE_USER.iter().map(|sql| Statement::new(sql, vec![id.into()]));
                tx.run(of_role.chain(of_user).map(Op::Execute).collect()).await?;
                Ok(())
            })
            .await
    }
}

/// The id of a user.
pub(crate) async fn id_of(tx: &Tx, username: &str) -> Result<i64> {
    let found = tx.query_opt(Statement::new(&BY_NAME, vec![username.into()]), user_from_row).await?;
    Ok(found.ok_or_else(|| no_user(username))?.id)
}

pub(crate) fn user_from_row(row: &Row<'_>) -> Result<User, DbError> {
    Ok(User {
        id: row.get(0)?,
        username: row.get::<Option<String>>(1)?.unwrap_or_default(),
        // An empty hash matches no password.
        password_hash: row.get::<Option<String>>(2)?.unwrap_or_default(),
        is_admin: row.get(3)?,
    })
}

pub(crate) fn no_user(username: &str) -> Error {
    Error::not_found(format!("User with username={username} not found"))
}
