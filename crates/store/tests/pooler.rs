//! PostgreSQL as it is reached in the field: through `PgBouncer`, by a Unix socket, with a password from a file, with
//! fewer connections than asked for.

#![allow(clippy::unwrap_used, reason = "a test that can not go on has failed")]

#[allow(dead_code, reason = "these tests have databases of their own")]
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_model::messages::service::{Metric, Param, RunTag};
use ferroflow_store::{
    Store, StoreOptions, UserStore,
    db::{BackendUri, Db, DbOptions, Statement},
};
use support::{admin, with_database};
use tokio::net::{TcpListener, TcpStream, UnixListener};

const PGBOUNCER: &str = "FERROFLOW_PGBOUNCER";

/// An empty database, and what its server is called.
struct Database {
    name: String,
    host: String,
    port: u16,
}

impl Database {
    async fn create() -> Self {
        let name = format!("pooler_{}", uuid::Uuid::new_v4().simple());
        admin(format!("CREATE DATABASE {name}")).await;
        let BackendUri::Postgres(uri) = BackendUri::parse(&with_database(&name)).unwrap() else { panic!("PostgreSQL") };
        Self { name, host: uri.hosts[0].clone(), port: uri.ports[0] }
    }

    async fn drop(self) {
        admin(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// A running `PgBouncer` before a database.
struct Bouncer {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Bouncer {
    /// `settings` follow `[pgbouncer]`.
    async fn start(database: &Database, settings: &str) -> Self {
        let program = std::env::var(PGBOUNCER).unwrap_or_else(|_| "/usr/sbin/pgbouncer".into());
        // Where another user can go: it does not run as root.
        let folder = tempfile::Builder::new().prefix("ferroflow-pgbouncer-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let ini = folder.path().join("pgbouncer.ini");
        fs::write(
            &ini,
            format!(
                "[databases]\n{} = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = \
                 {port}\nunix_socket_dir =\npool_mode = transaction\n{settings}\n",
                database.name, database.host, database.port
            ),
        )
        .unwrap();
        let mut command = Command::new(&program);
        if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
            command.args(["-u", "postgres"]);
        }
        let child = command.arg(&ini).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program} (set {PGBOUNCER}): {error}"));
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "PgBouncer does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, folder, port }
    }

    fn uri(&self, database: &Database) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{}", self.port, database.name)
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
    let options = StoreOptions { artifact_root: "mlflow-artifacts:/".into(), db: options(pool_size) };
    Store::open(&BackendUri::parse(uri).unwrap(), options).await.unwrap()
}

/// Logs and reads with many clients at once, so that transactions change between connections; everything must succeed.
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
                    store.log_batch(&run, vec![metric], vec![param], vec![tag]).await.unwrap();
                    store.set_tag(&run, "other", "x").await.unwrap();
                    let data = store.get_run(&run).await.unwrap().data.unwrap();
                    assert_eq!(data.metrics[0].step, Some(step));
                    assert!(data.tags.iter().any(|tag| tag.key() == "t" && tag.value() == text));
                    store.update_run(&run, None, Some(step), None).await.unwrap();
                    store.record_logged_model(&run, serde_json::json!({"artifact_path": text})).await.unwrap();
                }
                store.delete_run(&run).await.unwrap();
                store.restore_run(&run).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pgbouncer_in_transaction_mode_serves_many_clients() {
    let database = Database::create().await;
    let bouncer = Bouncer::start(&database, "auth_type = any\ndefault_pool_size = 3\nserver_round_robin = 1").await;
    let uri = bouncer.uri(&database);
    let store = Arc::new(open(&uri, 12).await);
    work(Arc::clone(&store), 12).await;
    // The users' tables are made through it too.
    UserStore::open(&BackendUri::parse(&uri).unwrap(), None, options(4), false).await.unwrap();
    store.ping().await.unwrap();
    drop(bouncer);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_the_server_has_no_room_for_shrinks_and_waits() {
    let database = Database::create().await;
    let role = format!("{}_role", database.name);
    admin(format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    let limited = format!("{}_limited", database.name);
    admin(format!("CREATE ROLE {limited} LOGIN CONNECTION LIMIT 3")).await;
    admin(format!("ALTER DATABASE {} OWNER TO {limited}", database.name)).await;
    let uri = format!("postgresql://{limited}@{}:{}/{}", database.host, database.port, database.name);
    work(Arc::new(open(&uri, 16).await), 16).await;
    admin(format!("DROP DATABASE {} WITH (FORCE)", database.name)).await;
    admin(format!("DROP ROLE {role}")).await;
    admin(format!("DROP ROLE {limited}")).await;
}

/// Carries bytes between a Unix socket and the server.
async fn socket(folder: &Path, database: &Database) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    let server = (database.host.clone(), database.port);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    })
}

#[tokio::test]
async fn a_unix_socket_leads_to_the_server_whatever_is_said_of_tls() {
    let database = Database::create().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let carrying = socket(folder.path(), &database).await;
    let encoded = path.replace('/', "%2F");
    for uri in [
        format!("postgresql://postgres@/{}?host={path}", database.name),
        format!("postgresql://postgres@{encoded}/{}?sslmode=require", database.name),
        format!("postgresql://postgres@/{}?host={path}&sslmode=verify-full&sslrootcert=/missing", database.name),
        format!("postgresql://postgres@/{}?host={path},{}&port=5432,{}", database.name, database.host, database.port),
    ] {
        open(&uri, 2).await.ping().await.unwrap_or_else(|error| panic!("{uri}: {error:?}"));
    }
    carrying.abort();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_a_file_is_read_anew_for_each_connection() {
    let database = Database::create().await;
    let settings = |folder: &str| format!("auth_type = plain\nauth_file = {folder}\n");
    let folder = tempfile::Builder::new().prefix("ferroflow-userlist-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let users = folder.path().join("users.txt");
    fs::write(&users, "\"postgres\" \"new:one\"\n").unwrap();
    let bouncer = Bouncer::start(&database, &settings(users.to_str().unwrap())).await;
    let file = bouncer.file("passwords");
    let write = |password: &str, mode: u32| {
        fs::write(&file, format!("*:*:{}:postgres:{password}\n", database.name)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("old", 0o600);
    let uri = format!("{}?passfile={}", bouncer.uri(&database), file.display());
    let db = Db::open(&BackendUri::parse(&uri).unwrap(), options(2)).unwrap();
    let one = async || db.query(Statement::new("SELECT 1", Vec::new()), |row| row.get::<i64>(0)).await;
    assert!(one().await.unwrap_err().to_string().contains("authentication failed"));
    write("new\\:one", 0o644);
    let refused = one().await.unwrap_err().to_string();
    assert!(refused.contains("0644") && refused.contains("0600") && !refused.contains("one"), "{refused}");
    // No restart, no new pool.
    write("new\\:one", 0o600);
    assert_eq!(one().await.unwrap(), [1]);
    drop(bouncer);
    database.drop().await;
}
