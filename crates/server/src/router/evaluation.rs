//! The endpoints of evaluation data.

use super::table::Table;
use crate::{
    access::{Needs, Resource},
    api::evaluation::{datasets, issues, label_schemas, review_queues, scorers},
};

use Needs::{Create, Delete, Edit, Read};
use Resource::{
    Dataset, DatasetSearch, Experiment, Issue, IssueSearch, LabelSchema, OnlineScoring, ReviewQueue, ReviewQueueItem,
    Scorer,
};

pub(super) fn rows(table: Table) -> Table {
    table
        .rpc(datasets::create, Create(Dataset))
        .rpc(datasets::search, Read(DatasetSearch))
        .rpc(datasets::get, Read(Dataset))
        .rpc(datasets::delete, Delete(Dataset))
        .rpc(datasets::set_tags, Edit(Dataset))
        .rpc(datasets::delete_tag, Edit(Dataset))
        .rpc(datasets::records, Read(Dataset))
        .rpc(datasets::upsert_records, Edit(Dataset))
        .rpc(datasets::delete_records, Edit(Dataset))
        .rpc(datasets::experiment_ids, Read(Dataset))
        .rpc(datasets::add_to_experiments, Edit(Dataset))
        .rpc(datasets::remove_from_experiments, Edit(Dataset))
        .rpc(label_schemas::create, Create(LabelSchema))
        .rpc(label_schemas::get, Read(LabelSchema))
        .rpc(label_schemas::get_by_name, Read(Experiment))
        .rpc(label_schemas::list, Read(Experiment))
        .rpc(label_schemas::update, Edit(LabelSchema))
        .rpc(label_schemas::delete, Delete(LabelSchema))
        .rpc(review_queues::create, Create(ReviewQueue))
        .rpc(review_queues::get_or_create_user, Create(ReviewQueue))
        .rpc(review_queues::get, Read(ReviewQueue))
        .rpc(review_queues::get_by_name, Read(ReviewQueue))
        .rpc(review_queues::list, Read(Experiment))
        .rpc(review_queues::update, Edit(ReviewQueue))
        .rpc(review_queues::delete, Delete(ReviewQueue))
        .rpc(review_queues::add_items, Create(ReviewQueueItem))
        .rpc(review_queues::remove_items, Delete(ReviewQueue))
        .rpc(review_queues::list_items, Read(ReviewQueue))
        .rpc(review_queues::set_status, Edit(ReviewQueueItem))
        .rpc(scorers::register, Create(Scorer))
        .list(scorers::list, Scorer)
        .rpc(scorers::versions, Read(Scorer))
        .rpc(scorers::get, Read(Scorer))
        .rpc(scorers::delete, Delete(Scorer))
        .rpc(scorers::set_online, Edit(Experiment))
        .rpc_response(scorers::online, Read(OnlineScoring))
        .rpc(issues::create, Create(Issue))
        .rpc(issues::get, Read(Issue))
        .rpc(issues::update, Edit(Issue))
        .rpc(issues::search, Read(IssueSearch))
}
