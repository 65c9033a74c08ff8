//! The users database, if it is in the same cluster.

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::super::{
    api::{Api, SECRETS, decoded},
    release::{Release, configuration},
};

/// Replaces the old cluster's host in the basic-auth configuration with the new one's, and its credentials, which
/// differ.
pub(super) async fn retarget(api: &Api, release: &Release, old: &str, new: &str) -> Result<()> {
    let Some((secret, key)) = configuration(&release.deployment) else { return Ok(()) };
    let stored = api.get_required(SECRETS, secret).await?;
    let ini = decoded(&stored, key).with_context(|| format!("the Secret {secret} has no {key}"))?;
    if !ini.contains(&format!("@{old}-rw")) {
        return Ok(());
    }
    let (user, password) = if api.dry_run {
        (String::new(), String::new())
    } else {
        let app = api.get_required(SECRETS, &format!("{new}-app")).await?;
        let field = |name| decoded(&app, name).with_context(|| format!("the Secret {new}-app has no {name}"));
        (field("username")?, field("password")?)
    };
    let changed = rewritten(&ini, old, new, &user, &password);
    api.change(SECRETS, secret, &format!("the users' database is in {new}, with its own password"), |secret| {
        secret["data"][key] = json!(BASE64_STANDARD.encode(&changed));
        Ok(())
    })
    .await
    .map(drop)
}

fn rewritten(ini: &str, old: &str, new: &str, user: &str, password: &str) -> String {
    let lines = ini.lines().map(|line| {
        let found = line.split_once("://").and_then(|(head, rest)| Some((head, rest.rsplit_once('@')?.1)));
        match found {
            Some((head, host))
                if head.trim_start().starts_with("database_uri") && host.starts_with(&format!("{old}-rw")) =>
            {
                let escape = |text: &str| {
                    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
                };
                format!("{head}://{}:{}@{new}{}", escape(user), escape(password), &host[old.len()..])
            }
            _ => line.to_owned(),
        }
    });
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_old_clusters_uri_is_rewritten() {
        let ini =
            "[mlflow]\ndatabase_uri = postgresql://m:p@ss@pg-v1-rw:5432/auth?sslmode=require\nadmin_username = a\n";
        let changed = "[mlflow]\ndatabase_uri = postgresql://mlflow:n%40w@pg-v2-rw:5432/auth?sslmode=require\nadmin_username = a\n";
        assert_eq!(rewritten(ini, "pg-v1", "pg-v2", "mlflow", "n@w"), changed);
        let other = "[mlflow]\ndatabase_uri = postgresql://m:p@elsewhere:5432/auth\n";
        assert_eq!(rewritten(other, "pg-v1", "pg-v2", "mlflow", "x"), other);
    }
}
