//! `slackwater live`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slackwater_base::Partial;
use slackwater_capture::FrameKind;
use slackwater_profile::{Following, Profile};
use slackwater_report::live::{Standing, View, screen};

use super::capture;
use crate::args::LiveArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::screen::Screen;

pub(crate) const MANUAL: &str = "\
Watches a recording under way from its capture, in any terminal and as often as you like: the recorder does \
not know of it, and quitting changes nothing. Shows live memory and RSS of each process, and the lines of \
code that hold most, held most at the peak, or have allocated most.\n\n\
Keys: l live, p at the peak, a all that was allocated, s whole stacks, w by worker, space pauses, q quits. \
What is shown is up to half a second old.\n\n\
Examples:\n  \
  slackwater record -o it.slackwater -- gunicorn app:app        in one terminal\n  \
  slackwater live it.slackwater                                 in another";

/// How often the file is read.
const EVERY: Duration = Duration::from_secs(1);
/// The size of a screen that is no terminal.
const PAPER: (usize, usize) = (100, 40);

/// Shows a recording until the user quits.
///
/// # Errors
/// When the file is no capture, or the terminal is none.
pub(crate) fn run(args: &LiveArgs, printer: &Printer) -> Result<Exit, Failure> {
    let name = args.capture.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut following = Following::default();
    let (mut profile, mut standing) = read(&args.capture, &mut following)?;
    let mut view = View::default();
    if args.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let lines = screen(&name, &profile.value, standing, &view, PAPER, printer.style());
        let shown: Vec<&str> = lines[..PAPER.1 - 1].iter().map(|line| line.trim_end()).collect();
        printer.data(&format!("{}\n", shown.join("\n").trim_end()))?;
        return Ok(Exit::Done);
    }
    let interrupted = super::interruptible()?;
    let mut terminal = Screen::take().map_err(|error| no_terminal(&error))?;
    let mut read_at = Instant::now();
    while !interrupted.load(Ordering::Relaxed) {
        let lines = screen(&name, &profile.value, standing, &view, terminal.size(), printer.style());
        terminal.draw(&lines).map_err(|error| no_terminal(&error))?;
        match terminal.key().map_err(|error| no_terminal(&error))? {
            Some(b'q') => break,
            Some(key) => view.press(key),
            None => {}
        }
        if !view.is_paused && standing == Standing::Growing && read_at.elapsed() >= EVERY {
            (profile, standing) = read(&args.capture, &mut following)?;
            read_at = Instant::now();
        }
    }
    Ok(Exit::Done)
}

/// Reads what was added, and whether more is to come.
fn read(path: &Path, following: &mut Following) -> Result<(Partial<Profile>, Standing), Failure> {
    let mut opened = capture::open(path)?.value;
    let last = opened.index().frames.last().map(|frame| frame.header.kind);
    let standing = if last == Some(FrameKind::End) { Standing::Ended } else { Standing::Growing };
    following.read(&mut opened).map_err(|error| capture::refused(&error))?;
    Ok((following.profile(), standing))
}

fn no_terminal(error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, "cannot use the terminal").caused_by(error).hint("--once shows it without one")
}
