//! Issues of experiments.

use ferroflow_model::{
    Error, Result,
    evaluation::issues::{
        PENDING, SEVERITIES, check_creator, check_name, check_severity, check_status, list_of, stored_list,
    },
    messages::issues::Issue,
    validation,
};
use ferroflow_search::{
    PageToken,
    issues::{self, Attribute},
};

use crate::{
    Scoped,
    db::{DbError, Row, Statement, clock::now_ms},
    evaluation::{issue_columns, label_schemas::active},
    query::{
        compare,
        select::{KeyKind, Select},
    },
    statements::statements,
    tracking::{
        experiments::id_of,
        keys::{ExperimentKey, RunKey},
    },
    workspace::Workspace,
};

/// The columns of an issue, in the order [`from_row`] reads them.
const COLUMNS: &str = "i.issue_id, i.experiment_id, i.name, i.description, i.status, i.severity, i.root_causes, \
                       i.source_run_id, i.categories, i.created_timestamp, i.last_updated_timestamp, i.created_by";
const COLUMN_COUNT: usize = 12;

/// The number of traces with a reference to the issue.
const TRACE_COUNT: &str = "COALESCE(n.traces, 0)";

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM issues i WHERE i.issue_id = $1 AND {ws of i}";
    static INSERT: ExperimentKey =
        "INSERT INTO issues (issue_id, experiment_id, name, description, status, severity, root_causes, source_run_id, \
         categories, created_timestamp, last_updated_timestamp, created_by) \
         VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)";
    /// NULL keeps the value.
    static UPDATE: Workspace =
        "UPDATE issues AS i SET name = COALESCE($2, i.name), description = COALESCE($3, i.description), \
         status = COALESCE($4, i.status), severity = COALESCE($5, i.severity), last_updated_timestamp = $6 \
         WHERE i.issue_id = $1 AND {ws of i}";
}

/// A change of an issue; `None` keeps a value.
#[derive(Debug, Clone, Default)]
pub struct IssueChange {
    /// The name.
    pub name: Option<String>,
    /// The description.
    pub description: Option<String>,
    /// The status.
    pub status: Option<String>,
    /// The severity.
    pub severity: Option<String>,
    /// Who makes the change.
    pub author: Option<String>,
}

/// A search for issues.
#[derive(Debug, Clone, Default)]
pub struct IssueSearch {
    /// The experiment; `None` for all.
    pub experiment_id: Option<String>,
    /// Filter expression; empty for all.
    pub filter: String,
    /// Maximum number of issues per page.
    pub max_results: i64,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
    /// Whether to count the traces of each issue, by which they are then ordered too.
    pub with_trace_count: bool,
}

impl Scoped<'_> {
    /// Creates an issue in an active experiment from the fields of `new` that a client sets.
    ///
    /// # Errors
    /// A field is not valid, or there is no such experiment or run.
    pub async fn create_issue(&self, new: Issue) -> Result<Issue> {
        check_name(new.name())?;
        new.status.as_deref().map_or(Ok(()), check_status)?;
        new.severity.as_deref().map_or(Ok(()), check_severity)?;
        new.created_by.as_deref().map_or(Ok(()), check_creator)?;
        let experiment = id_of(new.experiment_id())?;
        let now = now_ms();
        let issue = Issue {
            issue_id: Some(format!("iss-{}", uuid::Uuid::new_v4().simple())),
            experiment_id: Some(experiment.to_string()),
            status: Some(new.status.unwrap_or_else(|| PENDING.to_owned())),
            created_timestamp: Some(now),
            last_updated_timestamp: Some(now),
            ..new
        };
        let made = &issue;
        self.store
            .db
            .transaction(|tx| async move {
                let key = active(experiment, ExperimentKey::find(self.workspace, &tx, experiment).await?)?;
                if let Some(run) = &made.source_run_id
                    && RunKey::find(self.workspace, &tx, run).await?.is_none()
                {
                    return Err(Error::bad_request(format!(
                        "The request contradicts what is stored: there is no run with the id {run}."
                    )));
                }
                let values = vec![
                    made.issue_id().into(),
                    made.name().into(),
                    made.description().into(),
                    made.status().into(),
                    made.severity.clone().into(),
                    stored_list(&made.root_causes).into(),
                    made.source_run_id.clone().into(),
                    stored_list(&made.categories).into(),
                    now.into(),
                    made.created_by.clone().into(),
                ];
                tx.execute(Statement::of(&key, &INSERT, values)).await?;
                issue_columns::write_new(&tx, &key, made).await?;
                Ok(())
            })
            .await?;
        Ok(issue)
    }

    /// An issue; `None` if no issue has the id.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn find_issue(&self, issue_id: &str) -> Result<Option<Issue>> {
        let statement = Statement::within(self.workspace, &BY_ID, vec![issue_id.into()]);
        Ok(self.store.db.query(statement, from_row).await?.pop())
    }

    /// An issue.
    ///
    /// # Errors
    /// No issue has the id.
    pub async fn get_issue(&self, issue_id: &str) -> Result<Issue> {
        self.find_issue(issue_id).await?.ok_or_else(|| not_found(issue_id))
    }

    /// Changes an issue.
    ///
    /// # Errors
    /// No issue has the id, or a field is not valid.
    pub async fn update_issue(&self, issue_id: &str, change: &IssueChange) -> Result<Issue> {
        change.name.as_deref().map_or(Ok(()), check_name)?;
        change.status.as_deref().map_or(Ok(()), check_status)?;
        change.severity.as_deref().map_or(Ok(()), check_severity)?;
        self.store
            .db
            .transaction(|tx| async move {
                let values = vec![
                    issue_id.into(),
                    change.name.clone().into(),
                    change.description.clone().into(),
                    change.status.clone().into(),
                    change.severity.clone().into(),
                    now_ms().into(),
                ];
                tx.execute(Statement::within(self.workspace, &UPDATE, values)).await?;
                issue_columns::write_author(self.workspace, &tx, issue_id, change.author.as_deref()).await?;
                let statement = Statement::within(self.workspace, &BY_ID, vec![issue_id.into()]);
                tx.query_opt(statement, from_row).await?.ok_or_else(|| not_found(issue_id))
            })
            .await
    }

    /// A page of issues, the most severe first, and the token of the next page. Its caller may read the experiment, or
    /// all of them if the search names none.
    ///
    /// # Errors
    /// The filter, the token or the size of the page is not valid.
    pub async fn search_issues(&self, search: IssueSearch) -> Result<(Vec<Issue>, Option<String>)> {
        self.store.db.replicated(|| self.read_issues(&search)).await
    }

    async fn read_issues(&self, search: &IssueSearch) -> Result<(Vec<Issue>, Option<String>)> {
        validation::max_results(search.max_results)?;
        let query = self.workspace.list();
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), query)?;
        let dialect = self.store.db.dialect();
        let mut select = Select::new(self.workspace, "issues", "i");
        select.of_query(query);
        if let Some(id) = &search.experiment_id {
            // A number out of the column's range is the id of no experiment.
            let id = validation::parse_experiment_id(id)?;
            let place = select.bind(vec![id]);
            select.filter(dialect.any("i.experiment_id", &place));
        }
        for condition in issues::parse_filter(&search.filter)? {
            let column = match condition.column {
                Attribute::Status => "i.status",
                Attribute::SourceRunId => "i.source_run_id",
            };
            let condition = compare::text(&mut select, dialect, column, &condition.test);
            select.filter(condition);
        }
        let ranks: Vec<String> =
            SEVERITIES.iter().enumerate().map(|(rank, name)| format!("WHEN '{name}' THEN {rank}")).collect();
        select.order_by(format!("CASE i.severity {} ELSE -1 END", ranks.join(" ")), true, KeyKind::Int);
        let mut columns = COLUMNS.to_owned();
        if search.with_trace_count {
            select.join(
                "LEFT JOIN (SELECT name, COUNT(DISTINCT trace_id) AS traces FROM assessments \
                 WHERE assessment_type = 'issue' GROUP BY name) n ON n.name = i.issue_id",
            );
            select.order_by(TRACE_COUNT, true, KeyKind::Int);
            columns = format!("{columns}, {TRACE_COUNT}");
        }
        select.order_by("i.created_timestamp", true, KeyKind::Int);
        select.order_by("i.issue_id", true, KeyKind::Text);
        let page = select.page(&columns, search.max_results, token)?;
        let conn = self.store.db.reader().await?;
        if !search.with_trace_count {
            return Ok(page.read(&conn, COLUMN_COUNT, from_row).await?.finish());
        }
        let counted = |row: &Row<'_>| {
            let count = row.get::<i64>(COLUMN_COUNT)?;
            Ok(Issue { trace_count: i32::try_from(count).ok(), ..from_row(row)? })
        };
        Ok(page.read(&conn, COLUMN_COUNT + 1, counted).await?.finish())
    }
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<Issue, DbError> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Issue {
        issue_id: row.get(0)?,
        experiment_id: Some(row.get::<i64>(1)?.to_string()),
        name: row.get(2)?,
        description: row.get(3)?,
        status: row.get(4)?,
        severity: given(row.get(5)?),
        root_causes: list_of(row.opt_str(6)?),
        source_run_id: given(row.get(7)?),
        categories: list_of(row.opt_str(8)?),
        created_timestamp: row.get(9)?,
        last_updated_timestamp: row.get(10)?,
        created_by: given(row.get(11)?),
        trace_count: None,
    })
}

fn not_found(issue_id: &str) -> Error {
    Error::not_found(format!("Issue with ID '{issue_id}' not found"))
}
