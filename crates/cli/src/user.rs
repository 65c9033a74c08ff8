//! `ferroflow user`: manages users, grants and roles in the users database.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use ferroflow_auth::{AuthConfig, password};
use ferroflow_model::{
    Environment,
    permission::{ANY, DEFAULT_WORKSPACE},
    validation,
};
use ferroflow_store::{
    UserStore,
    db::{BackendUri, DbOptions},
};

use crate::report::{self, err, out};

/// Subcommands of `ferroflow user`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user. The password is prompted for, or read from the first line of standard input
    Add {
        /// The user name
        username: String,
        /// Create an admin, who has all permissions
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        database: Database,
    },
    /// Change a user's password, which is prompted for or read from the first line of standard input
    Passwd {
        /// The user name
        username: String,
        #[command(flatten)]
        database: Database,
    },
    /// List all users and their roles
    List {
        #[command(flatten)]
        database: Database,
    },
    /// Delete a user and its grants
    Delete {
        /// The user name
        username: String,
        #[command(flatten)]
        database: Database,
    },
    /// Make a user an admin, or revoke that
    Admin {
        /// The user name
        username: String,
        /// Whether the user is an admin, who has all permissions
        #[arg(action = clap::ArgAction::Set)]
        is_admin: bool,
        #[command(flatten)]
        database: Database,
    },
    /// Grant a permission to a user, replacing its existing one on the same resource
    Grant {
        /// The user name
        username: String,
        /// Such as `experiment`, `registered_model`, `prompt`, `scorer` or `run`
        resource_type: String,
        /// The id or name of the resource, or * for all
        resource: String,
        /// READ, USE, EDIT, MANAGE or DENY
        permission: String,
        #[command(flatten)]
        database: Database,
    },
    /// Revoke the grant of a user on a resource
    Revoke {
        /// The user name
        username: String,
        /// The kind of resource
        resource_type: String,
        /// The id or name of the resource, or * for all
        resource: String,
        #[command(flatten)]
        database: Database,
    },
    /// Invalidate all browser sessions on all servers: everyone must log in again. For use after a restore of the users
    /// database by other means than `ferroflow restore` and `ferroflow ops recover`, which do this themselves
    EndSessions {
        #[command(flatten)]
        database: Database,
    },
    /// Manage roles: permissions shared by several users
    #[command(subcommand)]
    Role(RoleCommand),
}

/// Subcommands of `ferroflow user role`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RoleCommand {
    /// Create a role
    Add {
        /// The name
        role: String,
        #[command(flatten)]
        place: InWorkspace,
        #[command(flatten)]
        database: Database,
    },
    /// List all roles and their permissions
    List {
        /// Only the roles of this workspace
        #[arg(long, value_name = "NAME")]
        workspace: Option<String>,
        #[command(flatten)]
        database: Database,
    },
    /// Delete a role
    Delete {
        /// The name
        role: String,
        #[command(flatten)]
        place: InWorkspace,
        #[command(flatten)]
        database: Database,
    },
    /// Grant a permission to a role
    Grant {
        /// The name
        role: String,
        /// The kind of resource, or workspace
        resource_type: String,
        /// The id or name of the resource, or * for all
        resource: String,
        /// READ, USE, EDIT, MANAGE or DENY
        permission: String,
        #[command(flatten)]
        place: InWorkspace,
        #[command(flatten)]
        database: Database,
    },
    /// Assign a role to a user
    Assign {
        /// The name of the role
        role: String,
        /// The user name
        username: String,
        #[command(flatten)]
        place: InWorkspace,
        #[command(flatten)]
        database: Database,
    },
    /// Unassign a role from a user
    Unassign {
        /// The name of the role
        role: String,
        /// The user name
        username: String,
        #[command(flatten)]
        place: InWorkspace,
        #[command(flatten)]
        database: Database,
    },
}

/// Selects the workspace of a role.
#[derive(Debug, Clone, Args)]
pub(crate) struct InWorkspace {
    /// The workspace of the role, on a server with workspaces
    #[arg(long, value_name = "NAME", default_value = DEFAULT_WORKSPACE)]
    workspace: String,
}

/// Selects the users database.
#[derive(Debug, Clone, Args)]
pub(crate) struct Database {
    /// The users database. Default: `database_uri` in the file `MLFLOW_AUTH_CONFIG_PATH`, or `sqlite:///basic_auth.db`
    #[arg(long, value_name = "URI")]
    database: Option<String>,
}

impl Database {
    async fn open(&self, environment: &Environment) -> Result<UserStore> {
        let uri = match &self.database {
            Some(uri) => uri.clone(),
            None => AuthConfig::from_environment(environment)?.database_uri,
        };
        let uri = BackendUri::parse(&uri, environment)?;
        UserStore::open(&uri, None, DbOptions { pool_size: 1, ..DbOptions::default() }, false)
            .await
            .with_context(|| format!("the users database {uri} cannot be opened"))
    }
}

/// Runs a subcommand.
pub(crate) fn run(command: UserCommand, environment: &Environment) -> ExitCode {
    let work = || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(perform(command, environment))
    };
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            err!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(command: UserCommand, environment: &Environment) -> Result<()> {
    match command {
        UserCommand::Add { username, admin, database } => {
            checked(validation::username(&username))?;
            let users = database.open(environment).await?;
            if checked(users.find_user(&username).await)?.is_some() {
                bail!("there is a user '{username}' already: `ferroflow user passwd` changes its password");
            }
            let hash = password::hash(&new_password(&username)?);
            checked(users.create_user(&username, &hash, admin).await)?;
            out!("created the {} '{username}'", if admin { "admin" } else { "user" });
        }
        UserCommand::Passwd { username, database } => {
            let users = database.open(environment).await?;
            checked(users.get_user(&username).await)?;
            let hash = password::hash(&new_password(&username)?);
            checked(users.set_password(&username, &hash).await)?;
            out!("changed the password of '{username}'");
        }
        UserCommand::List { database } => {
            for (user, roles) in checked(database.open(environment).await?.list_users().await)? {
                let roles: Vec<String> = roles
                    .into_iter()
                    .filter(|role| !ferroflow_model::permission::is_user_role(&role.name))
                    .map(|role| format!("{}{}", role.name, in_workspace(&role.workspace)))
                    .collect();
                let admin = if user.is_admin { "admin" } else { "user" };
                out!("{}\t{admin}\t{}", user.username, roles.join(", "));
            }
            report::complete()?;
        }
        UserCommand::Delete { username, database } => {
            checked(database.open(environment).await?.delete_user(&username).await)?;
            out!("deleted the user '{username}'");
        }
        UserCommand::Admin { username, is_admin, database } => {
            checked(database.open(environment).await?.set_admin(&username, is_admin).await)?;
            out!("'{username}' is {} admin", if is_admin { "an" } else { "not an" });
        }
        UserCommand::Grant { username, resource_type, resource, permission, database } => {
            let users = database.open(environment).await?;
            checked(users.grants(DEFAULT_WORKSPACE).set(&username, &resource_type, &resource, &permission).await)?;
            out!("'{username}' has {permission} on {}", shown(&resource_type, &resource));
        }
        UserCommand::Revoke { username, resource_type, resource, database } => {
            let missing = format!("nothing is granted to '{username}' on {}", shown(&resource_type, &resource));
            let users = database.open(environment).await?;
            checked(users.grants(DEFAULT_WORKSPACE).remove(&username, &resource_type, &resource, &missing).await)?;
            out!("revoked the grant of '{username}' on {}", shown(&resource_type, &resource));
        }
        UserCommand::EndSessions { database } => {
            checked(database.open(environment).await?.end_sessions().await)?;
            out!("all sessions have ended");
        }
        UserCommand::Role(command) => role(command, environment).await?,
    }
    Ok(())
}

async fn role(command: RoleCommand, environment: &Environment) -> Result<()> {
    match command {
        RoleCommand::Add { role, place, database } => {
            checked(database.open(environment).await?.create_role(&role, &place.workspace, None).await)?;
            out!("created the role '{role}'{}", place.suffix());
        }
        RoleCommand::List { workspace, database } => {
            let roles = checked(database.open(environment).await?.list_roles(workspace.map(|name| vec![name])).await)?;
            for role in roles.iter().filter(|role| !ferroflow_model::permission::is_user_role(&role.name)) {
                out!("{}{}", role.name, in_workspace(&role.workspace));
                for allowed in &role.permissions {
                    out!("\t{}\t{}", allowed.permission, shown(&allowed.resource_type, &allowed.resource_pattern));
                }
            }
            report::complete()?;
        }
        RoleCommand::Delete { role, place, database } => {
            let users = database.open(environment).await?;
            checked(users.delete_role(place.id_of(&users, &role).await?).await)?;
            out!("deleted the role '{role}'{}", place.suffix());
        }
        RoleCommand::Grant { role, resource_type, resource, permission, place, database } => {
            let users = database.open(environment).await?;
            let id = place.id_of(&users, &role).await?;
            checked(users.add_role_permission(id, &resource_type, &resource, &permission).await)?;
            out!("the role '{role}'{} allows {permission} on {}", place.suffix(), shown(&resource_type, &resource));
        }
        RoleCommand::Assign { role, username, place, database } => {
            let users = database.open(environment).await?;
            let user = checked(users.get_user(&username).await)?;
            checked(users.assign_role(user.id, place.id_of(&users, &role).await?).await)?;
            out!("'{username}' has the role '{role}'{}", place.suffix());
        }
        RoleCommand::Unassign { role, username, place, database } => {
            let users = database.open(environment).await?;
            let user = checked(users.get_user(&username).await)?;
            checked(users.unassign_role(user.id, place.id_of(&users, &role).await?).await)?;
            out!("'{username}' does not have the role '{role}'{} any more", place.suffix());
        }
    }
    Ok(())
}

impl InWorkspace {
    async fn id_of(&self, users: &UserStore, name: &str) -> Result<i64> {
        let roles = checked(users.list_roles(Some(vec![self.workspace.clone()])).await)?;
        let found = roles.iter().find(|role| role.name == name);
        found.map(|role| role.id).with_context(|| format!("there is no role '{name}'{}", self.suffix()))
    }

    fn suffix(&self) -> String {
        in_workspace(&self.workspace)
    }
}

/// Names a workspace behind a role, unless it is the default one.
fn in_workspace(workspace: &str) -> String {
    if workspace == DEFAULT_WORKSPACE { String::new() } else { format!(" of workspace '{workspace}'") }
}

fn shown(resource_type: &str, resource: &str) -> String {
    if resource == ANY { format!("every {resource_type}") } else { format!("{resource_type} {resource}") }
}

fn checked<T>(outcome: ferroflow_model::Result<T>) -> Result<T> {
    outcome.map_err(|error| anyhow::anyhow!(error.message))
}

/// A password that is typed twice without echo, or the first line of standard input: never an argument, which all users
/// of the machine can see.
fn new_password(username: &str) -> Result<String> {
    if io::stdin().is_terminal() {
        let ask = |prompt: String| rpassword::prompt_password(prompt).context("the terminal cannot be read");
        let password = ask(format!("New password of '{username}': "))?;
        checked(validation::password(&password))?;
        if ask("Repeat the password: ".into())? != password {
            bail!("the passwords differ: nothing was changed");
        }
        return Ok(password);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the standard input cannot be read")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    checked(validation::password(&password))?;
    Ok(password)
}
