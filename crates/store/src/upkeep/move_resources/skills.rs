//! A move of the skills of MLflow 3.18. A skill is named by its organization too: `name`, or `@organization/name`.

use ferroflow_model::{Error, Result, permission::DEFAULT_WORKSPACE, python::repr};

use crate::{db::upkeep::Move, statements::statements};

/// The name of a skill.
const NAME: &str = "CASE WHEN organization = '' THEN name ELSE '@' || organization || '/' || name END";

statements! {
    pub(super) static NAMES: Move =
        "SELECT ", NAME, " FROM skills WHERE workspace = $1 AND ($2 OR ", NAME, " {in $3}) ORDER BY 1";
    pub(super) static TAGS: Move =
        "SELECT ", NAME, ", key, value FROM skill_tags WHERE workspace = $1 AND key {in $2}";
    pub(super) static TAKEN: Move =
        "SELECT ", NAME, " FROM skills WHERE workspace = $1 AND ", NAME, " {in $2} ORDER BY 1";
    pub(super) static COUNT: Move = "SELECT COUNT(*) FROM skills WHERE workspace = $1 AND ", NAME, " {in $2}";
    /// Versions whose files are in the folder of the workspace `$1`.
    pub(super) static WITH_FILES: Move =
        "SELECT 1 FROM skill_versions WHERE workspace = $1 AND ", NAME, " {in $2} AND source_type = 'mlflow' LIMIT 1";
    /// Foreign keys move versions, tags and aliases.
    pub(super) static MOVE: Move = "UPDATE skills SET workspace = $3 WHERE workspace = $1 AND ", NAME, " {in $2}";
}

/// Checks the form of a name.
///
/// # Errors
/// It begins with `@` and has no organization, or no name after it.
pub(super) fn check_name(name: &str) -> Result<()> {
    match name.strip_prefix('@').map(|rest| rest.split_once('/')) {
        Some(None | Some(("", _) | (_, ""))) => {
            Err(Error::invalid("Skill identities must be 'name' or '@organization/name'."))
        }
        _ => Ok(()),
    }
}

/// The error for a database without skills.
pub(super) fn no_tables() -> Error {
    Error::invalid(
        "The database has no skills: their tables are those of MLflow 3.18 (`ferroflow db upgrade --to 3.18`).",
    )
}

/// The error if versions would lose their files.
pub(super) fn would_lose_files(target: &str) -> Error {
    let target = match target {
        DEFAULT_WORKSPACE => "the default workspace".to_owned(),
        other => format!("workspace {}", repr(other)),
    };
    Error::invalid(format!(
        "Move aborted: MLflow-backed skill versions would lose access to their artifact content in {target}. Remove or \
         re-register those versions before retrying."
    ))
}
