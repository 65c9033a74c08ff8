//! Who sends a request: passwords checked against the users database, at most once in a while.
//!
//! Two things are remembered, each bounded. A password that was right, as a hash with a key of this process, together
//! with the stored hash that it was checked against: it counts only while the database still has that hash, so a
//! change or the end of a user is known at once. And, for [`SNAPSHOT_TIME`], a user's row with the grants, so that a
//! busy client does not cost a query for each request. Whoever refuses something looks again first
//! ([`Auth::look_again`]), so a grant counts at once everywhere and its withdrawal within that time.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ferroflow_model::{Error, Result, cache::Cache};
use ferroflow_store::{Account, UserStore};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{
    bootstrap,
    caller::Caller,
    config::AuthConfig,
    limit::{Keys, Sender},
    password,
    tokens::Tokens,
    turns::Turns,
};

/// How long a user's row and grants count without another look.
const SNAPSHOT_TIME: Duration = Duration::from_secs(1);

/// Users and their passwords.
pub struct Auth {
    users: UserStore,
    config: AuthConfig,
    tokens: Tokens,
    /// Passwords are remembered under a hash with this key: what is in memory says nothing about them elsewhere.
    key: [u8; 32],
    passwords: Cache<String, Checked>,
    snapshots: Cache<String, Snapshot>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
    turns: Turns,
    epoch: tokio::sync::Mutex<Option<(Instant, Arc<str>)>>,
    /// The server may not make the table of the epoch.
    pub(crate) has_no_epoch: AtomicBool,
}

/// A password that was right.
struct Checked {
    digest: [u8; 32],
    stored: String,
    until: Instant,
}

#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) caller: Arc<Caller>,
    pub(crate) stored: Arc<str>,
    taken: Instant,
}

impl Auth {
    /// Knows the users of a database.
    #[must_use]
    pub fn new(users: UserStore, config: AuthConfig, tokens: Tokens) -> Self {
        // Without a time that counts, nothing is remembered.
        let size = if config.cache_time.is_zero() { 0 } else { config.cache_size };
        Self {
            users,
            config,
            tokens,
            key: rand::random(),
            passwords: Cache::new(size),
            snapshots: Cache::new(size),
            changes: AtomicU64::new(0),
            turns: Turns::of_machine(),
            epoch: tokio::sync::Mutex::default(),
            has_no_epoch: AtomicBool::new(false),
        }
    }

    /// The users database.
    #[must_use]
    pub fn users(&self) -> &UserStore {
        &self.users
    }

    /// Who has a name and a password, or nobody. It takes as long for a name that nobody has. `from` is the address of
    /// who asks, from which only so many logins may fail.
    ///
    /// # Errors
    /// The database failed, too many logins wait, or too many have failed.
    pub async fn authenticate(
        &self,
        username: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<Arc<Caller>>> {
        let digest = self.digest(password);
        if let Some(found) = self.snapshot(username).await?
            && self.was_right(username, &digest, &found.stored)
        {
            return Ok(Some(found.caller));
        }
        let from = from.map(Sender::of);
        let keys = Keys::new(username, from);
        let standing = keys.check(&self.users).await?;
        let turn = self.turns.take(from.filter(|_| !standing.is_known)).await?;
        // Those who were checked while this one waited may have been too many.
        keys.check(&self.users).await?;
        // What was read a moment ago may be an old password, and whoever waited may find that somebody else has had the
        // same one checked.
        let snapshot = self.load(username).await?;
        if let Some(found) = &snapshot
            && self.was_right(username, &digest, &found.stored)
        {
            return Ok(Some(Arc::clone(&found.caller)));
        }
        let stored: Arc<str> =
            snapshot.as_ref().map_or_else(|| password::NOBODY.into(), |found| Arc::clone(&found.stored));
        let right = self.check(&stored, password).await?;
        drop(turn);
        let Some(found) = snapshot.filter(|_| right) else {
            keys.failed(&self.users, &*stored != password::NOBODY).await;
            return Ok(None);
        };
        if found.caller.is_admin && password == bootstrap::LEGACY_PASSWORD {
            bootstrap::warn_of_refused_login(username);
            return Ok(None);
        }
        self.remember(username, digest, &stored);
        keys.succeeded(&self.users).await;
        Ok(Some(found.caller))
    }

    /// Whether a password is that of a user who is logged in and says it again. Failures count as those of logins do: a
    /// browser that was left open is no place to guess at.
    ///
    /// # Errors
    /// The database failed, too many logins wait, or too many have failed.
    pub async fn confirm_password(&self, username: &str, password: &str) -> Result<bool> {
        let keys = Keys::of_session(username);
        keys.check(&self.users).await?;
        let is_right = self.is_password(username, password).await?;
        if is_right {
            keys.succeeded(&self.users).await;
        } else {
            keys.failed(&self.users, false).await;
        }
        Ok(is_right)
    }

    /// Whether a password is a user's, checked anew.
    ///
    /// # Errors
    /// The database failed, or too many logins wait.
    pub(crate) async fn is_password(&self, username: &str, password: &str) -> Result<bool> {
        let user = self.users.find_user(username).await?;
        let _turn = self.turns.take(None).await?;
        let stored = user.as_ref().map_or(password::NOBODY, |user| user.password_hash.as_str());
        Ok(self.check(stored, password).await? && user.is_some())
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// It is too short, or too many logins wait.
    pub async fn hash(&self, password: &str) -> Result<String> {
        ferroflow_model::validation::password(password)?;
        let _turn = self.turns.take(None).await?;
        let password = password.to_owned();
        blocking(move || password::hash(&password)).await
    }

    /// A user as the database has it now.
    ///
    /// # Errors
    /// The database failed.
    pub async fn look_again(&self, username: &str) -> Result<Option<Arc<Caller>>> {
        Ok(self.load(username).await?.map(|found| found.caller))
    }

    /// Something changed: nothing that was read before counts any more in this process.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.snapshots.clear();
    }

    /// What sessions and remembered tokens are bound to, as it was at most [`SNAPSHOT_TIME`] ago. With another one than
    /// before, nothing that is remembered counts any more.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn epoch(&self) -> Result<Arc<str>> {
        if self.has_no_epoch.load(Ordering::Relaxed) {
            return Ok("".into());
        }
        let mut known = self.epoch.lock().await;
        if let Some((taken, epoch)) = &*known
            && taken.elapsed() < SNAPSHOT_TIME
        {
            return Ok(Arc::clone(epoch));
        }
        let taken = Instant::now();
        let epoch: Arc<str> = self.users.login_epoch().await?.into();
        if known.as_ref().is_some_and(|(_, before)| *before != epoch) {
            tracing::warn!("the users database was restored, or sessions were ended: everybody logs in anew");
            self.passwords.clear();
            self.changed();
        }
        *known = Some((taken, Arc::clone(&epoch)));
        Ok(epoch)
    }

    pub(crate) async fn snapshot(&self, username: &str) -> Result<Option<Snapshot>> {
        match self.snapshots.get(username).filter(|known| known.taken.elapsed() < SNAPSHOT_TIME) {
            Some(known) => Ok(Some(known)),
            None => self.load(username).await,
        }
    }

    pub(crate) async fn load(&self, username: &str) -> Result<Option<Snapshot>> {
        let changes = self.changes.load(Ordering::SeqCst);
        let taken = Instant::now();
        let Some(account) = self.users.account(username).await? else {
            self.snapshots.remove(username);
            self.passwords.remove(username);
            return Ok(None);
        };
        let snapshot = self.taken(account, taken);
        let unchanged = || self.changes.load(Ordering::SeqCst) == changes;
        self.snapshots.insert_if(username.to_owned(), snapshot.clone(), unchanged);
        Ok(Some(snapshot))
    }

    fn taken(&self, account: Account, taken: Instant) -> Snapshot {
        let stored = Arc::from(account.user.password_hash.as_str());
        Snapshot { caller: Arc::new(Caller::new(account, self.config.default_permission)), stored, taken }
    }

    /// A hash of a password or a token with the key of this process.
    pub(crate) fn digest(&self, password: &str) -> [u8; 32] {
        // HMAC takes keys of any length.
        Hmac::<Sha256>::new_from_slice(&self.key).map_or([0; 32], |mut mac| {
            mac.update(password.as_bytes());
            mac.finalize().into_bytes().into()
        })
    }

    fn was_right(&self, username: &str, digest: &[u8; 32], stored: &str) -> bool {
        self.passwords.has(username, |checked| {
            bool::from(checked.digest.ct_eq(digest)) && checked.stored == stored && checked.until > Instant::now()
        })
    }

    fn remember(&self, username: &str, digest: [u8; 32], stored: &str) {
        let until = Instant::now() + self.config.cache_time;
        self.passwords.insert(username.to_owned(), Checked { digest, stored: stored.to_owned(), until });
    }

    async fn check(&self, stored: &str, password: &str) -> Result<bool> {
        let (stored, password) = (stored.to_owned(), password.to_owned());
        blocking(move || password::verify(&stored, &password)).await
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn config(&self) -> &AuthConfig {
        &self.config
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal(format!("A password was not checked: {error}")))
}
