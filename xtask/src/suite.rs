//! A suite of pytest under `tests/`.

use anyhow::Result;
use clap::Args;

use crate::{environment::Environment, process, tally::Tally};

/// What is left to pytest.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Arguments of pytest, such as `-k name` or a file
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pytest: Vec<String>,
}

impl Options {
    /// Arguments that a person would give behind `--`.
    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self { pytest: arguments.iter().map(|argument| (*argument).to_owned()).collect() }
    }
}

/// Runs `tests/<suite>` with a Python. What it needs was prepared before.
pub(crate) fn run(environment: &Environment, suite: &str, python: &str, options: &Options) -> Result<Tally> {
    pytest(environment, &[suite], python, options, &[])
}

/// Runs several suites as one, on some of the processors at once: pytest-xdist spreads their tests.
pub(crate) fn spread(environment: &Environment, suites: &[&str], python: &str, options: &Options) -> Result<Tally> {
    pytest(environment, suites, python, options, &["-n", "auto", "--maxprocesses", "4", "--dist", "loadgroup"])
}

fn pytest(
    environment: &Environment,
    suites: &[&str],
    python: &str,
    options: &Options,
    spread: &[&str],
) -> Result<Tally> {
    let mut pytest = environment.command(python);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "tests", "--config-file", "tests/pytest.ini"]);
    pytest.args(spread);
    if !options.pytest.iter().any(|argument| argument.contains(".py")) {
        pytest.args(suites.iter().map(|suite| format!("tests/{suite}")));
    }
    pytest.args(&options.pytest);
    pytest.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    process::tests(&mut pytest)
}
