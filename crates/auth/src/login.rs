//! Authentication of requests with passwords, against the users database and two bounded caches.
//!
//! A verified password is cached as a hash with a key of this process, together with the stored hash that it was
//! verified against. It is valid only while the database has the same hash, so a changed password and a deleted user
//! are effective at once. A user's row with its grants is cached for [`SNAPSHOT_TIME`], so that a busy client does not
//! cost a query per request; a change by this process invalidates it. Before a request is refused, the row is reloaded ([`Auth::reload`]), so a new grant is
//! effective at once on all replicas, and a revocation within that time.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ferroflow_model::{Error, Result, cache::Cache};
use ferroflow_store::{User, UserStore};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::{
    bootstrap,
    caller::{Caller, Policy},
    config::AuthConfig,
    hash_limiter::HashLimiter,
    limit::{LimitKeys, Sender},
    password,
    tokens::Tokens,
};

/// Time for which a user's row and grants are cached.
const SNAPSHOT_TIME: Duration = Duration::from_secs(1);

/// Authenticates users.
pub struct Auth {
    users: UserStore,
    config: AuthConfig,
    has_workspaces: bool,
    tokens: Tokens,
    /// Keys the hashes of cached passwords, so that they are useless outside of this process.
    key: [u8; 32],
    passwords: Cache<String, VerifiedPassword>,
    snapshots: Cache<String, Snapshot>,
    hash_limiter: HashLimiter,
    epoch: tokio::sync::Mutex<Option<(Instant, Arc<str>)>>,
    /// Whether the login epoch is unavailable, because the database role may not create its table.
    pub(crate) is_epoch_unavailable: AtomicBool,
}

/// A verified password.
struct VerifiedPassword {
    digest: [u8; 32],
    stored: String,
    until: Instant,
}

#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) caller: Arc<Caller>,
    pub(crate) stored: Arc<str>,
    /// [`UserStore::changes`] when it was read.
    changes: u64,
    loaded: Instant,
}

impl Auth {
    /// Authenticates against a users database, on a server with or without workspaces.
    #[must_use]
    pub fn new(users: UserStore, config: AuthConfig, tokens: Tokens, has_workspaces: bool) -> Self {
        // If the cache time is zero, nothing is cached.
        let size = if config.cache_time.is_zero() { 0 } else { config.cache_size };
        Self {
            users,
            config,
            has_workspaces,
            tokens,
            key: rand::random(),
            passwords: Cache::new(size),
            snapshots: Cache::new(size),
            hash_limiter: HashLimiter::for_this_machine(),
            epoch: tokio::sync::Mutex::default(),
            is_epoch_unavailable: AtomicBool::new(false),
        }
    }

    /// The users database.
    #[must_use]
    pub fn users(&self) -> &UserStore {
        &self.users
    }

    /// Returns the user with this name and password, or `None`. Takes the same time for unknown names. `from` is the
    /// client's address, for which failures are limited.
    ///
    /// # Errors
    /// The database failed, too many logins are waiting, or too many have failed.
    pub async fn authenticate(
        &self,
        username: &str,
        password: &str,
        from: Option<IpAddr>,
    ) -> Result<Option<Arc<Caller>>> {
        let digest = self.digest(password);
        if let Some(found) = self.snapshot(username).await?
            && self.is_cached(username, &digest, &found.stored)
        {
            return Ok(Some(found.caller));
        }
        let from = from.map(Sender::of);
        let keys = LimitKeys::new(username, from);
        let sender_status = keys.check(&self.users).await?;
        let permit = self.hash_limiter.acquire(from.filter(|_| !sender_status.is_known)).await?;
        // Logins verified meanwhile may have exceeded the limit.
        keys.check(&self.users).await?;
        // The cached row may be outdated, and another request may have verified the same password meanwhile.
        let snapshot = self.load(username).await?;
        if let Some(found) = &snapshot
            && self.is_cached(username, &digest, &found.stored)
        {
            return Ok(Some(Arc::clone(&found.caller)));
        }
        let stored: Arc<str> =
            snapshot.as_ref().map_or_else(|| password::DUMMY_HASH.into(), |found| Arc::clone(&found.stored));
        let is_correct = self.check(&stored, password).await?;
        drop(permit);
        let Some(found) = snapshot.filter(|_| is_correct) else {
            keys.failed(&self.users, &*stored != password::DUMMY_HASH).await;
            return Ok(None);
        };
        if found.caller.is_admin && password == bootstrap::LEGACY_PASSWORD {
            bootstrap::warn_of_refused_login(username);
            return Ok(None);
        }
        self.cache_password(username, digest, &stored);
        keys.succeeded(&self.users).await;
        Ok(Some(found.caller))
    }

    /// Whether a password is that of a logged-in user who confirms it. Failures are limited as those of logins are,
    /// since an unattended browser must not be usable for guessing.
    ///
    /// # Errors
    /// The database failed, too many logins are waiting, or too many have failed.
    pub async fn confirm_password(&self, username: &str, password: &str) -> Result<bool> {
        let keys = LimitKeys::for_own_password(username);
        keys.check(&self.users).await?;
        let is_correct = self.is_password(username, password).await?;
        if is_correct {
            keys.succeeded(&self.users).await;
        } else {
            keys.failed(&self.users, false).await;
        }
        Ok(is_correct)
    }

    /// Verifies a user's password without the cache.
    ///
    /// # Errors
    /// The database failed, or too many logins are waiting.
    pub(crate) async fn is_password(&self, username: &str, password: &str) -> Result<bool> {
        let user = self.users.find_user(username).await?;
        let _permit = self.hash_limiter.acquire(None).await?;
        let stored = user.as_ref().map_or(password::DUMMY_HASH, |user| user.password_hash.as_str());
        Ok(self.check(stored, password).await? && user.is_some())
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// It is too short, or too many logins are waiting.
    pub async fn hash(&self, password: &str) -> Result<String> {
        ferroflow_model::validation::password(password)?;
        let _permit = self.hash_limiter.acquire(None).await?;
        let password = password.to_owned();
        blocking(move || password::hash(&password)).await
    }

    /// Reloads a caller from the database, with its grants in the same workspace. What a cluster allows is as old as its
    /// cache: the API server is not asked again for every refusal.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reload(&self, caller: &Caller) -> Result<Option<Arc<Caller>>> {
        if caller.is_of_cluster() {
            return Ok(Some(Arc::new(caller.clone())));
        }
        self.user_within(&caller.username, caller.workspace()).await
    }

    /// Loads a user from the database, with its grants in a workspace; `None` on a server without workspaces.
    ///
    /// # Errors
    /// The database failed.
    pub async fn user_within(&self, username: &str, workspace: Option<&str>) -> Result<Option<Arc<Caller>>> {
        Ok(self.load(username).await?.map(|found| found.caller.within(workspace)))
    }

    /// Whether a caller may name a workspace as that of a request ([`Caller::may_enter`]), with the roles of the
    /// database if it is not so with the known ones.
    ///
    /// # Errors
    /// The database failed.
    pub async fn may_enter(&self, caller: &Caller, workspace: &str) -> Result<bool> {
        if caller.may_enter(workspace) {
            return Ok(true);
        }
        Ok(self.load(&caller.username).await?.is_some_and(|found| found.caller.may_enter(workspace)))
    }

    /// Whether a new workspace gets a role for its managers and one for its members.
    #[must_use]
    pub fn seeds_workspace_roles(&self) -> bool {
        self.config.seed_default_roles
    }

    /// The login epoch, which sessions and cached tokens are bound to, at most [`SNAPSHOT_TIME`] old. A new epoch
    /// invalidates all caches.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn epoch(&self) -> Result<Arc<str>> {
        if self.is_epoch_unavailable.load(Ordering::Relaxed) {
            return Ok("".into());
        }
        let mut known = self.epoch.lock().await;
        if let Some((loaded, epoch)) = &*known
            && loaded.elapsed() < SNAPSHOT_TIME
        {
            return Ok(Arc::clone(epoch));
        }
        let loaded = Instant::now();
        let epoch: Arc<str> = self.users.login_epoch().await?.into();
        if known.as_ref().is_some_and(|(_, before)| *before != epoch) {
            tracing::warn!("the users database was restored, or sessions were ended: all users must log in again");
            self.passwords.clear();
            self.snapshots.clear();
        }
        *known = Some((loaded, Arc::clone(&epoch)));
        Ok(epoch)
    }

    pub(crate) async fn snapshot(&self, username: &str) -> Result<Option<Snapshot>> {
        let changes = self.users.changes();
        let is_fresh = |known: &Snapshot| known.changes == changes && known.loaded.elapsed() < SNAPSHOT_TIME;
        match self.snapshots.get(username).filter(is_fresh) {
            Some(known) => Ok(Some(known)),
            None => self.load(username).await,
        }
    }

    pub(crate) async fn load(&self, username: &str) -> Result<Option<Snapshot>> {
        // Read before the row: after a change in between, the snapshot is stale at once.
        let changes = self.users.changes();
        let loaded = Instant::now();
        let Some((stored, caller)) = self.load_caller(username).await? else {
            self.snapshots.remove(username);
            self.passwords.remove(username);
            return Ok(None);
        };
        let snapshot = Snapshot { caller: Arc::new(caller), stored, changes, loaded };
        self.snapshots.insert(username.to_owned(), snapshot.clone());
        Ok(Some(snapshot))
    }

    /// The stored password hash of a user, and the user.
    async fn load_caller(&self, username: &str) -> Result<Option<(Arc<str>, Caller)>> {
        let policy = Policy {
            default: self.config.default_permission,
            grants_default_workspace: self.config.grant_default_workspace_access,
        };
        let hash = |user: &User| Arc::from(user.password_hash.as_str());
        Ok(if self.has_workspaces {
            let member = self.users.member(username).await?;
            member.map(|member| (hash(&member.user), Caller::with_workspaces(member, policy)))
        } else {
            let account = self.users.account(username).await?;
            account.map(|account| (hash(&account.user), Caller::new(account, policy)))
        })
    }

    /// A keyed hash of a password or a token, with the key of this process.
    pub(crate) fn digest(&self, password: &str) -> [u8; 32] {
        // HMAC takes keys of any length.
        Hmac::<Sha256>::new_from_slice(&self.key).map_or([0; 32], |mut mac| {
            mac.update(password.as_bytes());
            mac.finalize().into_bytes().into()
        })
    }

    fn is_cached(&self, username: &str, digest: &[u8; 32], stored: &str) -> bool {
        self.passwords.has(username, |verified| {
            bool::from(verified.digest.ct_eq(digest)) && verified.stored == stored && verified.until > Instant::now()
        })
    }

    fn cache_password(&self, username: &str, digest: [u8; 32], stored: &str) {
        let until = Instant::now() + self.config.cache_time;
        self.passwords.insert(username.to_owned(), VerifiedPassword { digest, stored: stored.to_owned(), until });
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
        .map_err(|error| Error::internal(format!("A password check failed: {error}")))
}
