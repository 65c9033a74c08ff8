//! Model versions, as far as pages of runs ask for them.

use ferroflow_model::{
    Result,
    messages::model_registry::{SearchModelVersions, SearchModelVersionsResponse},
};
use ferroflow_store::ModelVersionSearch;

use crate::app::Cx;

pub(crate) async fn search(cx: Cx, req: SearchModelVersions) -> Result<SearchModelVersionsResponse> {
    let search = ModelVersionSearch {
        filter: req.filter().to_owned(),
        max_results: req.max_results(),
        order_by: req.order_by,
        page_token: req.page_token,
        run_ids: None,
    };
    let (model_versions, next_page_token) = cx.app.store.search_model_versions(search).await?;
    Ok(SearchModelVersionsResponse { model_versions, next_page_token })
}
