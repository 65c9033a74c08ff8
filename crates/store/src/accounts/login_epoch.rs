//! The login epoch: a random text in the users database that sessions and remembered tokens are bound to. A restore
//! renews it, which invalidates them all: sessions ended since the backup must not become valid again.

use std::path::Path;

use ferroflow_model::{Error, Result};

use crate::{
    accounts::users::UserStore,
    db::Anywhere,
    db::{Access, BackendUri, DbError, Direct, Op, Statement},
    schema::own,
    statements::statements,
};

statements! {
    static READ: Anywhere =
        "SELECT epoch FROM ff_login_epoch WHERE id = 1";
    static INSERT: Anywhere =
        "INSERT INTO ff_login_epoch (id, epoch) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
    static RENEW: Anywhere =
        "INSERT INTO ff_login_epoch (id, epoch) VALUES (1, $1) ON CONFLICT (id) \
         DO UPDATE SET epoch = excluded.epoch";
}

impl UserStore {
    /// The current epoch; created on first use.
    ///
    /// # Errors
    /// The database failed, or its role may not create the table.
    pub async fn login_epoch(&self) -> Result<String> {
        match self.read_epoch().await {
            Ok(Some(epoch)) => return Ok(epoch),
            Ok(None) => {}
            // The table was dropped: it is created again, with a new epoch.
            Err(_) => own::prepare_logins(self.db.uncounted()).await?,
        }
        let begin = Statement::new(&INSERT, vec![new_epoch().into()]);
        self.db.uncounted().unit(vec![Op::Execute(begin)]).await?;
        let found = self.read_epoch().await?;
        found.ok_or_else(|| Error::unavailable("the login epoch was deleted again: another program deletes it"))
    }

    async fn read_epoch(&self) -> Result<Option<String>, DbError> {
        let found = self.db.query(Statement::new(&READ, Vec::new()), |row| row.get::<String>(0)).await?;
        Ok(found.into_iter().next())
    }

    /// Invalidates all sessions, and all tokens that servers have cached.
    ///
    /// # Errors
    /// The database failed, or its role may not create the table.
    pub async fn end_sessions(&self) -> Result<()> {
        own::prepare_logins(self.db.uncounted()).await?;
        self.db.uncounted().unit(vec![Op::Execute(Statement::new(&RENEW, vec![new_epoch().into()]))]).await?;
        Ok(())
    }
}

/// Invalidates all sessions of a SQLite file that no server has open.
///
/// # Errors
/// The file cannot be written.
pub async fn end_sessions_of(file: &Path) -> Result<(), DbError> {
    let direct = Direct::open(&BackendUri::Sqlite(file.to_owned()), Access::Migrate).await?;
    direct.batch(own::LOGINS_TABLES).await?;
    direct.execute(Statement::new(&RENEW, vec![new_epoch().into()])).await?;
    Ok(())
}

fn new_epoch() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
