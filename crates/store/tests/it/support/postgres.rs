//! Databases on the tests' PostgreSQL server. Creating the tables takes far longer than copying them, so they are
//! created once in a template, and every test gets a copy.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    pin::Pin,
    time::UNIX_EPOCH,
};

use ferroflow_model::Environment;
use ferroflow_store::db::{BackendUri, Db, DbOptions, Statement, Upkeep};

/// The variable with the server that `cargo xtask test` starts: a URL of a superuser, without a database.
const SERVER: &str = "FERROFLOW_TEST_POSTGRES_URL";

/// The advisory lock held while a template is created: nextest runs every test in its own process.
const LOCK: i64 = 7_314_299;

/// A function that creates the tables of a template.
pub(super) type Make = fn(BackendUri) -> Pin<Box<dyn Future<Output = ()>>>;

/// The database of one test.
pub(super) struct Database {
    pub(super) uri: BackendUri,
    name: String,
}

impl Database {
    /// Creates a copy of a template, or an empty database.
    pub(super) async fn create(template: Option<&str>) -> Self {
        let name = format!("store_{}", uuid::Uuid::new_v4().simple());
        let copied = template.map_or_else(String::new, |template| format!(" TEMPLATE {template}"));
        run(&admin(), format!("CREATE DATABASE {name}{copied}")).await;
        Self { uri: uri(&name), name }
    }

    pub(super) async fn drop(self) {
        run(&admin(), format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// The name of a template. The first test of this build creates it with `make`. A complete template accepts no
/// connections, so that it cannot change and can always be copied.
pub(super) async fn template(kind: &str, make: Make) -> String {
    const COMPLETE: &str = "SELECT 1 FROM pg_database WHERE datname = $1 AND NOT datallowconn";
    let (program, build) = build();
    let name = format!("template_{program}_{build}_{kind}");
    let server = admin();
    let complete = &async || {
        !server
            .query(Statement::unscoped(Upkeep::Test, COMPLETE, vec![name.as_str().into()]), |_| Ok(()))
            .await
            .unwrap()
            .is_empty()
    };
    if complete().await {
        return name;
    }
    let (server, name) = (&server, name.as_str());
    server
        .transaction_once(|lock| async move {
            let taken = lock
                .query(Statement::unscoped(Upkeep::Test, "SELECT pg_advisory_xact_lock($1)", vec![LOCK.into()]), |_| {
                    Ok(())
                })
                .await;
            taken.expect("the lock of templates");
            if !complete().await {
                // Templates of earlier builds of this program, and an incomplete one.
                let like = format!("template\\_{program}\\_%\\_{kind}");
                let old = Statement::unscoped(
                    Upkeep::Test,
                    "SELECT CAST(datname AS TEXT) FROM pg_database WHERE datname LIKE $1",
                    vec![like.into()],
                );
                let old: Vec<String> = server.query(old, |row| row.get(0)).await.expect("the list of databases");
                for old in old {
                    run(server, format!("DROP DATABASE {old} WITH (FORCE)")).await;
                }
                run(server, format!("CREATE DATABASE {name}")).await;
                make(uri(name)).await;
                run(server, format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")).await;
            }
            Ok(())
        })
        .await
        .expect("the lock is released");
    name.to_owned()
}

/// This program and its build, as hashes. The program contains the schema, so another schema is another build.
fn build() -> (String, String) {
    let program = std::env::current_exe().expect("the path of this program");
    let file = program.metadata().expect("the file of this program");
    let written = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let hash = |of: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        of(&mut hasher);
        format!("{:016x}", hasher.finish())
    };
    (hash(&|hasher| program.hash(hasher)), hash(&|hasher| (file.len(), written).hash(hasher)))
}

/// The variables of this process.
#[expect(clippy::disallowed_methods, reason = "the one place of these tests that reads the environment")]
pub(crate) fn environment() -> Environment {
    Environment::new(std::env::vars_os())
}

/// Parses a URI that is valid.
pub(crate) fn parse(uri: &str) -> BackendUri {
    BackendUri::parse(uri, &environment()).expect("a URI")
}

fn uri(database: &str) -> BackendUri {
    let environment = environment();
    let server = environment.get(SERVER);
    let server = server.unwrap_or_else(|| panic!("set {SERVER} to a PostgreSQL server, or run `cargo xtask test`"));
    let (base, query) = server.split_once('?').map_or((server, String::new()), |(b, q)| (b, format!("?{q}")));
    let (scheme, rest) = base.split_once("://").expect("a URL");
    let authority = rest.split('/').next().unwrap_or_default();
    parse(&format!("{scheme}://{authority}/{database}{query}"))
}

/// The database of a URI with another schema in front.
pub(crate) fn in_schema(of: &BackendUri, schema: &str) -> BackendUri {
    let text = of.to_string();
    let database = text.rsplit('/').next().expect("the name of a database");
    uri(&format!("{database}?options=-csearch_path%3D{schema}"))
}

/// Connects to the maintenance database: one connection for statements, and one that holds the lock.
fn admin() -> Db {
    Db::open(&uri("postgres"), DbOptions { pool_size: 2, ..DbOptions::default() }).expect("the server's database")
}

/// Runs a statement as the server's superuser.
pub(crate) async fn as_superuser(sql: String) {
    run(&admin(), sql).await;
}

async fn run(server: &Db, sql: String) {
    let done = server.query(Statement::unscoped(Upkeep::Test, sql.clone(), Vec::new()), |_| Ok(())).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}
