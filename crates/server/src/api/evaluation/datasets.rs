//! Evaluation datasets and their records.

use ferroflow_model::{
    Error, Result,
    evaluation::dataset_records::{self, Records},
    limits::memory,
    messages::service::{
        AddDatasetToExperiments, AddDatasetToExperimentsResponse, CreateDataset, CreateDatasetResponse, DeleteDataset,
        DeleteDatasetRecords, DeleteDatasetRecordsResponse, DeleteDatasetResponse, DeleteDatasetTag,
        DeleteDatasetTagResponse, GetDataset, GetDatasetExperimentIds, GetDatasetExperimentIdsResponse,
        GetDatasetRecords, GetDatasetRecordsResponse, GetDatasetResponse, RemoveDatasetFromExperiments,
        RemoveDatasetFromExperimentsResponse, SearchEvaluationDatasets, SearchEvaluationDatasetsResponse,
        SetDatasetTags, SetDatasetTagsResponse, UpsertDatasetRecords, UpsertDatasetRecordsResponse,
    },
};
use ferroflow_store::{DatasetSearch, NewDataset};

use crate::{app::Cx, rpc::empty};

pub(crate) async fn create(cx: Cx, req: CreateDataset) -> Result<CreateDatasetResponse> {
    let new =
        NewDataset { name: req.name().to_owned(), tags: req.tags().to_owned(), experiment_ids: req.experiment_ids };
    Ok(CreateDatasetResponse { dataset: Some(cx.store().create_dataset(&new).await?) })
}

pub(crate) async fn get(cx: Cx, _: GetDataset) -> Result<GetDatasetResponse> {
    let dataset = cx.store().get_dataset(cx.path("dataset_id")).await?;
    Ok(GetDatasetResponse { dataset: Some(dataset), ..GetDatasetResponse::default() })
}

pub(crate) async fn delete(cx: Cx, _: DeleteDataset) -> Result<DeleteDatasetResponse> {
    cx.store().delete_dataset(cx.path("dataset_id")).await.map(|()| empty())
}

pub(crate) async fn search(cx: Cx, req: SearchEvaluationDatasets) -> Result<SearchEvaluationDatasetsResponse> {
    let search = DatasetSearch {
        filter: req.filter_string().to_owned(),
        max_results: req.max_results().into(),
        experiment_ids: req.experiment_ids,
        order_by: req.order_by,
        page_token: req.page_token,
        names: cx.caller.as_ref().and_then(|caller| caller.readable_datasets()),
    };
    let (datasets, next_page_token) = cx.store().search_datasets_of(search).await?;
    Ok(SearchEvaluationDatasetsResponse { datasets, next_page_token })
}

pub(crate) async fn set_tags(cx: Cx, req: SetDatasetTags) -> Result<SetDatasetTagsResponse> {
    cx.store().set_dataset_tags(cx.path("dataset_id"), req.tags()).await.map(|()| empty())
}

pub(crate) async fn delete_tag(cx: Cx, _: DeleteDatasetTag) -> Result<DeleteDatasetTagResponse> {
    cx.store().delete_dataset_tag(cx.path("dataset_id"), cx.path("key")).await.map(|()| empty())
}

pub(crate) async fn upsert_records(cx: Cx, req: UpsertDatasetRecords) -> Result<UpsertDatasetRecordsResponse> {
    let records = parse(req.records.unwrap_or_default()).await?;
    let (inserted, updated) = cx.store().upsert_dataset_records(cx.path("dataset_id"), &records).await?;
    if cx.is_blind() {
        // The numbers tell which records were there.
        return Ok(empty());
    }
    Ok(UpsertDatasetRecordsResponse {
        inserted_count: i32::try_from(inserted).ok(),
        updated_count: i32::try_from(updated).ok(),
    })
}

/// Parses records; many of them on their own thread.
async fn parse(records: String) -> Result<Records> {
    if records.len() <= memory::SHORT_BODY {
        return dataset_records::parse(&records);
    }
    let parsed = tokio::task::spawn_blocking(move || dataset_records::parse(&records)).await;
    parsed.map_err(|error| Error::internal(format!("The records could not be parsed: {error}")))?
}

pub(crate) async fn records(cx: Cx, req: GetDatasetRecords) -> Result<GetDatasetRecordsResponse> {
    let max_results = match req.max_results() {
        0 => 1000,
        given => given.into(),
    };
    let (records, next_page_token) =
        cx.store().dataset_records(cx.path("dataset_id"), max_results, req.page_token()).await?;
    Ok(GetDatasetRecordsResponse { records: Some(records), next_page_token })
}

pub(crate) async fn delete_records(cx: Cx, req: DeleteDatasetRecords) -> Result<DeleteDatasetRecordsResponse> {
    let deleted = cx.store().delete_dataset_records(cx.path("dataset_id"), &req.dataset_record_ids).await?;
    Ok(DeleteDatasetRecordsResponse { deleted_count: i32::try_from(deleted).ok() })
}

pub(crate) async fn experiment_ids(cx: Cx, _: GetDatasetExperimentIds) -> Result<GetDatasetExperimentIdsResponse> {
    let experiment_ids = cx.store().dataset_experiment_ids(cx.path("dataset_id")).await?;
    Ok(GetDatasetExperimentIdsResponse { experiment_ids })
}

pub(crate) async fn add_to_experiments(
    cx: Cx,
    req: AddDatasetToExperiments,
) -> Result<AddDatasetToExperimentsResponse> {
    let dataset = cx.store().add_dataset_to_experiments(cx.path("dataset_id"), &req.experiment_ids).await?;
    Ok(AddDatasetToExperimentsResponse { dataset: Some(dataset) })
}

pub(crate) async fn remove_from_experiments(
    cx: Cx,
    req: RemoveDatasetFromExperiments,
) -> Result<RemoveDatasetFromExperimentsResponse> {
    let dataset = cx.store().remove_dataset_from_experiments(cx.path("dataset_id"), &req.experiment_ids).await?;
    Ok(RemoveDatasetFromExperimentsResponse { dataset: Some(dataset) })
}
