//! PostgreSQL as deployed in practice: behind `PgBouncer`, on a Unix socket, with a password file, with fewer
//! connections than requested.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_model::messages::service::{Metric, Param, RunTag};
use ferroflow_store::{
    Store, StoreOptions, UserStore,
    db::{BackendUri, Db, DbError, DbOptions, Statement, Upkeep},
};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::{
    ports::Port,
    support::{
        self, Here as _,
        postgres::{as_superuser, environment, parse},
    },
};

const PGBOUNCER: &str = "FERROFLOW_PGBOUNCER";

/// The first version that tracks named prepared statements.
const KEEPS_NAMES: (u32, u32) = (1, 21);

/// A query that never ends.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM n) SELECT count(*) FROM n";

/// The address of a database.
struct Database {
    name: String,
    host: String,
    port: u16,
    user: String,
}

impl Database {
    fn of(uri: &BackendUri) -> Self {
        let BackendUri::Postgres(uri) = uri else { panic!("PostgreSQL") };
        Self {
            name: uri.database.clone().unwrap(),
            host: uri.hosts[0].clone(),
            port: uri.port(0),
            user: uri.user.clone().unwrap(),
        }
    }
}

fn program() -> String {
    let environment = environment();
    let program = environment.get(PGBOUNCER).map(str::to_owned);
    program.unwrap_or_else(|| panic!("set {PGBOUNCER} to the program of PgBouncer, or run `cargo xtask test`"))
}

/// The version of `PgBouncer`, as in `PgBouncer 1.18.0`.
fn version() -> (u32, u32) {
    let output = Command::new(program()).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().nth(1).unwrap().split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A running `PgBouncer` in front of a database.
struct Bouncer {
    child: Child,
    folder: tempfile::TempDir,
    port: Port,
}

impl Bouncer {
    /// `settings` follow `[pgbouncer]`.
    async fn start(database: &Database, settings: &str) -> Self {
        // A folder that other users can access: PgBouncer does not run as root.
        let folder = tempfile::Builder::new().prefix("ferroflow-pgbouncer-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let claim = Port::claim().unwrap();
        let port = claim.number;
        let ini = folder.path().join("pgbouncer.ini");
        let Database { name, host, port: to, user } = database;
        let text = format!(
            "[databases]\n{name} = host={host} port={to} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\npool_mode = transaction\n{settings}\n"
        );
        fs::write(&ini, text).unwrap();
        let mut command = Command::new(program());
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            command.args(["-u", "postgres"]);
        }
        let child = command.arg(&ini).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", program()));
        let bouncer = Self { child, folder, port: claim };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "PgBouncer does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bouncer
    }

    fn uri(&self, database: &Database) -> String {
        format!("postgresql://{}@127.0.0.1:{}/{}", database.user, self.port.number, database.name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options(pool_size: usize) -> DbOptions {
    DbOptions { pool_size, acquire_timeout: Duration::from_secs(20), ..DbOptions::default() }
}

async fn open(uri: &str, pool_size: usize) -> Store {
    let options = StoreOptions { db: options(pool_size), ..StoreOptions::default() };
    Store::open(&parse(uri), options).await.unwrap()
}

async fn numbers(db: &Db, statement: Statement) -> Result<Vec<i64>, DbError> {
    db.query(statement, |row| row.get(0)).await
}

/// Logs and reads with many concurrent clients, so that transactions move between server connections. All must succeed.
async fn work(store: Arc<Store>, clients: usize) {
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let run = support::run(&store, "0").await;
                for step in 0..10_i64 {
                    let text = format!("'\"{{\\}}, {client} é");
                    let metric = Metric {
                        key: Some("m".into()),
                        value: Some(0.1),
                        timestamp: Some(1),
                        step: Some(step),
                        ..Metric::default()
                    };
                    let param = Param { key: Some(format!("p{step}")), value: Some(text.clone()) };
                    let tag = RunTag { key: Some("t".into()), value: Some(text.clone()) };
                    store.here().log_batch(&run, vec![metric], vec![param], vec![tag]).await.unwrap();
                    store.here().set_tag(&run, "other", "x").await.unwrap();
                    let data = store.here().get_run(&run).await.unwrap().data.unwrap();
                    assert_eq!(data.metrics[0].step, Some(step));
                    assert!(data.tags.iter().any(|tag| tag.key() == "t" && tag.value() == text));
                    store.here().update_run(&run, None, Some(step), None).await.unwrap();
                    store.here().record_logged_model(&run, serde_json::json!({"artifact_path": text})).await.unwrap();
                }
                store.here().delete_run(&run).await.unwrap();
                store.here().restore_run(&run).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A running statement is cancelled when its caller is dropped, and its connection is reused.
async fn is_stopped(uri: &str) {
    let db = Db::open(&parse(uri), options(1)).unwrap();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND \
                   query LIKE 'WITH RECURSIVE n%'";
    let watched = Db::open(&parse(uri), options(1)).unwrap();
    let caller = tokio::spawn({
        let db = db.clone();
        async move { numbers(&db, Statement::unscoped(Upkeep::Test, ENDLESS, Vec::new())).await }
    });
    let until = async |count: i64| {
        let begun = Instant::now();
        while numbers(&watched, Statement::unscoped(Upkeep::Test, running, Vec::new())).await.unwrap() != [count] {
            assert!(begun.elapsed() < Duration::from_secs(30), "{uri}: not {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until(1).await;
    caller.abort();
    until(0).await;
    assert_eq!(numbers(&db, Statement::unscoped(Upkeep::Test, "SELECT 1", Vec::new())).await.unwrap(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_in_transaction_mode_serves_many_clients() {
    // Whether statements are prepared by name, and the setting for it.
    let cases: &[(bool, &str)] = if version() >= KEEPS_NAMES {
        &[(false, "max_prepared_statements = 0"), (true, "max_prepared_statements = 100")]
    } else {
        &[(false, "")]
    };
    for (keeps_names, setting) in cases {
        support::on_postgres(async |uri: &BackendUri| {
            let database = Database::of(uri);
            let settings = format!("auth_type = any\ndefault_pool_size = 3\nserver_round_robin = 1\n{setting}");
            let bouncer = Bouncer::start(&database, &settings).await;
            let uri = bouncer.uri(&database);
            let store = Arc::new(open(&uri, 12).await);
            work(Arc::clone(&store), 12).await;
            // The users' tables are created through it too.
            UserStore::open(&parse(&uri), None, options(4), false).await.unwrap();
            store.ping().await.unwrap();
            let named = Statement::unscoped(Upkeep::Test, "SELECT count(*) FROM pg_prepared_statements", Vec::new());
            let named = numbers(store.db(), named).await.unwrap()[0];
            assert_eq!(named > 0, *keeps_names, "{named} of {:?} with '{setting}'", version());
            is_stopped(&uri).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_replica_behind_a_pooler_is_left_out() {
    support::on_postgres(async |uri: &BackendUri| {
        let database = Database::of(uri);
        let bouncer = Bouncer::start(&database, "auth_type = any").await;
        let read_replica = Some(parse(&bouncer.uri(&database)));
        let options = StoreOptions { db: options(2), read_replica, ..StoreOptions::default() };
        let store = Store::open(uri, options).await.unwrap();
        assert!(!store.db().replica_status().unwrap().is_in_use, "its statements may run on several servers");
        let run = support::run(&store, "0").await;
        assert!(support::history(&store, &run, "m", None, None).await.0.is_empty());
        let status = store.db().replica_status().unwrap();
        assert_eq!((status.by_replica, status.by_primary, status.repeated), (0, 1, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_the_server_has_no_room_for_shrinks_and_waits() {
    let role = format!("limited_{}", uuid::Uuid::new_v4().simple());
    as_superuser(format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 3")).await;
    support::on_postgres(async |uri: &BackendUri| {
        let Database { name, host, port, .. } = Database::of(uri);
        as_superuser(format!("ALTER DATABASE {name} OWNER TO {role}")).await;
        work(Arc::new(open(&format!("postgresql://{role}@{host}:{port}/{name}"), 16).await), 16).await;
    })
    .await;
    as_superuser(format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_server_that_has_no_connection_at_all_did_nothing() {
    let role = format!("refused_{}", uuid::Uuid::new_v4().simple());
    as_superuser(format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")).await;
    support::on_postgres(async |uri: &BackendUri| {
        let Database { name, host, port, .. } = Database::of(uri);
        let uri = parse(&format!("postgresql://{role}@{host}:{port}/{name}"));
        let options = DbOptions { acquire_timeout: Duration::from_secs(1), ..options(4) };
        let db = Db::open(&uri, options).unwrap();
        let error = numbers(&db, Statement::unscoped(Upkeep::Test, "SELECT 1", Vec::new())).await.unwrap_err();
        assert!(matches!(&error, DbError::NotBegun(reason) if reason.contains("too many connections")), "{error:?}");
        assert_eq!(ferroflow_model::Error::from(error).code.http_status(), 429);
    })
    .await;
    as_superuser(format!("DROP ROLE {role}")).await;
}

/// Forwards bytes between a Unix socket and the server.
fn socket(folder: &Path, database: &Database) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    let server = (database.host.clone(), database.port);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    })
}

/// Forwards connections on a port of its own to the server until it is aborted, which closes them.
async fn port(listener: TcpListener, server: (String, u16)) {
    let mut open = tokio::task::JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = TcpStream::connect(&server).await.unwrap();
        open.spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_answered_is_waited_for() {
    support::on_postgres(async |uri: &BackendUri| {
        let Database { name, host, port: to, user } = Database::of(uri);
        let claim = Port::claim().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", claim.number)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let uri = parse(&format!("postgresql://{user}@{address}/{name}"));
        let one = async |db: &Db| numbers(db, Statement::unscoped(Upkeep::Test, "SELECT 1", Vec::new())).await;
        let carrying = tokio::spawn(port(listener, (host.clone(), to)));
        let db = Db::open(&uri, options(2)).unwrap();
        assert_eq!(one(&db).await.unwrap(), [1]);
        carrying.abort();
        let _ = carrying.await;

        // The check reports the reason, before the wait is over. The first one may meet the connection that was closed.
        let reasons = [db.check().await.unwrap_err().to_string(), db.check().await.unwrap_err().to_string()];
        assert!(reasons[1].contains("error connecting to server"), "{reasons:?}");
        let waiting = tokio::spawn({
            let db = db.clone();
            async move { one(&db).await }
        });
        // A server that never answered is not waited for: its address is likely wrong.
        let begun = Instant::now();
        let error = one(&Db::open(&uri, options(2)).unwrap()).await.unwrap_err();
        assert!(matches!(error, DbError::NotBegun(_)), "{error:?}");
        assert!(begun.elapsed() < options(2).acquire_timeout, "{:?}", begun.elapsed());
        assert!(!waiting.is_finished());

        let carrying = tokio::spawn(port(TcpListener::bind(address).await.unwrap(), (host, to)));
        assert_eq!(waiting.await.unwrap().unwrap(), [1]);
        db.check().await.unwrap();
        carrying.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_leads_to_the_server_whatever_is_said_of_tls() {
    support::on_postgres(async |uri: &BackendUri| {
        let database = Database::of(uri);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let carrying = socket(folder.path(), &database);
        let encoded = path.replace('/', "%2F");
        let Database { name, host, port, user } = &database;
        for uri in [
            format!("postgresql://{user}@/{name}?host={path}"),
            format!("postgresql://{user}@{encoded}/{name}?sslmode=require"),
            format!("postgresql://{user}@/{name}?host={path}&sslmode=verify-full&sslrootcert=/missing"),
            format!("postgresql://{user}@/{name}?host={path},{host}&port=5432,{port}"),
        ] {
            open(&uri, 2).await.ping().await.unwrap_or_else(|error| panic!("{uri}: {error:?}"));
            is_stopped(&uri).await;
        }
        carrying.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_a_file_is_read_anew_for_each_connection() {
    support::on_postgres(async |uri: &BackendUri| {
        let database = Database::of(uri);
        let user = &database.user;
        let folder = tempfile::Builder::new().prefix("ferroflow-userlist-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let users = folder.path().join("users.txt");
        fs::write(&users, format!("\"{user}\" \"new:one\"\n")).unwrap();
        let settings = format!("auth_type = plain\nauth_file = {}\n", users.display());
        let bouncer = Bouncer::start(&database, &settings).await;
        let file = bouncer.file("passwords");
        let write = |password: &str, mode: u32| {
            fs::write(&file, format!("*:*:{}:{user}:{password}\n", database.name)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        };
        write("old", 0o600);
        let uri = format!("{}?passfile={}", bouncer.uri(&database), file.display());
        let db = Db::open(&parse(&uri), options(2)).unwrap();
        let one = async || numbers(&db, Statement::unscoped(Upkeep::Test, "SELECT 1", Vec::new())).await;
        assert!(one().await.unwrap_err().to_string().contains("authentication failed"));
        // Files owned by root may be readable for the group.
        write("new\\:one", 0o644);
        let refused = one().await.unwrap_err().to_string();
        assert!(refused.contains("0644") && refused.contains("0600") && !refused.contains("one"), "{refused}");
        // Without a restart or a new pool.
        write("new\\:one", 0o600);
        assert_eq!(one().await.unwrap(), [1]);
    })
    .await;
}
