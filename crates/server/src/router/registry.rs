//! The endpoints of the registry.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::registry::{model_versions, prompts, registered_models},
};

use Needs::{Create, Delete, Edit, Read};
use Resource::{Alias, ModelVersion, RegisteredModel, Trace};

pub(super) fn rows(table: Table) -> Table {
    table
        .rpc(registered_models::create, Create(RegisteredModel))
        .rpc(registered_models::get, Read(RegisteredModel))
        .list(registered_models::search, RegisteredModel)
        .rpc(registered_models::update, Edit(RegisteredModel))
        .rpc(registered_models::rename, Edit(RegisteredModel))
        .rpc(registered_models::delete, Delete(RegisteredModel))
        .rpc(registered_models::latest_versions, Read(ModelVersion))
        .rpc(registered_models::set_tag, Edit(RegisteredModel))
        .rpc(registered_models::delete_tag, Edit(RegisteredModel))
        .rpc(registered_models::set_alias, Edit(Alias))
        .rpc(registered_models::delete_alias, Delete(Alias))
        // The rule also requires that the caller may read its source.
        .rpc(model_versions::create, Create(ModelVersion))
        .rpc(model_versions::get, Read(ModelVersion))
        .rpc(model_versions::get_by_alias, Read(ModelVersion))
        .list_and_field("mlflowSearchModelVersions", model_versions::search, ModelVersion)
        .rpc(model_versions::update, Edit(ModelVersion))
        .rpc(model_versions::transition, Edit(ModelVersion))
        .rpc(model_versions::delete, Delete(ModelVersion))
        .rpc(model_versions::download_uri, Read(ModelVersion))
        .rpc(model_versions::set_tag, Edit(ModelVersion))
        .rpc(model_versions::delete_tag, Delete(ModelVersion))
        .rpc(prompts::link_to_trace, Edit(Trace))
        .page(Method::GET, "/model-versions/get-artifact", model_versions::get_artifact, Read(ModelVersion))
}
