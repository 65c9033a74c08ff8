//! The rights that a user needs for each runbook, checked before the first change with `SelfSubjectAccessReview`. The
//! chart has a Role with all of them (`ops.role`).

use anyhow::{Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::{
    api::{
        Api, BACKUPS, CLUSTERS, CRON_JOBS, DEPLOYMENTS, JOBS, Kind, LEASES, NETWORK_POLICIES, OBJECT_STORES, PODS,
        POOLERS, SCHEDULED_BACKUPS, SECRETS, TEMPLATES, print_step,
    },
    release::{Release, configuration},
};

/// Number of concurrent reviews.
const CONCURRENT: usize = 8;

/// A verb on a kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    verb: &'static str,
    kind: Kind,
    subresource: &'static str,
    /// The only object for which it is needed; empty for all of the namespace.
    name: String,
}

impl Right {
    /// Returns it as `patch deployments.apps/mlflow`.
    fn shown(&self) -> String {
        let Kind { plural, .. } = self.kind;
        let group = self.kind.group();
        let dot = if group.is_empty() { "" } else { "." };
        let slash = if self.subresource.is_empty() && self.name.is_empty() { "" } else { "/" };
        format!("{} {plural}{dot}{group}{slash}{}{}", self.verb, self.subresource, self.name)
    }
}

/// A list of rights.
#[derive(Debug, Default)]
pub(super) struct Rights(Vec<Right>);

impl Rights {
    fn on(mut self, kind: Kind, verbs: &[&'static str]) -> Self {
        self.0.extend(verbs.iter().map(|verb| Right { verb, kind, subresource: "", name: String::new() }));
        self
    }

    fn on_one(mut self, kind: Kind, name: impl Into<String>, verbs: &[&'static str]) -> Self {
        let name = name.into();
        self.0.extend(verbs.iter().map(|verb| Right { verb, kind, subresource: "", name: name.clone() }));
        self
    }

    /// Those of every runbook: its lease, the server, and Jobs that inspect databases.
    fn common(release: &Release) -> Self {
        Self::default()
            .on_one(LEASES, format!("{}-ops", release.name), &["get", "patch", "delete"])
            .on(LEASES, &["create"])
            .on_one(DEPLOYMENTS, &release.name, &["get"])
            .on(CLUSTERS, &["get"])
    }

    fn with_jobs(mut self) -> Self {
        self.0.push(Right { verb: "get", kind: PODS, subresource: "log", name: String::new() });
        self.on(JOBS, &["get", "create", "delete"]).on(PODS, &["list"])
    }

    /// Of changes to the server, and of waiting for it.
    fn with_server(self, release: &Release) -> Self {
        self.on_one(DEPLOYMENTS, &release.name, &["patch"]).on(PODS, &["list"])
    }

    fn with_backups(self) -> Self {
        self.on(BACKUPS, &["get", "create"])
    }

    /// Of objects that have the server's image.
    fn with_images(self, release: &Release) -> Self {
        let name = &release.name;
        self.on(CRON_JOBS, &["list", "get"])
            .on_one(CRON_JOBS, format!("{name}-migrate"), &["patch"])
            .on_one(CRON_JOBS, format!("{name}-gc"), &["patch"])
            .on_one(CRON_JOBS, format!("{name}-drill"), &["patch"])
            .on(TEMPLATES, &["list"])
            .on_one(TEMPLATES, format!("{name}-migrate"), &["get", "patch"])
    }

    /// Of the Jobs, schedules and logins of the server.
    fn with_users_of_database(self, release: &Release) -> Self {
        let name = &release.name;
        let rights = self
            .on(SCHEDULED_BACKUPS, &["list", "get", "patch"])
            .on_one(CRON_JOBS, format!("{name}-migrate"), &["get", "patch"])
            .on_one(CRON_JOBS, format!("{name}-gc"), &["get", "patch"]);
        match configuration(&release.deployment) {
            Some((secret, _)) => rights.on(SECRETS, &["get"]).on_one(SECRETS, secret, &["patch"]),
            None => rights,
        }
    }

    pub(super) fn backup(release: &Release) -> Self {
        Self::common(release).with_backups()
    }

    pub(super) fn upgrade(release: &Release) -> Self {
        Self::common(release).with_jobs().with_server(release).with_backups().with_images(release)
    }

    pub(super) fn rollback(release: &Release) -> Self {
        Self::common(release).with_jobs().with_server(release).with_images(release)
    }

    pub(super) fn recover(release: &Release) -> Self {
        let name = &release.name;
        Self::common(release)
            .with_jobs()
            .with_server(release)
            .with_backups()
            .with_users_of_database(release)
            // The fields of a created object are returned to Helm, which is a patch.
            .on(CLUSTERS, &["list", "create", "patch"])
            .on(SCHEDULED_BACKUPS, &["create"])
            .on(POOLERS, &["list", "get", "create", "patch"])
            .on(OBJECT_STORES, &["get"])
            .on_one(CRON_JOBS, format!("{name}-drill"), &["get"])
            .on_one(NETWORK_POLICIES, name, &["get", "patch"])
            .on_one(TEMPLATES, format!("{name}-migrate"), &["get", "patch"])
    }

    pub(super) fn abandon(release: &Release) -> Self {
        Self::common(release).with_server(release).with_users_of_database(release)
    }

    pub(super) fn drill(release: &Release) -> Self {
        Self::common(release).with_jobs().on(CLUSTERS, &["list", "create", "delete"]).on(PODS, &["list"])
    }

    pub(super) fn look_inside(release: &Release) -> Self {
        Self::common(release).with_jobs()
    }

    /// Asks the API server about each of them.
    ///
    /// # Errors
    /// The user lacks some: the message has all of them.
    pub(super) async fn check(self, api: &Api) -> Result<()> {
        let mut asked: Vec<Right> = Vec::new();
        for right in self.0 {
            if !asked.contains(&right) && api.is_served(right.kind).await? {
                asked.push(right);
            }
        }
        let answers = asked.iter().map(|right| {
            let attributes = json!({
                "namespace": api.namespace,
                "verb": right.verb,
                "group": right.kind.group(),
                "resource": right.kind.plural,
                "subresource": right.subresource,
                "name": right.name,
            });
            async move { api.may(&attributes).await }
        });
        let answers: Vec<_> = stream::iter(answers).buffered(CONCURRENT).try_collect().await?;
        if answers.iter().all(Option::is_none) {
            print_step(
                "the API server does not answer questions about your rights: a missing one is an error when it is needed",
            );
            return Ok(());
        }
        let missing: Vec<_> = asked.iter().zip(&answers).filter(|(_, may)| **may == Some(false)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<_> = missing.into_iter().map(|(right, _)| right.shown()).collect();
        bail!(
            "nothing was changed, because you lack rights in the namespace {}: {}. The chart has a Role with them: \
             ops.role=true, and ops.subjects",
            api.namespace,
            missing.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_printed_as_kubectl_reads_it() {
        let rights = Rights::default().on(PODS, &["list"]).on_one(DEPLOYMENTS, "mlflow", &["patch"]);
        let shown: Vec<_> = rights.0.iter().map(Right::shown).collect();
        assert_eq!(shown, ["list pods", "patch deployments.apps/mlflow"]);
        let log = Right { verb: "get", kind: PODS, subresource: "log", name: String::new() };
        assert_eq!(log.shown(), "get pods/log");
    }
}
