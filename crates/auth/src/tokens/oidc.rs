//! Tokens of an `OpenID` Connect provider: section `[oidc]` of the settings.

use std::{collections::HashSet, path::PathBuf, str::FromStr as _, time::Duration};

use ferroflow_model::{Environment, Result, validation};
use ferroflow_store::TokenUser;
use jsonwebtoken::Algorithm;
use reqwest::Url;

use super::{
    TokenCheck,
    browser::{Browser, BrowserConfig},
    http::{self, address, is_loopback},
    identity::{Groups, flag, lines, number, required, text, words},
    jwt::{self, Claims, Expected},
    keys::Provider,
};
use crate::{ini::Section, signer::now};

const KEYS: &[&str] = &[
    "issuer",
    "audience",
    "jwks_uri",
    "algorithms",
    "leeway_seconds",
    "key_refresh_seconds",
    "ca_file",
    "username_claim",
    "groups_claim",
    "group_roles",
    "group_workspace_roles",
    "admin_group",
    "allowed_groups",
    "link_existing_users",
    "client_id",
    "client_secret",
    "redirect_uri",
    "logout_redirect_uri",
    "scopes",
    "session_hours",
];

/// The settings.
#[derive(Debug, Clone)]
pub struct OidcConfig {
    issuer: String,
    audiences: Vec<String>,
    jwks_uri: Option<String>,
    algorithms: HashSet<Algorithm>,
    leeway: u64,
    key_refresh: Duration,
    ca_file: Option<PathBuf>,
    username_claim: String,
    groups_claim: String,
    groups: Groups,
    allowed_groups: Vec<String>,
    links: bool,
    browser: Option<BrowserConfig>,
}

impl OidcConfig {
    pub(crate) fn parse(section: &Section, environment: &Environment) -> Result<Self, String> {
        section.check_keys(KEYS).map_err(|key| format!("[oidc] has an unknown key '{key}'"))?;
        // Compared literally with the `iss` claim.
        let issuer = required(section, "oidc", "issuer")?;
        address("issuer", &issuer)?;
        let audiences = words(section, "audience")?;
        if audiences.is_empty() {
            // Tokens for the provider's other services would be accepted.
            return Err("it has no audience in [oidc]".into());
        }
        let mut algorithms = HashSet::new();
        for name in words(section, "algorithms")? {
            let found = Algorithm::from_str(&name).ok().filter(|found| jwt::ALGORITHMS.contains(found));
            algorithms.insert(found.ok_or_else(|| {
                format!(
                    "algorithms: {name} is not one of {:?}: only algorithms with public keys are allowed",
                    jwt::ALGORITHMS
                )
            })?);
        }
        if algorithms.is_empty() {
            algorithms.extend(jwt::ALGORITHMS);
        }
        Ok(Self {
            issuer,
            audiences,
            jwks_uri: text(section, "jwks_uri")?.map(|uri| address("jwks_uri", &uri).map(|_| uri)).transpose()?,
            algorithms,
            leeway: number(section, "leeway_seconds", 60, 600)?,
            key_refresh: Duration::from_secs(number(section, "key_refresh_seconds", 10, 3600)?.max(1)),
            ca_file: text(section, "ca_file")?.map(PathBuf::from),
            username_claim: text(section, "username_claim")?.unwrap_or_else(|| "preferred_username".into()),
            groups_claim: text(section, "groups_claim")?.unwrap_or_else(|| "groups".into()),
            groups: Groups::parse(section)?,
            allowed_groups: lines(section, "allowed_groups")?,
            links: flag(section, "link_existing_users")?,
            browser: BrowserConfig::parse(section, environment)?,
        })
    }
}

/// Verifies tokens of the provider.
pub(crate) struct Oidc {
    config: OidcConfig,
    pub(crate) provider: Provider,
    pub(crate) browser: Option<Browser>,
}

impl Oidc {
    pub(crate) fn open(config: OidcConfig, secret: &str) -> Result<Self, String> {
        let through_proxies = Url::parse(&config.issuer).is_ok_and(|issuer| !is_loopback(&issuer));
        let client = http::client(config.ca_file.as_deref(), through_proxies)?;
        let provider = Provider::new(client, config.issuer.clone(), config.jwks_uri.clone(), config.key_refresh);
        let browser = config.browser.clone().map(|browser| Browser::new(browser, secret));
        Ok(Self { config, provider, browser })
    }

    /// Whether a token claims, unverified, to be from the provider.
    pub(crate) fn is_claimed_by(&self, token: &str) -> bool {
        let claims =
            jsonwebtoken::dangerous::insecure_decode_claims::<serde_json::Map<String, serde_json::Value>>(token);
        claims.is_ok_and(|claims| claims.get("iss").and_then(serde_json::Value::as_str) == Some(&self.config.issuer))
    }

    /// Verifies a bearer token.
    pub(crate) async fn identify(&self, token: &str) -> Result<TokenCheck> {
        Ok(match self.claims(token, &self.config.audiences).await?.and_then(|claims| self.user(&claims)) {
            Ok((user, life)) => TokenCheck::Accepted(user, life),
            Err(reason) => TokenCheck::Refused { reason, keep: Duration::ZERO },
        })
    }

    /// The claims of a token of the provider for one of `audiences`, or why it is not valid.
    pub(crate) async fn claims(&self, token: &str, audiences: &[String]) -> Result<Result<Claims, String>> {
        let header = match jsonwebtoken::decode_header(token) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if !self.config.algorithms.contains(&header.alg) {
            return Ok(Err(format!("the algorithm {:?} is not allowed", header.alg)));
        }
        if header.crit.is_some() {
            return Ok(Err("it has unknown critical header parameters".into()));
        }
        let kind = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !matches!(kind.as_str(), "jwt" | "at+jwt" | "application/at+jwt") {
            return Ok(Err(format!("its type '{kind}' is neither an access token nor an ID token")));
        }
        let Some(key) = self.provider.key(header.kid.as_deref(), header.alg).await? else {
            return Ok(Err("the provider has no key with its key id".into()));
        };
        let expected = Expected { issuer: &self.config.issuer, audiences, leeway: self.config.leeway };
        Ok(jwt::check(token, header.alg, &key, &expected))
    }

    /// The user in the claims, and for how long they are valid.
    pub(crate) fn user(&self, claims: &Claims) -> Result<(TokenUser, Duration), String> {
        let name = claims.text(&self.config.username_claim);
        let name = name.ok_or_else(|| format!("it has no claim '{}'", self.config.username_claim))?;
        validation::username(name).map_err(|error| error.message)?;
        if self.config.username_claim == "email" && claims.get("email_verified") == Some(&false.into()) {
            return Err("its email address is not verified".into());
        }
        let groups = claims.texts(&self.config.groups_claim);
        let allowed = &self.config.allowed_groups;
        if !allowed.is_empty() && !groups.iter().any(|group| allowed.contains(group)) {
            return Err("its user is in none of allowed_groups".into());
        }
        let owner = format!("oidc\n{}\n{}", self.config.issuer, claims.subject);
        let user = self.config.groups.user(name.to_owned(), &owner, &groups, self.config.links);
        Ok((user, Duration::from_secs((claims.expires + self.config.leeway).saturating_sub(now()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<OidcConfig, String> {
        let section = Section::parse(&format!("[oidc]\n{text}"), "oidc").unwrap().unwrap();
        OidcConfig::parse(&section, &Environment::default())
    }

    #[test]
    fn unsafe_settings_are_refused() {
        let good = "issuer = https://id.example\naudience = mlflow\n";
        assert!(parse(good).is_ok() && parse("issuer = http://127.0.0.1:9\naudience = a").is_ok());
        for (text, word) in [
            ("issuer = https://id.example", "audience"),
            ("audience = a", "issuer"),
            ("issuer = http://id.example\naudience = a", "https"),
            ("issuer = id.example\naudience = a", "URL"),
            (&format!("{good}algorithms = HS256"), "HS256"),
            (&format!("{good}algorithms = none"), "none"),
            (&format!("{good}jwks_uri = http://id.example/keys"), "https"),
            (&format!("{good}issuers = x"), "'issuers'"),
            (&format!("{good}leeway_seconds = 99999"), "leeway_seconds"),
            (&format!("{good}link_existing_users = perhaps"), "link_existing_users"),
            (&format!("{good}client_id = a"), "redirect_uri"),
            (&format!("{good}client_id = a\nredirect_uri = https://x.example/back"), "/oidc/callback"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
