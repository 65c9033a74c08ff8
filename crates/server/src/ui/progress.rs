//! Shows the progress of the download: a bar on a terminal, lines in the log elsewhere, and on the page shown
//! meanwhile.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::{State, report};

/// Percentage points between two lines in the log.
const LOG_STEP: u8 = 25;

/// The progress of one download.
pub(super) struct Progress<'a> {
    state: &'a watch::Sender<State>,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    done: u64,
    logged: u8,
}

impl<'a> Progress<'a> {
    /// Starts at 0 of `total` bytes.
    pub(super) fn new(state: &'a watch::Sender<State>, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total.unwrap_or_default());
            let style = ProgressStyle::with_template("Fetching the web UI [{bar:40}] {bytes}/{total_bytes}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { state, bar, total, done: 0, logged: 0 }
    }

    /// Adds downloaded bytes.
    pub(super) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let share = self.total.and_then(|total| (self.done * 100).checked_div(total)).unwrap_or_default();
        let percent = u8::try_from(share.min(100)).unwrap_or(100);
        report(self.state, percent);
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if percent >= self.logged + LOG_STEP {
            self.logged = percent - percent % LOG_STEP;
            tracing::info!(percent = self.logged, "fetching the web UI");
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
