//! The pytest suites under `tests/`: their directories and needs, and how to run one.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{
    environment::{Durability, Environment, Need, Profile},
    process,
    tally::Tally,
};

/// A suite: one or more directories under `tests/` that are run together.
pub(crate) struct Suite {
    /// The directories.
    pub(crate) folders: &'static [&'static str],
    /// The Python environment that runs it.
    pub(crate) python: Python,
    /// What it needs besides that Python and the program under test.
    pub(crate) needs: &'static [Need],
    /// Number of pytest-xdist workers when it is run on its own; 1 is pytest without xdist.
    pub(crate) workers: usize,
}

/// A Python environment that runs suites.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Python {
    /// The one with the reference.
    Reference,
    /// The one with the Kubernetes schemas.
    Chart,
}

const POSTGRES: Need = Need::Postgres(Durability::Relaxed);

/// The schema equals the reference's: fresh, and upgraded from every release and revision.
pub(crate) const SCHEMA: Suite = Suite {
    folders: &["schema", "migrations"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::Releases, Need::Newer],
    workers: 2,
};
/// Responses equal the reference's.
pub(crate) const DIFF: Suite =
    Suite { folders: &["differential"], python: Python::Reference, needs: &[POSTGRES], workers: 1 };
/// Permissions equal the reference's.
pub(crate) const AUTH: Suite =
    Suite { folders: &["auth"], python: Python::Reference, needs: &[POSTGRES, Need::OidcProvider], workers: 1 };
/// Three generations of the official SDK.
pub(crate) const CONFORMANCE: Suite = Suite {
    folders: &["conformance"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::Sdks, Need::OtelJs],
    workers: 1,
};
/// Acknowledged writes survive a kill, and are read at once, by a read replica too.
pub(crate) const DURABILITY: Suite = Suite {
    folders: &["durability"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::PostgresPrograms],
    workers: 1,
};
/// Several servers lose nothing and answer as one while servers and databases fail.
pub(crate) const CLUSTER: Suite = Suite {
    folders: &["cluster"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::PostgresPrograms, Need::Pgbouncer, Need::Haproxy, Need::Faketime, Need::Previous],
    workers: 1,
};
/// The instructions of hot paths are those that are recorded.
pub(crate) const INSTRUCTIONS: Suite =
    Suite { folders: &["instructions"], python: Python::Reference, needs: &[Need::Valgrind], workers: 1 };
/// Artifacts in buckets of real servers.
pub(crate) const ARTIFACTS: Suite = Suite {
    folders: &["artifacts"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::S3s(Profile::Dev), Need::Azurite],
    workers: 1,
};
/// Backup and restore of a server with SQLite.
pub(crate) const BACKUP: Suite = Suite { folders: &["backup"], python: Python::Reference, needs: &[], workers: 1 };
/// The official web UI in a real browser.
pub(crate) const BROWSER: Suite = Suite {
    folders: &["browser"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::Chromium, Need::OidcProvider],
    workers: 1,
};
/// The Helm chart renders to what a cluster accepts.
pub(crate) const CHART: Suite =
    Suite { folders: &["chart"], python: Python::Chart, needs: &[Need::Helm, Need::Promtool], workers: 2 };
/// The runbooks of `ferroflow ops` on a fake cluster.
pub(crate) const OPS: Suite = Suite { folders: &["ops"], python: Python::Chart, needs: &[Need::Helm], workers: 2 };
/// The packages of a release are installed as users install them.
pub(crate) const PACKAGES: Suite =
    Suite { folders: &["packages"], python: Python::Reference, needs: &[Need::Helm, Need::Packaging], workers: 1 };
/// Backups are restored and databases upgraded as in a cluster.
pub(crate) const DRILL: Suite = Suite {
    folders: &["drill"],
    python: Python::Reference,
    needs: &[POSTGRES, Need::Releases, Need::Chart, Need::Helm, Need::Barman],
    workers: 1,
};

/// Arguments that are passed on to pytest.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Arguments of pytest, such as `-k name` or a file
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pytest: Vec<String>,
}

impl Suite {
    /// All of its needs, including its Python.
    pub(crate) fn all_needs(&self) -> Vec<Need> {
        let python = match self.python {
            Python::Reference => Need::Reference,
            Python::Chart => Need::Chart,
        };
        [python].into_iter().chain(self.needs.iter().copied()).collect()
    }

    /// Prepares its needs and runs it, with its output on the terminal.
    pub(crate) fn run(&self, environment: &Environment, options: &Options) -> Result<Tally> {
        environment.prepare(&self.all_needs())?;
        environment.binary(Profile::Dev)?;
        let mut pytest = self.command(environment, &[], &options.pytest, self.workers)?;
        process::tests(&mut pytest)
    }

    /// The command that runs `files` of it (none: all), with further `arguments` for pytest, and `workers` processes.
    pub(crate) fn command(
        &self,
        environment: &Environment,
        files: &[&str],
        arguments: &[String],
        workers: usize,
    ) -> Result<Command> {
        let python = match self.python {
            Python::Reference => environment.reference()?,
            Python::Chart => environment.chart()?,
        };
        let mut pytest = environment.command(python);
        pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", "tests"]);
        pytest.args(["--config-file", "tests/pytest.ini"]);
        if workers > 1 {
            pytest.args(["-n", &workers.to_string(), "--dist", "loadgroup"]);
        }
        if !files.is_empty() {
            pytest.args(files.iter().map(|file| format!("tests/{file}")));
        } else if !arguments.iter().any(|argument| argument.contains(".py")) {
            pytest.args(self.folders.iter().map(|folder| format!("tests/{folder}")));
        }
        pytest.args(arguments);
        pytest.env("PYTHONUNBUFFERED", "1");
        Ok(pytest)
    }
}
