//! Generated files: their expected contents, compared with the actual ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::ErrorKind,
    path::PathBuf,
};

use anyhow::{Context, Result, ensure};
use similar::TextDiff;

/// Maximum number of lines shown of a difference.
const SHOWN: usize = 40;

/// The expected files. Paths are relative to the root of the repository.
pub(super) struct Files {
    root: PathBuf,
    texts: BTreeMap<String, String>,
    /// Files that are generated completely.
    whole: BTreeSet<String>,
    /// Directories that contain only generated files.
    folders: BTreeSet<String>,
}

/// A file that differs from the expected one.
pub(super) struct Difference {
    pub(super) path: String,
    is: Option<String>,
    /// `None` if the file must not exist.
    must: Option<String>,
}

impl Files {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, texts: BTreeMap::new(), whole: BTreeSet::new(), folders: BTreeSet::new() }
    }

    /// The root of the repository.
    pub(super) fn root(&self) -> &PathBuf {
        &self.root
    }

    /// The expected text of a file so far, or else its actual one.
    pub(super) fn text(&self, path: &str) -> Result<String> {
        match self.texts.get(path) {
            Some(text) => Ok(text.clone()),
            None => fs::read_to_string(self.root.join(path)).with_context(|| path.to_owned()),
        }
    }

    /// Sets a file that is generated completely.
    pub(super) fn whole(&mut self, path: &str, text: String) {
        self.whole.insert(path.to_owned());
        self.texts.insert(path.to_owned(), text);
    }

    /// Sets a file that is generated partly, such as by [`between`].
    pub(super) fn partly(&mut self, path: &str, text: String) {
        self.texts.insert(path.to_owned(), text);
    }

    /// Declares that a directory contains only generated files.
    pub(super) fn nothing_else_in(&mut self, folder: &str) {
        self.folders.insert(folder.to_owned());
    }

    /// Lists completely generated files in `.gitattributes`, so that reviews fold them.
    pub(super) fn attributes(&mut self) -> Result<()> {
        const PATH: &str = ".gitattributes";
        let loose = self.whole.iter().filter(|path| !self.folders.iter().any(|folder| is_in(path, folder)));
        let mut patterns: Vec<String> =
            loose.cloned().chain(self.folders.iter().map(|folder| format!("{folder}/**"))).collect();
        patterns.sort();
        let mut lines = String::new();
        for pattern in patterns {
            lines += &format!("{pattern} linguist-generated\n");
        }
        let text = between(&self.text(PATH)?, "# generated\n", "# /generated\n", &lines).context(PATH)?;
        self.partly(PATH, text);
        Ok(())
    }

    /// The number of generated files.
    pub(super) fn count(&self) -> usize {
        self.texts.len()
    }

    /// The files that differ, including those that must not exist.
    pub(super) fn differences(&self) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        for (path, must) in &self.texts {
            let is = match fs::read_to_string(self.root.join(path)) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error).context(path.clone()),
            };
            if is.as_ref() != Some(must) {
                found.push(Difference { path: path.clone(), is, must: Some(must.clone()) });
            }
        }
        for folder in &self.folders {
            for path in self.below(folder)? {
                if !self.texts.contains_key(&path) {
                    let is = fs::read_to_string(self.root.join(&path)).with_context(|| path.clone())?;
                    found.push(Difference { path, is: Some(is), must: None });
                }
            }
        }
        Ok(found)
    }

    /// The files in a directory and below it.
    fn below(&self, folder: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let Ok(entries) = self.root.join(folder).read_dir() else { return Ok(found) };
        for entry in entries {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().display());
            if entry.file_type()?.is_dir() {
                found.extend(self.below(&path)?);
            } else {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Writes the expected files.
    pub(super) fn write(&self, differences: &[Difference]) -> Result<()> {
        for Difference { path, must, .. } in differences {
            let file = self.root.join(path);
            match must {
                Some(text) => {
                    fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
                    fs::write(file, text)
                }
                None => fs::remove_file(file),
            }
            .with_context(|| path.clone())?;
        }
        Ok(())
    }
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Replaces the text between two marks, each of which must occur exactly once.
pub(super) fn between(text: &str, begin: &str, end: &str, content: &str) -> Result<String> {
    for mark in [begin, end] {
        let count = text.matches(mark).count();
        ensure!(count == 1, "has the mark {} {count} times instead of once", mark.trim());
    }
    let (before, rest) = text.split_once(begin).context("counted above")?;
    let (_, after) = rest.split_once(end).with_context(|| format!("{} is before {}", end.trim(), begin.trim()))?;
    Ok([before, begin, content, end, after].concat())
}

impl fmt::Display for Difference {
    /// A unified diff, truncated to [`SHOWN`] lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |side: &Option<String>| side.clone().unwrap_or_default();
        let name = |side: &Option<String>, name| if side.is_some() { name } else { "/dev/null".to_owned() };
        let (is, must) = (text(&self.is), text(&self.must));
        let diff = TextDiff::from_lines(&is, &must);
        let mut unified = diff.unified_diff();
        unified.header(&name(&self.is, self.path.clone()), &name(&self.must, format!("{} (generated)", self.path)));
        let unified = unified.to_string();
        for line in unified.lines().take(SHOWN) {
            writeln!(f, "{line}")?;
        }
        match unified.lines().count().checked_sub(SHOWN) {
            Some(more @ 1..) => writeln!(f, "… and {more} more lines"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Files, between};

    fn files(on_disk: &[(&str, &str)], generated: &[(&str, &str)]) -> (tempfile::TempDir, Files) {
        let root = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in on_disk {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        let mut files = Files::new(root.path().to_owned());
        for (path, text) in generated {
            files.whole(path, (*text).to_owned());
        }
        (root, files)
    }

    fn differing(files: &Files) -> Vec<String> {
        let mut paths: Vec<String> =
            files.differences().expect("readable").into_iter().map(|difference| difference.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn a_file_that_was_edited_differs_and_is_shown_by_line() {
        let (_root, files) = files(&[("a", "1\n2\n"), ("b", "same\n")], &[("a", "1\n3\n"), ("b", "same\n")]);
        let differences = files.differences().expect("readable");
        assert_eq!(differing(&files), ["a"]);
        assert_eq!(differences[0].to_string(), "--- a\n+++ a (generated)\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n");
    }

    #[test]
    fn a_long_difference_is_cut() {
        let (_root, files) = files(&[("a", &"x\n".repeat(100))], &[("a", &"y\n".repeat(100))]);
        let shown = files.differences().expect("readable")[0].to_string();
        assert_eq!(shown.lines().count(), 41);
        assert!(shown.ends_with("… and 163 more lines\n"), "{shown}");
    }

    #[test]
    fn a_file_that_is_missing_or_should_not_be_there_differs() {
        let (_root, mut files) = files(
            &[("folder/old.rs", "old\n"), ("folder/deep/old.rs", "old\n"), ("folder/deep/kept.rs", "")],
            &[("folder/new.rs", "new\n"), ("folder/deep/kept.rs", "")],
        );
        files.nothing_else_in("folder");
        assert_eq!(differing(&files), ["folder/deep/old.rs", "folder/new.rs", "folder/old.rs"]);
        files.write(&files.differences().expect("readable")).expect("writable");
        assert_eq!(differing(&files), [""; 0]);
    }

    #[test]
    fn marks_stand_once_and_in_order() {
        assert_eq!(between("a<b>old</b>c", "<b>", "</b>", "new").expect("marked"), "a<b>new</b>c");
        for unmarked in ["a", "<b>x", "<b>x</b><b>y</b>", "</b>x<b>"] {
            assert!(between(unmarked, "<b>", "</b>", "new").is_err(), "{unmarked}");
        }
    }

    #[test]
    fn what_is_generated_is_so_to_git() {
        let (_root, mut files) = files(
            &[(".gitattributes", "* text\n# generated\nold linguist-generated\n# /generated\n")],
            &[("folder/a.rs", ""), ("folder/b.rs", ""), ("folders.json", "")],
        );
        files.nothing_else_in("folder");
        files.attributes().expect("marked");
        assert_eq!(
            files.text(".gitattributes").expect("set"),
            "* text\n# generated\nfolder/** linguist-generated\nfolders.json linguist-generated\n# /generated\n"
        );
    }
}
