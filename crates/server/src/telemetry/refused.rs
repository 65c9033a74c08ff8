//! Requests that were refused because their caller, or all callers together, held too much.

use ferroflow_store::db::refused_connections;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::app::App;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    resource: &'static str,
    limit: &'static str,
}

/// The metric.
pub(super) struct Refusals(Family<Labels, Gauge>);

impl Refusals {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        let help = "Requests refused since the start because their caller, or all callers, held too much of a resource";
        registry.register("requests_refused", help, family.clone());
        Self(family)
    }

    /// Reads the counts.
    pub(super) fn set(&self, app: &App) {
        self.set_one("requests", app.callers.refused());
        self.set_one("connections", refused_connections());
        self.set_limit("results", "total", app.results.refused());
        for budget in app.bodies.budgets().into_iter().chain(app.store.budgets()) {
            self.set_one(budget.resource().name(), budget.refused());
        }
    }

    fn set_one(&self, resource: &'static str, [of_caller, in_total]: [u64; 2]) {
        self.set_limit(resource, "caller", of_caller);
        self.set_limit(resource, "total", in_total);
    }

    fn set_limit(&self, resource: &'static str, limit: &'static str, count: u64) {
        self.0.get_or_create(&Labels { resource, limit }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
