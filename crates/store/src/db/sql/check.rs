//! Checks statements when they are compiled: a text with an unknown placeholder, or one that forgets its workspace, is
//! an error of the compiler.

use super::ScopeKind;

/// Tables with a column `workspace`.
const WITH_WORKSPACE: &[&str] = &[
    "experiments",
    "registered_models",
    "registered_model_tags",
    "registered_model_aliases",
    "model_versions",
    "model_version_tags",
    "evaluation_datasets",
    "secrets",
    "model_definitions",
    "endpoints",
    "guardrails",
    "guardrail_configs",
    "budget_policies",
    "webhooks",
    "jobs",
    "mcp_servers",
    "mcp_server_versions",
    "mcp_server_tags",
    "mcp_server_version_tags",
    "mcp_server_aliases",
    "mcp_access_endpoints",
    "skills",
    "skill_versions",
];

/// Tables whose rows belong to a row with a workspace, directly or not.
const CHILDREN: &[&str] = &[
    "experiment_tags",
    "runs",
    "tags",
    "params",
    "metrics",
    "latest_metrics",
    "datasets",
    "inputs",
    "input_tags",
    "logged_models",
    "logged_model_metrics",
    "logged_model_params",
    "logged_model_tags",
    "trace_info",
    "trace_tags",
    "trace_request_metadata",
    "trace_metrics",
    "spans",
    "span_metrics",
    "assessments",
    "issues",
    "label_schemas",
    "review_queues",
    "review_queue_users",
    "review_queue_items",
    "review_queue_label_schemas",
    "scorers",
    "scorer_versions",
    "online_scoring_configs",
    "entity_associations",
    "evaluation_dataset_records",
    "evaluation_dataset_tags",
    "sql_trace_metric_daily_rollups",
    "sql_span_cost_daily_rollups",
    "sql_assessment_daily_rollups",
    "sql_trace_rollup_rebuild_queue",
    "webhook_events",
    "endpoint_model_mappings",
    "endpoint_bindings",
    "endpoint_tags",
];

/// Whether a table has a column `workspace`.
pub(crate) const fn has_workspace(table: &str) -> bool {
    is_one_of(table.as_bytes(), WITH_WORKSPACE)
}

/// What is wrong with a statement, if anything.
pub(super) const fn fault(text: &str, kind: ScopeKind) -> Option<&'static str> {
    let text = text.as_bytes();
    if let Some(fault) = placeholders(text) {
        return Some(fault);
    }
    let says_workspace = contains(text, &[b"{ws"]);
    match kind {
        ScopeKind::Workspace if !says_workspace => return Some("a statement in a workspace has no {ws…}"),
        ScopeKind::Anywhere | ScopeKind::Child | ScopeKind::Upkeep if says_workspace => {
            return Some("a statement with {ws…} is one in a Workspace");
        }
        _ => {}
    }
    if matches!(kind, ScopeKind::Upkeep) { None } else { tables(text, kind) }
}

/// Checks the names of placeholders, and that braces are in pairs.
const fn placeholders(text: &[u8]) -> Option<&'static str> {
    let (mut at, mut open) = (0, 0);
    while at < text.len() {
        if text[at] == b'{' {
            open += 1;
            let rest = at + 1;
            let known = begins(text, rest, b"now}")
                || begins(text, rest, b"uuid}")
                || begins(text, rest, b"ws}")
                || begins(text, rest, b"ws:")
                || begins(text, rest, b"ws of ")
                || begins(text, rest, b"in $")
                || begins(text, rest, b"FOR ")
                || begins(text, rest, b"postgres:")
                || begins(text, rest, b"sqlite:");
            if !known {
                return Some("an unknown placeholder");
            }
        } else if text[at] == b'}' {
            if open == 0 {
                return Some("a brace is closed that was not opened");
            }
            open -= 1;
        }
        at += 1;
    }
    if open == 0 { None } else { Some("a brace is not closed") }
}

/// Checks every table that the text names.
const fn tables(text: &[u8], kind: ScopeKind) -> Option<&'static str> {
    let mut at = 0;
    let mut previous: &[u8] = b"";
    while at < text.len() {
        if text[at] == b'\'' {
            at = after_literal(text, at);
            continue;
        }
        if !is_word(text[at]) {
            at += 1;
            continue;
        }
        let end = word_end(text, at);
        let word = slice(text, at, end);
        // Not a qualified column: `runs.name`, `r.tags`.
        let is_qualified = (end < text.len() && text[end] == b'.') || (at > 0 && text[at - 1] == b'.');
        if !is_qualified && is_one_of(word, WITH_WORKSPACE) {
            let is_said = match kind {
                ScopeKind::Anywhere | ScopeKind::Child => false,
                _ if equal(previous, b"INTO") => contains(text, &[b"{ws}"]),
                _ => says_workspace_of(text, alias(text, end, word)),
            };
            if !is_said {
                return Some(
                    "a table with a workspace is named without its workspace: {ws:alias}, {ws of alias}, \
                     `alias.workspace = `, or {ws} in an INSERT",
                );
            }
        }
        if !is_qualified && matches!(kind, ScopeKind::Anywhere) && is_one_of(word, CHILDREN) {
            return Some("a table whose rows belong to a workspace is named by a statement that is for Anywhere");
        }
        previous = word;
        at = end;
    }
    None
}

/// The name by which the statement calls a table: the lower-case word behind it, or its own name.
const fn alias<'a>(text: &'a [u8], end: usize, table: &'a [u8]) -> &'a [u8] {
    let mut at = end;
    if begins(text, at, b" AS ") {
        at += 3;
    }
    if at + 1 < text.len() && text[at] == b' ' && text[at + 1].is_ascii_lowercase() {
        return slice(text, at + 1, word_end(text, at + 1));
    }
    table
}

const fn says_workspace_of(text: &[u8], alias: &[u8]) -> bool {
    contains(text, &[b"{ws:", alias, b"}"])
        || contains(text, &[b"{ws of ", alias, b"}"])
        || contains(text, &[b" ", alias, b".workspace = "])
}

/// Whether the text contains some parts, one right after the other.
const fn contains(text: &[u8], parts: &[&[u8]]) -> bool {
    let mut start = 0;
    while start < text.len() {
        let (mut at, mut part) = (start, 0);
        while part < parts.len() && begins(text, at, parts[part]) {
            at += parts[part].len();
            part += 1;
        }
        if part == parts.len() {
            return true;
        }
        start += 1;
    }
    false
}

const fn begins(text: &[u8], at: usize, part: &[u8]) -> bool {
    let mut index = 0;
    while index < part.len() {
        if at + index >= text.len() || text[at + index] != part[index] {
            return false;
        }
        index += 1;
    }
    true
}

const fn is_one_of(word: &[u8], names: &[&str]) -> bool {
    let mut index = 0;
    while index < names.len() {
        if equal(word, names[index].as_bytes()) {
            return true;
        }
        index += 1;
    }
    false
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && begins(a, 0, b)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn word_end(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && is_word(text[at]) {
        at += 1;
    }
    at
}

const fn after_literal(text: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < text.len() && text[at] != b'\'' {
        at += 1;
    }
    at + 1
}

const fn slice(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.split_at(end).0.split_at(start).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_forgets_a_workspace_is_refused() {
        let refused = |text: &str, kind| fault(text, kind).is_some();
        for (text, kind) in [
            ("SELECT 1 FROM registered_models m WHERE m.name = $1", ScopeKind::Workspace),
            ("SELECT 1 FROM registered_models m WHERE m.name = $1", ScopeKind::Anywhere),
            ("SELECT 1 FROM registered_models m WHERE m.name = $1", ScopeKind::Child),
            ("SELECT 1 FROM registered_models WHERE {ws:m} AND name = $1", ScopeKind::Workspace),
            (
                "SELECT 1 FROM registered_models m, model_versions v WHERE {ws:m} AND m.name = v.name",
                ScopeKind::Workspace,
            ),
            ("SELECT 1 FROM webhooks AS w JOIN runs r ON TRUE WHERE {ws of r}", ScopeKind::Workspace),
            ("INSERT INTO webhooks (webhook_id) SELECT $1 FROM experiments e WHERE {ws:e}", ScopeKind::Workspace),
            ("SELECT 1 FROM (SELECT name FROM registered_models) AS m WHERE {ws:m}", ScopeKind::Workspace),
            ("SELECT 1 FROM runs WHERE run_uuid = $1", ScopeKind::Anywhere),
            ("SELECT 1 FROM runs r WHERE {ws of r}", ScopeKind::Child),
            ("SELECT 1 FROM runs r WHERE r.run_uuid = $1", ScopeKind::Workspace),
        ] {
            assert!(refused(text, kind), "{text}");
        }
        for (text, kind) in [
            ("SELECT 1 FROM registered_models m WHERE {ws:m} AND m.name = $1", ScopeKind::Workspace),
            ("DELETE FROM registered_models WHERE {ws:registered_models}", ScopeKind::Workspace),
            ("SELECT 1 FROM model_versions v JOIN model_version_tags t ON t.workspace = v.workspace WHERE {ws:v}", {
                ScopeKind::Workspace
            }),
            ("INSERT INTO webhooks (workspace) VALUES ({ws})", ScopeKind::Workspace),
            ("SELECT 1 FROM runs r WHERE {ws of r}", ScopeKind::Workspace),
            ("SELECT webhooks.name, 'FROM webhooks' FROM users", ScopeKind::Anywhere),
            ("DELETE FROM tags WHERE run_uuid = $1", ScopeKind::Child),
            ("DELETE FROM webhooks", ScopeKind::Upkeep),
        ] {
            assert!(!refused(text, kind), "{text}");
        }
    }

    #[test]
    fn an_unknown_placeholder_is_refused() {
        for text in ["SELECT {noun}", "SELECT {now", "SELECT now}", "SELECT {postgres:{no}}"] {
            assert!(fault(text, ScopeKind::Anywhere).is_some(), "{text}");
        }
        assert!(fault("SELECT {now}{sqlite:, 1}{postgres:{FOR UPDATE}}", ScopeKind::Anywhere).is_none());
    }

    /// Every table of the schema is in one of the lists, or is known to belong to no workspace.
    #[test]
    fn the_lists_have_every_table_of_the_schema() {
        const NEITHER: &[&str] = &["workspaces", "alembic_version", "job_locks", "scheduler_leases"];
        let schema = include_str!("../../schema/postgres.sql");
        let mut found = Vec::new();
        for table in schema.split("CREATE TABLE ").skip(1) {
            let (name, columns) = table.split_once(" (").expect("a definition");
            let columns = columns.split_once("\n)").expect("an end").0;
            let has_workspace = columns.lines().any(|line| line.trim().starts_with("workspace VARCHAR"));
            assert_eq!(WITH_WORKSPACE.contains(&name), has_workspace, "{name}");
            assert!(has_workspace || CHILDREN.contains(&name) || NEITHER.contains(&name), "{name}");
            found.push(name);
        }
        for table in WITH_WORKSPACE.iter().chain(CHILDREN).chain(NEITHER) {
            assert!(found.contains(table), "there is no table {table}");
        }
    }
}
