//! `slackwater live`.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slackwater_base::Partial;
use slackwater_capture::FrameKind;
use slackwater_profile::{Following, Profile};
use slackwater_report::Style;
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
Keys: l live, p at the peak, a all that was allocated, s whole stacks, e endpoints, w by worker, space pauses, q quits. \
What is shown is a second or two old; of a long recording somewhat more, since reading it gives way.\n\n\
Examples:\n  \
  slackwater record -o it.slackwater -- gunicorn app:app        in one terminal\n  \
  slackwater live it.slackwater                                 in another";

/// How often the file is read.
const EVERY: Duration = Duration::from_secs(1);
/// How much longer than a reading the pause after it is at least: the machine is the service's.
const REST: u32 = 20;
/// The size of a screen that is no terminal.
const PAPER: (usize, usize) = (100, 40);

/// Shows a recording until the user quits.
///
/// # Errors
/// When the file is no capture, or the terminal is none.
pub(crate) fn run(args: &LiveArgs, printer: &Printer) -> Result<Exit, Failure> {
    if args.once || !has_terminal() {
        let (profile, standing) = read(&args.capture, &mut Following::default())?;
        let name = name(&args.capture);
        let lines = screen(&name, &profile.value, standing, &View::default(), PAPER, printer.style());
        let shown: Vec<&str> = lines[..PAPER.1 - 1].iter().map(|line| line.trim_end()).collect();
        printer.data(&format!("{}\n", shown.join("\n").trim_end()))?;
        return Ok(Exit::Done);
    }
    let interrupted = super::interruptible()?;
    watch(&args.capture, printer.style(), || interrupted.load(Ordering::Relaxed))?;
    Ok(Exit::Done)
}

/// Whether there is a terminal to draw on and to read keys from.
pub(super) fn has_terminal() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Shows a recording until the user quits, or it is said to be over.
///
/// # Errors
/// When the file is no capture, or the terminal is none.
pub(super) fn watch(path: &Path, style: Style, is_over: impl Fn() -> bool) -> Result<(), Failure> {
    let mut following = Following::default();
    let (mut profile, mut standing) = read(path, &mut following)?;
    let (name, mut view) = (name(path), View::default());
    let mut terminal = Screen::take().map_err(|error| no_terminal(&error))?;
    let mut read_next = Instant::now() + EVERY;
    let mut drawn = None;
    while !is_over() {
        let size = terminal.size();
        if drawn != Some(size) {
            let lines = screen(&name, &profile.value, standing, &view, size, style);
            terminal.draw(&lines).map_err(|error| no_terminal(&error))?;
            drawn = Some(size);
        }
        match terminal.key().map_err(|error| no_terminal(&error))? {
            Some(b'q') => break,
            Some(key) => {
                view.press(key);
                drawn = None;
            }
            None => {}
        }
        if !view.is_paused && standing == Standing::Growing && Instant::now() >= read_next {
            let began = Instant::now();
            (profile, standing) = read(path, &mut following)?;
            read_next = Instant::now() + EVERY.max(REST * began.elapsed());
            drawn = None;
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
