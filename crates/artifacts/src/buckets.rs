//! A cache of open buckets. Each is opened once, so that connections and credentials are shared.

use std::sync::{Arc, OnceLock};

use ferroflow_model::{Environment, Error, Result, cache::Cache, uri};

use crate::{
    azure,
    bucket::{Bucket, BucketRepository, TransferBudget},
    gcs, s3,
};

/// Maximum number of open buckets. Clients choose the locations of experiments, so it must be bounded.
const MAX_OPEN: usize = 64;

/// Access to buckets, configured by the environment. Its settings are parsed when the first bucket is opened: a server
/// without buckets ignores the variables.
#[derive(Debug, Clone)]
pub struct Buckets {
    environment: Environment,
    s3: Arc<OnceLock<Result<s3::Settings>>>,
    /// The open buckets; an evicted one is reopened.
    open: Arc<Cache<String, Arc<Bucket>>>,
    /// The memory budget of all transfers.
    budget: TransferBudget,
}

impl Buckets {
    /// Access with the settings in the environment.
    #[must_use]
    pub fn new(environment: &Environment) -> Self {
        Self {
            environment: environment.clone(),
            s3: Arc::default(),
            open: Arc::new(Cache::new(MAX_OPEN)),
            budget: TransferBudget::default(),
        }
    }

    /// Whether a scheme is one of buckets.
    #[must_use]
    pub fn have(scheme: &str) -> bool {
        matches!(scheme, "s3" | "gs" | "wasbs")
    }

    /// Validates the settings for a location.
    ///
    /// # Errors
    /// The settings are invalid; the message names the variable.
    pub fn check_settings(&self, location: &str) -> Result<()> {
        match uri::scheme(location).as_deref() {
            Some("s3") => self.s3().map(drop).map_err(Clone::clone),
            // Their settings are read per bucket.
            Some("gs" | "wasbs") => self.repository(location).map(drop),
            _ => Ok(()),
        }
    }

    fn s3(&self) -> Result<&s3::Settings, &Error> {
        self.s3.get_or_init(|| s3::Settings::read(&self.environment)).as_ref()
    }

    /// The repository of a location such as `s3://bucket/prefix`.
    ///
    /// # Errors
    /// The location does not name a bucket and a valid prefix.
    pub fn repository(&self, location: &str) -> Result<BucketRepository> {
        let (scheme, rest) = location
            .split_once("://")
            .ok_or_else(|| Error::invalid(format!("'{location}' does not name a bucket.")))?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        BucketRepository::new(self.bucket(&scheme.to_ascii_lowercase(), name)?, prefix)
    }

    fn bucket(&self, scheme: &str, name: &str) -> Result<Arc<Bucket>> {
        self.open.get_or_try_insert_with(format!("{scheme}://{name}"), |_| self.open_bucket(scheme, name).map(Arc::new))
    }

    fn open_bucket(&self, scheme: &str, name: &str) -> Result<Bucket> {
        let bucket = match scheme {
            "gs" => gcs::bucket(name, &self.environment)?,
            "wasbs" => azure::bucket(name, &self.environment)?,
            _ => self
                .s3()
                .map_err(|error| {
                    tracing::error!(reason = error.message, "the settings for buckets are not usable");
                    Error::unavailable(
                        "This server cannot access buckets: its settings are not usable. Its log has the details.",
                    )
                })?
                .bucket(name)?,
        };
        Ok(bucket.with_budget(self.budget.clone()))
    }
}
