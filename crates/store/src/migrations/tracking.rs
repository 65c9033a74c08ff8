//! The chain of the tracking database.

mod analytics;
mod gateway;
mod governance;
mod mlflow_1;
mod mlflow_2;
mod mlflow_3;
mod skills;
mod workspaces;

use super::revision::{Change, Data, Revision, Step};

pub(super) const INITIAL: &[Step] = mlflow_1::INITIAL;

pub(super) const REVISIONS: &[&[Revision]] = &[
    mlflow_1::REVISIONS,
    mlflow_2::REVISIONS,
    mlflow_3::REVISIONS,
    gateway::REVISIONS,
    workspaces::REVISIONS,
    governance::REVISIONS,
    analytics::REVISIONS,
    skills::REVISIONS,
];
