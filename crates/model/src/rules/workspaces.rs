//! Workspaces.

use super::Validated;
use crate::messages::service::{CreateWorkspace, DeleteWorkspace, GetWorkspace, ListWorkspaces, UpdateWorkspace};

impl Validated for ListWorkspaces {}

impl Validated for CreateWorkspace {}

impl Validated for GetWorkspace {}

impl Validated for UpdateWorkspace {}

impl Validated for DeleteWorkspace {}
