//! Expands the placeholders of a statement.

use crate::db::dialect::Dialect;

const NOW: (&str, &str) =
    ("CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)", "CAST(unixepoch('subsec') * 1000 AS INTEGER)");

const UUID: (&str, &str) = (
    "CAST(gen_random_uuid() AS TEXT)",
    "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || \
     substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))",
);

/// Stands for the parameter with the workspace until its number is known.
const PARAMETER: &str = "$workspace";

/// The text for a dialect. With `by_parameter`, the workspace is the parameter behind all others; otherwise the server
/// has no workspaces.
pub(super) fn expand(text: &str, dialect: Dialect, by_parameter: bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    add(&mut out, text, dialect, by_parameter, if by_parameter { PARAMETER } else { "'default'" });
    if by_parameter {
        out = out.replace(PARAMETER, &format!("${}", parameters(&out) + 1));
    }
    match dialect {
        Dialect::Postgres => out,
        Dialect::Sqlite => numbered(&out),
    }
}

fn add(out: &mut String, mut text: &str, dialect: Dialect, by_parameter: bool, workspace: &str) {
    while let Some(open) = text.find('{') {
        out.push_str(&text[..open]);
        let (placeholder, rest) = inner(&text[open + 1..]);
        text = rest;
        match (placeholder, dialect) {
            ("now", _) => out.push_str(dialect.pick(NOW.0, NOW.1)),
            ("uuid", _) => out.push_str(dialect.pick(UUID.0, UUID.1)),
            // PostgreSQL takes a parameter in a select list as text, and elsewhere as the column's type.
            ("ws", _) if by_parameter => out.push_str(&format!("CAST({workspace} AS VARCHAR)")),
            ("ws", _) => out.push_str(workspace),
            _ => {
                if let Some(alias) = placeholder.strip_prefix("ws:") {
                    out.push_str(&format!("{alias}.workspace = {workspace}"));
                } else if let Some(row) = placeholder.strip_prefix("ws of ") {
                    match out.strip_suffix(" AND ") {
                        // The text without a condition that is always true.
                        Some(before) if !by_parameter => out.truncate(before.len()),
                        _ => out.push_str(&in_workspace(row, by_parameter.then_some(workspace))),
                    }
                } else if let Some(place) = placeholder.strip_prefix("in ") {
                    out.push_str(&dialect.any("", place)[1..]);
                } else if placeholder.starts_with("FOR ") {
                    out.push_str(dialect.pick(placeholder, ""));
                } else if let Some(part) = placeholder.strip_prefix(dialect.pick("postgres:", "sqlite:")) {
                    add(out, part, dialect, by_parameter, workspace);
                }
            }
        }
    }
    out.push_str(text);
}

/// The condition that the experiment of a row is in a workspace. The row is an alias, or `run` with the run's id.
pub(crate) fn in_workspace(row: &str, workspace: Option<&str>) -> String {
    let Some(workspace) = workspace else { return "TRUE".to_owned() };
    match row.strip_prefix("run ") {
        Some(id) => format!(
            "EXISTS (SELECT 1 FROM runs own_run JOIN experiments own ON own.experiment_id = own_run.experiment_id \
             WHERE own_run.run_uuid = {id} AND own.workspace = {workspace})"
        ),
        None => format!(
            "EXISTS (SELECT 1 FROM experiments own WHERE own.experiment_id = {row}.experiment_id \
             AND own.workspace = {workspace})"
        ),
    }
}

/// Splits behind an opening brace: what is before the brace that closes it, and what is behind that.
fn inner(text: &str) -> (&str, &str) {
    let mut open = 1;
    for (at, char) in text.char_indices() {
        match char {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

/// The highest number of a parameter.
fn parameters(text: &str) -> usize {
    let numbers = text.split('$').skip(1).map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().unwrap_or_default()
    });
    numbers.max().unwrap_or_default()
}

/// `$1` → `?1`: SQLite treats `$1` as a named parameter and numbers it by first appearance.
pub(in crate::db) fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '$' && chars.peek().is_some_and(char::is_ascii_digit) { out.push('?') } else { out.push(char) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_expanded_for_each_dialect() {
        let text = "SELECT 1 FROM runs r WHERE r.run_uuid {in $2} AND {ws of r} {FOR UPDATE OF r}";
        assert_eq!(
            expand(text, Dialect::Postgres, false),
            "SELECT 1 FROM runs r WHERE r.run_uuid = ANY($2) FOR UPDATE OF r"
        );
        assert_eq!(
            expand(text, Dialect::Sqlite, true),
            "SELECT 1 FROM runs r WHERE r.run_uuid IN (SELECT value FROM json_each(?2)) AND EXISTS (SELECT 1 FROM \
             experiments own WHERE own.experiment_id = r.experiment_id AND own.workspace = ?3) "
        );
        let text = "{postgres:a {in $1}}{sqlite:b {in $1}} WHERE {ws:m} AND w = {ws}";
        assert_eq!(
            expand(text, Dialect::Postgres, true),
            "a = ANY($1) WHERE m.workspace = $2 AND w = CAST($2 AS VARCHAR)"
        );
        assert_eq!(
            expand(text, Dialect::Sqlite, false),
            "b IN (SELECT value FROM json_each(?1)) WHERE m.workspace = 'default' AND w = 'default'"
        );
    }
}
