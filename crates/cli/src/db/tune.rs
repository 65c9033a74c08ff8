//! `ferroflow db tune`: creates those of ferroflow's own indexes that are missing in a database.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use ferroflow_store::{
    db::{BackendUri, Db, DbOptions},
    migrations::{self, State, TRACKING},
    schema::tune::{self, Extra, MissingIndex},
};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::report::{self, out};

/// Flags of `ferroflow db tune`.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "a flag is a bool")]
pub(crate) struct TuneArgs {
    /// The database, as for --backend-store-uri
    #[arg(value_name = "URI", hide_env_values = true, env = "MLFLOW_BACKEND_STORE_URI")]
    pub(super) uri: String,

    /// Print the missing indexes with their size and the time to create them, and create nothing
    #[arg(long)]
    dry_run: bool,

    /// Also the index of the latest values of metrics: orders by a metric and filters on one are fast in large
    /// experiments, and logging a batch of metrics takes a third longer
    #[arg(long)]
    metrics: bool,

    /// Also the index of the names of runs: a pattern, as of the search box of the web UI, is fast in large experiments.
    /// Only for PostgreSQL, with its extension for trigrams, which is created if it is
    /// missing
    #[arg(long)]
    names: bool,

    /// Also the indexes of runs by end, name, status and user: orders by these, by a param and by a tag, and filters on a rare
    /// status or user are fast in large experiments, and creating and ending a run takes longer
    #[arg(long)]
    orders: bool,

    /// Also gather the statistics of the large tables, and let PostgreSQL vacuum and analyze them more often
    #[arg(long)]
    analyze: bool,

    /// Print the missing indexes as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
}

/// Creates the indexes, or prints them.
pub(super) async fn tune(uri: &BackendUri, args: &TuneArgs) -> Result<ExitCode> {
    let what = || format!("the database {uri}");
    if let BackendUri::Sqlite(path) = uri {
        ensure!(!args.names, "--names is for PostgreSQL: SQLite has no such index");
        // `Db::open` would create the file.
        std::fs::metadata(path).with_context(what)?;
    }
    let state = migrations::state(uri, &TRACKING).await.with_context(what)?;
    let is_served = matches!(state, State::At(revision) if TRACKING.serves(revision));
    ensure!(is_served, "{uri} is not at a revision that this version serves: run `ferroflow db upgrade` before");
    // One connection creates, and one looks at the progress.
    let db = Db::open(uri, DbOptions { pool_size: 2, ..DbOptions::default() }).with_context(what)?;
    let outcome = perform(&db, args).await.with_context(what);
    db.close().await.with_context(what)?;
    outcome
}

async fn perform(db: &Db, args: &TuneArgs) -> Result<ExitCode> {
    let extras = [(args.metrics, Extra::Metrics), (args.names, Extra::Names), (args.orders, Extra::Orders)];
    let extras: Vec<Extra> = extras.into_iter().filter_map(|(wanted, extra)| wanted.then_some(extra)).collect();
    let missing = tune::plan(db, &extras).await?;
    if args.dry_run {
        if args.json {
            out!("{}", serde_json::to_string_pretty(&missing)?);
        } else {
            show(&missing);
        }
        report::complete()?;
        return Ok(ExitCode::SUCCESS);
    }
    for index in &missing {
        create(db, index).await.with_context(|| index.name)?;
    }
    if missing.is_empty() {
        out!("nothing to do: all indexes are there");
    }
    if args.analyze {
        let tables = tune::analyze(db).await?;
        out!("analyzed {}", tables.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the missing indexes as a table.
fn show(missing: &[MissingIndex]) {
    if missing.is_empty() {
        out!("nothing to do: all indexes are there");
        return;
    }
    let head = ["index", "table", "rows", "size", "time"].map(str::to_owned);
    let row = |index: &MissingIndex| {
        let rows = HumanCount(u64::try_from(index.rows).unwrap_or_default()).to_string();
        [index.name.to_owned(), index.table.to_owned(), rows, size(index), time(index.seconds)]
    };
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(missing.iter().map(row)).collect();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(place, cell)| {
            let width = rows.iter().map(|row| row[place].chars().count()).max().unwrap_or_default();
            format!("{cell:width$}")
        });
        out!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let bytes: i64 = missing.iter().map(|index| index.bytes).sum();
    let seconds: f64 = missing.iter().map(|index| index.seconds).sum();
    out!("");
    out!(
        "{} missing, about {} and {}. In PostgreSQL writers are not blocked meanwhile",
        if missing.len() == 1 { "1 index is".to_owned() } else { format!("{} indexes are", missing.len()) },
        HumanBytes(u64::try_from(bytes).unwrap_or_default()),
        time(seconds)
    );
}

fn size(index: &MissingIndex) -> String {
    HumanBytes(u64::try_from(index.bytes).unwrap_or_default()).to_string()
}

fn time(seconds: f64) -> String {
    match seconds {
        short if short < 1.0 => "< 1 s".to_owned(),
        short if short < 120.0 => format!("{short:.0} s"),
        long => format!("{:.0} min", long / 60.0),
    }
}

async fn create(db: &Db, index: &MissingIndex) -> Result<()> {
    let MissingIndex { name, table, .. } = index;
    let headline = format!("creating {name} on {table}: about {}, {}", size(index), time(index.seconds));
    let bar = io::stdout().is_terminal().then(|| {
        let template = "{spinner} {msg} {wide_bar} {percent} % {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(1).with_style(style).with_message(headline.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    });
    if bar.is_none() {
        out!("{headline}");
    }
    let start = Instant::now();
    let outcome = tune::create(db, index, |done, all| {
        if let Some(bar) = &bar {
            bar.set_length(all.max(1));
            bar.set_position(done);
        }
    });
    let outcome = outcome.await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    outcome?;
    out!("created {name} in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
