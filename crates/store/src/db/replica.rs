//! A read replica: a streaming replica of the database, which answers the reads that take long.
//!
//! A read goes to the replica only if the replica has replayed everything that the primary had on its disk when the read
//! began. So a read sees every write that was acknowledged before, by whichever server, as it would on the primary. It
//! costs a question to the primary that concurrent reads share. If the replica is behind, does not answer or fails, the
//! primary answers, and the replica is left out until [`Db::watch_replica`] finds it current.

mod lag;
mod position;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ferroflow_model::Result;
use tokio::{
    sync::{OnceCell, watch},
    time::{sleep, timeout},
};

use self::{
    lag::Lag,
    position::{Position, Positions},
};
use super::{
    Account, Db, DbError, DbOptions, PostgresUri, Statement, Upkeep,
    lease::Lease,
    postgres::{Client, PostgresPool, identity},
    share::{Share, Shares},
};

/// How long a read waits until the replica has replayed what it must have.
const CATCH_UP: Duration = Duration::from_millis(50);

/// The first pause of that wait, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// Timeout of a connection, and of the questions where a server is.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a replica is left out at least: after the first failure, and at most.
const LEFT_OUT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// After this time in use, a failure counts as the first.
const STEADY: Duration = Duration::from_secs(60);

/// What the server has replayed, in which timeline; NULL if it is not a standby. It writes down the timeline of what it
/// replays some time later, at the latest with its next restart point.
const REPLAYED: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END, \
                        greatest(c.timeline_id, r.min_recovery_end_timeline)::bigint \
                        FROM pg_control_checkpoint() c, pg_control_recovery() r";

tokio::task_local! {
    static UNIT: Arc<Unit>;
}

/// A read replica of a [`Db`].
pub(super) struct Replica {
    pool: Arc<PostgresPool>,
    shares: Arc<Shares>,
    options: DbOptions,
    primary: Arc<Positions>,
    state: watch::Sender<State>,
    lag: Mutex<Lag>,
    by_replica: AtomicU64,
    by_primary: AtomicU64,
    repeated: AtomicU64,
}

/// Whether reads go to the replica.
#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    since: Instant,
    /// Failures without [`STEADY`] use between them.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Mode {
    InUse,
    /// A read failed, or was too early for it. Those that have begun go on.
    LeftOut,
    /// It did not answer when it was measured, or cannot be used. Reads that have begun go to the primary.
    Away,
}

impl State {
    /// When the replica may be in use again.
    fn until(&self) -> Instant {
        self.since + (LEFT_OUT.0 * 2_u32.pow(self.failures.saturating_sub(1).min(8))).min(LEFT_OUT.1)
    }
}

/// Why a read cannot go to the replica.
#[derive(Debug)]
enum Fault {
    /// Bytes that it has not replayed.
    Behind(u64),
    /// It does not answer, or is not what it should be.
    Away(String),
    /// The primary does not tell its position.
    PrimaryAway,
    /// All connections are in use.
    Full,
}

impl Fault {
    /// What a replica is that is measured and has it.
    fn mode(&self) -> Mode {
        if matches!(self, Self::Away(_)) { Mode::Away } else { Mode::LeftOut }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(bytes) => write!(f, "it is {bytes} bytes behind"),
            Self::Away(text) => f.write_str(text),
            Self::PrimaryAway => f.write_str("the primary does not say what it must have replayed"),
            Self::Full => f.write_str("all connections to it are in use"),
        }
    }
}

/// A read that goes to the replica, with all its connections.
pub(super) struct Unit {
    replica: Arc<Replica>,
    /// What the replica must have replayed: a position of the primary after the read began.
    position: OnceCell<Option<Position>>,
    has_failed: AtomicBool,
}

/// The read that the current task does on a replica.
pub(super) fn current() -> Option<Arc<Unit>> {
    UNIT.try_with(Arc::clone).ok()
}

/// A replica, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaStatus {
    /// Whether reads go to it.
    pub is_in_use: bool,
    /// Bytes of the write-ahead log that it has not replayed; `None` before it has answered.
    pub lag_bytes: Option<u64>,
    /// How long it has been behind.
    pub lag: Duration,
    /// Connections to it that are in use.
    pub connections: usize,
    /// Reads that it has answered.
    pub by_replica: u64,
    /// Reads that the primary has answered because it was left out.
    pub by_primary: u64,
    /// Reads that the primary has answered after they failed on the replica.
    pub repeated: u64,
}

impl Db {
    /// This database with a replica of it. One that does not answer is left out.
    ///
    /// # Errors
    /// [`DbError::Other`]: it is another database. Or the primary failed.
    pub(crate) async fn with_replica(self, primary: &PostgresUri, replica: &PostgresUri) -> Result<Self, DbError> {
        let to_primary = PostgresPool::new(primary, 1, ANSWER)?;
        let known = identity(&*to_primary.get().await?).await.map_err(|error| {
            let reason = DbError::from(error);
            DbError::Other(format!("the primary does not say which database it is (pg_control_system): {reason}"))
        })?;
        let pool = Arc::new(PostgresPool::of_database(replica, self.options.pool_size, ANSWER, known)?);
        let replica = Arc::new(Replica {
            pool,
            shares: Shares::of(self.options.pool_size),
            options: self.options.clone(),
            primary: Positions::new(to_primary, ANSWER),
            state: watch::Sender::new(State { mode: Mode::InUse, since: Instant::now(), failures: 0 }),
            lag: Mutex::default(),
            by_replica: AtomicU64::new(0),
            by_primary: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
        });
        match replica.pool.get().await {
            Err(error @ DbError::Other(_)) => return Err(error),
            Err(error) => replica.leave_out(&Fault::Away(error.to_string()), Mode::Away),
            Ok(client) => {
                drop(client);
                match replica.measure().await {
                    Ok(()) => tracing::info!("the read replica is in use"),
                    Err(fault) => replica.leave_out(&fault, fault.mode()),
                }
            }
        }
        Ok(Self { replica: Some(replica), ..self })
    }

    /// Runs `read`, which only reads, on the replica if there is one and it is current, else on the primary. All that it
    /// reads from [`Db::reader`] comes from the same server. If the replica fails, `read` runs again on the primary.
    pub(crate) async fn replicated<T, Fut>(&self, read: impl Fn() -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        match &self.replica {
            // Boxed: a server without a replica does not carry its future.
            Some(replica) if current().is_none() => Box::pin(replica.read(read)).await,
            _ => read().await,
        }
    }

    /// Measures the lag of the replica, and takes it into use again if it was left out and is current. To be called every
    /// second.
    pub async fn watch_replica(&self) {
        if let Some(replica) = &self.replica {
            replica.watch().await;
        }
    }

    /// The replica, if there is one.
    #[must_use]
    pub fn replica_status(&self) -> Option<ReplicaStatus> {
        let replica = self.replica.as_ref()?;
        let lag = replica.lag();
        Some(ReplicaStatus {
            is_in_use: replica.is_in_use(),
            lag_bytes: lag.bytes(),
            lag: lag.time(Instant::now()),
            connections: replica.pool.status().0,
            by_replica: replica.by_replica.load(Ordering::Relaxed),
            by_primary: replica.by_primary.load(Ordering::Relaxed),
            repeated: replica.repeated.load(Ordering::Relaxed),
        })
    }
}

impl Replica {
    async fn read<T, Fut>(self: &Arc<Self>, read: impl Fn() -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        if !self.is_in_use() {
            self.by_primary.fetch_add(1, Ordering::Relaxed);
            return read().await;
        }
        let account = Account::current();
        let charged = account.as_ref().map_or(0, Account::charged);
        let unit =
            Arc::new(Unit { replica: Arc::clone(self), position: OnceCell::new(), has_failed: AtomicBool::new(false) });
        let outcome = tokio::select! {
            outcome = UNIT.scope(Arc::clone(&unit), read()) => Some(outcome),
            // The end of a connection to a machine that is gone may take minutes to show.
            () = self.is_away() => None,
        };
        match outcome {
            Some(outcome) if !unit.has_failed() => {
                self.by_replica.fetch_add(1, Ordering::Relaxed);
                return outcome;
            }
            _ => {}
        }
        if let Some(account) = account {
            account.refund(account.charged().saturating_sub(charged));
        }
        self.repeated.fetch_add(1, Ordering::Relaxed);
        read().await
    }

    /// A connection to a server that has replayed what `unit` must see.
    async fn current(&self, unit: &Unit, share: Option<Share>) -> Result<Lease, Fault> {
        let (position, connected) = tokio::join!(unit.position(), self.connected(share));
        let (lease, replayed) = connected?;
        self.caught_up(lease, replayed, position.ok_or(Fault::PrimaryAway)?).await
    }

    /// A connection, and what its server has replayed. Each leads to one server, those of the pool perhaps to several ones.
    async fn connected(&self, share: Option<Share>) -> Result<(Lease, Position), Fault> {
        let lease = self.lease(share).await?;
        match self.replayed(&lease).await {
            Ok(replayed) => Ok((lease, replayed)),
            Err(fault) => {
                lease.close();
                Err(fault)
            }
        }
    }

    async fn lease(&self, share: Option<Share>) -> Result<Lease, Fault> {
        let lease = Lease::reader(&self.pool, self.options.statement_timeout, share).await;
        let lease = lease.map_err(|error| {
            let (in_use, most) = self.pool.status();
            if in_use >= most { Fault::Full } else { Fault::Away(error.to_string()) }
        })?;
        if lease.client().is_ok_and(Client::is_pooled) {
            // The next statement may run on another server, which may be further behind.
            return Err(Fault::Away("a connection pooler is in front of it".into()));
        }
        Ok(lease)
    }

    /// Waits until the server of `lease` has replayed `position`.
    async fn caught_up(&self, lease: Lease, mut replayed: Position, position: Position) -> Result<Lease, Fault> {
        let deadline = Instant::now() + CATCH_UP;
        let mut pause = PAUSES.0;
        loop {
            if replayed.timeline != position.timeline {
                lease.close();
                let (its, of_primary) = (replayed.timeline, position.timeline);
                return Err(Fault::Away(format!("it is in timeline {its}, and the primary in {of_primary}")));
            }
            if replayed.at >= position.at {
                return Ok(lease);
            }
            if Instant::now() >= deadline {
                // Closed, because the next connection may lead to a server that is current.
                lease.close();
                return Err(Fault::Behind(u64::try_from(position.at - replayed.at).unwrap_or_default()));
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSES.1);
            replayed = self.replayed(&lease).await?;
        }
    }

    /// What the server of a connection has replayed.
    async fn replayed(&self, lease: &Lease) -> Result<Position, Fault> {
        let mut replayed = None;
        let statement = Statement::unscoped(Upkeep::Startup, REPLAYED, Vec::new());
        let mut visit = |row: &super::Row<'_>| {
            let timeline = row.get(1)?;
            replayed = row.get::<Option<i64>>(0)?.map(|at| Position { at, timeline });
            Ok(())
        };
        match timeout(ANSWER, lease.each(&statement, None, &mut visit)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Fault::Away(error.to_string())),
            Err(_) => return Err(Fault::Away(format!("no answer within {} ms", ANSWER.as_millis()))),
        }
        let replayed = replayed.ok_or_else(|| Fault::Away("the server is not a standby".into()))?;
        self.lag().replica_is_at(replayed.at);
        Ok(replayed)
    }

    /// Whether it is current, by a connection of the pool.
    async fn measure(&self) -> Result<(), Fault> {
        let position = self.primary.now().await.ok_or(Fault::PrimaryAway)?;
        self.lag().primary_is_at(position.at, Instant::now());
        let (lease, replayed) = self.connected(None).await?;
        self.caught_up(lease, replayed, position).await.map(drop)
    }

    async fn watch(&self) {
        let state = *self.state.borrow();
        if state.mode != Mode::InUse && Instant::now() < state.until() {
            if let Some(position) = self.primary.now().await {
                self.lag().primary_is_at(position.at, Instant::now());
            }
            return;
        }
        match self.measure().await {
            Ok(()) => {
                let is_back = self.state.send_if_modified(|state| {
                    let is_back = state.mode != Mode::InUse;
                    if is_back {
                        (state.mode, state.since) = (Mode::InUse, Instant::now());
                    }
                    is_back
                });
                if is_back {
                    tracing::info!("the read replica is in use again");
                }
            }
            Err(fault) => self.leave_out(&fault, fault.mode()),
        }
    }

    /// Leaves it out because of a failure of its own. With [`Mode::LeftOut`] a replica that is away stays that.
    fn leave_out(&self, fault: &Fault, mode: Mode) {
        if matches!(fault, Fault::PrimaryAway | Fault::Full) {
            return;
        }
        let mut is_new = false;
        self.state.send_if_modified(|state| {
            is_new = state.mode == Mode::InUse;
            if is_new && state.since.elapsed() > STEADY {
                state.failures = 0;
            }
            // Several reads fail at the same time, and are one failure.
            if is_new || Instant::now() >= state.until() {
                (state.since, state.failures) = (Instant::now(), state.failures.saturating_add(1));
            }
            let is_changed = is_new || state.mode < mode;
            if is_changed {
                state.mode = mode;
            }
            is_changed
        });
        if is_new {
            tracing::warn!(reason = %fault, "the read replica is left out: the primary answers all reads");
        }
    }

    fn is_in_use(&self) -> bool {
        self.state.borrow().mode == Mode::InUse
    }

    /// Completes when the replica does not answer.
    async fn is_away(&self) {
        // The sender is in `self`.
        let _ = self.state.subscribe().wait_for(|state| state.mode == Mode::Away).await;
    }

    fn lag(&self) -> std::sync::MutexGuard<'_, Lag> {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes its pools.
    pub(super) fn close(&self) {
        self.pool.close();
        self.primary.pool().close();
    }
}

impl Unit {
    /// A connection to the replica.
    ///
    /// # Errors
    /// [`DbError::Replica`], and those of [`Db::reader`].
    pub(super) async fn reader(&self) -> Result<Lease, DbError> {
        let replica = &self.replica;
        let share = replica.shares.take(replica.options.acquire_timeout).await?;
        replica.current(self, share).await.map_err(|fault| {
            replica.leave_out(&fault, Mode::LeftOut);
            self.failed(fault.to_string())
        })
    }

    /// Records an error of a statement, if it may be the replica's own.
    pub(super) fn record(&self, error: DbError) -> DbError {
        match error {
            // A conflict with what it replays: rows that the statement reads were vacuumed on the primary. Others may be a
            // fault of the request, such as a regular expression that is none. No reason to leave it out.
            DbError::Conflict(text) | DbError::Locked(text) | DbError::Other(text) => self.failed(text),
            DbError::Unavailable(text) | DbError::NotBegun(text) => {
                self.replica.leave_out(&Fault::Away(text.clone()), Mode::LeftOut);
                self.failed(text)
            }
            other => other,
        }
    }

    fn failed(&self, text: String) -> DbError {
        self.has_failed.store(true, Ordering::Relaxed);
        DbError::Replica(text)
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    async fn position(&self) -> Option<Position> {
        *self.position.get_or_init(|| self.replica.primary.now()).await
    }
}
