//! Workspaces.

use super::{
    Check::{NotNullText, Required, TextFields},
    Rule, Validate,
};
use crate::messages::service::{CreateWorkspace, DeleteWorkspace, GetWorkspace, ListWorkspaces, UpdateWorkspace};

const ARCHIVAL: Rule = ("trace_archival_config", &[TextFields(&["location", "retention"])]);

impl Validate for ListWorkspaces {}

impl Validate for CreateWorkspace {
    const RULES: &'static [Rule] = &[
        ("name", &[Required, NotNullText]),
        ("description", &[NotNullText]),
        ("default_artifact_root", &[NotNullText]),
        ARCHIVAL,
    ];
}

impl Validate for GetWorkspace {}

impl Validate for UpdateWorkspace {
    const RULES: &'static [Rule] =
        &[("description", &[NotNullText]), ("default_artifact_root", &[NotNullText]), ARCHIVAL];
}

impl Validate for DeleteWorkspace {}
