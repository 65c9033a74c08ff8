//! Resolves stored artifact locations: to a repository and a path in it.

use std::path::{Path, PathBuf};

use ferroflow_model::{
    Error, ErrorCode, Result,
    uri::{self, SplitUri},
};
use percent_encoding::percent_decode_str;

use crate::{ArtifactPath, ArtifactRepository, Buckets, DirectRoot, LocalRepository};

/// The part of an artifact server's URL between its base and the artifact path.
const PROXY_PATH: &str = "/api/2.0/mlflow-artifacts/artifacts/";

/// Schemes of stores that are not supported yet.
const UNSUPPORTED: &[&str] = &["abfss", "hdfs", "viewfs", "dbfs", "ftp", "sftp", "r2", "b2", "oci"];

/// A place in a repository.
#[derive(Debug, Clone)]
pub struct Location {
    /// The repository.
    pub repository: ArtifactRepository,
    /// The directory in it that the location refers to.
    pub base: ArtifactPath,
}

/// The configuration by which stored locations are resolved.
#[derive(Debug, Clone)]
pub struct Locations {
    /// The proxied store (`--artifacts-destination`); `None` if artifacts are not served.
    pub destination: Option<ArtifactRepository>,
    /// The buckets that stored locations may refer to.
    pub buckets: Buckets,
    /// Local directories that stored locations may be in; `None` allows any, for a server that only its local user can
    /// reach.
    pub local_roots: Option<Vec<PathBuf>>,
    /// The default artifact root, if clients access it directly and the server reads it too.
    pub direct: Option<DirectRoot>,
}

impl Locations {
    /// No store, and no local directory that may be read: only these buckets.
    #[must_use]
    pub fn new(buckets: Buckets) -> Self {
        Self { destination: None, buckets, local_roots: Some(Vec::new()), direct: None }
    }

    /// The proxied store.
    ///
    /// # Errors
    /// Artifacts are not served.
    pub fn destination(&self) -> Result<ArtifactRepository> {
        self.destination.clone().ok_or_else(|| {
            Error::unavailable("Artifact serving is disabled. Start the server with `--serve-artifacts` to enable it.")
        })
    }

    /// Resolves a stored location, such as a run's artifact URI.
    ///
    /// # Errors
    /// The server does not support the location, or may not read it.
    pub fn resolve(&self, location: &str) -> Result<Location> {
        match uri::scheme(location).as_deref() {
            Some("mlflow-artifacts") => {
                let rest = &location["mlflow-artifacts:".len()..];
                // The host in `mlflow-artifacts://host/path` is a server; only the path matters here.
                let path = match rest.strip_prefix("//") {
                    Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
                    None => rest,
                };
                self.proxied(path)
            }
            Some("http" | "https") => {
                // Only in the path, not in a query or fragment.
                if let Some((_, path)) = SplitUri::parse(location)?.path.split_once(PROXY_PATH) {
                    return self.proxied(path);
                }
                Err(Error::invalid(format!("'{location}' is not the URL of an artifact server.")))
            }
            None | Some("file") => match local_path(location)? {
                Some(path) => self.local(&path, location),
                None => Err(Error::invalid(format!("'{location}' is not a path."))),
            },
            Some(scheme) if Buckets::have(scheme) => {
                let repository = ArtifactRepository::Bucket(self.buckets.repository(location)?);
                Ok(Location { repository, base: ArtifactPath::root() })
            }
            Some(scheme) if UNSUPPORTED.contains(&scheme) => Err(Error::new(
                ErrorCode::NotImplemented,
                format!("This server cannot read artifacts at '{scheme}:' locations yet."),
            )),
            Some(scheme) => {
                Err(Error::invalid(format!("Could not find a registered artifact repository for: {scheme}:")))
            }
        }
    }

    fn proxied(&self, path: &str) -> Result<Location> {
        // Clients use it verbatim as the path of a URL, so it is percent-encoded.
        let base = ArtifactPath::parse(&decode(path.trim_start_matches('/'))?)?;
        Ok(Location { repository: self.destination()?, base })
    }

    fn local(&self, path: &Path, location: &str) -> Result<Location> {
        let path = absolute(path)?;
        let Some(roots) = &self.local_roots else {
            let repository = ArtifactRepository::Local(LocalRepository::new(path));
            return Ok(Location { repository, base: ArtifactPath::root() });
        };
        // Compared with symbolic links resolved, so that neither `..` nor a link leads outside; and opened relative to
        // the root, so that a link created after the check does not either.
        let path = real(&path);
        let within = |root: &PathBuf| {
            let root = real(root);
            path.strip_prefix(&root).ok().map(|base| (base.to_owned(), root.clone()))
        };
        let nearest = roots.iter().filter_map(within).min_by_key(|(base, _)| base.components().count());
        let Some((base, root)) = nearest else {
            return Err(Error::new(
                ErrorCode::PermissionDenied,
                format!(
                    "The server does not read artifacts at '{location}': it is outside of its artifact directories. \
                     Add the directory to --allowed-local-artifact-roots to allow it."
                ),
            ));
        };
        let repository = ArtifactRepository::Local(LocalRepository::new(root));
        Ok(Location { repository, base: ArtifactPath::from_real(&base)? })
    }
}

/// A location in the form that is stored: a relative local path is made absolute, anything else is unchanged.
///
/// # Errors
/// The working directory does not exist, or the URI refers to a file on another host.
pub fn resolve_if_local(location: &str) -> Result<String> {
    match uri::scheme(location).as_deref() {
        None if location.starts_with('/') => Ok(location.to_owned()),
        None => Ok(absolute(Path::new(&decode(location)?))?.to_string_lossy().into_owned()),
        Some("file") => {
            let rest = &location["file:".len()..];
            if let Some(host) = rest.strip_prefix("//").map(|rest| rest.split('/').next().unwrap_or_default())
                && !host.is_empty()
                && host != "."
                && !host.starts_with("localhost")
                && !host.starts_with("127.0.0.1")
            {
                return Err(Error::invalid(format!(
                    "{location} is not a valid remote uri. For remote access on windows, please consider using a \
                     different scheme such as SMB (e.g. smb://<hostname>/<path>)."
                )));
            }
            if rest.starts_with('/') {
                return Ok(location.to_owned());
            }
            let end = rest.find(['?', '#']).unwrap_or(rest.len());
            let (path, query) = rest.split_at(end);
            Ok(format!("file://{}{query}", absolute(Path::new(&decode(path)?))?.display()))
        }
        Some(_) => Ok(location.to_owned()),
    }
}

/// Whether both locations are local paths, and the first is inside the second, with symbolic links resolved.
///
/// # Errors
/// A location cannot be parsed.
pub fn is_within(location: &str, root: &str) -> Result<bool> {
    let (Some(path), Some(root)) = (local_path(location)?, local_path(root)?) else { return Ok(false) };
    let (path, root) = (real(&absolute(&path)?), real(&absolute(&root)?));
    Ok(!root.as_os_str().is_empty() && path.starts_with(&root))
}

/// The path of a plain path or `file:` URI; `None` for other schemes.
pub(crate) fn local_path(location: &str) -> Result<Option<PathBuf>> {
    Ok(match uri::scheme(location).as_deref() {
        None => Some(PathBuf::from(decode(location)?)),
        Some("file") => Some(PathBuf::from(decode(&SplitUri::parse(location)?.path)?)),
        Some(_) => None,
    })
}

/// Percent-decodes the path of a location: clients and the reference decode plain paths too.
fn decode(path: &str) -> Result<String> {
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| Error::invalid("Invalid path"))?;
    Ok(decoded.into_owned())
}

pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    let here = std::env::current_dir()
        .map_err(|error| Error::internal(format!("The working directory cannot be read: {error}")))?;
    // `./x` and `x` are the same directory and must be stored as the same text.
    Ok(here.join(path).components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect())
}

/// A path with the symbolic links of its existing part resolved.
pub(crate) fn real(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                rest.push(name.to_owned());
                existing = parent;
            }
            // `..` after a component that does not exist cannot be resolved: the empty path is a prefix match of
            // nothing.
            _ => return PathBuf::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_model::Environment;

    use super::*;

    fn locations(roots: Option<Vec<PathBuf>>) -> Locations {
        let destination = ArtifactRepository::Local(LocalRepository::new("/srv/artifacts"));
        Locations {
            destination: Some(destination),
            local_roots: roots,
            ..Locations::new(Buckets::new(&Environment::default()))
        }
    }

    #[test]
    fn proxied_locations_lie_in_the_destination() {
        for (location, base) in [
            ("mlflow-artifacts:/0/abc/artifacts", "0/abc/artifacts"),
            ("mlflow-artifacts:/", ""),
            ("mlflow-artifacts://host:5000/1/x", "1/x"),
            ("http://host/api/2.0/mlflow-artifacts/artifacts/1/x", "1/x"),
        ] {
            assert_eq!(locations(None).resolve(location).map(|found| found.base.to_string()).as_deref(), Ok(base));
        }
        for bad in ["mlflow-artifacts:/../x", "mlflow-artifacts:/a/%2e%2e/%2e%2e/x", "http://host/x", "weird:/x"] {
            assert!(locations(None).resolve(bad).is_err(), "{bad}");
        }
        let code = locations(None).resolve("dbfs:/x").map(drop).unwrap_err().code;
        assert_eq!(code, ErrorCode::NotImplemented);
    }

    /// The check and the access of a location must refer to the same path.
    #[test]
    fn what_follows_the_path_of_a_uri_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        std::fs::create_dir_all(root.join("a?")).unwrap();
        let root = root.to_string_lossy().into_owned();
        let opened = |location: &str| locations(None).resolve(location).map(|found| found.repository.name());
        for mark in ["?", "#"] {
            let location = format!("file://{root}/a{mark}/../../other");
            assert_eq!(is_within(&location, &root), Ok(true), "{location}");
            assert_eq!(opened(&location), Ok(format!("{root}/a")), "{location}");
        }
        assert_eq!(opened("file://localhost/srv/x"), Ok("/srv/x".into()));
        for elsewhere in ["?y=/api/2.0/mlflow-artifacts/artifacts/1/x", "#/api/2.0/mlflow-artifacts/artifacts/1/x"] {
            assert!(opened(&format!("http://host/x{elsewhere}")).is_err(), "{elsewhere}");
        }
    }

    #[test]
    fn local_locations_are_read_only_below_the_roots() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        let guarded = locations(Some(vec![root.clone()]));
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        assert!(guarded.resolve(&text(root.join("1/new/artifacts"))).is_ok());
        assert!(guarded.resolve(&format!("file://{}", text(root.join("1")))).is_ok());
        assert!(guarded.resolve(&text(root.join("%31"))).is_ok());
        for bad in [
            "/etc".into(),
            "file:///etc".into(),
            text(root.join("link")),
            text(root.join("../x")),
            text(root.join("%2e%2e/x")),
            text(root.join("new/../../x")),
        ] {
            assert_eq!(guarded.resolve(&bad).map(drop).unwrap_err().code, ErrorCode::PermissionDenied, "{bad}");
        }
        assert!(locations(None).resolve("/etc").is_ok());
    }

    #[test]
    fn a_path_lies_in_another_as_they_really_are() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run/artifacts");
        std::fs::create_dir_all(&root).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        let root = root.to_string_lossy().into_owned();
        for inside in
            [root.clone(), format!("{root}/model"), format!("file://{root}/m%6fdel"), format!("{root}/../artifacts")]
        {
            assert_eq!(is_within(&inside, &root), Ok(true), "{inside}");
            assert_eq!(is_within(&inside, &format!("file://{root}")), Ok(true), "{inside}");
        }
        for outside in [
            "/etc".to_owned(),
            format!("{root}2"),
            format!("{root}/.."),
            format!("{root}/new/../../x"),
            format!("{root}/%2e%2e/x"),
            format!("{root}/link/x"),
            "s3://bucket/x".to_owned(),
        ] {
            assert_eq!(is_within(&outside, &root), Ok(false), "{outside}");
        }
        assert_eq!(is_within("/a", "mlflow-artifacts:/1"), Ok(false));
    }

    #[tokio::test]
    async fn a_link_that_comes_after_the_check_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let (root, place) = (folder.path().join("root"), folder.path().join("root/run/artifacts"));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("a.txt"), "in").unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("outside/a.txt"), "out").unwrap();
        let Location { repository, base } =
            locations(Some(vec![root.clone()])).resolve(&place.to_string_lossy()).unwrap();
        let file = ArtifactPath::parse("a.txt").unwrap().below(&base);
        assert_eq!(repository.stat(&file).await.map(|stat| stat.size), Ok(2));
        std::fs::remove_dir_all(&place).unwrap();
        std::os::unix::fs::symlink(folder.path().join("outside"), &place).unwrap();
        assert!(repository.stat(&file).await.is_err());
        assert!(repository.list(&base).await.is_err());
        let body = Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"x"))]));
        assert!(repository.write(&file, body, None).await.is_err());
        repository.delete(&base).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join("outside/a.txt")).unwrap(), b"out");
    }

    #[test]
    fn relative_locations_are_stored_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(resolve_if_local("./x/y"), Ok(here.join("x/y").to_string_lossy().into_owned()));
        assert_eq!(resolve_if_local("s3://b/x"), Ok("s3://b/x".into()));
        assert_eq!(resolve_if_local("file:///x"), Ok("file:///x".into()));
        assert!(resolve_if_local("file://server/x").is_err());
    }
}
