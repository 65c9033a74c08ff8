//! Revision 8b6ad64cb8f5: copies the categories of issues from JSON into rows, by which the reference filters.

use sha2::{Digest as _, Sha256};

use super::{
    apply::Failure,
    events::{Event, Progress},
};
use crate::db::{Direct, Statement, Upkeep, Value};

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

/// The rows of an issue. Of categories that differ only in case or surrounding white space, the last one is kept.
fn categories(issue: &str, json: &str) -> Result<Vec<Vec<Value>>, Failure> {
    let categories: Vec<String> = serde_json::from_str(json)
        .map_err(|_| Failure::Refused(format!("the categories of the issue {issue} are not a JSON list of strings")))?;
    let mut by_hash = std::collections::BTreeMap::new();
    for category in categories {
        by_hash.insert(hash(&category), category);
    }
    Ok(by_hash.into_iter().map(|(hash, category)| vec![issue.into(), hash.into(), category.into()]).collect())
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
