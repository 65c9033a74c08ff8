//! What keeps an installation alive besides the server: backups and their way back.

pub mod backup;
