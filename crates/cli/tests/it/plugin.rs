//! The program by the name of a plug-in: `kubectl ferroflow` runs `kubectl-ferroflow`, and `oc` takes either name.

#![cfg(all(unix, feature = "kubernetes"))]

use std::{os::unix::fs::symlink, process::Command};

use crate::support;

/// Runs the program by a name; returns its exit code, standard output and standard error.
fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_ferroflow"), &program).unwrap();
    let output = support::output(Command::new(program).args(arguments).env_clear().current_dir(&folder));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_plug_in_runs_the_runbooks_and_says_how_it_is_called() {
    for (name, caller) in [("kubectl-ferroflow", "kubectl ferroflow"), ("oc-ferroflow", "oc ferroflow")] {
        let (code, help, _) = run(name, &["doctor", "--help"]);
        assert_eq!(code, Some(0));
        assert!(help.contains(&format!("Usage: {caller} doctor [OPTIONS]")), "{help}");
        assert!(help.contains("--look-inside") && help.contains("--namespace"), "{help}");
        let (code, version, _) = run(name, &["--version"]);
        assert_eq!((code, version), (Some(0), format!("ferroflow {}\n", env!("CARGO_PKG_VERSION"))));
        // What is no runbook stays with `ferroflow`.
        let (code, _, error) = run(name, &["gc"]);
        assert_eq!(code, Some(2));
        assert!(error.starts_with("Error: unrecognized subcommand 'gc'"), "{error}");
    }
}

#[test]
fn another_name_is_the_whole_program() {
    for name in ["ferroflow", "ferroflow-0.1", "kubectl-ferroflow-old"] {
        let (code, help, _) = run(name, &["ops", "doctor", "--help"]);
        assert_eq!(code, Some(0), "{name}");
        assert!(help.contains(&format!("Usage: {name} ops doctor [OPTIONS]")), "{help}");
    }
}
