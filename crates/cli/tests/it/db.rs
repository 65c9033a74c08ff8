//! `ferroflow db`, and a server on an older database, from an operator's view.

use std::{path::Path, process::Output};

use crate::support;

/// The revision of MLflow 1.30, and the head revision.
const OLD: &str = "cc1f77228345";
const HEAD: &str = "dc11669786a5";

fn ferroflow(folder: &Path, args: &[&str]) -> Output {
    support::output(support::ferroflow(folder).args(args))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The output of a command, which must succeed.
fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = ferroflow(folder, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The only line on standard error of a command that exits with `code`.
fn refused(folder: &Path, code: i32, args: &[&str]) -> String {
    let output = ferroflow(folder, args);
    let line = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

fn old_database() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db", "--to", OLD]);
    folder
}

#[test]
fn an_upgrade_reports_each_revision_and_a_second_one_has_nothing_to_do() {
    let folder = old_database();
    let output = stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db"]);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], format!("upgrading {OLD} -> 97727af70f4d: creation and update time of experiments"));
    assert!(lines[1].starts_with(&format!("backup: mlflow.db.before-{OLD}-")), "{output}");
    assert!(lines[2].starts_with("upgraded to 97727af70f4d in ") && lines[2].ends_with(" s"), "{output}");
    assert_eq!(
        lines[lines.len() - 1],
        format!(
            "upgraded the tracking database sqlite:///mlflow.db from {OLD} to {HEAD} (MLflow 3.17.2): 49 revisions"
        )
    );

    let again = stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db"]);
    assert_eq!(
        again,
        format!("nothing to do: the tracking database sqlite:///mlflow.db is at {HEAD} (MLflow 3.17.2)\n")
    );
    let checked = stdout(folder.path(), &["db", "check", "sqlite:///mlflow.db"]);
    assert_eq!(checked, format!("no differences from {HEAD} (MLflow 3.17.2)\n"));
}

#[test]
fn an_empty_database_is_created_at_the_head_of_either_chain() {
    let folder = tempfile::tempdir().unwrap();
    let output = stdout(folder.path(), &["db", "upgrade", "sqlite:///new.db"]);
    assert_eq!(output, format!("created the tracking tables of sqlite:///new.db at {HEAD} (MLflow 3.17.2)\n"));
    let output = stdout(folder.path(), &["db", "upgrade", "--auth", "sqlite:///users.db"]);
    assert!(
        output.ends_with("created the auth tables of sqlite:///users.db at f1a2b3c4d5e6 (MLflow 3.17.2 and 3.18.0)\n"),
        "{output}"
    );
    let checked = stdout(folder.path(), &["db", "check", "--auth", "sqlite:///users.db"]);
    assert_eq!(checked, "no differences from f1a2b3c4d5e6 (MLflow 3.17.2 and 3.18.0)\n");
}

#[test]
fn a_plan_and_a_status_name_what_is_pending() {
    let folder = old_database();
    let plan = stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db", "--plan"]);
    assert!(plan.lines().next().unwrap().starts_with("revision"), "{plan}");
    let first = plan.lines().nth(1).unwrap();
    assert!(first.starts_with("97727af70f4d ") && first.ends_with(" experiments (0)"), "{plan}");
    assert!(plan.contains(&format!("49 revisions from {OLD} to {HEAD}, 3 of them not compatible")), "{plan}");

    let json = stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db", "--plan", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&plan["chain"], &plan["current"], &plan["target"]), (&"tracking".into(), &OLD.into(), &HEAD.into()));
    assert_eq!(
        plan["steps"][0],
        serde_json::json!({
            "revision": "97727af70f4d", "title": "creation and update time of experiments",
            "tables": [{"name": "experiments", "rows": 0}], "rewrites": false, "locks": false, "rolling": true,
        })
    );

    let status = stdout(folder.path(), &["db", "status", "sqlite:///mlflow.db"]);
    assert!(status.contains(&format!("revision  {OLD}\n")) && status.contains("pending   49\n"), "{status}");
    let found = ferroflow(folder.path(), &["db", "check", "sqlite:///mlflow.db"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(text(&found.stdout).starts_with(&format!("different: revision: {OLD}, expected {HEAD}")));
}

#[test]
fn a_database_of_a_later_release_is_named_served_and_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db"]);
    let status = stdout(folder.path(), &["db", "status", "sqlite:///mlflow.db"]);
    assert!(
        status.contains("revision  dc11669786a5 (MLflow 3.17.2)\n") && status.contains("pending   0\n"),
        "{status}"
    );
    assert!(status.contains("later     f4a9b2c7d1e6 (MLflow 3.18.0: skills; "), "{status}");

    let told = stdout(folder.path(), &["db", "upgrade", "sqlite:///mlflow.db", "--to", "3.18"]);
    assert!(told.ends_with(&format!("from {HEAD} to f4a9b2c7d1e6 (MLflow 3.18.0): 3 revisions\n")), "{told}");
    let status = stdout(folder.path(), &["db", "status", "sqlite:///mlflow.db"]);
    assert!(
        status.contains("revision  f4a9b2c7d1e6 (MLflow 3.18.0)\n") && status.contains("pending   0\n"),
        "{status}"
    );
    assert!(!status.contains("later"), "{status}");
    let checked = stdout(folder.path(), &["db", "check", "sqlite:///mlflow.db"]);
    assert_eq!(checked, "no differences from f4a9b2c7d1e6 (MLflow 3.18.0)\n");
    let rows: serde_json::Value =
        serde_json::from_str(&stdout(folder.path(), &["db", "rows", "sqlite:///mlflow.db"])).unwrap();
    assert_eq!((&rows["revision"], &rows["head"]), (&"f4a9b2c7d1e6".into(), &"f4a9b2c7d1e6".into()));
    assert_eq!((&rows["release"], &rows["pending"]), (&"MLflow 3.18.0".into(), &0.into()));
    assert_eq!(rows["rows"]["skill_versions"], 0);

    let told = stdout(folder.path(), &["backup", "backups", "--no-artifacts"]);
    assert!(told.contains("  the tracking database is at f4a9b2c7d1e6 (MLflow 3.18.0)\n"), "{told}");
}

#[test]
fn what_is_refused_says_why_in_one_line_without_the_password() {
    let folder = old_database();
    let later = refused(folder.path(), 1, &["db", "upgrade", "sqlite:///mlflow.db", "--to", "451aebb31d03"]);
    assert!(later.contains(OLD) && later.contains("451aebb31d03"), "{later}");
    refused(folder.path(), 1, &["db", "status", "sqlite:///missing.db"]);
    assert!(!folder.path().join("missing.db").exists());

    let downgrade = refused(folder.path(), 2, &["db", "downgrade", "sqlite:///mlflow.db", "-1"]);
    assert!(downgrade.contains("restore the backup"), "{downgrade}");
    refused(folder.path(), 2, &["db", "upgrade", "sqlite:///mlflow.db", "--to", "nothing"]);
    refused(folder.path(), 2, &["db", "upgrade", "sqlite:///mlflow.db", "--nothing"]);
    let closing = format!("postgresql://u:hunter2@{}/d", support::closing());
    for (uri, code) in [(closing.as_str(), 1), ("postgresql://u:hunter2@h/d?nope=1", 2), ("mysql://u:hunter2@h/d", 2)] {
        let line = refused(folder.path(), code, &["db", "upgrade", uri]);
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn a_server_refuses_an_older_database_and_names_the_command() {
    let folder = old_database();
    let output = ferroflow(folder.path(), &["server", "--port", "0", "--backend-store-uri", "sqlite:///mlflow.db"]);
    assert_eq!(output.status.code(), Some(1));
    let line = text(&output.stderr);
    let line = line.lines().last().unwrap();
    assert!(line.contains(&format!("found version {OLD}, but expected {HEAD}")), "{line}");
    assert!(line.contains("ferroflow db upgrade") && line.contains("--auto-migrate"), "{line}");
}

#[test]
fn every_command_says_how_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let ask = |flag| {
            let args: Vec<&str> = path.iter().map(String::as_str).chain([flag]).collect();
            let help = stdout(folder.path(), &args);
            assert!(help.contains("Usage: ferroflow"), "{args:?}: {help}");
            help
        };
        let help = ask("--help");
        // The server's `-h` is `--host`.
        if !path.is_empty() && path != ["server"] {
            ask("-h");
        }
        let below = help.split("Commands:\n").nth(1).unwrap_or_default();
        let names = below.lines().take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
        let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        waiting.extend(names.map(|name| path.iter().cloned().chain([name.to_owned()]).collect()));
        seen += 1;
    }
    assert!(seen > 20, "{seen} commands");
}

#[test]
fn missing_indexes_are_reported_with_their_size_and_created() {
    let folder = tempfile::tempdir().unwrap();
    let uri = "sqlite:///mlflow.db";
    let refused_line = refused(folder.path(), 1, &["db", "tune", uri]);
    assert!(refused_line.contains("mlflow.db"), "{refused_line}");
    stdout(folder.path(), &["db", "upgrade", uri]);
    assert_eq!(stdout(folder.path(), &["db", "tune", uri]), "nothing to do: all indexes are there\n");

    let plan = stdout(folder.path(), &["db", "tune", uri, "--metrics", "--dry-run"]);
    let lines: Vec<&str> = plan.lines().collect();
    assert!(
        lines[0].starts_with("index") && lines[1].starts_with("ff_latest_metrics_value  latest_metrics  0 "),
        "{plan}"
    );
    assert!(plan.contains("1 index is missing, about 0 B and < 1 s."), "{plan}");
    let plan = stdout(folder.path(), &["db", "tune", uri, "--orders", "--dry-run"]);
    let of_runs = ["ff_runs_end_time", "ff_runs_name", "ff_runs_status", "ff_runs_user"];
    assert!(of_runs.iter().all(|name| plan.contains(name)) && plan.contains("5 indexes are missing"), "{plan}");
    let refused_line = refused(folder.path(), 1, &["db", "tune", uri, "--names", "--dry-run"]);
    assert!(refused_line.contains("--names is for PostgreSQL"), "{refused_line}");
    stdout(folder.path(), &["db", "drop-own", uri]);
    let json = stdout(folder.path(), &["db", "tune", uri, "--dry-run", "--json"]);
    let missing: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(missing.as_array().unwrap().len(), 26, "{json}");
    assert_eq!(
        missing[0],
        serde_json::json!({"name": "ff_runs_page", "table": "runs", "rows": 0, "bytes": 0, "seconds": 0.0})
    );
    assert_eq!(stdout(folder.path(), &["db", "tune", uri, "--dry-run", "--json"]), json, "a dry run creates nothing");

    let created = stdout(folder.path(), &["db", "tune", uri, "--analyze"]);
    assert_eq!(created.matches("created ff_").count(), 26, "{created}");
    assert!(created.contains("created ff_params_value in ") && created.contains("analyzed runs, params"), "{created}");
    assert_eq!(stdout(folder.path(), &["db", "tune", uri]), "nothing to do: all indexes are there\n");
}

#[test]
fn an_old_database_is_not_tuned() {
    let folder = old_database();
    let line = refused(folder.path(), 1, &["db", "tune", "sqlite:///mlflow.db"]);
    assert!(line.contains("run `ferroflow db upgrade` before"), "{line}");
}
