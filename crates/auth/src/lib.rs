//! Authentication and authorisation: basic-auth with the reference's users database, password hashes, roles and rules.
//!
//! [`Auth`] authenticates users by passwords and tokens, a [`Caller`] is an authenticated user with its grants, and a
//! [`Requirement`] is what an operation requires. The server's router table lists the requirements of each operation.

mod bootstrap;
mod caller;
mod config;
mod hash_limiter;
mod ini;
mod limit;
mod login;
mod namespaces;
pub mod password;
mod requirement;
mod signer;
mod signup;
mod tokens;

pub use bootstrap::BootstrapError;
pub use caller::Caller;
pub use config::{AuthConfig, ConfigError};
pub use login::Auth;
pub use namespaces::{Namespace, Namespaces, RemoteHeaders};
pub use requirement::{Key, Requirement};
pub use signup::SignupKey;
pub use tokens::{Callback, KubernetesConfig, LoginStart, OidcConfig, Tokens};
