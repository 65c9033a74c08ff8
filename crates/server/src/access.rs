//! What the caller of an endpoint must be allowed to do, and whether the caller is.
//!
//! The router's table names a [`Needs`] for each row, and the adapters in `rpc` ask [`check`] between reading a request
//! and calling its handler: whatever is not allowed there is refused. Lists are cut by their handlers, in the query,
//! to what [`Cx::visible`] says.

mod audit;
mod chain;
mod logins;
mod named;
mod parents;
mod places;
mod rules;
mod sharing;
mod withheld;

use std::sync::Arc;

use ferroflow_artifacts::ArtifactPath;
use ferroflow_auth::{Auth, Caller, Requirement, SignupKey};
use ferroflow_model::{
    Error, ErrorCode, Result,
    permission::{ANY, Action, Permission, ResourceType},
};
use ferroflow_store::Visible;
use http::Method;

pub use self::{
    audit::Audit,
    chain::{AuditReport, verify_audit},
};
pub(crate) use self::{
    audit::{Entry, Subject, now},
    named::Named,
    rules::canonical,
    sharing::{Seen, Sharing, grant_key, managed, old_pattern},
};
use self::{logins::Logins, parents::Parents, places::Places};
use crate::{app::Cx, session::Cookies};

/// What is said to a caller who may not do what was asked for, as the reference says it.
pub(crate) const REFUSED: &str = "Permission denied";

/// Users and what they may do: there when the server runs with `--app-name basic-auth`.
pub struct Access {
    /// The users.
    pub auth: Auth,
    /// What the sign-up form is signed with.
    pub signup: SignupKey,
    pub(crate) audit: Option<Audit>,
    pub(crate) logins: Logins,
    parents: Parents,
    places: Places,
}

impl Access {
    /// Puts the parts together.
    #[must_use]
    pub fn new(auth: Auth, signup: SignupKey, audit: Option<Audit>) -> Self {
        Self { auth, signup, audit, logins: Logins::default(), parents: Parents::default(), places: Places::default() }
    }

    /// Lines of the audit log that were not written since the start.
    pub(crate) fn audit_lines_lost(&self) -> u64 {
        self.audit.as_ref().map_or(0, Audit::lost)
    }

    /// The cookies of browsers, if there is a provider that they log in at.
    pub(crate) fn cookies(&self) -> Option<Cookies> {
        self.auth.cookies().map(|(is_secure, _)| Cookies::new(is_secure))
    }
}

/// What a call touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Experiment,
    Run,
    LoggedModel,
    RegisteredModel,
    ModelVersion,
    Alias,
    Trace,
    Artifact,
}

/// What the caller of an endpoint must be allowed to do. A row without a rule does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Open to everyone, also before a login.
    Nothing,
    /// Any user.
    Login,
    /// To create one, where the request says.
    Create(Resource),
    /// To read those that the request names.
    Read(Resource),
    /// Any user: the answer is cut to what may be read.
    List(Resource),
    /// To write to those that the request names.
    Edit(Resource),
    /// To delete or restore them.
    Delete(Resource),
    /// To run the server.
    Admin,
    /// To do something with users, roles and permissions.
    Share(Sharing),
    /// Any user, who is told that what is served here is not built yet.
    NotBuilt,
}

/// Whether the caller of a request may do what it asks for. `named` is only asked where that depends on it.
///
/// # Errors
/// The request does not name what it is about, or the database failed.
pub(crate) async fn check(cx: &Cx, needs: Needs, named: impl FnOnce() -> Named) -> Result<bool> {
    let Some(access) = &cx.app.access else { return Ok(true) };
    let Some(caller) = &cx.caller else { return Ok(needs == Needs::Nothing) };
    match needs {
        Needs::Nothing | Needs::Login | Needs::List(_) | Needs::NotBuilt => return Ok(true),
        // Who manages users obeys further rules, which bind admins too.
        Needs::Share(sharing) => return sharing::check(cx, access, caller, sharing, &named()).await,
        _ if caller.is_admin => return Ok(true),
        Needs::Admin => return Ok(false),
        Needs::Create(_) | Needs::Read(_) | Needs::Edit(_) | Needs::Delete(_) => {}
    }
    let Some(asked) = rules::requirements(cx, access, needs, &named()).await? else { return Ok(false) };
    meets(access, caller, &asked).await
}

/// Whether a caller may do all of something.
async fn meets(access: &Access, caller: &Caller, asked: &[Requirement]) -> Result<bool> {
    if caller.meets(asked) {
        return Ok(true);
    }
    // What was granted a moment ago, perhaps by another server, counts.
    let caller = access.auth.look_again(&caller.username).await?;
    Ok(caller.is_some_and(|caller| caller.meets(asked)))
}

/// Whether the caller of a request may do something of the kind at all, whatever the request names: a long body is read
/// only of one who may.
///
/// # Errors
/// The database failed.
pub(crate) async fn may_at_all(cx: &Cx, needs: Needs) -> Result<bool> {
    let Some(access) = &cx.app.access else { return Ok(true) };
    let Some(caller) = &cx.caller else { return Ok(needs == Needs::Nothing) };
    let action = match needs {
        Needs::Admin => return Ok(caller.is_admin),
        Needs::Read(_) => Action::Read,
        // To create these asks only for what is not denied.
        Needs::Create(Resource::Experiment | Resource::RegisteredModel)
        | Needs::Nothing
        | Needs::Login
        | Needs::List(_)
        | Needs::Share(_)
        | Needs::NotBuilt => return Ok(true),
        Needs::Create(_) | Needs::Edit(_) | Needs::Delete(_) => Action::Update,
    };
    if caller.may_somewhere(action) {
        return Ok(true);
    }
    // What was granted a moment ago, perhaps by another server, counts.
    let caller = access.auth.look_again(&caller.username).await?;
    Ok(caller.is_some_and(|caller| caller.may_somewhere(action)))
}

/// What a request is about, if there is an audit log that it may get into.
pub(crate) fn subject(cx: &Cx, needs: Needs, method: &Method, named: impl FnOnce() -> Named) -> Option<Subject> {
    cx.app.access.as_ref()?.audit.as_ref()?;
    let is_change = match needs {
        Needs::Create(_) | Needs::Edit(_) | Needs::Delete(_) => true,
        Needs::Admin | Needs::Share(_) => *method != Method::GET,
        Needs::Nothing | Needs::Login | Needs::Read(_) | Needs::List(_) | Needs::NotBuilt => false,
    };
    Some(Subject::of(&named(), is_change))
}

/// The error of a call that its caller may not make.
pub(crate) fn refused() -> Error {
    Error::new(ErrorCode::PermissionDenied, REFUSED)
}

impl Cx {
    /// The caller, in what is for users only.
    ///
    /// # Errors
    /// The server has no users.
    pub(crate) fn user(&self) -> Result<(&Access, &Arc<Caller>)> {
        match (&self.app.access, &self.caller) {
            (Some(access), Some(caller)) => Ok((access, caller)),
            _ => Err(Error::new(ErrorCode::EndpointNotFound, "This server has no users: authentication is off.")),
        }
    }

    /// Which resources of some kinds a list may show, as it is now.
    pub(crate) async fn visible<const N: usize>(&self, kinds: [ResourceType; N]) -> Result<[Visible; N]> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else {
            return Ok(kinds.map(|_| Visible::All));
        };
        if caller.is_above_rules() {
            return Ok(kinds.map(|_| Visible::All));
        }
        match access.auth.look_again(&caller.username).await? {
            Some(caller) => Ok(kinds.map(|kind| caller.visible(kind))),
            None => Ok(kinds.map(|_| Visible::nothing())),
        }
    }

    /// Whether a kind of resource is denied to the caller as a whole.
    pub(crate) fn is_denied(&self, kind: ResourceType) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_denied(kind))
    }

    /// Whether rules bind the caller: there are users, and it is no admin.
    pub(crate) fn is_bound(&self) -> bool {
        self.app.access.is_some() && self.caller.as_ref().is_none_or(|caller| !caller.is_above_rules())
    }

    /// Refuses what may not be done with a file below a stored location, where that lies in the served store: a file
    /// has one owner there, whichever call leads to it.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(crate) async fn check_file(&self, location: &str, path: &ArtifactPath, action: Action) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(()) };
        if caller.is_above_rules() {
            return Ok(());
        }
        let Some(base) = self.app.locations.served(location) else { return Ok(()) };
        match rules::of_file(self, access, &path.below(&base), action).await? {
            Some(asked) if meets(access, caller, &asked).await? => Ok(()),
            _ => Err(refused()),
        }
    }

    /// An experiment was made: what is known of where files are is out of date.
    pub(crate) async fn forget_places(&self) {
        if let Some(access) = &self.app.access {
            access.places.forget().await;
        }
    }

    /// Refuses a name that stands for every resource where something is granted on it.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE`.
    pub(crate) fn check_grantable(&self, name: &str) -> Result<()> {
        if self.app.access.is_some() && name == ANY {
            return Err(Error::invalid(format!(
                "Invalid model name '{ANY}'. On a server with users it stands for every model."
            )));
        }
        Ok(())
    }

    /// Makes what was just created the caller's: who creates something manages it.
    pub(crate) async fn own(&self, kind: ResourceType, id: &str) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(()) };
        let granted = access.auth.users().set_grant(&caller.username, kind.name(), id, Permission::Manage.name()).await;
        access.auth.changed();
        granted
    }
}
