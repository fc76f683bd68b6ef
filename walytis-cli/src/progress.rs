//! One line about what goes on, for whoever waits longer than a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, complain};

/// Nothing is shown for what takes less.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// A line on standard error that shows what goes on. It appears after a second, on a terminal only, and goes when it is
/// dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    later: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Begins to wait. Must be called within a tokio runtime.
    pub(crate) fn new(output: &Output, message: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_message(message);
        // The template is a constant; were it wrong, the default would do.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        let later = output.talks().then(|| {
            let bar = bar.clone();
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                bar.enable_steady_tick(TICK);
            })
        });
        Self { bar, later }
    }

    /// Begins to wait for somebody else. This is told without a terminal too, in a line that stays; `message` is made
    /// when it is told.
    pub(crate) fn waiting(output: &Output, message: impl FnOnce() -> String + Send + 'static) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let later = output.talks().then(|| {
            tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                complain(format_args!("{} ...", message()));
            })
        });
        Self { bar, later }
    }

    /// Says something else.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }

    /// The line itself, for another thread to say something.
    pub(crate) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(later) = &self.later {
            later.abort();
        }
        self.bar.finish_and_clear();
    }
}
