//! Progress of work that takes longer than a second, where standard error is a terminal.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long work goes on before it shows.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Work under way. Goes from the screen when dropped.
pub struct Progress {
    bar: ProgressBar,
    /// Ends the thread that shows the bar when the time has come.
    watch: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Work of known length.
    pub fn of(total: u64, what: &'static str) -> Self {
        Self::new(Some(total), "{msg} {bar:40} {human_pos} of {human_len}, {eta} left", what)
    }

    /// Work of which only the end is known, when it comes.
    pub fn waiting(what: &'static str) -> Self {
        Self::new(None, "{spinner} {msg} {elapsed}", what)
    }

    fn new(total: Option<u64>, template: &str, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_message(what);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if !stderr().is_terminal() {
            return Self { bar, watch: None };
        }
        let (ended, end) = channel();
        let shown = bar.clone();
        let watcher = thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        });
        Self { bar, watch: Some((ended, watcher)) }
    }

    /// Says how far the work is, and how much it is as far as that is known.
    pub fn at_of(&self, position: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(position);
    }

    /// Says how far the work is.
    pub fn at(&self, position: u64) {
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((ended, watcher)) = self.watch.take() {
            drop(ended);
            let _ = watcher.join();
        }
        self.bar.finish_and_clear();
    }
}
