//! Static SQL: one text for both dialects, with a few placeholders, and the scope that it is restricted to.
//!
//! | placeholder | PostgreSQL | SQLite |
//! | --- | --- | --- |
//! | `id {in $1}` | `id = ANY($1)` | `id IN (SELECT value FROM json_each(?1))` |
//! | `{FOR …}` | the lock clause | nothing |
//! | `{now}` | the database's time, in milliseconds since 1970 | the same |
//! | `{uuid}` | a random UUID | the same |
//! | `{postgres:…}`, `{sqlite:…}` | a part for one dialect, where plans or functions differ | |
//! | `{ws}` | the workspace: `'default'`, or a parameter | the same |
//! | `{ws:m}` | `m.workspace = {ws}` | the same |
//! | `{ws of r}` | the experiment `r.experiment_id` is in the workspace: nothing, or a lookup | the same |
//! | `{ws of run $1}` | the run `$1` is in the workspace: nothing, or a lookup | the same |
//!
//! A text is expanded once per dialect, when it is first used. Its placeholders and its scope are checked when it is
//! compiled ([`check`]).

mod check;
mod expand;

use std::{marker::PhantomData, sync::OnceLock};

use ferroflow_telemetry::Statistics;

pub(super) use self::expand::numbered;
pub(crate) use self::{check::has_workspace, expand::in_workspace};
use crate::{
    db::{Value, dialect::Dialect},
    workspace::Workspace,
};

/// A statement of static text. Declared with [`statements!`](crate::statements::statements) only, so that it is in the
/// list of its file.
pub(crate) struct Sql<S> {
    pub(super) template: Template,
    scope: PhantomData<fn() -> S>,
}

/// The text of a statement, and its expansions.
#[derive(Debug)]
pub(super) struct Template {
    text: Text,
    /// By dialect, and by whether the workspace is a parameter.
    expanded: [OnceLock<Box<str>>; 4],
    pub(super) statistics: Statistics,
}

/// A text in the list of its file ([`Page`]).
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// The name of the statement.
    pub name: &'static str,
    /// The text with placeholders.
    pub text: &'static str,
}

/// The statements of a file. `statements!` implements it.
pub(crate) trait Page {
    /// The texts, in the order of their declaration.
    const TEXTS: &'static [Text];
}

/// A page that `crate::statements` lists, so that the test of all statements finds it.
pub(crate) trait Listed: Page {}

/// What restricts the rows that a statement touches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    /// No row of its tables belongs to a workspace.
    Anywhere,
    /// Placeholders for the workspace.
    Workspace,
    /// Ids of rows that a statement in a workspace has found.
    Child,
    /// Nothing: it is for upkeep.
    Upkeep,
}

/// The scope of a statement, as a type.
pub(crate) trait Scoping {
    /// The same as a value.
    const KIND: ScopeKind;
}

/// A scope without a workspace to bind.
pub(crate) trait Unbound: Scoping {}

/// Only tables without workspaces: users, ferroflow's own, catalogs.
pub(crate) struct Anywhere;

/// Rows of runs, experiments, logged models and traces, by ids that a statement in the workspace has found or finds in
/// the same round trip. Where it has found one row, the scope is the [`Key`] of that row.
pub(crate) struct Child;

/// The key of a row in the workspace, which its children name.
pub(crate) trait Key: Scoping {
    /// The id, as it is bound to `$1`.
    fn value(&self) -> Value;
}

impl Scoping for Workspace {
    const KIND: ScopeKind = ScopeKind::Workspace;
}

impl Scoping for Anywhere {
    const KIND: ScopeKind = ScopeKind::Anywhere;
}

impl Scoping for Child {
    const KIND: ScopeKind = ScopeKind::Child;
}

impl Unbound for Anywhere {}
impl Unbound for Child {}

/// Why a statement is not restricted to a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// `gc` purges what is deleted in all workspaces.
    Gc,
    /// Trace archival goes through all experiments.
    Archival,
    /// Webhook deliveries of all workspaces are in one outbox. An event is enqueued in its workspace.
    Delivery,
    /// The server creates and checks the schema when it starts.
    Startup,
    /// Locations of artifacts say which experiment owns a file.
    Locations,
    /// Migrations work on all rows, and on schemas of other revisions.
    Migration,
    /// Backups and checks after a recovery read a whole database.
    Backup,
    /// Rollups of traces are made of all experiments.
    Rollups,
    /// Abandoned traces of all experiments are closed.
    Closing,
    /// `db move-resources` moves resources from one workspace to another.
    Move,
    /// Quotas are counted in all workspaces.
    Quotas,
    /// Tests look at the tables.
    Test,
}

impl Upkeep {
    /// The name of its statements without a template, among the statistics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gc => "gc",
            Self::Archival => "archival",
            Self::Delivery => "delivery",
            Self::Startup => "startup",
            Self::Locations => "locations",
            Self::Migration => "migration",
            Self::Backup => "backup",
            Self::Rollups => "rollups",
            Self::Closing => "closing",
            Self::Move => "move",
            Self::Quotas => "quotas",
            Self::Test => "test",
        }
    }
}

/// The reasons as types, for [`Sql`].
pub(crate) mod upkeep {
    use super::{ScopeKind, Scoping, Unbound};

    /// [`Upkeep::Gc`](super::Upkeep::Gc)
    pub(crate) struct Gc;
    /// [`Upkeep::Archival`](super::Upkeep::Archival)
    pub(crate) struct Archival;
    /// [`Upkeep::Delivery`](super::Upkeep::Delivery)
    pub(crate) struct Delivery;
    /// [`Upkeep::Startup`](super::Upkeep::Startup)
    pub(crate) struct Startup;
    /// [`Upkeep::Locations`](super::Upkeep::Locations)
    pub(crate) struct Locations;
    /// [`Upkeep::Backup`](super::Upkeep::Backup)
    pub(crate) struct Backup;
    /// [`Upkeep::Rollups`](super::Upkeep::Rollups)
    pub(crate) struct Rollups;
    /// [`Upkeep::Closing`](super::Upkeep::Closing)
    pub(crate) struct Closing;
    /// [`Upkeep::Move`](super::Upkeep::Move)
    pub(crate) struct Move;
    /// [`Upkeep::Quotas`](super::Upkeep::Quotas)
    pub(crate) struct Quotas;

    impl Scoping for Gc {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Archival {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Delivery {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Startup {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Locations {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Backup {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }

    impl Scoping for Rollups {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Closing {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }
    impl Scoping for Move {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }

    impl Scoping for Quotas {
        const KIND: ScopeKind = ScopeKind::Upkeep;
    }

    impl Unbound for Gc {}
    impl Unbound for Archival {}
    impl Unbound for Delivery {}
    impl Unbound for Startup {}
    impl Unbound for Locations {}
    impl Unbound for Backup {}
    impl Unbound for Rollups {}
    impl Unbound for Closing {}
    impl Unbound for Move {}
    impl Unbound for Quotas {}
}

impl<S: Scoping> Sql<S> {
    /// The statement at a place of its page. Evaluated at compile time.
    ///
    /// # Panics
    /// The text has an unknown placeholder, or names a table without saying its workspace.
    pub(crate) const fn at<P: Listed>(place: usize) -> Self {
        let text = P::TEXTS[place];
        if let Some(fault) = check::fault(text.text, S::KIND) {
            panic!("{}", fault);
        }
        let expanded = [OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new()];
        let statistics = Statistics::new(text.name);
        Self { template: Template { text, expanded, statistics }, scope: PhantomData }
    }
}

impl<S> std::fmt::Debug for Sql<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.template.text.fmt(f)
    }
}

impl Template {
    /// The text for a dialect. `by_parameter` says whether the workspace is a parameter, behind all others.
    pub(super) fn sql(&'static self, dialect: Dialect, by_parameter: bool) -> &'static str {
        let place = dialect.pick(0, 2) + usize::from(by_parameter);
        self.expanded[place].get_or_init(|| expand::expand(self.text.text, dialect, by_parameter).into())
    }
}

impl Text {
    /// The text for a dialect; empty for a statement of the other dialect. `by_parameter` says whether the workspace is
    /// a parameter.
    #[must_use]
    pub fn expanded(&self, dialect: Dialect, by_parameter: bool) -> String {
        expand::expand(self.text, dialect, by_parameter)
    }
}

/// The length of a text in parts.
pub(crate) const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}

/// The bytes of a text in parts.
pub(crate) const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let (mut bytes, mut at, mut part) = ([0; LENGTH], 0, 0);
    while part < parts.len() {
        let from = parts[part].as_bytes();
        let mut byte = 0;
        while byte < from.len() {
            bytes[at] = from[byte];
            at += 1;
            byte += 1;
        }
        part += 1;
    }
    bytes
}
