//! `record --live`: the view of `slackwater live` in the terminal that records.
//!
//! Invariant: the view reads the file as anybody may, in a thread of its own: the recording never waits for
//! it, and goes on when it is closed. While it has the terminal nobody else writes there: what is to be said
//! waits, and a command that would write on it writes into a file.

use std::fs::File;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use slackwater_report::visible;

use crate::exit::{Exit, Failure};
use crate::printer::{Held, Printer};
use crate::verbs::{live, output};

/// The view, while it is open.
pub(super) struct View<'a> {
    capture: PathBuf,
    printer: &'a Printer,
    open: Option<Open<'a>>,
}

struct Open<'a> {
    reader: JoinHandle<Result<(), Failure>>,
    is_over: Arc<AtomicBool>,
    held: Held<'a>,
}

/// Refuses where nothing can be drawn.
///
/// # Errors
/// When standard input or output is no terminal.
pub(super) fn require_terminal() -> Result<(), Failure> {
    if live::has_terminal() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "--live needs a terminal, for input and for output")
        .hint("record without it, and watch from any terminal with `slackwater live FILE`"))
}

/// Keeps a command off the terminal: where it would read from it, there is nothing to read, and what it would
/// write goes to the file that is returned.
///
/// # Errors
/// When that file cannot be created.
pub(super) fn keep_off(
    command: &mut Command,
    capture: &Path,
    overwrite: bool,
) -> Result<Option<PathBuf>, Failure> {
    if stdin().is_terminal() {
        command.stdin(Stdio::null());
    }
    if !stdout().is_terminal() && !stderr().is_terminal() {
        return Ok(None);
    }
    let path = output::beside(capture, "log");
    // Created as captures are: while the command writes into it, nobody replaces it.
    let log = output::capture(&path, overwrite)?;
    let clone = |log: &File| {
        let cloned = log.try_clone().map(Stdio::from);
        cloned.map_err(|error| Failure::new(Exit::Usage, "cannot write the log twice").caused_by(&error))
    };
    if stdout().is_terminal() {
        command.stdout(clone(&log)?);
    }
    if stderr().is_terminal() {
        command.stderr(clone(&log)?);
    }
    Ok(Some(path))
}

impl<'a> View<'a> {
    /// Opens the view of a capture that has been begun.
    pub(super) fn open(capture: &Path, printer: &'a Printer) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (path, style, over) = (capture.to_path_buf(), printer.style(), Arc::clone(&is_over));
        let reader = thread::spawn(move || live::watch(&path, style, || over.load(Ordering::Relaxed)));
        let open = Open { reader, is_over, held: printer.hold() };
        Self { capture: capture.to_path_buf(), printer, open: Some(open) }
    }

    /// Looks whether the user has closed it.
    pub(super) fn step(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.reader.is_finished()) {
            self.close();
            let file = self.capture.display().to_string();
            self.printer.note(&format!(
                "slackwater: still recording, Ctrl-C ends it; to see it again: slackwater live {}",
                visible(&file)
            ));
        }
    }

    /// Gives the terminal back.
    pub(super) fn close(&mut self) {
        let Some(Open { reader, is_over, held }) = self.open.take() else { return };
        is_over.store(true, Ordering::Relaxed);
        let ended = reader.join();
        drop(held);
        if let Ok(Err(failure)) = ended {
            self.printer.failure(&failure);
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
