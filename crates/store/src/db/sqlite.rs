//! The SQLite driver: one writer thread and a few reader threads, each with its own connection.

mod back_up;
mod connect;
mod file_identity;
mod functions;
mod log_keeper;
mod pool;
mod run;
mod session;

pub use self::connect::Synchronous;
pub(super) use self::{
    back_up::{back_up, checkpoint},
    connect::Role,
    pool::{Reader, SqlitePool, Writer},
    run::{batch, changed, commit, each, execute, insert, pipeline, unit},
    session::Session,
};

/// The path of an in-memory database.
pub(super) const IN_MEMORY: &str = ":memory:";
