//! The list of all static statements, and the macro that declares them.
//!
//! A file declares its statements with [`statements!`], which also makes the list of its texts. [`Sql::at`] takes a
//! text from such a list only, and only of a file that [`pages!`] names below: a statement that the test of all
//! statements would miss does not compile.
//!
//! [`Sql::at`]: crate::db::Sql::at

use crate::db::{Listed, Page, Text};

/// Declares the statements of a file: a name, the scope, and the text in one or several parts.
///
/// ```ignore
/// statements! {
///     /// A run by its id.
///     static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM runs r WHERE r.run_uuid = $1 AND {ws of r}";
/// }
/// ```
macro_rules! statements {
    ($($(#[$meta:meta])* $vis:vis static $name:ident: $scope:ty = $($part:expr),+;)+) => {
        /// The statements of this file.
        pub(crate) struct Statements;

        /// Their places in the list.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum StatementPlace {
            $($name),+
        }

        impl $crate::db::Page for Statements {
            const TEXTS: &'static [$crate::db::Text] = &[$({
                const PARTS: &[&str] = &[$($part),+];
                const BYTES: [u8; $crate::db::length(PARTS)] = $crate::db::joined(PARTS);
                const TEXT: &str = match std::str::from_utf8(&BYTES) {
                    Ok(text) => text,
                    Err(_) => panic!("a part of a text is no text"),
                };
                $crate::db::Text { name: concat!(module_path!(), "::", stringify!($name)), text: TEXT }
            }),+];
        }

        $(
            $(#[$meta])*
            $vis static $name: $crate::db::Sql<$scope> =
                $crate::db::Sql::<$scope>::at::<Statements>(StatementPlace::$name as usize);
        )+
    };
}

pub(crate) use statements;

/// Names the files with statements, by the database that they are for.
macro_rules! pages {
    ($($(#[$meta:meta])* $list:ident: $($($page:ident)::+),+;)+) => {
        $(
            $(impl Listed for crate::$($page)::+::Statements {})+

            $(#[$meta])*
            pub static $list: &[&[Text]] = &[$(<crate::$($page)::+::Statements as Page>::TEXTS),+];
        )+
    };
}

pages! {
    /// The static statements on the tracking database, by file.
    TRACKING:
        evaluation::dataset_records,
        evaluation::datasets,
        evaluation::issues,
        evaluation::keys,
        evaluation::label_schemas,
        evaluation::online_scoring,
        evaluation::review_queue_items,
        evaluation::review_queues,
        evaluation::scorers,
        events::outbox::statements,
        events::webhooks,
        quotas,
        registry::model_versions,
        registry::new_model_version,
        registry::prompt_links,
        registry::registered_model_children,
        registry::registered_models,
        schema,
        schema::own,
        schema::own_indexes,
        traces::assessments,
        traces::keys,
        traces::rollup_queue,
        traces::run_assessments,
        traces::span_log::read,
        traces::span_log::rows,
        traces::trace_delete,
        traces::trace_few::statements,
        traces::trace_infos,
        traces::trace_payloads,
        traces::trace_search,
        traces::trace_start,
        traces::trace_tags,
        traces::trace_v2,
        traces::trace_window,
        tracking::batch::apply,
        tracking::batch::rows,
        tracking::experiment_locations,
        tracking::experiments,
        tracking::inputs,
        tracking::keys,
        tracking::logged_models,
        tracking::metric_samples,
        tracking::metrics,
        tracking::parents,
        tracking::run_children,
        tracking::run_few,
        tracking::run_ordered_by,
        tracking::run_window,
        tracking::runs,
        upkeep::abandoned_traces,
        upkeep::artifact_refs,
        upkeep::gc,
        upkeep::gc::check,
        upkeep::gc::jobs,
        upkeep::gc::unknown,
        upkeep::job_leases,
        upkeep::move_resources::statements,
        upkeep::one_workspace,
        upkeep::scheduler_leases,
        upkeep::trace_archival,
        upkeep::trace_rollups,
        upkeep::trace_rollups::sums,
        upkeep::usage,
        upkeep::usage::sizes,
        workspaces,
        workspaces::delete,
        workspaces::delete::moved,
        workspaces::delete::rows,
        workspaces::known;

    /// Those on tables and columns that only a later head of the reference has, by file.
    TRACKING_LATER:
        evaluation::issue_columns,
        upkeep::move_resources::skills,
        workspaces::skills;

    /// The static statements on the users database, by file.
    USERS:
        accounts::grants,
        accounts::login_epoch,
        accounts::login_failures,
        accounts::role_permissions,
        accounts::roles,
        accounts::roster,
        accounts::token_users,
        accounts::users,
        accounts::workspaces;
}
