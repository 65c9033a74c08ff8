//! `~/.pgpass`, as libpq reads it: lines of `host:port:database:user:password`, with `*` as wildcard and `\` to escape
//! `:` and `\`. It is read for each connection, so that a password can be changed without a restart.

use std::{fs::File, io::Read as _, os::unix::fs::MetadataExt as _, path::Path};

use crate::db::PostgresUri;

/// Maximum size, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The password for a host of a URI; `None` if no line matches.
///
/// # Errors
/// The file cannot be read, or other users may access it. The message is one line and contains nothing of the file.
pub(super) fn password(path: &Path, uri: &PostgresUri, host: usize) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("the password file {} cannot be read: {error}", path.display());
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > MAX_SIZE {
        return Err(format!("the password file {} is not a file of passwords", path.display()));
    }
    // Kubernetes mounts Secrets owned by root and readable for the pod's group.
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & others != 0 {
        return Err(format!(
            "the password file {} has the mode {:04o}: others must not be able to read it, use 0600 (0440 for a Secret)",
            path.display(),
            metadata.mode() & 0o7777
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    // libpq looks up a socket in its default directory under this name.
    let name = match uri.hosts.get(host).map_or("", String::as_str) {
        "/var/run/postgresql" | "/tmp" => "localhost",
        name => name,
    };
    let user = uri.user.as_deref().unwrap_or_default();
    let database = uri.database.as_deref().unwrap_or(user);
    Ok(find(&text, [name, &uri.port(host).to_string(), database, user]))
}

fn find(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line.trim_end_matches('\r'));
        let fits = wanted.iter().all(|wanted| fields.next().is_some_and(|field| field == "*" || field == *wanted));
        fields.next().filter(|password| fits && !password.is_empty())
    })
}

/// The five fields of a line. The last one is the rest of the line, colons included.
fn fields(line: &str) -> impl Iterator<Item = String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ':' if fields.len() < 4 => fields.push(std::mem::take(&mut field)),
            '\\' => field.extend(chars.next()),
            char => field.push(char),
        }
    }
    fields.push(field);
    fields.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text =
            "# db:5432:ml:alice:comment\nother:5432:ml:alice:no\r\ndb:5432:ml:alice:pa\\:ss\\\\w:ord\r\n*:*:*:*:any\n";
        assert_eq!(find(text, ["db", "5432", "ml", "alice"]).as_deref(), Some("pa:ss\\w:ord"));
        assert_eq!(find(text, ["db", "5433", "ml", "alice"]).as_deref(), Some("any"));
        assert_eq!(find("a\\:b:*:*:*:x", ["a:b", "1", "", ""]).as_deref(), Some("x"));
        assert_eq!(find("db:5432:ml:alice\n\n::::\n", ["db", "5432", "ml", "alice"]), None);
    }
}
