//! Finds the files on this machine. It only reads the file system, and starts no programs.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use ferroflow_model::Environment;

use super::{UiConfig, files::Files};

/// Programs whose location reveals where packages are installed.
const PROGRAMS: [&str; 3] = ["mlflow", "python3", "python"];

/// The files of the first source that has them.
///
/// # Errors
/// The directory that the user named has none.
pub(super) fn find(config: &UiConfig) -> Result<Option<Files>, String> {
    if let Some(dir) = &config.dir {
        return match Files::open(dir) {
            Ok(files) => {
                tracing::debug!(path = %dir.display(), "the web UI is served from the given directory");
                Ok(Some(files))
            }
            Err(error) => Err(format!("{} has no index.html: {error}", dir.display())),
        };
    }
    let packaged = env::current_exe().ok().and_then(|program| packaged(&program, &config.wheel.version));
    let installed =
        prefixes(&config.environment).into_iter().flat_map(|prefix| installed(&prefix, &config.wheel.version));
    for path in packaged.into_iter().chain(installed).chain(cached(config)) {
        if let Ok(files) = Files::open(&path) {
            tracing::debug!(path = %path.display(), "the web UI was found");
            return Ok(Some(files));
        }
    }
    Ok(None)
}

/// The directories that may have the catalogue of models, of the sources in their order.
pub(super) fn catalogues(config: &UiConfig) -> Vec<PathBuf> {
    let packaged = env::current_exe().ok().and_then(|program| packaged(&program, &config.wheel.version));
    // `server/js/build` in a package.
    let in_package = |build: &Path| Some(build.ancestors().nth(3)?.join("utils/model_catalog"));
    let installed = prefixes(&config.environment)
        .into_iter()
        .flat_map(|prefix| installed(&prefix, &config.wheel.version))
        .filter_map(|build| in_package(&build));
    let beside = |ui: &Path| catalogue_beside(ui, &config.wheel.version);
    let given = config.dir.iter().flat_map(|dir| [in_package(dir), Some(beside(dir))]).flatten();
    given.chain(packaged.as_deref().map(beside)).chain(installed).chain(cached(config).as_deref().map(beside)).collect()
}

/// The directory of the catalogue of models beside that of the UI.
pub(super) fn catalogue_beside(ui: &Path, version: &str) -> PathBuf {
    ui.with_file_name(format!("model-catalog-{version}"))
}

/// The directory of the files that came in a package with this program: `share/ferroflow` beside `bin`, as in a wheel and
/// in the archive of a release.
fn packaged(program: &Path, version: &str) -> Option<PathBuf> {
    let program = fs::canonicalize(program).ok()?;
    Some(program.parent()?.parent()?.join("share/ferroflow").join(format!("ui-{version}")))
}

/// The directory of the downloaded files of this version.
pub(super) fn cached(config: &UiConfig) -> Option<PathBuf> {
    Some(cache_dir(config)?.join(format!("ui-{}", config.wheel.version)))
}

/// The cache directory.
pub(super) fn cache_dir(config: &UiConfig) -> Option<PathBuf> {
    let set = |name| config.environment.os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    config.cache_dir.clone().or_else(|| {
        let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
        Some(caches.join("ferroflow"))
    })
}

/// Prefixes of Python environments: the active ones, and those with programs on `PATH`.
fn prefixes(environment: &Environment) -> Vec<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(|name| environment.os(name)).map(PathBuf::from);
    let path = environment.os("PATH").unwrap_or_default();
    active.chain(env::split_paths(path).flat_map(|dir| prefixes_of(&dir))).collect()
}

/// The environments whose programs are in a directory of `PATH`.
fn prefixes_of(dir: &Path) -> Vec<PathBuf> {
    let mut prefixes = Vec::new();
    for program in PROGRAMS.map(|name| dir.join(name)) {
        // Tools are installed as symbolic links to the program in their environment; an environment's interpreter is
        // itself a link to the one that created it.
        for program in [fs::canonicalize(&program).ok(), program.exists().then_some(program)].into_iter().flatten() {
            if let Some(prefix) = program.parent().and_then(Path::parent)
                && !prefixes.iter().any(|known| known == prefix)
            {
                prefixes.insert(0, prefix.to_owned());
            }
        }
    }
    prefixes
}

/// The built UIs in packages of a version below a prefix.
fn installed(prefix: &Path, version: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64"].map(|name| prefix.join(name)) {
        let Ok(entries) = fs::read_dir(lib) else { continue };
        for entry in entries.flatten() {
            // Debian installs packages for every version in `python3` itself.
            if !is_python(&entry.file_name()) {
                continue;
            }
            for packages in ["site-packages", "dist-packages"] {
                let package = entry.path().join(packages).join("mlflow");
                if has_version(&package, version) {
                    found.push(package.join("server/js/build"));
                }
            }
        }
    }
    found
}

fn is_python(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name == "python3" || name.starts_with("python3."))
}

/// Whether a package has a version, by its own `version.py`.
fn has_version(package: &Path, version: &str) -> bool {
    let line = format!("VERSION = \"{version}\"");
    fs::read_to_string(package.join("version.py")).is_ok_and(|text| text.lines().any(|found| found.trim() == line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(prefix: &Path, version: &str) -> PathBuf {
        let package = prefix.join("lib/python3.11/site-packages/mlflow");
        fs::create_dir_all(package.join("server/js/build")).unwrap();
        fs::write(package.join("version.py"), format!("import re\n\nVERSION = \"{version}\"\n")).unwrap();
        package.join("server/js/build")
    }

    #[test]
    fn an_installed_package_of_the_version_is_found() {
        let prefix = tempfile::tempdir().unwrap();
        let build = install(prefix.path(), "3.17.2");
        assert_eq!(installed(prefix.path(), "3.17.2"), [build]);
        assert!(installed(prefix.path(), "3.17").is_empty());
        assert!(installed(&prefix.path().join("nowhere"), "3.17.2").is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_package_brings_the_files_of_its_version_beside_the_program() {
        use std::os::unix::fs::symlink;

        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        for dir in ["tool/bin", "bin"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("tool/bin/ferroflow"), "").unwrap();
        symlink(root.join("tool/bin/ferroflow"), root.join("bin/ferroflow")).unwrap();
        for program in ["tool/bin/ferroflow", "bin/ferroflow"] {
            let found = packaged(&root.join(program), "3.17.2");
            assert_eq!(found, Some(root.join("tool/share/ferroflow/ui-3.17.2")), "{program}");
        }
        assert_eq!(packaged(&root.join("bin/nothing"), "3.17.2"), None);
    }

    #[cfg(unix)]
    #[test]
    fn programs_on_the_path_lead_to_their_environment() {
        use std::os::unix::fs::symlink;

        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).unwrap();
        for dir in ["base/bin", "venv/bin", "tool/bin", "bin"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        fs::write(root.join("base/bin/python3.11"), "").unwrap();
        fs::write(root.join("tool/bin/mlflow"), "").unwrap();
        symlink(root.join("base/bin/python3.11"), root.join("venv/bin/python3")).unwrap();
        symlink(root.join("tool/bin/mlflow"), root.join("bin/mlflow")).unwrap();

        assert_eq!(prefixes_of(&root.join("venv/bin")), [root.join("venv"), root.join("base")]);
        assert!(prefixes_of(&root.join("bin")).contains(&root.join("tool")));
        assert!(prefixes_of(&root.join("nowhere")).is_empty());
    }
}
