//! The endpoints of artifacts.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::storage::{artifacts, proxied_artifacts, transfers},
};

use Needs::{Delete, Edit, Read};
use Resource::{Artifact, LoggedModel, Run};

pub(super) fn rows(table: Table) -> Table {
    table
        .rpc_and_field("mlflowListArtifacts", artifacts::list, Read(Run))
        .rpc(artifacts::list_of_model, Read(LoggedModel))
        .rpc(proxied_artifacts::list, Read(Artifact))
        .rpc(proxied_artifacts::delete, Delete(Artifact))
        .rpc(transfers::create_multipart, Edit(Artifact))
        .rpc(transfers::complete_multipart, Edit(Artifact))
        .rpc(transfers::abort_multipart, Edit(Artifact))
        .rpc(transfers::presigned_of_proxy, Read(Artifact))
        .rpc(transfers::presigned_upload, Edit(Run))
        .rpc(transfers::presigned_download, Read(Run))
        .api(Method::GET, 2, "/mlflow-artifacts/artifacts/{*artifact_path}", proxied_artifacts::get, Read(Artifact))
        .api(Method::PUT, 2, "/mlflow-artifacts/artifacts/{*artifact_path}", proxied_artifacts::put, Edit(Artifact))
        .api(
            Method::GET,
            2,
            "/mlflow/logged-models/{model_id}/artifacts/files",
            artifacts::get_of_model,
            Read(LoggedModel),
        )
        .api(Method::POST, 2, "/mlflow/upload-artifact", artifacts::upload, Edit(Run))
        .page(Method::GET, "/get-artifact", artifacts::get, Read(Run))
}
