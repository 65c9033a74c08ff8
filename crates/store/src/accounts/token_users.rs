//! Users who authenticate with external tokens: created on first use, with the roles that the token grants.

use ferroflow_model::{Error, ErrorCode, Result, permission::DEFAULT_WORKSPACE};

use crate::{
    accounts::users::{User, UserStore, id_of, user_from_row},
    db::Anywhere,
    db::{Op, Statement},
    statements::statements,
};

statements! {
    static BY_NAME: Anywhere =
        "SELECT id, username, password_hash, is_admin FROM users WHERE username = $1";
    static INSERT_USER: Anywhere =
        "INSERT INTO users (username, password_hash, is_admin) VALUES ($1, $2, $3) \
         ON CONFLICT (username) DO NOTHING";
    static SET_ADMIN: Anywhere =
        "UPDATE users SET is_admin = $2 WHERE id = $1";
    static INSERT_ROLE: Anywhere =
        "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, NULL) \
         ON CONFLICT (workspace, name) DO NOTHING";
    static ASSIGN: Anywhere =
        "INSERT INTO user_role_assignments (user_id, role_id) \
         SELECT $1, id FROM roles WHERE workspace = $2 AND name = $3 \
         ON CONFLICT (user_id, role_id) DO NOTHING";
    static UNASSIGN: Anywhere =
        "DELETE FROM user_role_assignments WHERE user_id = $1 \
         AND role_id IN (SELECT id FROM roles WHERE workspace = $2 AND name = $3)";
}

/// A role that tokens grant, by its workspace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenRole {
    /// The workspace.
    pub workspace: String,
    /// The name.
    pub name: String,
}

impl TokenRole {
    /// A role of the default workspace.
    #[must_use]
    pub fn of_default_workspace(name: &str) -> Self {
        Self { workspace: DEFAULT_WORKSPACE.to_owned(), name: name.to_owned() }
    }
}

/// The user that a token identifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUser {
    /// The name.
    pub username: String,
    /// Stored instead of a password hash; no password matches it. It identifies the owner of the account.
    pub mark: String,
    /// Whether the token may be linked to a user who has a password.
    pub links: bool,
    /// Whether the token's user is an admin; `None` if tokens do not specify it.
    pub is_admin: Option<bool>,
    /// Roles that the token grants.
    pub roles: Vec<TokenRole>,
    /// Roles managed by tokens: a user loses those that the token does not grant.
    pub governed: Vec<TokenRole>,
}

impl UserStore {
    /// Returns the user of a token, creating it if necessary, and sets its token-managed roles to those of the token.
    /// Writes only if something changed.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` if the name belongs to another user, or to an admin to whom tokens are not linked.
    pub async fn admit(&self, token: &TokenUser) -> Result<User> {
        if let Some(user) = self.find_user(&token.username).await? {
            check(&user, token)?;
            let own: Vec<TokenRole> = self
                .list_user_roles(user.id)
                .await?
                .into_iter()
                .map(|role| TokenRole { workspace: role.workspace, name: role.name })
                .collect();
            let as_said = token.governed.iter().all(|role| own.contains(role) == token.roles.contains(role));
            if as_said && user.is_admin == wanted_admin(&user, token) {
                return Ok(user);
            }
        }
        self.db
            .transaction(|tx| async move {
                let make = vec![
                    token.username.as_str().into(),
                    token.mark.as_str().into(),
                    token.is_admin.unwrap_or_default().into(),
                ];
                tx.execute(Statement::new(&INSERT_USER, make)).await?;
                let id = id_of(&tx, &token.username).await?;
                let by_name = Statement::new(&BY_NAME, vec![token.username.as_str().into()]);
                let found = tx.query_opt(by_name, user_from_row).await?;
                let mut user = found.ok_or_else(|| Error::internal("The new user was not found."))?;
                // Another transaction may have created a user with this name.
                check(&user, token)?;
                let mut work = Vec::new();
                for role in &token.governed {
                    let (workspace, name) = (|| role.workspace.as_str().into(), || role.name.as_str().into());
                    if token.roles.contains(role) {
                        work.push(Statement::new(&INSERT_ROLE, vec![name(), workspace()]));
                        work.push(Statement::new(&ASSIGN, vec![id.into(), workspace(), name()]));
                    } else {
                        work.push(Statement::new(&UNASSIGN, vec![id.into(), workspace(), name()]));
                    }
                }
                let is_admin = wanted_admin(&user, token);
                if is_admin != user.is_admin {
                    work.push(Statement::new(&SET_ADMIN, vec![id.into(), is_admin.into()]));
                    user.is_admin = is_admin;
                }
                tx.run(work.into_iter().map(Op::Execute).collect()).await?;
                Ok(user)
            })
            .await
    }
}

/// Checks that a user is the one that a token identifies.
fn check(user: &User, token: &TokenUser) -> Result<()> {
    if user.password_hash == token.mark {
        return Ok(());
    }
    let denied = |text: String| Err(Error::new(ErrorCode::PermissionDenied, text));
    let name = &token.username;
    if !token.links || is_mark(&user.password_hash) {
        return denied(format!("The name '{name}' of the token belongs to another user of this server."));
    }
    if user.is_admin && token.is_admin != Some(true) {
        return denied(format!("'{name}' is an admin of this server, and the token is not one of an admin."));
    }
    Ok(())
}

/// Whether the user should be an admin. For a user with a password, a token never changes that.
fn wanted_admin(user: &User, token: &TokenUser) -> bool {
    token.is_admin.filter(|_| user.password_hash == token.mark).unwrap_or(user.is_admin)
}

/// The prefix of marks. A mark has the form of one of the reference's hashes, but matches no password; the salt
/// identifies the owner.
const MARK: &str = "scrypt:32768:8:1$token.";

/// The mark of the user of an external account, which `owner` identifies.
///
/// A matching password would have to hash to zeros. Checking a password takes as long as for any other user.
#[must_use]
pub fn token_mark(owner: &str) -> String {
    format!("{MARK}{owner}${}", "0".repeat(128))
}

/// Whether a stored password hash is a mark.
#[must_use]
pub fn is_mark(password_hash: &str) -> bool {
    password_hash.starts_with(MARK)
}
