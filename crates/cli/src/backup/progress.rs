//! Shows the progress of a backup: a bar on a terminal, otherwise only notes.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use ferroflow_ops::backup::{Event, OnEvent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::report::err;

/// Shows events on standard error.
pub(super) struct Reporter(Option<ProgressBar>);

impl Reporter {
    pub(super) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            let template = "{spinner} {msg} {wide_bar} {human_pos}/{human_len} {elapsed}, about {eta} left";
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        }))
    }

    /// The receiver of events.
    pub(super) fn on_event(&self) -> OnEvent {
        let bar = self.0.clone();
        Arc::new(move |event| match (event, &bar) {
            (Event::Note(text), Some(bar)) => bar.println(format!("note: {text}")),
            (Event::Note(text), None) => err!("note: {text}"),
            (Event::Pages { role, done, total }, Some(bar)) => at(bar, format!("{role} database"), done, total),
            (Event::Found(found), Some(bar)) => at(bar, "looking for artifacts".into(), found, found),
            (Event::Files { done, total }, Some(bar)) => at(bar, "artifacts".into(), done, total),
            (Event::Blocks { done, total }, Some(bar)) => at(bar, "blocks".into(), done, total),
            (_, None) => {}
        })
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn at(bar: &ProgressBar, what: String, done: u64, total: u64) {
    bar.set_message(what);
    bar.set_length(total);
    bar.set_position(done);
}
