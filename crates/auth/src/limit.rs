//! How often somebody may guess: failed logins are counted by name and address together, and by address alone, in the
//! users database, for all servers.

use std::net::IpAddr;

use ferroflow_model::{Error, ErrorCode, Result};
use ferroflow_store::UserStore;
use sha2::{Digest as _, Sha256};

use crate::password::hex;

/// Failures of one name from one address.
const OF_NAME: i64 = 10;

/// Failures of one address, whatever the names: many users may be behind it.
const OF_ADDRESS: i64 = 100;

/// The keys that a login counts under.
pub(crate) struct Keys {
    name: String,
    address: String,
}

impl Keys {
    pub(crate) fn new(username: &str, from: Option<IpAddr>) -> Self {
        let from = from.map(|from| from.to_string()).unwrap_or_default();
        let digest = Sha256::digest(format!("{from}\n{username}").as_bytes());
        Self { name: format!("name:{}", hex(&digest)), address: format!("address:{from}") }
    }

    /// Refuses a login after too many that failed.
    pub(crate) async fn check(&self, users: &UserStore) -> Result<()> {
        let found = match users.login_failures(vec![self.name.clone(), self.address.clone()]).await {
            Ok(found) => found,
            Err(error) => {
                // Whoever knows a password must be let in all the same.
                tracing::warn!(message = error.message, "failed logins can not be counted");
                return Ok(());
            }
        };
        let over =
            found.iter().filter(|found| found.failures >= if found.key == self.name { OF_NAME } else { OF_ADDRESS });
        match over.map(|found| found.seconds_left).max() {
            None => Ok(()),
            Some(seconds) => Err(Error::new(
                ErrorCode::RequestLimitExceeded,
                format!("Too many logins have failed. Try again in {seconds} seconds."),
            )),
        }
    }

    pub(crate) async fn failed(self, users: &UserStore) {
        if let Err(error) = users.record_login_failure(vec![self.name, self.address]).await {
            tracing::warn!(message = error.message, "a failed login was not counted");
        }
    }

    pub(crate) async fn succeeded(self, users: &UserStore) {
        if let Err(error) = users.forget_login_failures(self.name).await {
            tracing::warn!(message = error.message, "the failed logins of a user were not forgotten");
        }
    }
}
