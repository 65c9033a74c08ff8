//! Kinds of objects that runbooks read and change.

/// A kind of object: its API path, and its name in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Kind {
    pub(in super::super) api: &'static str,
    pub(in super::super) plural: &'static str,
    pub(in super::super) name: &'static str,
}

pub(in super::super) const DEPLOYMENTS: Kind = Kind { api: "apis/apps/v1", plural: "deployments", name: "Deployment" };
pub(in super::super) const JOBS: Kind = Kind { api: "apis/batch/v1", plural: "jobs", name: "Job" };
pub(in super::super) const CRON_JOBS: Kind = Kind { api: "apis/batch/v1", plural: "cronjobs", name: "CronJob" };
pub(in super::super) const NETWORK_POLICIES: Kind =
    Kind { api: "apis/networking.k8s.io/v1", plural: "networkpolicies", name: "NetworkPolicy" };
pub(in super::super) const TEMPLATES: Kind =
    Kind { api: "apis/template.openshift.io/v1", plural: "templates", name: "Template" };
pub(in super::super) const PODS: Kind = Kind { api: "api/v1", plural: "pods", name: "Pod" };
pub(in super::super) const SECRETS: Kind = Kind { api: "api/v1", plural: "secrets", name: "Secret" };
pub(in super::super) const INGRESSES: Kind =
    Kind { api: "apis/networking.k8s.io/v1", plural: "ingresses", name: "Ingress" };
pub(in super::super) const ROUTES: Kind = Kind { api: "apis/route.openshift.io/v1", plural: "routes", name: "Route" };
pub(in super::super) const HTTP_ROUTES: Kind =
    Kind { api: "apis/gateway.networking.k8s.io/v1", plural: "httproutes", name: "HTTPRoute" };
pub(in super::super) const CLUSTERS: Kind =
    Kind { api: "apis/postgresql.cnpg.io/v1", plural: "clusters", name: "Cluster" };
pub(in super::super) const BACKUPS: Kind =
    Kind { api: "apis/postgresql.cnpg.io/v1", plural: "backups", name: "Backup" };
pub(in super::super) const POOLERS: Kind =
    Kind { api: "apis/postgresql.cnpg.io/v1", plural: "poolers", name: "Pooler" };
pub(in super::super) const SCHEDULED_BACKUPS: Kind =
    Kind { api: "apis/postgresql.cnpg.io/v1", plural: "scheduledbackups", name: "ScheduledBackup" };
pub(in super::super) const OBJECT_STORES: Kind =
    Kind { api: "apis/barmancloud.cnpg.io/v1", plural: "objectstores", name: "ObjectStore" };
pub(in super::super) const LEASES: Kind = Kind { api: "apis/coordination.k8s.io/v1", plural: "leases", name: "Lease" };

impl Kind {
    /// The API group; empty for the core group.
    pub(in super::super) fn group(self) -> &'static str {
        self.api.split('/').nth(1).filter(|_| self.api.starts_with("apis/")).unwrap_or_default()
    }
}
