//! Who may do what: basic-auth with the reference's users database, password hashes, roles and rules.
//!
//! [`Auth`] knows users and checks passwords and tokens, [`Caller`] is one user with what is granted, and a [`Requirement`] is what
//! an operation asks for. Which operation asks for what is said by the server's router table.

mod bootstrap;
mod caller;
mod config;
mod ini;
mod limit;
mod login;
pub mod password;
mod requirement;
mod seal;
mod signup;
mod tokens;
mod turns;

pub use bootstrap::BootstrapError;
pub use caller::Caller;
pub use config::{AuthConfig, ConfigError};
pub use login::Auth;
pub use requirement::{Key, Requirement};
pub use signup::SignupKey;
pub use tokens::{Callback, KubernetesConfig, LoginStart, OidcConfig, Tokens};
