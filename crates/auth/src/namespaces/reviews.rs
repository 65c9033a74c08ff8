//! Access reviews: the API server is asked with a caller's own token what the caller may do in a namespace
//! (`SelfSubjectAccessReview`,
//! <https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-access-review-v1/>), or with
//! the server's own about a user and its groups (`SubjectAccessReview`,
//! <https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/>).
//!
//! Each answer is cached by caller, namespace, resource and verb. Requests that need the same answer share one review. What
//! is allowed on single resources is asked about the names that the caller's rules have (`names.rs`). Kubernetes tells
//! these to their owner only; the server is told those of another user by OpenShift (`SubjectRulesReview`,
//! <https://docs.redhat.com/en/documentation/openshift_container_platform/4.19/html/authorization_apis/subjectrulesreview-authorization-openshift-io-v1>),
//! and elsewhere by no API server: nothing is allowed by names then.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ferroflow_model::{Error, ErrorCode, Result, cache::Cache};
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore};

use super::{
    names::{self, Named, Names},
    no_token,
    rights::{GROUP, Resource, Rights, Verb, Verbs},
};
use crate::{
    caller::{Caller, Credential, Subject},
    tokens::api_server::{ApiServer, MAX_ANSWER, message},
};

const API: &str = "authorization.k8s.io/v1";
const OWN_ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const OWN_RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Maximum size of the rules of a caller in a namespace, in bytes.
const MAX_RULES: usize = 4 * 1024 * 1024;

/// Time for which a failure is cached, so that an API server that does not answer is not asked by every request.
pub(super) const FAILURE_TIME: Duration = Duration::from_secs(1);

/// Maximum number of cached pairs of caller and namespace.
const CAPACITY: usize = 20_000;

/// Maximum number of concurrent reviews, of all callers and of one list of workspaces, and how long one waits.
const MAX_REVIEWS: usize = 32;
const MAX_OF_LIST: usize = 16;
const WAIT: Duration = Duration::from_secs(5);

type Key = ([u8; 32], Box<str>);

pub(super) struct Reviews {
    api: ApiServer,
    cache: Duration,
    known: Cache<Key, Arc<Known>>,
    permits: Semaphore,
}

/// What is known about a caller in a namespace.
struct Known {
    since: Instant,
    answers: [[OnceCell<Answer>; Verb::ALL.len()]; Resource::ALL.len()],
    named: OnceCell<Result<Arc<Names>, Failure>>,
    has_failed: AtomicBool,
    /// The caller with the rights of all answers.
    caller: OnceLock<Arc<Caller>>,
}

type Answer = Result<bool, Failure>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The API server does not accept the token any more.
    Unauthenticated,
    /// The token may not ask.
    Forbidden,
    /// Too many reviews wait.
    Busy,
    /// The API server does not answer, or not as it should.
    Unavailable,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unauthenticated => {
                Self::new(ErrorCode::Unauthenticated, "The Kubernetes API server does not accept the token any more.")
            }
            Failure::Forbidden => Self::new(
                ErrorCode::PermissionDenied,
                "The token may not ask the Kubernetes API server for its permissions (SelfSubjectAccessReview).",
            ),
            Failure::Busy => Self::busy("Too many permissions are being reviewed. Try again later."),
            Failure::Unavailable => {
                Self::unavailable("The Kubernetes API server cannot review permissions now. Try again later.")
            }
        }
    }
}

impl Reviews {
    pub(super) fn new(api: ApiServer, cache: Duration) -> Self {
        Self { api, cache, known: Cache::new(CAPACITY), permits: Semaphore::new(MAX_REVIEWS) }
    }

    /// The caller with its rights in a namespace; `None` if it has none.
    pub(super) async fn caller(&self, caller: &Arc<Caller>, namespace: &str) -> Result<Option<Arc<Caller>>> {
        let credential = caller.credential().ok_or_else(no_token)?;
        let known = self.known(credential, namespace);
        if let Some(there) = known.caller.get().filter(|there| there.user_id == caller.user_id) {
            return Ok(Some(Arc::clone(there)));
        }
        let rights = self.rights(&known, credential, namespace).await?;
        let names = self.names(&known, credential, namespace, rights).await?;
        if rights.is_none() && names.is_empty() {
            return Ok(None);
        }
        let there = Arc::new(caller.in_namespace(namespace, rights, names));
        // Lost only if another request was faster, with the same rights.
        let _ = known.caller.set(Arc::clone(&there));
        Ok(Some(there))
    }

    /// In which namespaces the caller may read something, in their order.
    pub(super) async fn readable(&self, caller: &Caller, namespaces: &[&str]) -> Result<Vec<bool>> {
        let credential = caller.credential().ok_or_else(no_token)?;
        // Who may read in all namespaces need not be asked about each.
        if self.is_readable(credential, "").await? {
            return Ok(vec![true; namespaces.len()]);
        }
        let mut found = Vec::with_capacity(namespaces.len());
        for some in namespaces.chunks(MAX_OF_LIST) {
            found.extend(try_join_all(some.iter().map(|namespace| self.is_readable(credential, namespace))).await?);
        }
        Ok(found)
    }

    async fn is_readable(&self, caller: &Credential, namespace: &str) -> Result<bool> {
        let known = self.known(caller, namespace);
        for resource in Resource::ALL {
            if self.may_read(&known, caller, namespace, resource).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn may_read(&self, known: &Known, caller: &Credential, namespace: &str, resource: Resource) -> Result<bool> {
        for verb in [Verb::List, Verb::Get] {
            if !self.answer(known, caller, namespace, resource, verb).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn rights(&self, known: &Known, caller: &Credential, namespace: &str) -> Result<Rights> {
        let of = |resource| async move {
            let ask = |verb| self.answer(known, caller, namespace, resource, verb);
            let (list, get, update) = tokio::try_join!(ask(Verb::List), ask(Verb::Get), ask(Verb::Update))?;
            if !(list && get) {
                return Ok(Verbs { update, ..Verbs::default() });
            }
            let (create, delete) = tokio::try_join!(ask(Verb::Create), ask(Verb::Delete))?;
            Ok::<_, Error>(Verbs { read: true, create, update, delete })
        };
        let [experiments, models, datasets] = Resource::ALL.map(of);
        let (experiments, models, datasets) = tokio::try_join!(experiments, models, datasets)?;
        Ok(Rights { experiments, models, datasets })
    }

    /// What is allowed on single resources, beyond the rights on all of them.
    async fn names(&self, known: &Known, caller: &Credential, namespace: &str, rights: Rights) -> Result<Arc<Names>> {
        let names = known.named.get_or_init(|| self.review_names(caller, namespace, rights)).await;
        names.clone().map_err(|failure| {
            known.has_failed.store(true, Ordering::Relaxed);
            failure.into()
        })
    }

    async fn review_names(&self, caller: &Credential, namespace: &str, rights: Rights) -> Result<Arc<Names>, Failure> {
        let is_wanted = |resource| !rights.of(resource).are_all();
        if !Resource::ALL.into_iter().any(is_wanted) {
            return Ok(Arc::default());
        }
        let Some(status) = self.rules(caller, namespace).await? else { return Ok(Arc::default()) };
        let mentioned = names::mentioned(status, is_wanted).map_err(|reason| failed(&reason, Failure::Unavailable))?;
        let mut found = Vec::new();
        for some in mentioned.chunks(MAX_OF_LIST / 3) {
            found.extend(try_join_all(some.iter().map(|of| self.review_name(caller, namespace, rights, of))).await?);
        }
        let is_allowed_something = |named: &Named| named.verbs.read || named.verbs.update;
        Ok(Arc::new(Names::new(found.into_iter().filter(is_allowed_something).collect())))
    }

    /// The status of a review of the caller's rules; `None` if it may not be asked for.
    async fn rules(&self, caller: &Credential, namespace: &str) -> Result<Option<Value>, Failure> {
        let (path, body) = match caller.subject() {
            Subject::Token(_) => {
                let spec = json!({"namespace": namespace});
                (OWN_RULES.to_owned(), review_of(API, "SelfSubjectRulesReview", &spec))
            }
            Subject::User { name, groups } => {
                let path = format!("/apis/authorization.openshift.io/v1/namespaces/{namespace}/subjectrulesreviews");
                let spec = json!({"user": name, "groups": groups, "scopes": []});
                (path, review_of("authorization.openshift.io/v1", "SubjectRulesReview", &spec))
            }
        };
        match self.post(&path, caller, &body, MAX_RULES).await? {
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => Ok(None),
            answer => accepted(caller, answer).map(|mut value| value.get_mut("status").map(Value::take)),
        }
    }

    /// What is allowed on the resource with a name.
    async fn review_name(
        &self,
        caller: &Credential,
        namespace: &str,
        rights: Rights,
        (resource, name): &(Resource, Box<str>),
    ) -> Result<Named, Failure> {
        let all = rights.of(*resource);
        let ask = |is_allowed: bool, verb| async move {
            if is_allowed { Ok(true) } else { self.review(caller, namespace, *resource, verb, Some(&**name)).await }
        };
        let (read, update, delete) =
            tokio::try_join!(ask(all.read, Verb::Get), ask(all.update, Verb::Update), ask(all.delete, Verb::Delete))?;
        let verbs = Verbs { read, create: false, update, delete };
        Ok(Named { resource: *resource, name: name.clone(), verbs })
    }

    /// What is known about a caller in a namespace; nothing, if it is too old.
    fn known(&self, caller: &Credential, namespace: &str) -> Arc<Known> {
        let key = (*caller.digest(), Box::from(namespace));
        if let Some(known) = self.known.get(&key).filter(|known| known.is_fresh(self.cache)) {
            return known;
        }
        let known = Arc::new(Known::new());
        self.known.insert(key, Arc::clone(&known));
        known
    }

    async fn answer(
        &self,
        known: &Known,
        caller: &Credential,
        namespace: &str,
        resource: Resource,
        verb: Verb,
    ) -> Result<bool> {
        let cell = &known.answers[resource as usize][verb as usize];
        let answer = cell.get_or_init(|| self.review(caller, namespace, resource, verb, None)).await;
        answer.map_err(|failure| {
            known.has_failed.store(true, Ordering::Relaxed);
            failure.into()
        })
    }

    /// Whether a verb is allowed on all resources of a kind, or on that with a name.
    async fn review(
        &self,
        caller: &Credential,
        namespace: &str,
        resource: Resource,
        verb: Verb,
        name: Option<&str>,
    ) -> Answer {
        let mut attributes =
            json!({"group": GROUP, "resource": resource.name(), "verb": verb.name(), "namespace": namespace});
        if let Some(name) = name {
            attributes["name"] = name.into();
        }
        let (path, body) = match caller.subject() {
            Subject::Token(_) => {
                (OWN_ACCESS, review_of(API, "SelfSubjectAccessReview", &json!({"resourceAttributes": attributes})))
            }
            Subject::User { name, groups } => {
                let spec = json!({"user": name, "groups": groups, "resourceAttributes": attributes});
                (ACCESS, review_of(API, "SubjectAccessReview", &spec))
            }
        };
        let answer = accepted(caller, self.post(path, caller, &body, MAX_ANSWER).await?)?;
        let allowed = answer.pointer("/status/allowed").and_then(Value::as_bool);
        allowed.ok_or_else(|| failed("the response does not say what is allowed", Failure::Unavailable))
    }

    /// Creates a review, with the token of the caller or that of the server.
    async fn post(
        &self,
        path: &str,
        caller: &Credential,
        body: &Value,
        max: usize,
    ) -> Result<(StatusCode, Value), Failure> {
        let Ok(Ok(_permit)) = tokio::time::timeout(WAIT, self.permits.acquire()).await else {
            return Err(Failure::Busy);
        };
        let answer = async {
            match caller.subject() {
                Subject::Token(token) => self.api.create(path, token, body, max).await,
                Subject::User { .. } => self.api.create(path, &self.api.own_token().await?, body, max).await,
            }
        };
        answer.await.map_err(|reason| failed(&reason, Failure::Unavailable))
    }
}

fn review_of(api: &str, kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "spec": spec})
}

/// The review that was created.
fn accepted(caller: &Credential, (status, value): (StatusCode, Value)) -> Result<Value, Failure> {
    let (failure, hint) = match (caller.subject(), status) {
        (_, StatusCode::OK | StatusCode::CREATED) => return Ok(value),
        (Subject::Token(_), StatusCode::UNAUTHORIZED) => (Failure::Unauthenticated, ""),
        (Subject::Token(_), StatusCode::FORBIDDEN) => (Failure::Forbidden, ""),
        // The server's own token is at fault, not the caller.
        (Subject::User { .. }, StatusCode::FORBIDDEN) => {
            (Failure::Unavailable, " (the server's account needs create on subjectaccessreviews)")
        }
        _ => (Failure::Unavailable, ""),
    };
    Err(failed(&format!("it answered {status}: {}{hint}", message(&value)), failure))
}

fn failed(reason: &str, failure: Failure) -> Failure {
    tracing::error!(reason, "a review of the Kubernetes API server failed");
    failure
}

impl Known {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            answers: Default::default(),
            named: OnceCell::new(),
            has_failed: AtomicBool::new(false),
            caller: OnceLock::new(),
        }
    }

    fn is_fresh(&self, cache: Duration) -> bool {
        let time = if self.has_failed.load(Ordering::Relaxed) { FAILURE_TIME } else { cache };
        self.since.elapsed() < time
    }
}
