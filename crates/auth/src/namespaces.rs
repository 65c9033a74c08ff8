//! The namespaces of a Kubernetes cluster as workspaces: `workspaces = namespaces` in section `[kubernetes]`.
//!
//! A label selector says which namespaces are workspaces. Who may do what in one is said by the RBAC of the cluster: the
//! API server is asked with the caller's own token (`SelfSubjectAccessReview`), so the server needs no permission for
//! that and cannot be talked into using its own; or, behind a proxy that has authenticated the caller, about its name and
//! groups (`SubjectAccessReview`). Answers are cached for seconds. Whatever goes wrong, nothing is allowed.
//!
//! The resources and verbs are those of Open Data Hub's `kubernetes-auth`
//! (<https://github.com/opendatahub-io/mlflow-kubernetes-plugins/blob/main/docs/kubernetes-rbac.md>), so that the same
//! roles serve both.

mod listed;
mod mode;
mod names;
mod reviews;
mod rights;
mod roots;

use std::{sync::Arc, time::Duration};

use ferroflow_model::{Environment, Error, ErrorCode, Result, permission::DEFAULT_WORKSPACE, validation};

pub use self::mode::RemoteHeaders;
use self::{
    listed::Listed,
    reviews::Reviews,
    roots::{Roots, RootsConfig},
};
pub(crate) use self::{names::Names, rights::Rights};
use crate::{
    caller::Caller,
    ini::Section,
    tokens::{
        api_server::ApiServer,
        identity::{number, text},
    },
};

/// Time in seconds for which a list of namespaces, and an answer of the API server, are cached.
const CACHE_SECONDS: u64 = 10;
const MAX_CACHE_SECONDS: u64 = 300;

/// The variables of Open Data Hub's plugin for some of the settings, and one more. The chart sets them.
const SELECTOR: &str = "MLFLOW_K8S_WORKSPACE_LABEL_SELECTOR";
const DEFAULT: &str = "MLFLOW_K8S_DEFAULT_WORKSPACE";
const ROOTS: &str = "FERROFLOW_K8S_ARTIFACT_ROOTS";

/// The keys of section `[kubernetes]` that are about workspaces, beside `workspaces` and those of the mode.
const KEYS: [&str; 4] = ["workspace_selector", "default_workspace", "workspace_cache_seconds", "artifact_roots"];

/// The settings.
#[derive(Debug, Clone)]
pub(crate) struct NamespacesConfig {
    /// The labels of the namespaces that are workspaces, such as `mlflow-enabled=true`.
    selector: String,
    /// The workspace of requests that name none.
    default: Option<String>,
    cache: Duration,
    /// The headers by which a proxy names callers; `None` if callers send tokens.
    pub(crate) remote: Option<RemoteHeaders>,
    /// Present if namespaces choose their artifact roots.
    roots: Option<RootsConfig>,
}

impl NamespacesConfig {
    /// The variable that only makes sense where workspaces are namespaces, if it is set.
    pub(crate) fn variable(environment: &Environment) -> Option<&'static str> {
        let mut all = [SELECTOR, DEFAULT, ROOTS].into_iter().chain(mode::VARIABLES);
        all.find(|name| environment.get(name).is_some())
    }

    /// The keys of section `[kubernetes]` that are about workspaces.
    pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
        ["workspaces"].into_iter().chain(KEYS).chain(mode::KEYS)
    }

    /// Parses the keys of section `[kubernetes]` that are about workspaces; `None` if they are not namespaces.
    pub(crate) fn parse(section: &Section, environment: &Environment) -> Result<Option<Self>, String> {
        match text(section, "workspaces")?.as_deref() {
            Some("namespaces") => {}
            Some(other) => return Err(format!("workspaces = {other} in [kubernetes] is not namespaces")),
            None => {
                for key in KEYS.into_iter().chain(mode::KEYS) {
                    if text(section, key)?.is_some() {
                        return Err(format!("{key} is set in [kubernetes], but workspaces = namespaces is not"));
                    }
                }
                return Ok(None);
            }
        }
        let either = |key: &str, name: &str| -> Result<Option<String>, String> {
            Ok(text(section, key)?.or_else(|| environment.get(name).map(str::to_owned)))
        };
        let selector = either("workspace_selector", SELECTOR)?.ok_or(
            "it has no workspace_selector in [kubernetes]: the labels of the namespaces that are workspaces, such as \
             mlflow-enabled=true",
        )?;
        let default = either("default_workspace", DEFAULT)?;
        if let Some(name) = &default {
            check_name(name).map_err(|error| format!("default_workspace = {name}: {}", error.message))?;
        }
        let seconds = number(section, "workspace_cache_seconds", CACHE_SECONDS, MAX_CACHE_SECONDS)?;
        if seconds == 0 {
            return Err("workspace_cache_seconds = 0: every request would ask the API server several times".into());
        }
        let roots = match either("artifact_roots", ROOTS)?.as_deref() {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("MLflowConfig") => Some(RootsConfig::new(environment)),
            Some(other) => return Err(format!("artifact_roots = {other} in [kubernetes] is not MLflowConfig")),
        };
        let remote = RemoteHeaders::parse(section, environment)?;
        Ok(Some(Self { selector, default, cache: Duration::from_secs(seconds), remote, roots }))
    }
}

/// The namespaces that are workspaces, and what callers may do in them.
pub struct Namespaces {
    default: Option<String>,
    listed: Listed,
    reviews: Reviews,
    remote: Option<RemoteHeaders>,
    roots: Option<Roots>,
}

/// A namespace as a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// The name.
    pub name: String,
    /// The annotation `mlflow.kubeflow.org/workspace-description`.
    pub description: Option<String>,
}

impl Namespaces {
    pub(crate) fn open(config: NamespacesConfig, api: ApiServer) -> Self {
        let NamespacesConfig { selector, default, cache, remote, roots } = config;
        Self {
            default,
            listed: Listed::new(api.clone(), &selector, cache),
            roots: roots.map(|config| Roots::new(api.clone(), cache, config)),
            reviews: Reviews::new(api, cache),
            remote,
        }
    }

    /// The headers by which a trusted proxy names callers; `None` if callers send tokens of the cluster.
    #[must_use]
    pub fn remote_headers(&self) -> Option<&RemoteHeaders> {
        self.remote.as_ref()
    }

    /// Whether namespaces choose their artifact roots.
    #[must_use]
    pub fn have_artifact_roots(&self) -> bool {
        self.roots.is_some()
    }

    /// The artifact root that a namespace has chosen, `s3://bucket/path`; `None` for the default one.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE` if its resource or Secret is not valid, `TEMPORARILY_UNAVAILABLE` if the API server does
    /// not answer.
    pub async fn artifact_root(&self, name: &str) -> Result<Option<String>> {
        match &self.roots {
            // A namespace that is no workspace has nothing to say about one with its name.
            Some(roots) if self.listed.get(name).await?.is_some() => roots.get(name).await,
            _ => Ok(None),
        }
    }

    /// The workspace of requests that name none, if there is one.
    #[must_use]
    pub fn default_workspace(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The caller in a workspace.
    ///
    /// # Errors
    /// `RESOURCE_DOES_NOT_EXIST` if the namespace is not a workspace, and the same if the caller has no permission in it;
    /// `PERMISSION_DENIED` for a caller whom the API server cannot be asked about; `TEMPORARILY_UNAVAILABLE` if it does not
    /// answer.
    pub async fn enter(&self, caller: &Arc<Caller>, name: &str) -> Result<Arc<Caller>> {
        if name != DEFAULT_WORKSPACE {
            check_name(name)?;
        }
        if caller.is_admin {
            return if self.listed.get(name).await?.is_some() { Ok(Arc::clone(caller)) } else { Err(not_found(name)) };
        }
        // It is asked about any name, so that names of namespaces cannot be told from others by the time.
        let there = self.reviews.caller(caller, name).await?;
        let is_workspace = self.listed.get(name).await?.is_some();
        there.filter(|_| is_workspace).ok_or_else(|| not_found(name))
    }

    /// The caller without a workspace: it may do nothing that belongs to one.
    #[must_use]
    pub fn outside(&self, caller: &Arc<Caller>) -> Arc<Caller> {
        if caller.is_admin { Arc::clone(caller) } else { Arc::new(caller.in_no_namespace()) }
    }

    /// The workspaces in which a caller may read something, ordered by name.
    ///
    /// # Errors
    /// As of [`Self::enter`].
    pub async fn visible(&self, caller: &Arc<Caller>) -> Result<Vec<Namespace>> {
        let listed = self.listed.all().await?;
        let all =
            listed.iter().map(|(name, description)| Namespace { name: name.clone(), description: description.clone() });
        if caller.is_admin {
            return Ok(all.collect());
        }
        let names: Vec<&str> = listed.keys().map(String::as_str).collect();
        let readable = self.reviews.readable(caller, &names).await?;
        Ok(all.zip(readable).filter_map(|(namespace, is_readable)| is_readable.then_some(namespace)).collect())
    }

    /// A workspace in which the caller may read something.
    ///
    /// # Errors
    /// As of [`Self::enter`].
    pub async fn get(&self, caller: &Arc<Caller>, name: &str) -> Result<Namespace> {
        let there = self.enter(caller, name).await?;
        if !there.is_admin && !there.reads_in_namespace() {
            return Err(not_found(name));
        }
        let description = self.listed.get(name).await?.ok_or_else(|| not_found(name))?;
        Ok(Namespace { name: name.to_owned(), description })
    }
}

/// Checks that a namespace can be a workspace.
fn check_name(name: &str) -> Result<()> {
    validation::workspace_name(name)?;
    // As everywhere in Kubernetes: these are of the cluster, whatever their labels.
    if name == "openshift" || ["kube-", "openshift-"].iter().any(|prefix| name.starts_with(prefix)) {
        return Err(not_found(name));
    }
    Ok(())
}

fn not_found(name: &str) -> Error {
    Error::not_found(format!("Workspace '{name}' not found"))
}

/// The error of callers whom the API server does not know.
fn no_token() -> Error {
    Error::new(
        ErrorCode::PermissionDenied,
        "The workspaces of this server are Kubernetes namespaces: send a token of the cluster (Authorization: Bearer), or \
         use the proxy that knows you, if there is one.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<NamespacesConfig>, String> {
        let section = Section::parse(&format!("[x]\n{text}"), "x").unwrap().unwrap();
        NamespacesConfig::parse(&section, &Environment::default())
    }

    #[test]
    fn namespaces_need_a_selector() {
        assert!(parse("").unwrap().is_none());
        let config = parse("workspaces = namespaces\nworkspace_selector = mlflow-enabled=true").unwrap().unwrap();
        assert_eq!((config.selector.as_str(), config.default), ("mlflow-enabled=true", None));
        assert_eq!(config.cache, Duration::from_secs(CACHE_SECONDS));
        assert!(config.remote.is_none() && config.roots.is_none());
        let more = "workspaces = namespaces\nworkspace_selector = a\nartifact_roots = mlflowconfig\n\
                    authorization_mode = subject_access_review";
        let config = parse(more).unwrap().unwrap();
        assert!(config.remote.is_some() && config.roots.is_some());
        for (text, word) in [
            ("workspaces = namespaces", "workspace_selector"),
            ("workspaces = database", "database"),
            ("workspace_selector = a", "workspaces = namespaces"),
            ("workspaces = namespaces\nworkspace_selector = a\nworkspace_cache_seconds = 0", "0"),
            ("workspaces = namespaces\nworkspace_selector = a\ndefault_workspace = A", "default_workspace"),
            ("workspaces = namespaces\nworkspace_selector = a\nartifact_roots = yes", "artifact_roots"),
            ("artifact_roots = MLflowConfig", "workspaces = namespaces"),
            ("authorization_mode = subject_access_review", "workspaces = namespaces"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn namespaces_of_the_cluster_are_no_workspaces() {
        for name in ["kube-system", "openshift", "openshift-config", "a", "api"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert!(check_name("team-a").is_ok() && check_name("openshifted").is_ok());
    }
}
