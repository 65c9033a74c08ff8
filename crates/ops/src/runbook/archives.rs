//! Archives without a cluster that writes to them. Retention is enforced by the writing cluster: the archive that a
//! recovery leaves behind is never deleted automatically, and must only be deleted by people.

use anyhow::Result;
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::Value;

use super::{
    api::{Api, CLUSTERS, OBJECT_STORES, items, text},
    backup::{PLUGIN, plugin, server_name},
};
use crate::clock;

/// An archive from which another cluster was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    /// Its URL: `s3://bucket/path/server/`.
    place: String,
    /// The cluster that was recovered from it.
    successor: String,
    /// The retention in the values.
    retention: String,
    /// The time from which everything in it is older than the retention.
    pub(super) until: Option<Timestamp>,
}

impl Archive {
    /// What to do with it, and when.
    pub(super) fn description(&self) -> String {
        let Self { place, successor, retention, until } = self;
        let when = match until {
            Some(until) if *until < clock::now() => {
                format!("Everything in it is older than the {retention} of backup.retention")
            }
            Some(until) => {
                let until = until.strftime("%Y-%m-%d");
                format!(
                    "Keep it until {until}: then everything in it is older than the {retention} of backup.retention"
                )
            }
            None => "No retention is configured".to_owned(),
        };
        format!(
            "{place} has the backups from before {successor}. Nothing is written to it any more, and it is not deleted automatically. \
             {when}. Then, if {successor} has a backup, delete it: aws s3 rm --recursive {place}"
        )
    }
}

/// The archives of the ancestors of a cluster.
pub(super) async fn retired(api: &Api, current: &Value) -> Result<Vec<Archive>> {
    let clusters = api.list(CLUSTERS, "").await?;
    let (mut archives, mut successor) = (Vec::new(), current);
    loop {
        let source = text(successor, "/spec/bootstrap/recovery/source");
        if source.is_empty() || archives.len() > clusters.len() {
            return Ok(archives);
        }
        archives.extend(archive(api, successor, source).await?);
        // That cluster may have been recovered from another archive.
        let Some(before) = clusters.iter().find(|cluster| server_name(cluster) == source && *cluster != successor)
        else {
            return Ok(archives);
        };
        successor = before;
    }
}

/// The archive that a cluster was recovered from.
async fn archive(api: &Api, successor: &Value, source: &str) -> Result<Option<Archive>> {
    let sources = items(successor, "/spec/externalClusters");
    let Some(entry) = sources.iter().find(|entry| entry["name"] == source) else { return Ok(None) };
    let (path, server, retention) = if entry["plugin"]["name"] == PLUGIN {
        let store = api.get(OBJECT_STORES, text(entry, "/plugin/parameters/barmanObjectName")).await?;
        let store = store.unwrap_or_default();
        let own = plugin(successor).map(|plugin| text(plugin, "/parameters/barmanObjectName"));
        let own = match own {
            Some(own) => api.get(OBJECT_STORES, own).await?.unwrap_or_default(),
            None => Value::Null,
        };
        let retention = text(&own, "/spec/retentionPolicy").to_owned();
        let path = text(&store, "/spec/configuration/destinationPath").to_owned();
        (path, text(entry, "/plugin/parameters/serverName"), retention)
    } else {
        let retention = text(successor, "/spec/backup/retentionPolicy").to_owned();
        let path = text(entry, "/barmanObjectStore/destinationPath").to_owned();
        (path, text(entry, "/barmanObjectStore/serverName"), retention)
    };
    if path.is_empty() {
        return Ok(None);
    }
    let made: Option<Timestamp> = text(successor, "/metadata/creationTimestamp").parse().ok();
    Ok(Some(Archive {
        place: format!("{}/{}/", path.trim_end_matches('/'), if server.is_empty() { source } else { server }),
        successor: text(successor, "/metadata/name").to_owned(),
        until: made.and_then(|made| add_retention(made, &retention)),
        retention,
    }))
}

/// Adds a retention such as `30d`, `4w` or `6m` to a time.
fn add_retention(moment: Timestamp, retention: &str) -> Option<Timestamp> {
    let (number, unit) = retention.split_at_checked(retention.len().checked_sub(1)?)?;
    let number: i32 = number.parse().ok()?;
    let span = match unit {
        "d" => 1.day(),
        "w" => 1.week(),
        "m" => 1.month(),
        _ => return None,
    };
    let span = span.checked_mul(number.into()).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).checked_add(span).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_added_as_the_operator_reads_it() {
        let moment: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        let end = |retention| add_retention(moment, retention).map(|end| end.to_string());
        assert_eq!(end("30d").as_deref(), Some("2026-03-02T10:00:00Z"));
        assert_eq!(end("2w").as_deref(), Some("2026-02-14T10:00:00Z"));
        assert_eq!(end("1m").as_deref(), Some("2026-02-28T10:00:00Z"));
        assert!(end("").is_none() && end("d").is_none() && end("5y").is_none() && end("30é").is_none());
    }
}
