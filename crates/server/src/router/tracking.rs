//! The endpoints of tracking.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::tracking::{experiments, inputs, logged_models, metrics, promptlab, runs},
};

use Needs::{Create, Delete, Edit, Read};
use Resource::{Experiment, LoggedModel, Run};

pub(super) fn rows(table: Table) -> Table {
    table
        .rpc(experiments::create, Create(Experiment))
        .rpc_and_field("mlflowGetExperiment", experiments::get, Read(Experiment))
        .rpc(experiments::get_by_name, Read(Experiment))
        .list(experiments::search, Experiment)
        .rpc(experiments::update, Edit(Experiment))
        .rpc(experiments::delete, Delete(Experiment))
        .rpc(experiments::restore, Delete(Experiment))
        .rpc(experiments::set_tag, Edit(Experiment))
        .rpc(experiments::delete_tag, Edit(Experiment))
        .rpc(runs::create, Create(Run))
        .rpc_and_field("mlflowGetRun", runs::get, Read(Run))
        .list_and_field("mlflowSearchRuns", runs::search, Run)
        .rpc(runs::update, Edit(Run))
        .rpc(runs::delete, Delete(Run))
        .rpc(runs::restore, Delete(Run))
        .rpc(runs::log_metric, Edit(Run))
        .rpc(runs::log_param, Edit(Run))
        .rpc(runs::set_tag, Edit(Run))
        .rpc(runs::delete_tag, Edit(Run))
        .rpc(runs::log_batch, Edit(Run))
        .rpc(runs::log_model, Edit(Run))
        .rpc_response(metrics::history, Read(Run))
        .rpc_response_and_field(
            "mlflowGetMetricHistoryBulkInterval",
            metrics::bulk_interval_message,
            metrics::bulk_interval,
            Read(Run),
        )
        .rpc(inputs::log_inputs, Edit(Run))
        .rpc(inputs::log_outputs, Edit(Run))
        .rpc_and_field("mlflowSearchDatasets", inputs::search_datasets, Read(Experiment))
        .rpc(logged_models::create, Create(LoggedModel))
        .rpc(logged_models::get, Read(LoggedModel))
        .list(logged_models::search, LoggedModel)
        .rpc(logged_models::finalize, Edit(LoggedModel))
        .rpc(logged_models::delete, Delete(LoggedModel))
        .rpc(logged_models::log_params, Edit(LoggedModel))
        .rpc(logged_models::set_tags, Edit(LoggedModel))
        .rpc(logged_models::delete_tag, Delete(LoggedModel))
        .api(Method::GET, 2, "/mlflow/metrics/get-history-bulk", metrics::bulk, Read(Run))
        .document(Method::POST, 2, "/mlflow/runs/create-promptlab-run", promptlab::create, Create(Run))
}
