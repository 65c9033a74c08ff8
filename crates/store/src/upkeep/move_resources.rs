//! Moves resources from one workspace to another, as `mlflow db move-resources` does: the resources with their children
//! in one transaction. What hangs on an experiment names it by its id, so it needs no change.

pub(crate) mod skills;
pub(crate) mod statements;

use std::collections::{BTreeMap, BTreeSet};

use ferroflow_model::{Error, ErrorCode, Result, python::repr, uri};

use crate::{
    Unscoped,
    db::{DbError, Row, Statement, Tx, Value},
    workspaces::{WORKSPACES_FOLDER, no_workspace, skills::Skills},
};

/// A type of resource that can be moved, named as its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovableType {
    /// `evaluation_datasets`
    EvaluationDatasets,
    /// `experiments`
    Experiments,
    /// `jobs`
    Jobs,
    /// `mcp_servers`
    McpServers,
    /// `registered_models`
    RegisteredModels,
    /// `skills`, of a database at the head of MLflow 3.18; their names are `name` or `@organization/name`
    Skills,
    /// `webhooks`
    Webhooks,
}

impl MovableType {
    /// All types, ordered by name.
    pub const ALL: [Self; 7] = [
        Self::EvaluationDatasets,
        Self::Experiments,
        Self::Jobs,
        Self::McpServers,
        Self::RegisteredModels,
        Self::Skills,
        Self::Webhooks,
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EvaluationDatasets => "evaluation_datasets",
            Self::Experiments => "experiments",
            Self::Jobs => "jobs",
            Self::McpServers => "mcp_servers",
            Self::RegisteredModels => "registered_models",
            Self::Skills => "skills",
            Self::Webhooks => "webhooks",
        }
    }

    /// The type with a name.
    ///
    /// # Errors
    /// There is none; the message is the reference's.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|found| found.name() == name).ok_or_else(|| {
            // Those of the reference's release: it has no skills.
            let known: Vec<&str> = Self::ALL.into_iter().filter(|kind| *kind != Self::Skills).map(Self::name).collect();
            let known = known.join(", ");
            Error::invalid(format!("Unknown resource type {}. Valid types: {known}", repr(name)))
        })
    }
}

/// The resources to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All of the type.
    All,
    /// Those with these names.
    Named(Vec<String>),
    /// Those with all of these tags.
    Tagged(Vec<(String, String)>),
}

/// What becomes of the locations of moved experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactPolicy {
    /// They are kept.
    Preserve,
    /// They are changed to those that the target gives to new experiments: below its own root, or else below this.
    Retarget(Option<String>),
}

/// A move.
#[derive(Debug, Clone)]
pub struct Move {
    /// The type of the resources.
    pub kind: MovableType,
    /// The workspace that they are in.
    pub from: String,
    /// The workspace that they are moved to.
    pub to: String,
    /// Which of the type.
    pub chosen: Chosen,
    /// What becomes of artifact locations.
    pub artifacts: ArtifactPolicy,
    /// How many names an error lists at most.
    pub names_in_errors: usize,
}

/// What was moved, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// The names, sorted.
    pub names: Vec<String>,
    /// Number of resources: names of some types are not unique.
    pub rows: u64,
    /// Requested names that the source does not have.
    pub missing: Vec<String>,
    /// The root that locations were changed to.
    pub root: Option<String>,
    /// What the move separates: a number of resources, and what becomes of them.
    pub separated: Vec<(i64, &'static str)>,
}

impl Unscoped<'_> {
    /// Moves resources, or finds out what would be moved and what prevents it.
    ///
    /// # Errors
    /// The move contradicts itself, a workspace does not exist, the target has resources with the same names, or skills
    /// would lose their files; nothing was moved. The messages are the reference's.
    pub async fn move_resources(&self, wanted: &Move, dry_run: bool) -> Result<Moved> {
        check(wanted)?;
        match self.move_once(wanted, dry_run).await {
            // Another client created one with the same name meanwhile, and the next attempt names it.
            Err(error) if error.code == ErrorCode::ResourceAlreadyExists => self.move_once(wanted, dry_run).await,
            outcome => outcome,
        }
    }

    async fn move_once(&self, wanted: &Move, dry_run: bool) -> Result<Moved> {
        let Some(workspaces) = &self.store.workspace_db else {
            let moved = |tx: Tx| async move {
                let own_root = own_root(&tx, wanted).await?;
                self.move_in(&tx, wanted, own_root, dry_run).await
            };
            return self.store.db.transaction(moved).await;
        };
        // The workspaces are not deleted before the other transaction ends.
        let kept = |held: Tx| async move {
            let own_root = &own_root(&held, wanted).await?;
            let moved = |tx: Tx| async move { self.move_in(&tx, wanted, own_root.clone(), dry_run).await };
            self.store.db.transaction(moved).await
        };
        workspaces.transaction_once(kept).await
    }

    async fn move_in(&self, tx: &Tx, wanted: &Move, own_root: Option<String>, dry_run: bool) -> Result<Moved> {
        let statements = wanted.kind.statements();
        if wanted.kind == MovableType::Skills && Skills::of(tx).await?.is_none() {
            return Err(skills::no_tables());
        }
        let root = match &wanted.artifacts {
            ArtifactPolicy::Preserve => None,
            ArtifactPolicy::Retarget(default) => Some(target_root(own_root, default.as_deref(), &wanted.to)?),
        };
        let (names, missing) = names(tx, &statements, wanted).await?;
        if names.is_empty() {
            return Ok(Moved { missing, ..Moved::default() });
        }
        let chosen = || vec![Value::from(wanted.from.as_str()), names.clone().into()];
        if let Some(taken) = statements.taken {
            let values = vec![wanted.to.as_str().into(), names.clone().into()];
            let taken = tx.query(Statement::new(taken, values), |row| row.get::<String>(0)).await?;
            if !taken.is_empty() {
                return Err(conflicts(wanted, &taken));
            }
        }
        if let Some(files) = statements.files
            && tx.query_opt(Statement::new(files, chosen()), |_| Ok(())).await?.is_some()
        {
            return Err(skills::would_lose_files(&wanted.to));
        }
        let mut separated = Vec::new();
        for (what, count) in &statements.ties {
            let count = tx.query(Statement::new(count, chosen()), |row| row.get::<i64>(0)).await?;
            separated.extend(count.into_iter().filter(|count| *count > 0).map(|count| (count, *what)));
        }
        let rows = if dry_run {
            let counted = tx.query(Statement::new(statements.count, chosen()), |row| row.get::<i64>(0)).await?;
            counted.first().map_or(0, |count| u64::try_from(*count).unwrap_or_default())
        } else {
            if let Some(root) = &root {
                let (before, after) = around_id(root)?;
                let values = [chosen(), vec![before.into(), after.into()]].concat();
                tx.execute(Statement::new(&statements::RETARGET, values)).await?;
            }
            let mut rows = None;
            for statement in &statements.moves {
                let values = [chosen(), vec![wanted.to.as_str().into()]].concat();
                let moved = tx.execute(Statement::new(statement, values)).await;
                let moved = moved.map_err(|error| match error {
                    DbError::Unique(_) => Error::already_exists("a name is taken"),
                    error => error.into(),
                })?;
                rows.get_or_insert(moved);
            }
            rows.unwrap_or_default()
        };
        Ok(Moved { names, rows, missing, root, separated })
    }
}

/// The root of its own that the target has, if any.
async fn own_root(tx: &Tx, wanted: &Move) -> Result<Option<String>> {
    let both = vec![wanted.from.clone(), wanted.to.clone()];
    let read = |row: &Row<'_>| -> std::result::Result<_, DbError> {
        Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?))
    };
    let found = tx.query(Statement::new(&statements::WORKSPACES, vec![both.into()]), read).await?;
    let root_of = |name: &str| found.iter().find(|(found, _)| found == name).map(|(_, root)| root.clone());
    root_of(&wanted.from).ok_or_else(|| no_workspace(&wanted.from))?;
    root_of(&wanted.to).ok_or_else(|| no_workspace(&wanted.to))
}

/// Refuses a move that contradicts itself.
fn check(wanted: &Move) -> Result<()> {
    let kind = wanted.kind.name();
    if wanted.from == wanted.to {
        return Err(Error::invalid("Source and target workspaces must be different."));
    }
    if matches!(wanted.chosen, Chosen::Tagged(_)) && wanted.kind.statements().tags.is_none() {
        return Err(Error::invalid(format!("Resource type {} does not support tag filtering.", repr(kind))));
    }
    if wanted.artifacts != ArtifactPolicy::Preserve && wanted.kind != MovableType::Experiments {
        return Err(Error::invalid("--artifact-policy retarget is only supported for --resource-type experiments."));
    }
    if let (MovableType::Skills, Chosen::Named(names)) = (wanted.kind, &wanted.chosen) {
        names.iter().try_for_each(|name| skills::check_name(name))?;
    }
    Ok(())
}

/// The names of the chosen resources, and those that the source does not have.
async fn names(tx: &Tx, statements: &statements::MoveStatements, wanted: &Move) -> Result<(Vec<String>, Vec<String>)> {
    let source = || Value::from(wanted.from.as_str());
    let (all, given) = match (&wanted.chosen, statements.tags) {
        (Chosen::All, _) => (true, Vec::new()),
        (Chosen::Named(names), _) => (false, names.clone()),
        (Chosen::Tagged(tags), Some(statement)) => {
            let keys: BTreeSet<&String> = tags.iter().map(|(key, _)| key).collect();
            let keys: Vec<String> = keys.into_iter().cloned().collect();
            let found = tx.query(Statement::new(statement, vec![source(), keys.into()]), tag).await?;
            return Ok((with_all(tags, found), Vec::new()));
        }
        (Chosen::Tagged(_), None) => (false, Vec::new()),
    };
    let values = vec![source(), all.into(), given.clone().into()];
    let mut found: Vec<String> = tx.query(Statement::new(statements.names, values), |row| row.get(0)).await?;
    // By code points: collations of PostgreSQL differ.
    found.sort();
    let missing: BTreeSet<String> = given.into_iter().filter(|name| found.binary_search(name).is_err()).collect();
    Ok((found, missing.into_iter().collect()))
}

/// The names of those that have all of the tags.
fn with_all(tags: &[(String, String)], found: Vec<(String, String, Option<String>)>) -> Vec<String> {
    let wanted: BTreeSet<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (name, key, value) in found {
        if value.is_some_and(|value| wanted.contains(&(key.as_str(), value.as_str()))) {
            *counts.entry(name).or_default() += 1;
        }
    }
    counts.into_iter().filter(|(_, count)| *count == wanted.len()).map(|(name, _)| name).collect()
}

fn tag(row: &Row<'_>) -> std::result::Result<(String, String, Option<String>), DbError> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// The root of the target's experiments.
fn target_root(own: Option<String>, default: Option<&str>, name: &str) -> Result<String> {
    match (own.filter(|root| !root.is_empty()), default.filter(|root| !root.is_empty())) {
        (Some(own), _) => Ok(own),
        (None, Some(default)) => uri::append_path(default, &format!("{WORKSPACES_FOLDER}/{name}")),
        (None, None) => Err(Error::invalid(format!(
            "Cannot determine the artifact root for workspace {}. Pass --default-artifact-root with the value the \
             tracking server is started with, or configure the workspace's default_artifact_root.",
            repr(name)
        ))),
    }
}

/// What a location below a root has before the id of its experiment, and behind it: a root may have a query.
fn around_id(root: &str) -> Result<(String, String)> {
    const ID: &str = "\u{1}";
    let location = uri::append_path(root, ID)?;
    let (before, after) = location.rsplit_once(ID).unwrap_or((&location, ""));
    Ok((before.to_owned(), after.to_owned()))
}

fn conflicts(wanted: &Move, taken: &[String]) -> Error {
    let names: Vec<String> = taken.iter().map(|name| repr(name)).collect();
    Error::invalid(format!(
        "Move aborted: the following {} already exist in workspace {} and would conflict: {}\nRename or remove the \
         conflicting resources in the target workspace, then retry.",
        wanted.kind.name(),
        repr(&wanted.to),
        listed(&names, wanted.names_in_errors)
    ))
}

/// Lines with at most `limit` texts, and how many there are beyond.
#[must_use]
pub fn listed(texts: &[String], limit: usize) -> String {
    let more = (texts.len() > limit).then(|| format!("... ({} more)", texts.len().saturating_sub(limit)));
    let mut lines = String::new();
    for text in texts.iter().take(limit).chain(&more) {
        lines.push_str("\n  ");
        lines.push_str(text);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_where_the_server_creates_it() {
        for (root, expected) in [
            ("mlflow-artifacts:/workspaces/team", "mlflow-artifacts:/workspaces/team/7"),
            ("s3://bucket/root/?x=y", "s3://bucket/root/7?x=y"),
            ("/srv/artifacts", "/srv/artifacts/7"),
        ] {
            let (before, after) = around_id(root).unwrap();
            assert_eq!(format!("{before}7{after}"), expected);
            assert_eq!(uri::append_path(root, "7").as_deref(), Ok(expected));
        }
    }

    #[test]
    fn all_tags_must_be_there() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let row = |name: &str, key: &str, value: &str| (name.to_owned(), key.to_owned(), Some(value.to_owned()));
        let rows =
            vec![row("a", "x", "1"), row("a", "y", "2"), row("b", "x", "1"), row("c", "x", "2"), row("c", "y", "2")];
        assert_eq!(with_all(&pairs(&[("x", "1"), ("y", "2"), ("x", "1")]), rows.clone()), ["a"]);
        assert_eq!(with_all(&pairs(&[("x", "1")]), rows), ["a", "b"]);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..4).map(|number| number.to_string()).collect();
        assert_eq!(listed(&names, 2), "\n  0\n  1\n  ... (2 more)");
        assert_eq!(listed(&names, 4), "\n  0\n  1\n  2\n  3");
    }
}
