//! The endpoints of traces and assessments.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::traces::{assessments, full_traces, metrics, search, span_log, trace_payloads, traces},
};

use Needs::{Admin, Create, Delete, Edit, Read};
use Resource::{Assessment, Trace, TraceLink};

pub(super) fn rows(table: Table) -> Table {
    table
        .rpc(traces::start, Create(Trace))
        .rpc(traces::get, Read(Trace))
        .rpc_response(full_traces::get, Read(Trace))
        .rpc_response(full_traces::batch_get, Read(Trace))
        .rpc(traces::batch_get_infos, Read(Trace))
        .rpc(traces::delete, Delete(Trace))
        .rpc(traces::set_tag, Edit(Trace))
        .rpc(traces::delete_tag, Edit(Trace))
        .rpc(traces::link_to_run, Edit(TraceLink))
        .list(search::search, Trace)
        .list(search::search_v2, Trace)
        .list(metrics::query, Trace)
        .list(metrics::correlate, Trace)
        .rpc(traces::start_v2, Create(Trace))
        .rpc(traces::end_v2, Edit(Trace))
        .rpc(traces::get_v2, Read(Trace))
        .rpc(traces::delete_v2, Delete(Trace))
        .rpc(traces::set_tag_v2, Edit(Trace))
        .rpc(traces::delete_tag_v2, Edit(Trace))
        // As in the reference: not found for admins, and refused to others.
        .rpc(traces::online_details, Admin)
        .rpc(traces::unified, Admin)
        .rpc(assessments::create, Create(Assessment))
        .rpc(assessments::get, Read(Assessment))
        .rpc(assessments::update, Edit(Assessment))
        .rpc(assessments::delete, Delete(Assessment))
        .api(Method::GET, 2, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace))
        .api(Method::GET, 3, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace))
        .otlp("/v1/traces", span_log::export, Create(Trace))
}
