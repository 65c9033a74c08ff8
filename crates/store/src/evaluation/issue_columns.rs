//! What MLflow 3.18 stores of an issue besides the columns of 3.17, in databases that have the columns.
//!
//! The server may be older than the schema and newer than it: an upgrade may run while it serves. So each write looks at
//! the revision, after it has locked the row.

use std::collections::BTreeMap;

use ferroflow_model::messages::issues::Issue;
use sha2::{Digest as _, Sha256};

use crate::{
    db::{DbError, Insert, Op, Statement, Tx, Value, text},
    migrations::TRACKING,
    schema,
    statements::statements,
    tracking::keys::ExperimentKey,
    workspace::Workspace,
};

/// The revision that adds the columns, and the table of categories.
const REVISION: &str = "8b6ad64cb8f5";

statements! {
    static SET_NEW: ExperimentKey =
        "UPDATE issues SET last_seen_timestamp = created_timestamp, last_updated_by = $3 \
         WHERE experiment_id = $1 AND issue_id = $2";

    static SET_UPDATED_BY: Workspace =
        "UPDATE issues AS i SET last_updated_by = $2 WHERE i.issue_id = $1 AND {ws of i}";
}

/// Whether the database has the columns. The row of the issue must be locked by the transaction: its lock keeps an
/// upgrade waiting, which fills the columns of the rows that it finds.
async fn are_there(tx: &Tx) -> Result<bool, DbError> {
    let revision = schema::revision_of(tx).await?;
    Ok(TRACKING.has(revision.as_deref(), REVISION))
}

/// Writes the times, the author and the categories of an issue that the transaction has inserted.
pub(super) async fn write_new(tx: &Tx, experiment: &ExperimentKey, issue: &Issue) -> Result<(), DbError> {
    if !are_there(tx).await? {
        return Ok(());
    }
    let values = vec![issue.issue_id().into(), issue.created_by.clone().into()];
    let categories = Insert {
        table: "issue_categories",
        columns: &const { [text("issue_id"), text("category_hash"), text("category")] },
        only_if: None,
        on_conflict: "",
        rows: category_rows(issue.issue_id(), issue.categories.iter().cloned()),
    };
    tx.run(vec![Op::Execute(Statement::of(experiment, &SET_NEW, values)), Op::Insert(categories)]).await?;
    Ok(())
}

/// Writes who has changed an issue, after the transaction has changed it.
pub(super) async fn write_author(
    workspace: &Workspace,
    tx: &Tx,
    issue_id: &str,
    author: Option<&str>,
) -> Result<(), DbError> {
    if let Some(author) = author
        && are_there(tx).await?
    {
        let values = vec![issue_id.into(), author.into()];
        tx.execute(Statement::within(workspace, &SET_UPDATED_BY, values)).await?;
    }
    Ok(())
}

/// The rows of the categories of an issue. Of those that differ only in case or surrounding white space, the last one is
/// kept.
pub(crate) fn category_rows(issue_id: &str, categories: impl Iterator<Item = String>) -> Vec<Vec<Value>> {
    let by_hash: BTreeMap<String, String> = categories.map(|category| (hash(&category), category)).collect();
    by_hash.into_iter().map(|(hash, category)| vec![issue_id.into(), hash.into(), category.into()]).collect()
}

/// The SHA-256 of Python's `category.strip().lower()`, in hexadecimal digits.
fn hash(category: &str) -> String {
    // Python also counts the separators of ASCII as white space.
    let trimmed = category.trim_matches(|char: char| char.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&char));
    Sha256::digest(trimmed.to_lowercase())
        .iter()
        .fold(String::with_capacity(64), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_hashed_as_in_python() {
        // hashlib.sha256(category.strip().lower().encode()).hexdigest()
        for (category, expected) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (" Tool Use\u{1f}", "f04b4375ca0f35d4dd258346efb5738d3687d2a29c35f5debfe3c9e00129d554"),
            ("\u{a0}ΟΔΟΣ\u{2003}", "3a2c9e1f2803431e23ed51a84e18ba04188301f1911b75310e9704974aebe4e8"),
            ("İ🧪", "79832d45b8109a20e126c718f4ac3f056187609a148998b0a470b641fb22b4c2"),
        ] {
            assert_eq!(hash(category), expected, "{category:?}");
        }
    }
}
