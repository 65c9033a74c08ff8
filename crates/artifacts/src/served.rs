//! Maps a stored location to its path in the served store, however it is written: as the proxy's URI or URL, or as the
//! directory or bucket of the store.

use ferroflow_model::uri;

use crate::{
    ArtifactPath, ArtifactRepository, Buckets, Locations,
    location::{absolute, local_path, real},
};

impl Locations {
    /// The path of a stored location in the served store (`--artifacts-destination`); `None` if it is elsewhere.
    #[must_use]
    pub fn served(&self, location: &str) -> Option<ArtifactPath> {
        let destination = self.destination.as_ref()?;
        match (uri::scheme(location).as_deref(), destination) {
            // Clients only use the path of the URI.
            (Some("mlflow-artifacts" | "http" | "https"), _) => {
                let location = location.split(['?', '#']).next().unwrap_or_default();
                self.resolve(location).ok().map(|found| found.base)
            }
            (None | Some("file"), ArtifactRepository::Local(local)) => {
                let path = real(&absolute(&local_path(location).ok()??).ok()?);
                ArtifactPath::from_real(path.strip_prefix(real(local.root())).ok()?).ok()
            }
            (Some(scheme), ArtifactRepository::Bucket(bucket)) if Buckets::have(scheme) => {
                let (root, path) = (bucket.name(), in_bucket(location)?);
                let mut below = path.split('/').filter(|part| !part.is_empty());
                let mut above = root.split('/').filter(|part| !part.is_empty());
                if !above.all(|part| below.next() == Some(part)) {
                    return None;
                }
                ArtifactPath::from_real(&below.collect::<std::path::PathBuf>()).ok()
            }
            _ => None,
        }
    }
}

/// `S3://bucket/prefix?query` → `s3://bucket/prefix`.
pub(crate) fn in_bucket(location: &str) -> Option<String> {
    let (scheme, rest) = location.split_once("://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    Some(format!("{}://{rest}", scheme.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use ferroflow_model::Environment;

    use super::*;
    use crate::LocalRepository;

    fn none() -> Locations {
        Locations::new(Buckets::new(&Environment::default()))
    }

    fn served(locations: &Locations, location: &str) -> Option<String> {
        locations.served(location).map(|path| path.to_string())
    }

    #[test]
    fn every_name_of_a_place_is_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        let destination = Some(ArtifactRepository::Local(LocalRepository::new(&root)));
        let locations = Locations { destination, ..none() };
        let folder = folder.path().display();
        for location in [
            "mlflow-artifacts:/a/b".to_owned(),
            "mlflow-artifacts:///a//b/".to_owned(),
            "mlflow-artifacts://host:5000/a/./b".to_owned(),
            "mlflow-artifacts:/a/%62?x=y".to_owned(),
            "https://host/ml/api/2.0/mlflow-artifacts/artifacts/a/b".to_owned(),
            format!("{folder}/store/a/b"),
            format!("file://{folder}/store/a/%62"),
            format!("{folder}/link/a/b"),
        ] {
            assert_eq!(served(&locations, &location).as_deref(), Some("a/b"), "{location}");
        }
        assert_eq!(served(&locations, "mlflow-artifacts:/").as_deref(), Some(""));
        for elsewhere in ["s3://bucket/a", "https://host/a", "dbfs:/a", &format!("{folder}/other/a")] {
            assert_eq!(served(&locations, elsewhere), None, "{elsewhere}");
        }
        assert_eq!(none().served("mlflow-artifacts:/a"), None);
    }

    #[test]
    fn a_place_in_a_bucket_is_compared_by_whole_names() {
        let Ok(bucket) = Buckets::new(&Environment::default()).repository("gs://bucket/store") else { return };
        let locations = Locations { destination: Some(ArtifactRepository::Bucket(bucket)), ..none() };
        assert_eq!(served(&locations, "GS://bucket/store//a/b?x").as_deref(), Some("a/b"));
        assert_eq!(served(&locations, "mlflow-artifacts:/a/b").as_deref(), Some("a/b"));
        for elsewhere in ["gs://bucket/store2/a", "gs://bucket", "s3://bucket/store/a", "/store/a"] {
            assert_eq!(served(&locations, elsewhere), None, "{elsewhere}");
        }
    }
}
