//! Whose a place in an artifact store is. On a server with workspaces each has folders of its own, an experiment may
//! have been moved to another workspace with its artifacts, and nothing leads from one workspace to another: a path of
//! another workspace answers as one where nothing is.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_artifacts::{
    ArtifactPath, Location, Locations,
    workspaces::{Meaning, Place, WORKSPACES, is_proxied},
};
use ferroflow_model::{Error, Result, cache::Cache};
use ferroflow_store::{CustomLocation, WorkspaceRoots};
use tokio::sync::Mutex;

use crate::app::{App, Cx};

/// How long locations and the workspaces of experiments are cached.
const MAX_AGE: Duration = Duration::from_secs(1);

/// Maximum number of cached experiments.
const MAX_EXPERIMENTS: usize = 10_000;

/// The cache of a server with workspaces.
pub(crate) struct WorkspacePlaces {
    index: Mutex<Option<(Instant, Arc<PlaceIndex>)>>,
    /// The workspaces of experiments that paths name by number, or `None` for a number without an experiment.
    experiments: Cache<i64, (Option<Arc<str>>, Instant)>,
}

impl Default for WorkspacePlaces {
    fn default() -> Self {
        Self { index: Mutex::default(), experiments: Cache::new(MAX_EXPERIMENTS) }
    }
}

/// The places that belong to workspaces.
#[derive(Debug, Default)]
struct PlaceIndex {
    /// The served store.
    served: Option<Place>,
    /// Places with a folder of workspaces: the served store, the root of artifacts, the archive.
    roots: Vec<Vec<String>>,
    /// The workspaces that have an experiment or a root of their own at a place.
    owners: BTreeMap<Vec<String>, Vec<Arc<str>>>,
}

/// What the longest known prefix of a place says of its owners.
#[derive(Debug, Default, PartialEq, Eq)]
struct Claim {
    /// Number of components of the prefix.
    depth: usize,
    workspaces: Vec<Arc<str>>,
    /// An experiment with this number.
    experiment: Option<i64>,
}

/// The owners of a place.
struct Owners {
    depth: usize,
    workspaces: Vec<Arc<str>>,
    /// The place has the number of an experiment that does not exist, on a server with users. That is no one's, as that of
    /// another workspace is not the caller's: whether there is such an experiment is not told. Without users everybody
    /// may ask in every workspace.
    is_missing: bool,
}

impl Owners {
    /// Whether the place is one of another workspace, or would be.
    fn are_others(&self, workspace: &str) -> bool {
        self.is_missing || (!self.workspaces.is_empty() && !self.have(workspace))
    }

    fn have(&self, workspace: &str) -> bool {
        self.workspaces.iter().any(|owner| **owner == *workspace)
    }
}

impl PlaceIndex {
    fn new(
        locations: &Locations,
        roots: &[&str],
        experiments: &[CustomLocation],
        workspaces: &[WorkspaceRoots],
    ) -> Self {
        let mut index = Self { served: locations.served_store(), ..Self::default() };
        index.roots = index.served.iter().map(|place| place.components().to_vec()).collect();
        index
            .roots
            .extend(roots.iter().filter_map(|root| locations.place(root)).map(|root| root.components().to_vec()));
        index.roots.sort();
        index.roots.dedup();
        for WorkspaceRoots { name, artifacts, archive } in workspaces {
            // The archive is written where it says; artifacts through the server are in the workspace's folder.
            let direct = artifacts.iter().filter(|root| !is_proxied(root)).chain(archive);
            direct.filter_map(|root| locations.place(root)).for_each(|place| index.add(place.components(), name));
        }
        let own_root = |name: &str| {
            let found = workspaces.iter().find(|workspace| workspace.name == name)?;
            found.artifacts.as_deref().map(|root| root.trim_end_matches('/'))
        };
        for CustomLocation { location, workspace, .. } in experiments {
            let Some(place) = locations.place(location) else { continue };
            let path = is_proxied(location).then(|| locations.served(location)).flatten();
            let within = path.and_then(|path| match path.in_workspace(workspace) {
                Ok(Meaning::Within(path)) => Some(path),
                _ => None,
            });
            if let (Some(served), Some(path)) = (&index.served, &within) {
                let scoped = served.join(path);
                index.add(scoped.components(), workspace);
            }
            // One below the root of its workspace was never in the store as it is written.
            let is_below_root = own_root(workspace).is_some_and(|root| location.starts_with(root));
            if within.is_none() || !is_below_root {
                index.add(place.components(), workspace);
            }
        }
        index
    }

    async fn load(app: &App) -> Result<Self> {
        let (default, experiments, workspaces) = app.store.all_locations().await?;
        let root = default.strip_suffix('0').unwrap_or(&default);
        let archive = app.config.trace_archival.as_ref().map(|settings| settings.location.as_str());
        let roots: Vec<&str> = std::iter::once(root).chain(archive).collect();
        Ok(Self::new(&app.locations, &roots, &experiments, &workspaces))
    }

    /// Whether a place is in that of a workspace other than this, or contains one.
    fn overlaps_with_others(&self, place: &[String], workspace: &str) -> bool {
        let is_other = |claim: Claim| {
            // Experiments have their numbers in a root of all workspaces, where no workspace has its own.
            claim.experiment.is_some() || claim.workspaces.iter().any(|owner| **owner != *workspace)
        };
        let has_all =
            |root: &Vec<String>| matches!(place.strip_prefix(root.as_slice()), Some([folder]) if folder == WORKSPACES);
        self.is_above_others(place, workspace)
            || self.roots.iter().any(has_all)
            || self.claims(place).into_iter().any(is_other)
    }

    fn add(&mut self, place: &[String], workspace: &str) {
        // A root of all experiments belongs to no one.
        if self.roots.iter().any(|root| root.starts_with(place)) {
            return;
        }
        let owners = self.owners.entry(place.to_vec()).or_default();
        if !owners.iter().any(|owner| **owner == *workspace) {
            owners.push(workspace.into());
        }
    }

    /// The claims on a place, the longest prefix first.
    fn claims(&self, place: &[String]) -> Vec<Claim> {
        let mut found: BTreeMap<usize, Claim> = BTreeMap::new();
        for depth in 0..=place.len() {
            if let Some(owners) = self.owners.get(&place[..depth]) {
                found.insert(depth, Claim { depth, workspaces: owners.clone(), experiment: None });
            }
        }
        for root in self.roots.iter().filter(|root| place.starts_with(root)) {
            let mut depth = root.len();
            // A folder of workspaces in that of a workspace: a proxied root below the served store.
            while let [first, name, ..] = &place[depth..]
                && first == WORKSPACES
            {
                depth += 2;
                let claim = found.entry(depth).or_insert_with(|| Claim { depth, ..Claim::default() });
                claim.workspaces.push(name.as_str().into());
            }
            if let Some(number) = place.get(depth).and_then(|name| number(name)) {
                let depth = depth + 1;
                let claim = found.entry(depth).or_insert_with(|| Claim { depth, ..Claim::default() });
                claim.experiment = Some(number);
            }
        }
        found.into_values().rev().collect()
    }

    /// Whether a place contains a root, or the place of a workspace other than this.
    fn is_above_others(&self, place: &[String], workspace: &str) -> bool {
        self.roots.iter().any(|root| root.starts_with(place))
            || self
                .owners
                .range(place.to_vec()..)
                .take_while(|(owned, _)| owned.starts_with(place))
                .any(|(_, owners)| owners.iter().any(|owner| **owner != *workspace))
    }
}

/// The number of an experiment as it is in a location. One that no experiment can have may be the id of a run.
fn number(name: &str) -> Option<i64> {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse::<i32>().ok()).flatten().map(i64::from)
}

impl WorkspacePlaces {
    async fn index(&self, app: &App) -> Result<Arc<PlaceIndex>> {
        let mut cached = self.index.lock().await;
        if let Some((loaded, index)) = &*cached
            && loaded.elapsed() < MAX_AGE
        {
            return Ok(Arc::clone(index));
        }
        let loaded = Instant::now();
        let index = Arc::new(PlaceIndex::load(app).await?);
        *cached = Some((loaded, Arc::clone(&index)));
        Ok(index)
    }

    /// The workspace of an experiment. It is remembered for requests in that workspace only: others take the same time
    /// whether or not there is such an experiment.
    async fn workspace_of(&self, app: &App, experiment: i64, asking: &str) -> Result<Option<Arc<str>>> {
        if let Some((Some(workspace), at)) = self.experiments.get(&experiment)
            && *workspace == *asking
            && at.elapsed() < MAX_AGE
        {
            return Ok(Some(workspace));
        }
        let asked = Instant::now();
        let found: Option<Arc<str>> = app.store.workspace_of_experiment(experiment).await?.map(Arc::from);
        self.experiments.insert(experiment, (found.clone(), asked));
        Ok(found)
    }

    /// The owners of a place: by the longest prefix that is an experiment's location, the number of an experiment, or
    /// the folder of a workspace. `asking` is the workspace of the request.
    async fn owners(&self, app: &App, index: &PlaceIndex, place: &[String], asking: &str) -> Result<Owners> {
        let mut is_missing = false;
        for Claim { depth, mut workspaces, experiment } in index.claims(place) {
            if let Some(experiment) = experiment {
                let workspace = self.workspace_of(app, experiment, asking).await?;
                is_missing |= app.access.is_some() && workspace.is_none() && workspaces.is_empty();
                workspaces.extend(workspace);
            }
            if !workspaces.is_empty() {
                return Ok(Owners { depth, workspaces, is_missing });
            }
        }
        Ok(Owners { depth: 0, workspaces: Vec::new(), is_missing })
    }
}

impl Cx {
    /// The path in the served store that a client's path means in the workspace of the request.
    ///
    /// # Errors
    /// It is in the folder of another workspace, or belongs to one: `RESOURCE_DOES_NOT_EXIST`, as a missing file.
    pub(crate) async fn served_path(&self, path: ArtifactPath) -> Result<ArtifactPath> {
        let Some(places) = self.app.store.places() else { return Ok(path) };
        let store = self.store();
        let name = store.workspace().name();
        let index = places.index(&self.app).await?;
        let Some(served) = index.served.clone() else { return Ok(path) };
        let owners =
            async |path: &ArtifactPath| places.owners(&self.app, &index, served.join(path).components(), name).await;
        let meant = match path.in_workspace(name)? {
            Meaning::Itself(path) => path,
            Meaning::Other(other) if !owners(&path).await?.have(name) => {
                return Err(Error::invalid(format!(
                    "Artifact path targets workspace '{other}' but the workspace specified in the request is '{name}'."
                )));
            }
            // An experiment that was moved here with its artifacts.
            Meaning::Other(_) => return Ok(path),
            Meaning::Within(within) => {
                let found = owners(&path).await?;
                if found.have(name)
                    && self.has_files(&folder(&path, found.depth.saturating_sub(served.components().len()))).await?
                {
                    return Ok(path);
                }
                within
            }
        };
        let owners = owners(&meant).await?;
        if owners.are_others(name) { Err(nothing_at(&meant)) } else { Ok(meant) }
    }

    /// Whether something is in a folder of the served store.
    async fn has_files(&self, folder: &ArtifactPath) -> Result<bool> {
        Ok(!self.app.locations.destination()?.list(folder).await?.is_empty())
    }

    /// [`Self::served_path`] of a directory that is deleted with everything in it.
    ///
    /// # Errors
    /// The same, or artifacts of other workspaces are in it.
    pub(crate) async fn deleted_path(&self, path: ArtifactPath) -> Result<ArtifactPath> {
        let path = self.served_path(path).await?;
        let Some(places) = self.app.store.places() else { return Ok(path) };
        let index = places.index(&self.app).await?;
        let place = index.served.as_ref().map(|served| served.join(&path));
        let store = self.store();
        if place.is_some_and(|place| index.is_above_others(place.components(), store.workspace().name())) {
            return Err(Error::invalid(format!(
                "Artifact path '{path}' cannot be deleted: the artifacts of several workspaces are below it."
            )));
        }
        Ok(path)
    }

    /// Resolves a stored location in the workspace of the request.
    ///
    /// # Errors
    /// Those of [`Locations::resolve`], and it belongs to another workspace.
    pub(crate) async fn locate(&self, location: &str) -> Result<Location> {
        let mut found = self.app.locations.resolve(location)?;
        if self.app.store.places().is_none() {
            return Ok(found);
        }
        if is_proxied(location) {
            found.base = self.served_path(found.base).await?;
        } else if self.is_elsewhere(location).await? {
            return Err(nothing_at(&found.base));
        }
        Ok(found)
    }

    /// The path in the served store of a stored location, in the workspace of the request; `None` if it is elsewhere.
    ///
    /// # Errors
    /// Those of [`Self::served_path`].
    pub(crate) async fn served_location(&self, location: &str) -> Result<Option<ArtifactPath>> {
        match self.app.locations.served(location) {
            Some(path) if is_proxied(location) => self.served_path(path).await.map(Some),
            found => Ok(found),
        }
    }

    /// Whether a root of artifacts overlaps with the places of other workspaces, as they are now. So does one that the
    /// server cannot compare.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn is_root_of_others(&self, root: &str) -> Result<bool> {
        let Some(place) = self.app.locations.place(root) else { return Ok(true) };
        let index = PlaceIndex::load(&self.app).await?;
        Ok(index.overlaps_with_others(place.components(), self.workspace.name()))
    }

    /// Whether a location that clients access directly belongs to another workspace.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn is_elsewhere(&self, location: &str) -> Result<bool> {
        let Some(places) = self.app.store.places() else { return Ok(false) };
        let Some(place) = self.app.locations.place(location) else { return Ok(false) };
        let index = places.index(&self.app).await?;
        let store = self.store();
        let name = store.workspace().name();
        Ok(places.owners(&self.app, &index, place.components(), name).await?.are_others(name))
    }
}

/// The folder whose existence says where the artifacts are of which a path is one: those of a run, a model or a trace,
/// or else those of the experiment, whose location has `depth` components.
fn folder(path: &ArtifactPath, depth: usize) -> ArtifactPath {
    let parts = path.components();
    let depth = parts.iter().skip(depth).position(|part| part == "artifacts").map_or(depth, |found| depth + found + 1);
    let mut folder = path.clone();
    while folder.components().len() > depth {
        folder = folder.parent();
    }
    folder
}

/// The error for a missing file.
fn nothing_at(path: &ArtifactPath) -> Error {
    Error::not_found(format!("No such artifact: '{path}'"))
}

#[cfg(test)]
mod tests {
    use ferroflow_artifacts::{ArtifactRepository, Buckets, LocalRepository};
    use ferroflow_model::Environment;

    use super::*;

    fn index(root: &str, experiments: &[(&str, &str)], workspaces: &[(&str, &str)]) -> PlaceIndex {
        let destination = Some(ArtifactRepository::Local(LocalRepository::new("/srv/store")));
        let locations = Locations { destination, ..Locations::new(Buckets::new(&Environment::default())) };
        let experiments: Vec<CustomLocation> = experiments
            .iter()
            .map(|(location, workspace)| CustomLocation {
                id: 1,
                location: (*location).to_owned(),
                workspace: (*workspace).to_owned(),
            })
            .collect();
        let workspaces: Vec<WorkspaceRoots> = workspaces
            .iter()
            .map(|(name, root)| WorkspaceRoots {
                name: (*name).to_owned(),
                artifacts: Some((*root).to_owned()),
                archive: None,
            })
            .collect();
        PlaceIndex::new(&locations, &[root], &experiments, &workspaces)
    }

    /// The claims on a path of the served store: `name`, `#number`, from the longest prefix on.
    fn claims(index: &PlaceIndex, path: &str) -> Vec<String> {
        let place = index.served.as_ref().unwrap().join(&ArtifactPath::parse(path).unwrap());
        let text = |claim: Claim| {
            let names = claim.workspaces.iter().map(ToString::to_string);
            names.chain(claim.experiment.map(|number| format!("#{number}"))).collect::<Vec<_>>().join(",")
        };
        index.claims(place.components()).into_iter().map(text).collect()
    }

    #[test]
    fn the_longest_known_prefix_says_whose_a_path_is() {
        let index = index(
            "mlflow-artifacts:/",
            &[
                ("mlflow-artifacts:/old", "team"),
                ("mlflow-artifacts:/workspaces/first/7", "team"),
                ("mlflow-artifacts:/base/9", "rooted"),
                ("s3://bucket/rooted/3", "direct"),
            ],
            &[("rooted", "mlflow-artifacts:/base"), ("direct", "/srv/store/direct")],
        );
        assert_eq!(claims(&index, "workspaces/team/5/x"), ["#5", "team"]);
        assert_eq!(claims(&index, "5/x"), ["#5"]);
        assert_eq!(claims(&index, "old/x"), ["team"]);
        // An experiment that was moved from `first` with its artifacts.
        assert_eq!(claims(&index, "workspaces/first/7/x"), ["team,#7", "first"]);
        // A root through the server is in the folder of its workspace, and claims nothing beside it.
        assert_eq!(claims(&index, "workspaces/rooted/base/9/x"), ["rooted", "rooted"]);
        assert!(claims(&index, "base/9/x").is_empty());
        assert_eq!(claims(&index, "direct/4/x"), ["direct"]);
        assert!(claims(&index, "other/5").is_empty());
        assert!(claims(&index, &"5".repeat(32)).is_empty());
    }

    #[test]
    fn a_root_below_the_served_store_has_folders_too() {
        let index = index("/srv/store/base", &[], &[]);
        assert_eq!(claims(&index, "base/workspaces/team/5"), ["#5", "team"]);
        assert_eq!(claims(&index, "base/5"), ["#5"]);
        let above = |path: &str| {
            let place = index.served.as_ref().unwrap().join(&ArtifactPath::parse(path).unwrap());
            index.is_above_others(place.components(), "team")
        };
        assert!(above("") && above("base") && !above("base/5") && !above("workspaces/team"));
    }

    #[test]
    fn a_root_of_a_workspace_is_apart_from_the_others() {
        let index = index(
            "s3://bucket/ml",
            &[("s3://team/a/7", "team"), ("s3://other/x/8", "other")],
            &[("team", "s3://team/a"), ("other", "s3://other/x")],
        );
        let overlaps = |root: &str| {
            let buckets = Buckets::new(&Environment::default());
            let place = Locations::new(buckets).place(root).unwrap();
            index.overlaps_with_others(place.components(), "team")
        };
        for root in
            ["s3://team/a", "s3://team", "s3://team/a/b", "s3://team/c", "s3://new", "s3://other/y", "s3://bucket/x"]
        {
            assert!(!overlaps(root), "{root}");
        }
        for root in
            ["s3://other/x", "s3://other", "s3://other/x/y", "s3://other/x/8/z", "s3://bucket/ml", "s3://bucket"]
        {
            assert!(overlaps(root), "{root}");
        }
        for root in [
            "s3://bucket/ml/workspaces",
            "s3://bucket/ml/workspaces/other",
            "s3://bucket/ml/workspaces/other/9",
            "s3://bucket/ml/5",
        ] {
            assert!(overlaps(root), "{root}");
        }
        assert!(!overlaps("s3://bucket/ml/workspaces/team"));
    }

    #[test]
    fn the_folder_of_a_file_is_that_of_its_run() {
        let of = |path: &str, depth| folder(&ArtifactPath::parse(path).unwrap(), depth).to_string();
        assert_eq!(of("5/run/artifacts/a/artifacts/b", 1), "5/run/artifacts");
        assert_eq!(of("5/models/m-1/artifacts", 1), "5/models/m-1/artifacts");
        assert_eq!(of("5/x", 1), "5");
        assert_eq!(of("artifacts/5/x", 2), "artifacts/5");
    }
}
