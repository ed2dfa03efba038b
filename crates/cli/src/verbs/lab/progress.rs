//! What `lab` shows while it works: one line that moves, and one that stays for every trial.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use slackwater_base::Bytes;
use slackwater_lab::run::{Phase, Progress};
use slackwater_report::visible;

use crate::printer::Printer;

/// Lines of a service that failed that are shown; its result has more.
const LAST_LINES: usize = 3;

/// The display.
pub(super) struct Display<'a> {
    bar: ProgressBar,
    printer: &'a Printer,
}

impl<'a> Display<'a> {
    pub(super) fn new(printer: &'a Printer) -> Self {
        let bar = if printer.shows_progress() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        // A template that does not parse is a bug that the first test run shows; the default still works.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, printer }
    }

    pub(super) fn show(&self, progress: Progress<'_>) {
        match progress {
            Progress::Doing { number, n_trials, arm, phase, elapsed, left } => {
                let left = left.map_or_else(String::new, |left| format!(", about {} left", span(left)));
                self.bar.set_message(format!(
                    "trial {number} of {n_trials}: {arm}, {} ({}){left}",
                    in_words(phase),
                    span(elapsed)
                ));
                self.bar.tick();
            }
            Progress::Done { number, n_trials, trial } => {
                let peak = trial.rounds.iter().map(|round| round.peak_rss_bytes).max().unwrap_or(0);
                let idle = trial.rounds.last().map_or(0, |round| round.idle_rss_bytes);
                self.line(&format!(
                    "{number}/{n_trials} {}: peak {}, then idle at {}",
                    trial.arm,
                    Bytes(peak),
                    Bytes(idle)
                ));
            }
            Progress::Void { void, again, .. } => {
                let what_next =
                    if again { "; it is tried again at the end" } else { "; it is not tried again" };
                self.bar.suspend(|| {
                    self.printer.warn(&format!("{}: void: {}{what_next}", void.arm, void.reason));
                    for line in &void.log[void.log.len().saturating_sub(LAST_LINES)..] {
                        self.printer.note(&format!("  it wrote: {}", visible(line)));
                    }
                });
            }
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| self.printer.note(text));
    }
}

fn in_words(phase: Phase) -> String {
    match phase {
        Phase::Starting => "starting".to_owned(),
        Phase::WarmingUp => "warming up".to_owned(),
        Phase::Loading(round) => format!("load of round {round}"),
        Phase::Idling(round) => format!("idle after round {round}"),
        Phase::Stopping => "stopping".to_owned(),
    }
}

/// `40 s`, `12 min`, `3 h 5 min`.
pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6000 => format!("{} min", (seconds + 30) / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_in_words() {
        let check = |seconds, text: &str| assert_eq!(span(Duration::from_secs(seconds)), text);
        check(0, "0 s");
        check(99, "99 s");
        check(100, "2 min");
        check(3480, "58 min");
        check(11100, "3 h 5 min");
    }
}
