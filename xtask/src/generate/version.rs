//! Updates the version of the reference wherever it occurs.

use anyhow::{Context, Result, ensure};

use super::files::Files;

/// The file that pins the version, and the prefix there.
const PIN: (&str, &str) = ("tests/requirements/reference.txt", "mlflow[auth]==");

/// The files that repeat it, and the prefix there.
const REPEATED: [(&str, &str); 11] = [
    ("ARCHITECTURE.md", "`mlflow=="),
    ("CONTRIBUTING.md", "`mlflow=="),
    ("Containerfile", "ARG MLFLOW="),
    ("README.md", "MLflow "),
    ("chart/Chart.yaml", "appVersion: \""),
    ("chart/values.yaml", "tag: v"),
    ("docs/configuration.md", "`mlflow` "),
    ("docs/differences.md", "`mlflow=="),
    ("docs/migrating.md", "`mlflow=="),
    ("docs/webhooks.md", "MLflow "),
    ("tests/conformance/pairs.py", "SDKS = (\n    Sdk(\""),
];

/// Writes the version to all of these files, and returns it.
pub(super) fn add(files: &mut Files) -> Result<String> {
    let (list, name) = PIN;
    let version = pinned(&files.text(list)?, name).with_context(|| format!("{list} has no {name}"))?;
    for (path, before) in REPEATED {
        let (text, count) = with_version(&files.text(path)?, before, &version);
        ensure!(count > 0, "{path} has no version after {before:?}");
        files.partly(path, text);
    }
    Ok(version)
}

fn pinned(list: &str, name: &str) -> Option<String> {
    list.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

/// Replaces every version of three numbers after `before`, and returns the number of replacements.
fn with_version(text: &str, before: &str, version: &str) -> (String, usize) {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut count = 0;
    for part in parts {
        out.push_str(before);
        let length = part.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(part.len());
        let old = part[..length].trim_end_matches('.');
        if old.split('.').filter(|number| !number.is_empty()).count() == 3 {
            out.push_str(version);
            out.push_str(&part[old.len()..]);
            count += 1;
        } else {
            out.push_str(part);
        }
    }
    (out, count)
}

#[cfg(test)]
mod tests {
    use super::{pinned, with_version};

    #[test]
    fn only_versions_of_three_numbers_behind_the_words_change() {
        let text = "MLflow 3.17.2. MLflow 3.5, mlflow==3.17.2; MLflow servers";
        assert_eq!(
            with_version(text, "MLflow ", "3.18.0"),
            ("MLflow 3.18.0. MLflow 3.5, mlflow==3.17.2; MLflow servers".to_owned(), 1)
        );
        assert_eq!(with_version(text, "nothing", "3.18.0"), (text.to_owned(), 0));
    }

    #[test]
    fn the_list_of_requirements_pins_the_version() {
        assert_eq!(pinned("# mlflow\nboto3\nmlflow[auth]==3.17.2\n", "mlflow[auth]=="), Some("3.17.2".to_owned()));
        assert_eq!(pinned("mlflow[auth]\n", "mlflow[auth]=="), None);
    }
}
