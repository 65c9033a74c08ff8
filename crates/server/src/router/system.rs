//! The endpoints of the server itself.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::system::{demo, server_info, webhooks, workspaces},
};

use Needs::{Admin, Authenticated, Create, Public, SeeWorkspace};

pub(super) fn rows(table: Table) -> Table {
    // Without workspaces the calls answer that they are disabled.
    let table = if table.has_workspaces { workspace_rows(table) } else { table };
    table
        .rpc(webhooks::create, Admin)
        .rpc(webhooks::list, Admin)
        .rpc(webhooks::get, Admin)
        .rpc(webhooks::update, Admin)
        .rpc(webhooks::delete, Admin)
        .rpc(webhooks::test, Admin)
        .document(Method::POST, 3, "/mlflow/demo/generate", demo::generate, Create(Resource::Demo))
        .api(Method::POST, 3, "/mlflow/demo/delete", demo::delete, Admin)
        .api(Method::GET, 2, "/mlflow/gateway-proxy", server_info::gateway_proxy, Authenticated)
        .api(Method::POST, 2, "/mlflow/gateway-proxy", server_info::gateway_proxy, Authenticated)
        .api(Method::GET, 3, "/mlflow/server-info", server_info::server_info, Public)
        .api(Method::GET, 3, "/mlflow/ui-telemetry", server_info::get_ui_telemetry, Authenticated)
        .api(Method::POST, 3, "/mlflow/ui-telemetry", server_info::post_ui_telemetry, Authenticated)
        .api(Method::GET, 3, "/mlflow/assistant/config", server_info::assistant_config, Authenticated)
        .api(Method::GET, 3, "/mlflow/assistant/providers", server_info::assistant_providers, Authenticated)
}

fn workspace_rows(table: Table) -> Table {
    table
        .rpc(workspaces::list, Authenticated)
        .rpc_response(workspaces::create, Admin)
        .rpc(workspaces::get, SeeWorkspace)
        .rpc(workspaces::update, Admin)
        .rpc_response(workspaces::delete, Admin)
}
