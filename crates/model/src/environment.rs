//! The environment variables of a process, as a value.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    sync::Arc,
};

/// The environment variables that a process was started with. `cli` reads them once, in its `main`, and passes them on:
/// no other code depends on the process, and a test passes the variables that it needs. A clone is a reference.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Arc<BTreeMap<OsString, OsString>>,
}

impl Environment {
    /// An environment of these variables, such as `std::env::vars_os()`. The first value of a name counts, as for
    /// `getenv`.
    pub fn new<N: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut found = BTreeMap::new();
        for (name, value) in variables {
            found.entry(name.into()).or_insert_with(|| value.into());
        }
        Self { variables: Arc::new(found) }
    }

    /// The value of a variable. An empty variable is unset, and so is one that is not Unicode.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// [`Environment::get`], but an empty variable has an empty value: where it overrides another setting.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.os(name)?.to_str()
    }

    /// The value of a variable as the system has it: a path, which may be empty and need not be Unicode.
    #[must_use]
    pub fn os(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.variables.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// The variables that [`Environment::get`] returns, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.variables.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)));
        pairs.filter(|(_, value)| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    /// Variables are omitted: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_unset_except_where_it_overrides() {
        let environment = Environment::new([("A", "1"), ("EMPTY", ""), ("A", "2")]);
        assert_eq!(environment.get("A"), Some("1"));
        assert_eq!((environment.get("EMPTY"), environment.raw("EMPTY")), (None, Some("")));
        assert_eq!((environment.raw("B"), environment.os("B")), (None, None));
        assert_eq!(environment.iter().collect::<Vec<_>>(), [("A", "1")]);
        assert!(!format!("{environment:?}").contains('1'));
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_unicode() {
        use std::os::unix::ffi::OsStrExt as _;

        let path = OsStr::from_bytes(b"/caf\xe9");
        let environment = Environment::new([("P", path)]);
        assert_eq!((environment.get("P"), environment.raw("P"), environment.os("P")), (None, None, Some(path)));
        assert_eq!(environment.iter().count(), 0);
    }
}
