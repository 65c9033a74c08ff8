//! Shows the progress of an upgrade: a bar on a terminal, otherwise lines; events in the log of a server.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use ferroflow_store::migrations::{Event, Revision};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Writes events to standard output.
pub(crate) struct Reporter {
    /// The bar, on a terminal.
    bar: Option<ProgressBar>,
}

impl Reporter {
    pub(crate) fn new() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Waiting { what } => self.line(&format!("waiting for {what}")),
            Event::Backup { done, total } => self.at("copying the file, pages", *done, *total),
            Event::BackedUp { path } => self.line(&format!("backup: {}", path.display())),
            Event::Create { .. } => {}
            Event::Begin { from, to, number, of } => {
                let text = headline(*from, to);
                match &self.bar {
                    Some(bar) => {
                        bar.reset();
                        bar.set_style(spinner());
                        bar.set_message(format!("{number}/{of} {text}"));
                    }
                    None => self.line(&text),
                }
            }
            Event::Rows { table, done, total } => self.at(table, *done, *total),
            Event::End { to, took } => {
                let text = format!("upgraded to {} in {:.3} s", to.id, took.as_secs_f64());
                self.line(&text);
            }
        }
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn at(&self, what: &str, done: u64, total: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_style(rows());
        bar.set_prefix(what.to_owned());
        bar.set_length(total);
        bar.set_position(done);
    }

    fn line(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.println(text);
            return;
        }
        let mut out = std::io::stdout().lock();
        // The reader of the output may be gone: the upgrade continues.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

fn headline(from: Option<&str>, to: &Revision) -> String {
    format!("upgrading {} -> {}: {}", from.unwrap_or("none"), to.id, to.title)
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn rows() -> ProgressStyle {
    let template = "{spinner} {msg}\n  {prefix} {wide_bar} {human_pos}/{human_len} {elapsed}, about {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Writes an event to the log of a server.
pub(crate) fn log(event: &Event) {
    match event {
        Event::Waiting { what } => tracing::warn!("the upgrade of the database waits for {what}"),
        Event::BackedUp { path } => tracing::info!(path = %path.display(), "the database was copied"),
        Event::Begin { from, to, .. } => tracing::info!("{}", headline(*from, to)),
        Event::End { to, took } => tracing::info!("upgraded to {} in {}", to.id, HumanDuration(*took)),
        Event::Backup { .. } | Event::Create { .. } | Event::Rows { .. } => {}
    }
}
