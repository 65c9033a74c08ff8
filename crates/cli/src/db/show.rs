//! Human-readable output of a plan and a status.

use ferroflow_store::{
    db::BackendUri,
    migrations::{Chain, Plan, PlannedStep, State},
};

use crate::report::out;

/// Prints a plan as a table.
pub(crate) fn plan(plan: &Plan) {
    if plan.steps.is_empty() {
        match plan.current {
            Some(current) => out!("nothing to do: the {} database is at {current}", plan.chain),
            None => out!("the {} database is empty: its tables are created at {}", plan.chain, plan.target),
        }
        return;
    }
    let head = ["revision", "title", "rewrites", "blocks writers", "rolling", "tables (rows)"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(plan.steps.iter().map(row)).collect();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(place, cell)| {
            let width = rows.iter().map(|row| row[place].chars().count()).max().unwrap_or_default();
            format!("{cell:width$}")
        });
        out!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    let stop = plan.steps.iter().filter(|step| !step.rolling).count();
    out!("");
    out!(
        "{} revisions from {} to {}, {}",
        plan.steps.len(),
        plan.current.unwrap_or("none"),
        plan.target,
        match stop {
            0 => "each compatible with the previous server version still running".to_owned(),
            _ => format!("{stop} of them not compatible with the previous server version still running: stop it first"),
        }
    );
}

fn row(step: &PlannedStep) -> [String; 6] {
    let tables: Vec<String> = step.tables.iter().map(|table| format!("{} ({})", table.name, table.rows)).collect();
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    [
        step.revision.to_owned(),
        step.title.to_owned(),
        yes(step.rewrites),
        yes(step.locks),
        yes(step.rolling),
        tables.join(", "),
    ]
}

/// Prints the revision of a database.
pub(crate) fn status(uri: &BackendUri, chain: &'static Chain, state: &State) {
    out!("database  {uri}");
    out!("chain     {}", chain.name);
    let reached = match state {
        State::Empty => {
            out!("revision  none: there are no {} tables", chain.name);
            None
        }
        State::At(revision) => {
            out!("revision  {}", chain.named(*revision));
            Some(*revision)
        }
    };
    let goal = chain.goal(reached.flatten());
    out!("head      {} ({})", goal.revision, goal.release);
    let Some(revision) = reached else { return };
    let pending = chain.pending(revision).unwrap_or_default();
    out!("pending   {pending}");
    let later = chain.revisions().skip_while(|step| revision.is_some_and(|id| step.id != id));
    for step in later.skip(usize::from(revision.is_some())).take(pending) {
        out!("  {}  {}", step.id, step.title);
    }
    for head in chain.heads.iter().skip_while(|head| **head != *goal).skip(1) {
        let (release, adds, target) = (head.release, head.adds, head.target());
        out!("later     {} ({release}: {adds}) by db upgrade --to {target}", head.revision);
    }
}
