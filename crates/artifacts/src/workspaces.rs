//! Workspaces in artifact stores: their folders, the path that a client in one of them means, and one form for a place
//! however its location is written.

use ferroflow_model::{Error, Result, permission::DEFAULT_WORKSPACE, uri};

use crate::{
    ArtifactPath, ArtifactRepository, Buckets, Location, Locations,
    location::{absolute, local_path, real},
    path::decoded,
    served::in_bucket,
};

/// The folder with a folder for each workspace: in the served store, and below every artifact root.
pub const WORKSPACES: &str = "workspaces";

/// What a path in the served store means to a client in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The path itself.
    Itself(ArtifactPath),
    /// A path below the folder of the workspace, which is this one.
    Within(ArtifactPath),
    /// A path in the folder of another workspace, whose name is this.
    Other(String),
}

impl ArtifactPath {
    /// What the path means to a client in a workspace, by the rules of the reference: a client of the default workspace
    /// sees the store itself without the folders of workspaces, the other ones see their folders.
    ///
    /// A file system may not distinguish cases, and another reader of the store may decode again: in the default
    /// workspace every form of the folder's name is the folder.
    ///
    /// # Errors
    /// It is the folder of all workspaces.
    pub fn in_workspace(&self, workspace: &str) -> Result<Meaning> {
        let is_default = workspace == DEFAULT_WORKSPACE;
        let parts = self.components();
        let is_reserved = parts.first().is_some_and(|first| first == WORKSPACES || (is_default && is_disguised(first)));
        if is_reserved {
            return match parts.get(1) {
                None => {
                    Err(Error::invalid("Artifact paths prefixed with 'workspaces/' must include a workspace name."))
                }
                Some(name) if name == workspace && parts[0] == WORKSPACES => Ok(Meaning::Itself(self.clone())),
                Some(name) => Ok(Meaning::Other(name.clone())),
            };
        }
        if is_default {
            return Ok(Meaning::Itself(self.clone()));
        }
        Ok(Meaning::Within(self.below(&Self::of_workspace(workspace)?)))
    }

    /// The folder of a workspace in the served store.
    fn of_workspace(name: &str) -> Result<Self> {
        Self::parse(&format!("{WORKSPACES}/{name}"))
    }
}

/// Whether a name is that of the folder with other cases of letters, or percent-encoded.
fn is_disguised(name: &str) -> bool {
    // Twice: some letters have two lower cases, such as `ſ` and `s`.
    let fold = |text: &str| text.to_uppercase().to_lowercase();
    decoded(name).is_ok_and(|name| fold(name.split('/').next().unwrap_or_default()) == WORKSPACES)
}

/// A place in an artifact store: the store, and the components of a path. Places of one store can be compared, however
/// their locations are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(Vec<String>);

impl Place {
    /// The components, the store's first.
    #[must_use]
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// A path below this place.
    #[must_use]
    pub fn join(&self, path: &ArtifactPath) -> Self {
        Self(self.0.iter().chain(path.components()).cloned().collect())
    }
}

impl Locations {
    /// The place of the served store, if it is served.
    #[must_use]
    pub fn served_store(&self) -> Option<Place> {
        match self.destination.as_ref()? {
            ArtifactRepository::Local(local) => of_directory(&real(local.root())),
            ArtifactRepository::Bucket(bucket) => Some(of_bucket(&bucket.name())),
        }
    }

    /// The place that a stored location refers to; `None` if it is in no store that the server can read.
    #[must_use]
    pub fn place(&self, location: &str) -> Option<Place> {
        match uri::scheme(location).as_deref() {
            Some("mlflow-artifacts" | "http" | "https") => Some(self.served_store()?.join(&self.served(location)?)),
            None | Some("file") => of_directory(&real(&absolute(&local_path(location).ok()??).ok()?)),
            Some(scheme) if Buckets::have(scheme) => in_bucket(location).map(|location| of_bucket(&location)),
            Some(_) => None,
        }
    }
}

/// The places where the artifacts at the location of an entity in a workspace may be. An entity that was moved there has
/// artifacts where it came from, and may have some in the folder of the workspace.
///
/// # Errors
/// Those of [`Locations::resolve`].
pub fn resolve_in(locations: &Locations, location: &str, workspace: &str) -> Result<Vec<Location>> {
    let found = locations.resolve(location)?;
    if is_proxied(location)
        && let Meaning::Within(base) = found.base.in_workspace(workspace)?
    {
        let within = Location { base, ..found.clone() };
        return Ok(vec![within, found]);
    }
    Ok(vec![found])
}

/// Whether clients access a location through the server.
#[must_use]
pub fn is_proxied(location: &str) -> bool {
    matches!(uri::scheme(location).as_deref(), Some("mlflow-artifacts" | "http" | "https"))
}

fn of_directory(path: &std::path::Path) -> Option<Place> {
    let names = path.components().filter_map(|component| match component {
        std::path::Component::Normal(name) => Some(name.to_str().map(str::to_owned)),
        _ => None,
    });
    let names: Option<Vec<String>> = names.collect();
    Some(Place(std::iter::once("file:".to_owned()).chain(names?).collect()))
}

fn of_bucket(location: &str) -> Place {
    Place(location.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use ferroflow_model::Environment;

    use super::*;
    use crate::LocalRepository;

    fn meaning(text: &str, workspace: &str) -> Result<String> {
        let found = ArtifactPath::parse(text)?.in_workspace(workspace)?;
        Ok(match found {
            Meaning::Itself(path) => path.to_string(),
            Meaning::Within(path) => format!("-> {path}"),
            Meaning::Other(name) => format!("!{name}"),
        })
    }

    #[test]
    fn a_path_means_what_it_means_in_the_reference() {
        for (text, in_default, in_team) in [
            ("", "", "-> workspaces/team"),
            ("5/a/b", "5/a/b", "-> workspaces/team/5/a/b"),
            ("workspaces/team/5/a", "!team", "workspaces/team/5/a"),
            ("workspaces//default/./5", "workspaces/default/5", "!default"),
            ("workspaces/Team/5", "!Team", "!Team"),
            ("workspaces2/x", "workspaces2/x", "-> workspaces/team/workspaces2/x"),
            ("a/workspaces/team", "a/workspaces/team", "-> workspaces/team/a/workspaces/team"),
            // Other forms of the name: below the folder of a workspace they lead nowhere.
            ("Workspaces/team/5", "!team", "-> workspaces/team/Workspaces/team/5"),
            ("WORKSPACES/default/5", "!default", "-> workspaces/team/WORKSPACES/default/5"),
            ("%77orkspaces/team/5", "!team", "-> workspaces/team/%77orkspaces/team/5"),
            ("%2577orkspace%73/team/5", "!team", "-> workspaces/team/%2577orkspace%73/team/5"),
            ("workspaces%2Fteam/5", "!5", "-> workspaces/team/workspaces%2Fteam/5"),
            ("work\u{17f}paces/team/5", "!team", "-> workspaces/team/work\u{17f}paces/team/5"),
            ("WOR\u{212a}SPACES/team/5", "!team", "-> workspaces/team/WOR\u{212a}SPACES/team/5"),
        ] {
            assert_eq!(meaning(text, "default").as_deref(), Ok(in_default), "{text}");
            assert_eq!(meaning(text, "team").as_deref(), Ok(in_team), "{text}");
        }
        for text in ["workspaces", "workspaces/", "./workspaces//."] {
            assert!(meaning(text, "default").is_err() && meaning(text, "team").is_err(), "{text}");
        }
        assert!(meaning("WORKSPACES", "default").is_err());
    }

    #[test]
    fn every_location_of_a_place_is_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        let destination = Some(ArtifactRepository::Local(LocalRepository::new(&root)));
        let locations = Locations { destination, ..Locations::new(Buckets::new(&Environment::default())) };
        let folder = folder.path().display();
        let expected = locations.place(&format!("{folder}/store/a/b"));
        assert!(expected.is_some());
        for location in
            ["mlflow-artifacts:/a//b".to_owned(), format!("file://{folder}/link/a/%62"), format!("{folder}/link/./a/b")]
        {
            assert_eq!(locations.place(&location), expected, "{location}");
        }
        let parts = |location: &str| locations.place(location).map(|place| place.components().join("|"));
        assert_eq!(parts("S3://bucket//a/b/?x=y").as_deref(), Some("s3:|bucket|a|b"));
        assert_eq!(parts("dbfs:/a"), None);
        assert_eq!(parts("https://host/a"), None);
    }
}
