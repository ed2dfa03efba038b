//! Where words go: data to stdout, everything else to stderr; colour only where it is welcome.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slackwater_report::{Style, visible};

use crate::args::ColorChoice;
use crate::env;
use crate::exit::{Exit, Failure};

/// Writes to the two streams of the program.
pub(crate) struct Printer {
    out: Style,
    err: Style,
    quiet: bool,
    /// Lines that wait for the terminal.
    waiting: Mutex<Option<Vec<String>>>,
}

/// Something else has the terminal. When this is dropped, what was said meanwhile is shown.
pub(crate) struct Held<'a>(&'a Printer);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting().take();
        waiting.into_iter().flatten().for_each(|line| self.0.line(&line));
    }
}

impl Printer {
    pub(crate) fn new(color: ColorChoice, quiet: bool) -> Self {
        Self {
            out: style(color, &io::stdout()),
            err: style(color, &io::stderr()),
            quiet,
            waiting: Mutex::new(None),
        }
    }

    /// How data on stdout is dressed.
    pub(crate) const fn style(&self) -> Style {
        self.out
    }

    /// Whether a progress display on stderr is wanted.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && !self.is_held() && io::stderr().is_terminal()
    }

    /// Writes data to stdout. A reader that has gone away (`| head`) is no error, but ends the
    /// program: there is nobody left to work for.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// The same, of data that is no text.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::new(Exit::Bug, "cannot write to standard output").caused_by(&error)),
        }
    }

    /// Keeps lines back until what this returns is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.waiting().get_or_insert_default();
        Held(self)
    }

    fn is_held(&self) -> bool {
        self.waiting().is_some()
    }

    /// Whether only results and errors are wanted.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A line for the person at the terminal. Nothing with `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// A warning. Shown even with `--quiet`.
    pub(crate) fn warn(&self, text: &str) {
        self.line(&format!("{} {}", self.err.warning("warning:"), visible(text)));
    }

    /// The lines that explain a failure.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.line(&format!("{} {}", self.err.error("error:"), visible(&failure.error)));
        for cause in &failure.causes {
            self.line(&format!("{} {}", self.err.dim("cause:"), visible(cause)));
        }
        if let Some(hint) = &failure.hint {
            self.line(&format!("{} {}", self.err.good("hint:"), visible(hint)));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A closed stderr loses the line, nothing else.
    fn line(&self, text: &str) {
        if let Some(waiting) = &mut *self.waiting() {
            waiting.push(text.to_owned());
            return;
        }
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn style(color: ColorChoice, stream: &impl IsTerminal) -> Style {
    let wanted = match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if env::no_color() => false,
        ColorChoice::Auto if env::force_color() => true,
        ColorChoice::Auto => stream.is_terminal() && !env::dumb_terminal(),
    };
    if wanted { Style::Colored } else { Style::Plain }
}
