//! Generates the list of the variables that `cargo xtask` sets for the suites in `tests/support/__init__.py`, from the
//! constants in `environment/variables.rs` and their doc comments.

use anyhow::{Context, Result, ensure};

use super::files::{Files, between};

const SOURCE: &str = "xtask/src/environment/variables.rs";
const LIST: &str = "tests/support/__init__.py";

/// Adds the list.
pub(super) fn add(files: &mut Files) -> Result<()> {
    let variables = variables(&files.text(SOURCE)?);
    ensure!(!variables.is_empty(), "{SOURCE} has no variables");
    let list = between(&files.text(LIST)?, ".. variables\n\n", "\n.. /variables\n", &table(&variables));
    files.partly(LIST, list.context(LIST)?);
    Ok(())
}

/// The names, with the doc comment of each.
fn variables(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push(text);
            continue;
        }
        let value = line.strip_prefix("pub(crate) const ").and_then(|constant| constant.split_once(": &str = \""));
        if let Some(name) = value.and_then(|(_, value)| value.strip_suffix("\";"))
            && name.starts_with("FERROFLOW_")
        {
            found.push((format!("``{name}``"), comment.join(" ").replace('`', "``")));
        }
        comment.clear();
    }
    found
}

/// A reStructuredText table.
fn table(variables: &[(String, String)]) -> String {
    let names = variables.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let texts = variables.iter().map(|(_, text)| text.len()).max().unwrap_or_default();
    let rule = format!("{}  {}\n", "=".repeat(names), "=".repeat(texts));
    let mut table = rule.clone();
    for (name, text) in variables {
        table += &format!("{name:names$}  {text}\n");
    }
    table + &rule
}

#[cfg(test)]
mod tests {
    use super::{table, variables};

    #[test]
    fn a_variable_is_listed_with_the_comment_above_it() {
        let source = "/// The `ferroflow` binary,\n/// built.\npub(crate) const BIN: &str = \"FERROFLOW_BIN\";\n\
                      /// Other.\nconst OTHER: &str = \"3.11\";\npub(crate) const UI: &str = \"FERROFLOW_UI_DIR\";\n";
        let found = variables(source);
        assert_eq!(
            table(&found),
            "====================  ================================\n\
             ``FERROFLOW_BIN``     The ``ferroflow`` binary, built.\n\
             ``FERROFLOW_UI_DIR``  \n\
             ====================  ================================\n"
        );
    }
}
