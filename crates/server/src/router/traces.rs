//! The endpoints of traces.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::traces::{span_log, trace_payloads},
};

use Needs::{Create, Read};
use Resource::Trace;

pub(super) fn rows(table: Table) -> Table {
    table.api(Method::GET, 2, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace)).api(
        Method::GET,
        3,
        "/mlflow/get-trace-artifact",
        trace_payloads::get,
        Read(Trace),
    )
    .otlp("/v1/traces", span_log::export, Create(Trace))
}
