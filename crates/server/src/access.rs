//! Authorization: which permissions an endpoint requires, and whether the caller has them.
//!
//! The router's table has a [`Needs`] for each row, and the adapters in `rpc` call [`check`] after reading a request
//! and before calling its handler: they refuse what is not allowed. What a request names comes from its message
//! ([`Refs`]), and the audit log prints the same. The adapter hands the handler of a list
//! its [`Scope`], which the search takes as a parameter: the rows that the caller may see are selected in the query.

mod audit;
mod chain;
mod logins;
mod owners;
mod redacted;
mod refs;
mod rules;
mod run_experiments;
mod sharing;
mod trace_search;
mod workspaces;
mod writers;

use std::sync::Arc;

use ferroflow_artifacts::ArtifactPath;
use ferroflow_auth::{Auth, Caller, Requirement, SignupKey};
use ferroflow_model::{
    Error, ErrorCode, Result,
    permission::{ANY, Action, Permission, ResourceType, scorer_of_pattern},
};
use ferroflow_store::{Scope, Visible};
use http::Method;

pub use self::{
    audit::Audit,
    chain::{AuditReport, verify_audit},
};
pub(crate) use self::{
    audit::{Entry, Subject, now},
    refs::Refs,
    rules::canonical_id,
    sharing::{RoleVisibility, Sharing, grant_key, is_there, legacy_pattern, managed_workspaces},
    writers::{answer, writer},
};
use self::{logins::RecentLogins, owners::ArtifactOwners, run_experiments::RunExperiments};
use crate::{app::Cx, params::Params, session::Cookies, workspace::namespaces::no_workspace_named};

/// The reference's message for a call without permission.
pub(crate) const PERMISSION_DENIED: &str = "Permission denied";

/// Users and their permissions: present when the server runs with `--app-name basic-auth`.
pub struct Access {
    /// The users.
    pub auth: Auth,
    /// The key that signs the sign-up form.
    pub signup: SignupKey,
    pub(crate) audit: Option<Audit>,
    pub(crate) recent_logins: RecentLogins,
    run_experiments: RunExperiments,
    owners: ArtifactOwners,
}

impl Access {
    /// Creates it from its parts.
    #[must_use]
    pub fn new(auth: Auth, signup: SignupKey, audit: Option<Audit>) -> Self {
        Self {
            auth,
            signup,
            audit,
            recent_logins: RecentLogins::default(),
            run_experiments: RunExperiments::default(),
            owners: ArtifactOwners::default(),
        }
    }

    /// Number of audit log lines that failed to be written since the start.
    pub(crate) fn audit_lines_lost(&self) -> u64 {
        self.audit.as_ref().map_or(0, Audit::lost)
    }

    /// The session cookies of browsers, if an identity provider is configured for them.
    pub(crate) fn cookies(&self) -> Option<Cookies> {
        self.auth.cookies().map(|(is_secure, _)| Cookies::new(is_secure))
    }
}

/// The kind of resource that a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Experiment,
    Run,
    LoggedModel,
    RegisteredModel,
    ModelVersion,
    Alias,
    Trace,
    /// The links of traces to a run.
    TraceLink,
    Assessment,
    Dataset,
    /// The datasets of the experiments that a request names.
    DatasetSearch,
    LabelSchema,
    Issue,
    /// The issues of the experiment that a request names.
    IssueSearch,
    /// The configurations for online scoring of the scorers that a request names.
    OnlineScoring,
    /// A review queue. To delete it is also to take work out of it.
    ReviewQueue,
    /// The items of a review queue: to create one is to ask for a review, to edit one to review it.
    ReviewQueueItem,
    /// A scorer. To create one is to register a version of it.
    Scorer,
    Artifact,
    /// The sample data, which every user may generate.
    Demo,
}

/// The permission that an endpoint requires. A row of the table without one does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// None: public, also without authentication.
    Public,
    /// Authentication only.
    Authenticated,
    /// To create a resource in the parent that the request names.
    Create(Resource),
    /// To read the resources that the request names.
    Read(Resource),
    /// To update the resources that the request names.
    Edit(Resource),
    /// To delete or restore the resources that the request names.
    Delete(Resource),
    /// To see the workspace that the path names.
    SeeWorkspace,
    /// To be an admin.
    Admin,
    /// To manage users, roles and permissions.
    ManageAccess(Sharing),
    /// Authentication only; the response is that the endpoint is not implemented yet.
    NotImplemented,
}

/// Whether the caller has the permission that a request requires. `refs` is only called if that depends on it.
///
/// # Errors
/// A required parameter is missing, or the database failed.
pub(crate) async fn check<'a>(cx: &Cx, needs: Needs, refs: impl FnOnce() -> Refs<'a>) -> Result<bool> {
    let Some(access) = &cx.app.access else { return Ok(true) };
    let Some(caller) = &cx.caller else { return Ok(needs == Needs::Public) };
    match needs {
        Needs::Public | Needs::Authenticated | Needs::NotImplemented => return Ok(true),
        // Managing users has further rules, which apply to admins too.
        Needs::ManageAccess(sharing) => {
            let none = Params::default();
            return sharing::check(cx, access, caller, sharing, refs().params().unwrap_or(&none)).await;
        }
        _ if caller.is_admin => return Ok(true),
        Needs::Admin => return Ok(false),
        // The cluster decides, and the handler asks it.
        Needs::SeeWorkspace if access.auth.namespaces().is_some() => return Ok(true),
        _ if caller.lacks_workspace() => return Err(no_workspace_named()),
        Needs::Create(Resource::Experiment) if caller.is_kept_from_creating(ResourceType::Experiment) => {
            return Ok(false);
        }
        Needs::Create(Resource::RegisteredModel) if caller.is_kept_from_creating(ResourceType::RegisteredModel) => {
            return Ok(false);
        }
        Needs::Create(Resource::Demo)
            if [ResourceType::Experiment, ResourceType::Prompt]
                .iter()
                .any(|kind| caller.is_kept_from_creating(*kind)) =>
        {
            return Ok(false);
        }
        Needs::SeeWorkspace => {
            return is_allowed(access, caller, |caller| caller.lists_workspace(cx.path("workspace_name"))).await;
        }
        Needs::Create(Resource::Experiment | Resource::RegisteredModel | Resource::Demo)
            if !is_allowed(access, caller, Caller::may_create).await? =>
        {
            return Ok(false);
        }
        Needs::Create(_) | Needs::Read(_) | Needs::Edit(_) | Needs::Delete(_) => {}
    }
    let Some(requirements) = rules::requirements(cx, access, needs, &refs()).await? else { return Ok(false) };
    meets(access, caller, &requirements).await
}

/// Whether a caller meets all requirements.
async fn meets(access: &Access, caller: &Caller, requirements: &[Requirement]) -> Result<bool> {
    is_allowed(access, caller, |caller| caller.meets(requirements)).await
}

/// Whether a caller is allowed something by its grants.
async fn is_allowed(access: &Access, caller: &Caller, allows: impl Fn(&Caller) -> bool) -> Result<bool> {
    if allows(caller) {
        return Ok(true);
    }
    // Reload: another replica may have granted it since.
    Ok(access.auth.reload(caller).await?.is_some_and(|caller| allows(&caller)))
}

/// Whether the caller has the permission on any resource at all, whatever the request names: a long body is only read
/// from a caller who has it.
///
/// # Errors
/// The database failed.
pub(crate) async fn may_on_any_resource(cx: &Cx, needs: Needs) -> Result<bool> {
    let Some(access) = &cx.app.access else { return Ok(true) };
    let Some(caller) = &cx.caller else { return Ok(needs == Needs::Public) };
    let action = match needs {
        Needs::Admin => return Ok(caller.is_admin),
        Needs::Read(_) => Action::Read,
        // Creating these only requires that nothing denies it, and with workspaces to be a member of one.
        Needs::Create(Resource::Experiment | Resource::RegisteredModel | Resource::Demo) => {
            return is_allowed(access, caller, Caller::may_create).await;
        }
        Needs::Public | Needs::Authenticated | Needs::SeeWorkspace | Needs::ManageAccess(_) | Needs::NotImplemented => {
            return Ok(true);
        }
        Needs::Create(_) | Needs::Edit(_) | Needs::Delete(_) => Action::Update,
    };
    let may = |caller: &Caller| {
        caller.may_on_any_resource(action) || caller.writer().is_some_and(|writer| writer.may_on_any_resource(action))
    };
    is_allowed(access, caller, may).await
}

/// What a request is about, for the audit log; `None` without one.
pub(crate) fn subject<'a>(cx: &Cx, needs: Needs, method: &Method, refs: impl FnOnce() -> Refs<'a>) -> Option<Subject> {
    cx.app.access.as_ref()?.audit.as_ref()?;
    let is_change = match needs {
        Needs::Create(_) | Needs::Edit(_) | Needs::Delete(_) => true,
        Needs::Admin | Needs::ManageAccess(_) => *method != Method::GET,
        Needs::Public | Needs::Authenticated | Needs::Read(_) | Needs::SeeWorkspace | Needs::NotImplemented => false,
    };
    Some(Subject { workspace: cx.workspace_name().map(Into::into), ..Subject::of(&refs(), is_change) })
}

/// The scorers that a list may contain.
fn scorers(caller: &Caller) -> Visible {
    if caller.scorers_follow_experiments() {
        return Visible::All;
    }
    if caller.is_denied(ResourceType::ScorerVersion) {
        return Visible::nothing();
    }
    let names = |patterns: Vec<String>| patterns.iter().filter_map(|found| scorer_of_pattern(found)).collect();
    match caller.visible(ResourceType::Scorer) {
        Visible::All => Visible::All,
        Visible::Only(patterns) => Visible::Only(names(patterns)),
        Visible::Except(patterns) => Visible::Except(names(patterns)),
    }
}

/// The review queues of an experiment that a list may contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VisibleQueues {
    All,
    /// Those that are assigned to a user.
    AssignedTo(String),
    None,
}

/// The error of a call without permission.
pub(crate) fn permission_denied() -> Error {
    Error::new(ErrorCode::PermissionDenied, PERMISSION_DENIED)
}

impl Cx {
    /// The caller, in endpoints that exist only on a server with users.
    ///
    /// # Errors
    /// The server has no users.
    pub(crate) fn user(&self) -> Result<(&Access, &Arc<Caller>)> {
        match (&self.app.access, &self.caller) {
            (Some(access), Some(caller)) => Ok((access, caller)),
            _ => Err(Error::new(ErrorCode::EndpointNotFound, "This server has no users: authentication is off.")),
        }
    }

    /// What a list of one kind of resource may return, by the caller's current grants.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn scope(&self, listed: Resource) -> Result<Scope> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(Scope::everything()) };
        if caller.is_unrestricted() {
            return Ok(Scope::everything());
        }
        if caller.lacks_workspace() {
            return Err(no_workspace_named());
        }
        let Some(caller) = access.auth.reload(caller).await? else { return Ok(Scope::nothing()) };
        // A kind that is denied altogether is in no list, whatever its parents allow.
        let [experiments, models, prompts] = match listed {
            Resource::Run => [Some(ResourceType::Run), None, None],
            Resource::LoggedModel => [Some(ResourceType::LoggedModel), None, None],
            Resource::Trace => [Some(ResourceType::Trace), None, None],
            Resource::ModelVersion => {
                [None, Some(ResourceType::RegisteredModelVersion), Some(ResourceType::PromptVersion)]
            }
            _ => [None, None, None],
        };
        let within = |parent, child: Option<ResourceType>| match child {
            Some(child) if caller.is_denied(child) => Visible::nothing(),
            _ => caller.visible(parent),
        };
        Ok(Scope {
            experiments: within(ResourceType::Experiment, experiments),
            models: within(ResourceType::RegisteredModel, models),
            prompts: within(ResourceType::Prompt, prompts),
            scorers: scorers(&caller),
        })
    }

    /// Which of the review queues of an experiment a list may contain, whose caller may read the experiment.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn visible_queues(&self, experiment_id: &str) -> Result<VisibleQueues> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(VisibleQueues::All) };
        let may = async |action| meets(access, caller, &rules::on_queues(experiment_id, action)).await;
        Ok(if caller.is_unrestricted() || may(Action::Update).await? {
            VisibleQueues::All
        } else if may(Action::Read).await? {
            VisibleQueues::AssignedTo(caller.username.clone())
        } else {
            VisibleQueues::None
        })
    }

    /// The registered user with this name in any case, on a server with users.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn user_named(&self, name: &str) -> Result<Option<String>> {
        match &self.app.access {
            Some(access) => access.auth.users().user_named(name).await,
            None => Ok(None),
        }
    }

    /// Whether a kind of resource is denied to the caller altogether.
    pub(crate) fn is_denied(&self, kind: ResourceType) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.is_denied(kind))
    }

    /// Whether permissions apply to the caller: the server has users, and the caller is not an admin.
    pub(crate) fn is_restricted(&self) -> bool {
        self.app.access.is_some() && self.caller.as_ref().is_none_or(|caller| !caller.is_unrestricted())
    }

    /// Refuses an action on a file below a stored location, if that lies in the served store and the caller lacks the
    /// permission: a file has one owner there, whichever endpoint accesses it.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(crate) async fn check_file(&self, location: &str, path: &ArtifactPath, action: Action) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(()) };
        if caller.is_unrestricted() {
            return Ok(());
        }
        let Some(base) = self.served_location(location).await? else { return Ok(()) };
        match rules::file_requirements(self, access, &path.below(&base), action).await? {
            Some(requirements) if meets(access, caller, &requirements).await? => Ok(()),
            _ => Err(permission_denied()),
        }
    }

    /// Invalidates the cached artifact locations: an experiment was created.
    pub(crate) async fn invalidate_owners(&self) {
        if let Some(access) = &self.app.access {
            access.owners.invalidate().await;
        }
    }

    /// Refuses a name that is the wildcard of grants, on a server with users.
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

    /// Grants the caller `MANAGE` on a resource that it has just created in the workspace.
    pub(crate) async fn grant_to_creator(&self, kind: ResourceType, id: &str) -> Result<()> {
        let (Some(access), Some(caller)) = (&self.app.access, &self.caller) else { return Ok(()) };
        if access.auth.namespaces().is_some() {
            // The cluster says who may do what.
            return Ok(());
        }
        let grants = access.auth.users().grants(self.workspace.name());
        grants.set(&caller.username, kind.name(), id, Permission::Manage.name()).await
    }

    /// Revokes what users have on a resource that was deleted from the workspace.
    pub(crate) async fn revoke_all(&self, kinds: &[&str], id: &str) -> Result<()> {
        let Some(access) = &self.app.access else { return Ok(()) };
        access.auth.users().grants(self.workspace.name()).delete_all(kinds, id).await
    }
}
