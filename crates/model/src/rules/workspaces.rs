//! Workspaces.

use super::Validate;
use crate::messages::service::{CreateWorkspace, DeleteWorkspace, GetWorkspace, ListWorkspaces, UpdateWorkspace};

impl Validate for ListWorkspaces {}

impl Validate for CreateWorkspace {}

impl Validate for GetWorkspace {}

impl Validate for UpdateWorkspace {}

impl Validate for DeleteWorkspace {}
