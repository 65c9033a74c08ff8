//! Users who come with a token of somebody else: made when they are first seen, with the roles that the token gives.

use ferroflow_model::{Error, ErrorCode, Result, permission::DEFAULT_WORKSPACE};

use crate::{
    db::{Op, Statement},
    users::{User, UserStore, id_of, user_from_row},
};

const BY_NAME: &str = "SELECT id, username, password_hash, is_admin FROM users WHERE username = $1";
const MAKE_USER: &str = "INSERT INTO users (username, password_hash, is_admin) VALUES ($1, $2, $3) \
                         ON CONFLICT (username) DO NOTHING";
const SET_ADMIN: &str = "UPDATE users SET is_admin = $2 WHERE id = $1";
const MAKE_ROLE: &str = "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, NULL) \
                         ON CONFLICT (workspace, name) DO NOTHING";
const ASSIGN: &str = "INSERT INTO user_role_assignments (user_id, role_id) \
                      SELECT $1, id FROM roles WHERE workspace = $2 AND name = $3 \
                      ON CONFLICT (user_id, role_id) DO NOTHING";
const UNASSIGN: &str = "DELETE FROM user_role_assignments WHERE user_id = $1 \
                        AND role_id IN (SELECT id FROM roles WHERE workspace = $2 AND name = $3)";

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUser {
    /// The name.
    pub username: String,
    /// What stands in the place of a password, so that no password is ever right. It says whose user this is.
    pub mark: String,
    /// Whether a user who has a password may be meant.
    pub links: bool,
    /// Whether the token makes its user an admin; `None` where tokens do not say.
    pub is_admin: Option<bool>,
    /// Roles that the token gives.
    pub roles: Vec<String>,
    /// Roles that tokens give or take: whoever has one of them without a token's word loses it.
    pub governed: Vec<String>,
}

impl UserStore {
    /// The user of a token, made if there is none, with the roles of the token and no other that tokens govern. Without
    /// a change nothing is written.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when the name is somebody else's, or an admin's to whom tokens do not lead.
    pub async fn admit(&self, token: &TokenUser) -> Result<User> {
        if let Some(user) = self.find_user(&token.username).await? {
            check(&user, token)?;
            let names: Vec<String> = self.list_user_roles(user.id).await?.into_iter().map(|role| role.name).collect();
            let as_said = token.governed.iter().all(|role| names.contains(role) == token.roles.contains(role));
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
                tx.execute(Statement::new(MAKE_USER, make)).await?;
                let id = id_of(&tx, &token.username).await?;
                let by_name = Statement::new(BY_NAME, vec![token.username.as_str().into()]);
                let found = tx.query_opt(by_name, user_from_row).await?;
                let mut user = found.ok_or_else(|| Error::internal("The new user is not there."))?;
                // Somebody else may have made a user of the name in between.
                check(&user, token)?;
                let mut work = Vec::new();
                for role in &token.governed {
                    let name = || role.as_str().into();
                    if token.roles.contains(role) {
                        work.push(Statement::new(MAKE_ROLE, vec![name(), DEFAULT_WORKSPACE.into()]));
                        work.push(Statement::new(ASSIGN, vec![id.into(), DEFAULT_WORKSPACE.into(), name()]));
                    } else {
                        work.push(Statement::new(UNASSIGN, vec![id.into(), DEFAULT_WORKSPACE.into(), name()]));
                    }
                }
                let is_admin = wanted_admin(&user, token);
                if is_admin != user.is_admin {
                    work.push(Statement::new(SET_ADMIN, vec![id.into(), is_admin.into()]));
                    user.is_admin = is_admin;
                }
                tx.run(work.into_iter().map(Op::Execute).collect()).await?;
                Ok(user)
            })
            .await
    }
}

/// Whether a user is the one that a token means.
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

/// What a user is to be. An admin with a password is made and unmade here, never by a token.
fn wanted_admin(user: &User, token: &TokenUser) -> bool {
    token.is_admin.filter(|_| user.password_hash == token.mark).unwrap_or(user.is_admin)
}

/// What begins the marks of tokens' users. It is a hash as the reference knows them, of no password: its salt says whose
/// user this is.
const MARK: &str = "scrypt:32768:8:1$token.";

/// What stands in the place of the password of the user that `owner` names: an account of a provider of tokens.
///
/// A password would have to be hashed to zeros. It costs as much to try one as with any other user.
#[must_use]
pub fn token_mark(owner: &str) -> String {
    format!("{MARK}{owner}${}", "0".repeat(128))
}

/// Whether what stands in the place of a password says that a user came with a token.
#[must_use]
pub fn is_mark(password_hash: &str) -> bool {
    password_hash.starts_with(MARK)
}
