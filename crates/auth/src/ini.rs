//! INI files as Python's `configparser` parses them, as far as `basic_auth.ini` needs: sections, `key = value` or
//! `key: value`, lower-case keys, full-line comments, values continued on indented lines, `%(name)s` and `%%`.

use std::collections::{BTreeMap, BTreeSet};

/// Maximum depth of interpolation, as in Python.
const MAX_DEPTH: usize = 10;

/// The keys of one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// All keys, including those of `[DEFAULT]`.
    keys: BTreeMap<String, String>,
    own: BTreeSet<String>,
}

impl Section {
    /// Parses one section of a file, including the keys of `[DEFAULT]`. `None` if there is no such section.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Option<Self>, String> {
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut section: Option<String> = None;
        // The key that an indented line continues, and the indentation of the key.
        let mut continued: Option<(String, usize)> = None;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let content = line.trim();
            let indent = line.len() - line.trim_start().len();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let keys = section.as_ref().and_then(|section| sections.get_mut(section));
            if let (Some((key, from)), Some(keys)) = (&continued, keys)
                && indent > *from
            {
                let value = keys.entry(key.clone()).or_default();
                value.push('\n');
                value.push_str(content);
                continue;
            }
            if let Some(header) = content.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                sections.entry(header.to_owned()).or_default();
                section = Some(header.to_owned());
                continued = None;
                continue;
            }
            let Some(section) = &section else { return Err(format!("line {}: no section header", number + 1)) };
            let Some((key, value)) = content.split_once(['=', ':']) else {
                return Err(format!("line {}: neither a section nor 'key = value'", number + 1));
            };
            let key = key.trim().to_lowercase();
            let keys = sections.entry(section.clone()).or_default();
            if keys.insert(key.clone(), value.trim().to_owned()).is_some() {
                return Err(format!("line {}: the key '{key}' is given twice", number + 1));
            }
            continued = Some((key, indent));
        }
        let Some(own) = sections.remove(name) else { return Ok(None) };
        let mut keys = sections.remove("DEFAULT").unwrap_or_default();
        let names = own.keys().cloned().collect();
        keys.extend(own);
        Ok(Some(Self { keys, own: names }))
    }

    /// Checks that the section has only known keys.
    ///
    /// # Errors
    /// The first unknown key.
    pub(crate) fn check_keys(&self, known: &[&str]) -> Result<(), &str> {
        match self.own.iter().find(|key| !known.contains(&key.as_str())) {
            Some(other) => Err(other),
            None => Ok(()),
        }
    }

    /// The value of a key, interpolated.
    ///
    /// # Errors
    /// It refers to a missing key, or has an invalid `%`.
    pub(crate) fn get(&self, key: &str) -> Result<Option<String>, String> {
        self.keys.get(key).map(|value| self.expand(key, value, 0)).transpose()
    }

    fn expand(&self, key: &str, value: &str, depth: usize) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!("the value of '{key}' refers to itself"));
        }
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
            } else if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(")s")) {
                let referred = self.keys.get(&name.to_lowercase());
                let referred = referred.ok_or_else(|| format!("'{key}' refers to '{name}', which is not defined"))?;
                out.push_str(&self.expand(key, referred, depth + 1)?);
                rest = after;
            } else {
                return Err(format!("'{key}' has a '%': write '%%' for one"));
            }
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(text: &str, key: &str) -> Result<Option<String>, String> {
        Section::parse(text, "mlflow").map(Option::unwrap_or_default).and_then(|section| section.get(key))
    }

    #[test]
    fn a_file_is_read_as_python_reads_it() {
        let text = "; a comment\n[DEFAULT]\nroot = /data\n[other]\nx = 1\n[mlflow]\nDefault_Permission: READ\n\
                    # database_uri = no\ndatabase_uri = sqlite:///%(root)s/a%%b.db\nadmin_password = a=b # c\n\
                    long = one\n   two\nempty =\n";
        assert_eq!(get(text, "default_permission"), Ok(Some("READ".into())));
        assert_eq!(get(text, "database_uri"), Ok(Some("sqlite:////data/a%b.db".into())));
        assert_eq!(get(text, "admin_password"), Ok(Some("a=b # c".into())));
        assert_eq!(get(text, "long"), Ok(Some("one\ntwo".into())));
        assert_eq!(get(text, "empty"), Ok(Some(String::new())));
        assert_eq!(get(text, "x"), Ok(None));
        assert_eq!(Section::parse("[other]\n", "mlflow"), Ok(None));
    }

    #[test]
    fn syntax_errors_are_reported() {
        assert!(get("a = b", "a").unwrap_err().contains("line 1"));
        assert!(get("[mlflow]\na", "a").unwrap_err().contains("line 2"));
        assert!(get("[mlflow]\na = 1\na = 2", "a").unwrap_err().contains("twice"));
        assert!(get("[mlflow]\na = 100%", "a").unwrap_err().contains("'%%'"));
        assert!(get("[mlflow]\na = %(b)s", "a").unwrap_err().contains("'b'"));
        assert!(get("[mlflow]\na = %(a)s", "a").unwrap_err().contains("itself"));
    }
}
