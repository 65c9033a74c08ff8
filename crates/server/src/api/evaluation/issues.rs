//! Issues.

use ferroflow_model::{
    Result,
    messages::issues::{
        CreateIssue, CreateIssueResponse, GetIssue, GetIssueResponse, Issue, SearchIssues, SearchIssuesResponse,
        UpdateIssue, UpdateIssueResponse,
    },
    permission::ResourceType,
};
use ferroflow_search::issues::selects_run;
use ferroflow_store::{IssueChange, IssueSearch};

use crate::{access, app::Cx};

fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(crate) async fn create(cx: Cx, req: CreateIssue) -> Result<CreateIssueResponse> {
    let new = Issue {
        experiment_id: req.experiment_id,
        name: req.name,
        description: req.description,
        status: req.status,
        severity: req.severity,
        root_causes: req.root_causes,
        source_run_id: given(req.source_run_id),
        categories: req.categories,
        created_by: given(req.created_by),
        ..Issue::default()
    };
    Ok(CreateIssueResponse { issue: Some(cx.store().create_issue(new).await?) })
}

pub(crate) async fn get(cx: Cx, _: GetIssue) -> Result<GetIssueResponse> {
    Ok(GetIssueResponse { issue: Some(cx.store().get_issue(cx.path("issue_id")).await?) })
}

pub(crate) async fn update(cx: Cx, req: UpdateIssue) -> Result<UpdateIssueResponse> {
    let change = IssueChange {
        name: given(req.name),
        description: given(req.description),
        status: req.status,
        severity: req.severity,
        author: cx.caller.as_ref().map(|caller| caller.username.clone()),
    };
    Ok(UpdateIssueResponse { issue: Some(cx.store().update_issue(cx.path("issue_id"), &change).await?) })
}

pub(crate) async fn search(cx: Cx, req: SearchIssues) -> Result<SearchIssuesResponse> {
    let filter = req.filter_string.unwrap_or_default();
    if cx.is_denied(ResourceType::Run) && !filter.is_empty() && selects_run(&filter) {
        // The results would reveal which runs found which issues.
        return Err(access::permission_denied());
    }
    let search = IssueSearch {
        experiment_id: given(req.experiment_id),
        filter,
        max_results: req.max_results.unwrap_or(100).into(),
        page_token: req.page_token,
        with_trace_count: req.include_trace_count.unwrap_or_default(),
    };
    let (issues, next) = cx.store().search_issues(search).await?;
    Ok(SearchIssuesResponse { issues, next_page_token: Some(next.unwrap_or_default()) })
}
