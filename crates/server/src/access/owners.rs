//! Which experiment owns a path of the served store: experiments keep their artifacts at locations, and the longest
//! location that is a prefix of the path decides.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_artifacts::{
    ArtifactPath, Locations,
    workspaces::{Meaning, WORKSPACES, is_proxied},
};
use ferroflow_model::Result;
use ferroflow_store::CustomLocation;
use tokio::sync::Mutex;

use super::canonical_id;
use crate::app::Cx;

/// How long the cached locations are valid, as a user's grants are. A location never changes: what a stale cache misses
/// is an experiment that another server has just created.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The cached locations.
#[derive(Default)]
pub(crate) struct ArtifactOwners(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    loaded: Option<Instant>,
    rows: Vec<CustomLocation>,
    /// Resolving some locations reads the file system.
    resolved: HashMap<String, Option<ArtifactPath>>,
    index: Arc<OwnerIndex>,
}

/// The experiments that own paths.
#[derive(Debug, Default)]
pub(crate) struct OwnerIndex {
    /// The parent directory of experiments without a location of their own, which are below it by number.
    root: Option<Vec<String>>,
    /// Experiments by their own locations.
    by_path: BTreeMap<Vec<String>, Vec<String>>,
}

impl ArtifactOwners {
    /// The owners as of at most [`MAX_AGE`] ago.
    pub(super) async fn index(&self, cx: &Cx) -> Result<Arc<OwnerIndex>> {
        let mut cached = self.0.lock().await;
        if cached.loaded.is_some_and(|loaded| loaded.elapsed() < MAX_AGE) {
            return Ok(Arc::clone(&cached.index));
        }
        let loaded = Instant::now();
        let (default, rows) = cx.app.store.experiment_locations().await?;
        if cached.loaded.is_none() || rows != cached.rows {
            let root = cx.app.locations.served(&default).map(|path| path.parent());
            cached.rebuild(rows, root.as_ref(), &cx.app.locations, cx.app.store.places().is_some());
        }
        cached.loaded = Some(loaded);
        Ok(Arc::clone(&cached.index))
    }

    /// Invalidates the cache.
    pub(super) async fn invalidate(&self) {
        self.0.lock().await.loaded = None;
    }
}

impl Cached {
    fn rebuild(
        &mut self,
        rows: Vec<CustomLocation>,
        root: Option<&ArtifactPath>,
        locations: &Locations,
        has_workspaces: bool,
    ) {
        let mut old = std::mem::take(&mut self.resolved);
        let mut index = OwnerIndex { root: root.map(|root| root.components().to_vec()), by_path: BTreeMap::new() };
        for CustomLocation { id, location, workspace } in &rows {
            let path = match self.resolved.get(location) {
                Some(path) => path.clone(),
                None => old.remove(location).unwrap_or_else(|| locations.served(location)),
            };
            if let Some(path) = &path
                && has_workspaces
                && is_proxied(location)
                && let Ok(Meaning::Within(path)) = path.in_workspace(workspace)
            {
                index.add(&path, *id);
            }
            if let Some(path) = &path {
                index.add(path, *id);
            }
            self.resolved.insert(location.clone(), path);
        }
        (self.rows, self.index) = (rows, Arc::new(index));
    }
}

impl OwnerIndex {
    fn add(&mut self, path: &ArtifactPath, id: i64) {
        // A location that contains the root of all experiments does not own the unclaimed files there.
        if !self.is_root_or_above(path) {
            self.by_path.entry(path.components().to_vec()).or_default().push(id.to_string());
        }
    }

    /// The experiments that own a path, and the length of the owning prefix in components.
    pub(super) fn owners(&self, path: &ArtifactPath) -> Option<(usize, Vec<String>)> {
        let parts = path.components();
        let by_location = (0..=parts.len()).rev().find_map(|depth| {
            let mut owners = self.by_path.get(&parts[..depth]).cloned().unwrap_or_default();
            if let Some(id) = self.numbered_directory(&parts[..depth])
                && !owners.contains(&id)
            {
                owners.push(id);
            }
            (!owners.is_empty()).then_some((depth, owners))
        });
        // The reference treats a number at the beginning as an experiment, wherever experiments are.
        by_location.or_else(|| match parts {
            [first, _, number, ..] if first == "workspaces" && is_number(number) => {
                Some((3, vec![canonical_id(number)]))
            }
            [number, ..] if is_number(number) => Some((1, vec![canonical_id(number)])),
            _ => None,
        })
    }

    /// The experiment whose number is the last component of a path directly below the root of all experiments, or below
    /// the folder of a workspace there.
    fn numbered_directory(&self, path: &[String]) -> Option<String> {
        let (number, above) = path.split_last()?;
        let above = without_workspace(above);
        (self.root.as_deref() == Some(above) && is_number(number)).then(|| canonical_id(number))
    }

    /// The experiments with locations below a path.
    pub(super) fn ids_below<'a>(&'a self, path: &'a ArtifactPath) -> impl Iterator<Item = &'a str> {
        let parts = path.components();
        self.by_path
            .range(parts.to_vec()..)
            .take_while(move |(location, _)| location.starts_with(parts))
            .flat_map(|(_, ids)| ids.iter().map(String::as_str))
    }

    /// Whether a path contains all experiments without a location of their own.
    pub(super) fn is_root_or_above(&self, path: &ArtifactPath) -> bool {
        let is_workspace = path.components().len() > without_workspace(path.components()).len();
        self.root.as_ref().is_some_and(|root| {
            root.starts_with(path.components()) || (is_workspace && root == without_workspace(path.components()))
        })
    }
}

/// A path without a folder of a workspace at its end.
fn without_workspace(path: &[String]) -> &[String] {
    match path {
        [above @ .., folder, _] if folder == WORKSPACES => above,
        _ => path,
    }
}

/// Whether a component may be the number of an experiment. One with more digits may be the id of a run.
fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use ferroflow_artifacts::{ArtifactRepository, Buckets, LocalRepository};
    use ferroflow_model::Environment;

    use super::*;

    fn path(text: &str) -> ArtifactPath {
        ArtifactPath::parse(text).unwrap()
    }

    fn index(root: &str, rows: &[(i64, &str)]) -> Arc<OwnerIndex> {
        let destination = Some(ArtifactRepository::Local(LocalRepository::new("/srv/artifacts")));
        let mut cached = Cached::default();
        let row = |(id, location): &(i64, &str)| CustomLocation {
            id: *id,
            location: (*location).to_owned(),
            workspace: "default".to_owned(),
        };
        let rows = rows.iter().map(row).collect();
        cached.rebuild(
            rows,
            Some(&path(root)),
            &Locations { destination, ..Locations::new(Buckets::new(&Environment::default())) },
            false,
        );
        cached.index
    }

    fn owners(index: &OwnerIndex, text: &str) -> Option<(usize, String)> {
        index.owners(&path(text)).map(|(depth, ids)| (depth, ids.join(",")))
    }

    #[test]
    fn the_longest_location_decides() {
        let hex = "0123456789abcdef0123456789abcdef";
        let deep = format!("mlflow-artifacts:/{hex}/team");
        let rows = [(7, "mlflow-artifacts:/team"), (8, "mlflow-artifacts:/team/inner"), (9, deep.as_str())];
        let index = index("", &[&rows[..], &[(10, "mlflow-artifacts:/3"), (11, "s3://elsewhere/team")]].concat());
        let is = |depth, ids: &str| Some((depth, ids.to_owned()));
        assert_eq!(owners(&index, "team/x"), is(1, "7"));
        assert_eq!(owners(&index, "team/inner"), is(2, "8"));
        assert_eq!(owners(&index, "team/inner2/x"), is(1, "7"));
        assert_eq!(owners(&index, &format!("{hex}/team/a/artifacts")), is(2, "9"));
        assert_eq!(owners(&index, hex), None);
        assert_eq!(owners(&index, "3/a"), is(1, "10,3"));
        assert_eq!(owners(&index, "0004/a"), is(1, "4"));
        assert_eq!(owners(&index, "workspaces/one/4/a"), is(3, "4"));
        assert_eq!(owners(&index, "teams"), None);
        assert_eq!(owners(&index, &"5".repeat(32)), None);
    }

    #[test]
    fn numbers_are_experiments_in_the_root_only() {
        let rows = [(5, "mlflow-artifacts:/2024"), (6, "mlflow-artifacts:/base"), (7, "mlflow-artifacts:/")];
        let index = index("base/all", &rows);
        assert_eq!(owners(&index, "base/all/4/x"), Some((3, "4".into())));
        assert_eq!(owners(&index, "2024/x"), Some((1, "5".into())));
        assert_eq!(owners(&index, "base/x"), None);
        assert_eq!(owners(&index, "2025/x"), Some((1, "2025".into())));
        assert!(index.is_root_or_above(&path("base")) && index.is_root_or_above(&path("base/all")));
        assert!(!index.is_root_or_above(&path("base/all/4")) && !index.is_root_or_above(&path("2024")));
    }

    #[test]
    fn a_directory_contains_the_locations_below_it() {
        let index =
            index("", &[(1, "mlflow-artifacts:/a/b"), (2, "mlflow-artifacts:/a/c/d"), (3, "mlflow-artifacts:/ab")]);
        assert_eq!(index.ids_below(&path("a")).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(index.ids_below(&path("a/c")).collect::<Vec<_>>(), ["2"]);
        assert_eq!(index.ids_below(&path("b")).count(), 0);
    }
}
