//! The endpoints of traces.

use http::Method;

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::traces::{metrics, search, trace_payloads},
};

use Needs::Read;
use Resource::Trace;

pub(super) fn rows(table: Table) -> Table {
    table
        .list(search::search, Trace)
        .list(search::search_v2, Trace)
        .list(metrics::query, Trace)
        .list(metrics::correlate, Trace)
        .api(Method::GET, 2, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace))
        .api(Method::GET, 3, "/mlflow/get-trace-artifact", trace_payloads::get, Read(Trace))
}
