//! Shared test support: an empty store of either kind, and helpers to fill it.

pub(crate) mod plans;
pub(crate) mod postgres;
pub(crate) mod spans;

use std::{io, panic::AssertUnwindSafe, pin::Pin, sync::Mutex, time::Duration};

use ferroflow_store::{
    HistoryPoint, Scoped, Store, StoreOptions, Unscoped, UserStore, Workspace,
    db::{BackendUri, DbOptions, Upkeep},
};
use futures_util::FutureExt as _;
use tracing_subscriber::fmt::{TestWriter, writer::MakeWriterExt as _};

/// Defines two tests of an async function, `name::sqlite` and `name::postgres`: each calls it with an empty database of
/// that kind, as the type of its parameter. Options after the name are passed to `tokio::test`.
///
/// The function stays a plain function for rustfmt and editors; one that is not registered here is reported as dead
/// code.
macro_rules! on_each {
    ($test:ident $(, $($option:tt)+)?) => {
        mod $test {
            use crate::support;

            #[tokio::test $(($($option)+))?]
            async fn sqlite() {
                support::on_sqlite(super::$test).await;
            }

            #[tokio::test $(($($option)+))?]
            async fn postgres() {
                support::on_postgres(super::$test).await;
            }
        }
    };
}

pub(crate) use on_each;

/// The data of a store in its only workspace, and in all of them.
pub(crate) trait Here {
    fn here(&self) -> Scoped<'_>;
    fn upkeep(&self) -> Unscoped<'_>;
}

impl Here for Store {
    fn here(&self) -> Scoped<'_> {
        self.within(Workspace::only())
    }

    fn upkeep(&self) -> Unscoped<'_> {
        self.unscoped(Upkeep::Test)
    }
}

/// The parameter of a test of both databases.
pub(crate) trait Fixture: Sized {
    /// The template database whose tables it needs, if any.
    const TEMPLATE: Option<&str>;

    /// Opens it in a database that has these tables, or none.
    async fn open(uri: &BackendUri) -> Self;
}

/// A database without tables.
impl Fixture for BackendUri {
    const TEMPLATE: Option<&str> = None;

    async fn open(uri: &BackendUri) -> Self {
        uri.clone()
    }
}

impl Fixture for Store {
    const TEMPLATE: Option<&str> = Some("tracking");

    async fn open(uri: &BackendUri) -> Self {
        open(uri).await
    }
}

impl Fixture for UserStore {
    const TEMPLATE: Option<&str> = Some("users");

    async fn open(uri: &BackendUri) -> Self {
        Self::open(uri, None, options(), false).await.expect("the users database opens")
    }
}

/// Runs a test on SQLite.
pub(crate) async fn on_sqlite<F: Fixture>(test: impl AsyncFnOnce(&F)) {
    show_logs();
    let folder = tempfile::tempdir().expect("a temporary folder");
    test(&F::open(&BackendUri::Sqlite(folder.path().join("test.db"))).await).await;
}

/// Runs a test on PostgreSQL. Drops its database even if the test panics.
pub(crate) async fn on_postgres<F: Fixture>(test: impl AsyncFnOnce(&F)) {
    let database = postgres_for(F::TEMPLATE.map(|name| (name, make::<F> as postgres::Make))).await;
    let outcome = AssertUnwindSafe(async { test(&F::open(&database.uri).await).await }).catch_unwind().await;
    database.drop().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A database for one test, with the tables of a template. Not generic, because it would be compiled once per test.
async fn postgres_for(tables: Option<(&str, postgres::Make)>) -> postgres::Database {
    show_logs();
    let template = match tables {
        Some((name, make)) => Some(postgres::template(name, make).await),
        None => None,
    };
    postgres::Database::create(template.as_deref()).await
}

fn make<F: Fixture>(uri: BackendUri) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move { drop(F::open(&uri).await) })
}

/// Shows the store's logs if a test fails, and keeps the lines of slow statements.
fn show_logs() {
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(TestWriter::new().and(|| Slow))
        .with_env_filter("ferroflow_store=debug,ferroflow_telemetry=debug,it=info")
        .try_init();
}

static SLOW: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The lines of slow statements of this process.
pub(crate) fn slow_statements() -> Vec<String> {
    SLOW.lock().expect("the lines").clone()
}

/// Keeps lines of slow statements.
struct Slow;

impl io::Write for Slow {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if text.contains("slow statement") {
            SLOW.lock().expect("the lines").push(text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn options() -> DbOptions {
    DbOptions { pool_size: 8, acquire_timeout: Duration::from_secs(30), ..DbOptions::default() }
}

/// Opens a store as the server does.
pub(crate) async fn open(uri: &BackendUri) -> Store {
    let options = StoreOptions { db: options(), ..StoreOptions::default() };
    Store::open(uri, options).await.expect("the store opens")
}

/// Creates a run in an experiment and returns its id.
pub(crate) async fn run(store: &Store, experiment_id: &str) -> String {
    let new = ferroflow_store::NewRun { experiment_id: experiment_id.to_owned(), ..Default::default() };
    let run = store.here().create_run(new).await.expect("a run");
    run.info.and_then(|info| info.run_id).expect("an id")
}

/// A page of a metric's history, and the token of the next page.
pub(crate) async fn history(
    store: &Store,
    run_id: &str,
    key: &str,
    max_results: Option<i64>,
    page_token: Option<&str>,
) -> (Vec<HistoryPoint>, Option<String>) {
    store.here().fold_metric_history(run_id, key, max_results, page_token, Vec::new, Vec::push).await.unwrap()
}
