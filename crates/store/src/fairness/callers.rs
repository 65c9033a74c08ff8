//! The callers of a server, and what their requests hold.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use ferroflow_model::limits;
use tokio::sync::Semaphore;

use super::Refused;

tokio::task_local! {
    static CALLER: Arc<Caller>;
}

/// Number of callers that are kept although no request of theirs runs.
const KEPT: usize = 1024;

/// Runs `work` on behalf of a caller: what it takes counts towards that caller's shares. Work outside of this, such as a
/// login, a readiness probe or a job, has no share and only waits for the total.
pub async fn as_caller<F: Future>(caller: Arc<Caller>, work: F) -> F::Output {
    CALLER.scope(caller, work).await
}

/// What requests share, and a caller has a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The memory of short bodies.
    ShortBodies,
    /// The memory of long bodies.
    LongBodies,
    /// The memory of messages parsed from short bodies.
    ShortMessages,
    /// The memory of messages parsed from long bodies.
    LongMessages,
    /// Places in the queues of the batching writer.
    Writes,
    /// The memory of spans that wait to be written.
    Spans,
    /// Places in the queue of traces that clients start.
    TraceStarts,
}

impl Resource {
    const COUNT: usize = 7;

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShortBodies => "short_bodies",
            Self::LongBodies => "long_bodies",
            Self::ShortMessages => "short_messages",
            Self::LongMessages => "long_messages",
            Self::Writes => "writes",
            Self::Spans => "spans",
            Self::TraceStarts => "trace_starts",
        }
    }
}

/// A user, or without users the address of a client.
pub struct Caller {
    name: Arc<str>,
    running: AtomicUsize,
    /// By resource; made when it is first used.
    shares: [OnceLock<CallerShare>; Resource::COUNT],
}

/// A caller's share of a resource.
pub(super) struct CallerShare {
    pub(super) permits: Semaphore,
    /// Requests that wait for one.
    pub(super) waiting: AtomicUsize,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.name).finish()
    }
}

impl Caller {
    /// A caller that is in no list, for tests.
    #[must_use]
    pub fn named(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.into(), running: AtomicUsize::new(0), shares: [const { OnceLock::new() }; _] })
    }

    /// The name: `user alice`, `192.0.2.7`, `2001:db8::/64`.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The caller of the current task; `None` outside of [`as_caller`].
    pub(crate) fn current() -> Option<Arc<Self>> {
        CALLER.try_with(Arc::clone).ok()
    }

    /// Identifies a caller as long as something of it is held; 0 without one.
    pub(crate) fn id(caller: Option<&Arc<Self>>) -> usize {
        caller.map_or(0, |caller| Arc::as_ptr(caller).addr())
    }

    /// The share of a resource, of `size` permits when it is first used.
    pub(super) fn share(&self, resource: Resource, size: usize) -> &CallerShare {
        self.shares[resource as usize]
            .get_or_init(|| CallerShare { permits: Semaphore::new(size), waiting: AtomicUsize::new(0) })
    }
}

/// Whom a request is attributed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKey<'a> {
    /// The authenticated user.
    User(&'a str),
    /// The client's address. For IPv6 its /64 network counts, since a host usually has a whole one.
    Address(IpAddr),
    /// A request without either.
    Unknown,
}

/// The callers of a server, with their running requests. Clones share them.
#[derive(Debug, Clone)]
pub struct Callers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    known: Mutex<Known>,
    running: AtomicUsize,
    /// Maximum number of running requests.
    size: usize,
    refused: [AtomicU64; 2],
}

#[derive(Debug)]
struct Known {
    users: HashMap<Arc<str>, Arc<Caller>>,
    addresses: HashMap<Option<IpAddr>, Arc<Caller>>,
    /// Number of callers at which those without requests are removed.
    most: usize,
}

impl Default for Callers {
    fn default() -> Self {
        Self::new(limits::REQUESTS)
    }
}

impl Callers {
    /// At most `requests` run at once, at most half of them for one caller.
    #[must_use]
    pub fn new(requests: usize) -> Self {
        let known = Known { users: HashMap::new(), addresses: HashMap::new(), most: KEPT };
        let (known, running, refused) = (Mutex::new(known), AtomicUsize::new(0), Default::default());
        Self(Arc::new(Inner { known, running, size: requests, refused }))
    }

    /// Counts a request as running until the result is dropped.
    ///
    /// # Errors
    /// Too many requests run, of the caller or in total.
    pub fn enter(&self, key: CallerKey<'_>) -> Result<Entered, Refused> {
        let caller = self.caller(key);
        let of_caller = caller.running.fetch_add(1, Ordering::Relaxed);
        let in_total = self.0.running.fetch_add(1, Ordering::Relaxed);
        // Its destructor counts it out again if it is refused.
        let entered = Entered { callers: Arc::clone(&self.0), caller };
        let refused = if of_caller >= (self.0.size / 2).max(1) {
            Refused::Caller
        } else if in_total >= self.0.size {
            Refused::Total
        } else {
            return Ok(entered);
        };
        self.0.refused[refused as usize].fetch_add(1, Ordering::Relaxed);
        Err(refused)
    }

    /// Number of refused requests since the start: for the caller's share, and for the total.
    #[must_use]
    pub fn refused(&self) -> [u64; 2] {
        self.0.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn caller(&self, key: CallerKey<'_>) -> Arc<Caller> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match key {
            CallerKey::User(name) => known.users.get(name),
            CallerKey::Address(address) => known.addresses.get(&Some(network(address))),
            CallerKey::Unknown => known.addresses.get(&None),
        };
        if let Some(found) = found {
            return Arc::clone(found);
        }
        known.make_room();
        match key {
            CallerKey::User(name) => {
                let caller = Caller::named(&format!("user {name}"));
                known.users.insert(name.into(), Arc::clone(&caller));
                caller
            }
            CallerKey::Address(address) => {
                let network = network(address);
                let caller = match network {
                    IpAddr::V4(_) => Caller::named(&network.to_string()),
                    IpAddr::V6(_) => Caller::named(&format!("{network}/64")),
                };
                known.addresses.insert(Some(network), Arc::clone(&caller));
                caller
            }
            CallerKey::Unknown => {
                let caller = Caller::named("");
                known.addresses.insert(None, Arc::clone(&caller));
                caller
            }
        }
    }
}

impl Known {
    /// Removes callers of whom nothing runs or is held, when there are many.
    fn make_room(&mut self) {
        if self.users.len() + self.addresses.len() < self.most {
            return;
        }
        retain_used(&mut self.users);
        retain_used(&mut self.addresses);
        self.most = KEPT.max(2 * (self.users.len() + self.addresses.len()));
    }
}

fn retain_used<K: Eq + Hash>(callers: &mut HashMap<K, Arc<Caller>>) {
    callers.retain(|_, caller| Arc::strong_count(caller) > 1);
}

/// An IPv4 address, or the /64 network of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A running request of a caller.
#[derive(Debug)]
pub struct Entered {
    callers: Arc<Inner>,
    caller: Arc<Caller>,
}

impl Entered {
    /// Its caller.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.caller.running.fetch_sub(1, Ordering::Relaxed);
        self.callers.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> CallerKey<'static> {
        CallerKey::Address(text.parse().unwrap())
    }

    #[test]
    fn a_caller_runs_half_of_the_requests() {
        let callers = Callers::new(4);
        let alice = || callers.enter(CallerKey::User("alice"));
        let first = alice().unwrap();
        let _second = alice().unwrap();
        for _ in 0..2 {
            assert_eq!(alice().unwrap_err(), Refused::Caller);
        }
        let _of_bob = [callers.enter(CallerKey::User("bob")).unwrap(), callers.enter(CallerKey::User("bob")).unwrap()];
        assert_eq!(callers.enter(address("192.0.2.1")).unwrap_err(), Refused::Total);
        assert_eq!(callers.refused(), [2, 1], "for the caller's share, and for the total");
        drop(first);
        alice().unwrap();
    }

    #[test]
    fn callers_are_users_addresses_and_networks() {
        let callers = Callers::new(100);
        let name = |key| callers.enter(key).unwrap().caller().name().to_string();
        assert_eq!(name(CallerKey::User("192.0.2.1")), "user 192.0.2.1");
        assert_eq!(name(address("192.0.2.1")), "192.0.2.1");
        assert_eq!(name(address("::ffff:192.0.2.1")), "192.0.2.1");
        assert_eq!(name(address("2001:db8::1:2:3")), "2001:db8::/64");
        let same =
            |one, other| Arc::ptr_eq(callers.enter(one).unwrap().caller(), callers.enter(other).unwrap().caller());
        assert!(same(address("2001:db8::1"), address("2001:db8::2")));
        assert!(!same(address("2001:db8:0:1::1"), address("2001:db8::1")));
        assert!(!same(CallerKey::User("192.0.2.1"), address("192.0.2.1")));
    }

    #[test]
    fn nothing_is_kept_of_many_callers_that_are_gone() {
        let callers = Callers::new(10);
        let held = callers.enter(CallerKey::User("held")).unwrap();
        for number in 0..10 * KEPT {
            drop(callers.enter(CallerKey::User(&number.to_string())).unwrap());
        }
        let known = callers.0.known.lock().unwrap();
        assert!(known.users.len() <= KEPT, "{}", known.users.len());
        assert!(Arc::ptr_eq(&known.users["held"], held.caller()));
    }
}
