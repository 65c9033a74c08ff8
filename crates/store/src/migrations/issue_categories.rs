//! Revision 8b6ad64cb8f5: copies the categories of issues from JSON into rows, by which the reference filters.

use super::{
    apply::Failure,
    events::{Event, Progress},
};
use crate::{
    db::{Direct, Statement, Upkeep, Value},
    evaluation::issue_columns::category_rows,
};

const PAGE_AFTER: &str = "SELECT issue_id, categories FROM issues WHERE categories IS NOT NULL AND issue_id > $1 \
     ORDER BY issue_id LIMIT 500";

/// An upgrade of the reference that was interrupted on SQLite has left rows.
const INSERT: &str = "INSERT INTO issue_categories (issue_id, category_hash, category) VALUES ($1, $2, $3) \
     ON CONFLICT DO NOTHING";

/// Fills the new table. The column with the JSON is kept for older servers.
pub(super) async fn fill(direct: &Direct, progress: &mut Progress<'_>) -> Result<(), Failure> {
    let total = direct.number("SELECT COUNT(*) FROM issues WHERE categories IS NOT NULL").await?.unsigned_abs();
    let (mut after, mut done) = (String::new(), 0);
    loop {
        let page = Statement::unscoped(Upkeep::Migration, PAGE_AFTER, vec![after.as_str().into()]);
        let page = direct.query(page, |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?))).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        done += page.len() as u64;
        let mut rows = Vec::new();
        for (issue, json) in page {
            rows.extend(categories(&issue, &json)?);
        }
        direct.execute_each(|row| Statement::unscoped(Upkeep::Migration, INSERT, row), rows).await?;
        progress.report(Event::Rows { table: "issues", done, total });
    }
}

/// The rows of an issue.
fn categories(issue: &str, json: &str) -> Result<Vec<Vec<Value>>, Failure> {
    let categories: Vec<String> = serde_json::from_str(json)
        .map_err(|_| Failure::Refused(format!("the categories of the issue {issue} are not a JSON list of strings")))?;
    Ok(category_rows(issue, categories.into_iter()))
}
